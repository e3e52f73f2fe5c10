//! What a chart is drawn of: which dataset, which sessions, which bars, and what the ledger says is missing of them.

use std::collections::BTreeSet;

use super::DrawnHours;
use crate::aggregation::{AggregationRunnerService, FrameBarsRequest};
use crate::app::Stores;
use crate::cli::exit::{CliError, Exit};
use crate::cli::session::CliSession;
use crate::domain::chart::{BarOrigin, Chart, ChartSource, PlacedBar, fit, lay_out};
use crate::domain::ports::{BarSelection, BarStore as _, SeriesStatus, SymbolBarsRepository as _};
use crate::domain::{
    AggregationChoice, Calendar, Dataset, Gap, Segment, SegmentSet, Session, SessionDate, Symbol,
    Timeframe,
};
use crate::ingestion::{GapsRequest, list_gaps};

/// Sessions that are drawn when no dates are given.
const USUAL_SESSIONS: usize = 5;

/// Days before the last session in which these are looked for first.
const LOOK_BACK_DAYS: i32 = 60;

/// Which series in which sessions.
pub(in crate::cli) struct SeriesRequest {
    pub(in crate::cli) symbol: Symbol,
    /// `None` for the one with the newest bars.
    pub(in crate::cli) dataset: Option<Dataset>,
    /// First and last session, where they were named.
    pub(in crate::cli) dates: (Option<SessionDate>, Option<SessionDate>),
    pub(in crate::cli) hours: DrawnHours,
}

/// A series that has bars in the range.
pub(in crate::cli) struct Series<'a> {
    stores: &'a Stores,
    runner: AggregationRunnerService,
    dataset: Dataset,
    symbol: Symbol,
    range: (SessionDate, SessionDate),
    sessions: Vec<Session>,
    gaps: Vec<Gap>,
    segments: SegmentSet,
    choice: AggregationChoice,
    now_us: i64,
}

impl<'a> Series<'a> {
    /// Finds the series and its range.
    pub(in crate::cli) fn open(
        session: &CliSession,
        stores: &'a Stores,
        request: &SeriesRequest,
    ) -> Result<Self, CliError> {
        let symbol = request.symbol.clone();
        let status = find_series(session, stores, request)?;
        let dataset = status.dataset;
        let range = range_of(stores, &dataset, &symbol, request)?;
        let config = &session.app.config().aggregation;
        let now_us = session.app.clock().now_us();
        let gaps = GapsRequest {
            symbols: vec![symbol.clone()],
            dataset: Some(dataset.clone()),
            first: Some(range.0),
            last: Some(range.1),
            now_us,
        };
        let gaps = list_gaps(stores.ledger.as_ref(), &gaps)?.into_iter();
        let regular: SegmentSet = [Segment::Regular].into_iter().collect();
        let has_regular = config.choice.segments.contains(Segment::Regular);
        let mut series = Self {
            stores,
            runner: session
                .app
                .aggregation_runner(stores, config.engine, session.events()),
            sessions: Calendar::of(&symbol).sessions(range.0, range.1)?,
            gaps: gaps.map(|found| found.gap).collect(),
            segments: regular,
            choice: AggregationChoice {
                segments: match request.hours {
                    DrawnHours::All => SegmentSet::ALL,
                    DrawnHours::Regular if has_regular => config.choice.segments,
                    DrawnHours::Regular => regular,
                },
                ..config.choice
            },
            dataset,
            symbol,
            range,
            now_us,
        };
        if request.hours == DrawnHours::All {
            let (minutes, _) = series.bars(Timeframe::M1)?;
            series.segments = minutes.iter().map(|placed| placed.segment).collect();
        }
        Ok(series)
    }

    /// The chart in one frame.
    pub(in crate::cli) fn chart(&self, frame: Timeframe) -> Result<Chart, CliError> {
        let (bars, origin) = self.bars(frame)?;
        let chart = Chart {
            dataset: self.dataset.clone(),
            symbol: self.symbol.clone(),
            frame,
            origin,
            sessions: self.range,
            slots: lay_out(&self.source(frame, &bars)),
        };
        if chart.candles().next().is_some() {
            return Ok(chart);
        }
        let message = format!(
            "{} {} has no bars in regular hours from {} to {}",
            self.dataset, self.symbol, self.range.0, self.range.1
        );
        Err(CliError::new(Exit::Partial, message)
            .with_hint("`marketpipe gaps` says why; --segment all draws the other hours"))
    }

    /// The finest frame that makes at most `columns` columns; `1d` when none does.
    pub(in crate::cli) fn finest(&self, columns: usize) -> Timeframe {
        let shortest = self.sessions.iter().map(|session| {
            let hours = session.expected_range(Segment::Regular);
            usize::from(hours.end - hours.start)
        });
        let minutes: usize = shortest.sum();
        let unasked: u32 = self.gaps.iter().map(|gap| gap.minutes).sum();
        let held = minutes.saturating_sub(usize::try_from(unasked).unwrap_or(usize::MAX));
        let fits = |frame: &Timeframe| {
            // Far too many need not be laid out to be counted.
            let length = frame.minutes().map_or(1440, usize::from);
            held / length <= columns && fit(&lay_out(&self.source(*frame, &[])), columns).1 == 1
        };
        let frames = Timeframe::ALL.into_iter();
        frames.clone().find(fits).unwrap_or(Timeframe::D1)
    }

    /// The frames that are kept of the series, and minutes.
    pub(in crate::cli) fn kept_frames(&self) -> Vec<Timeframe> {
        let selection = BarSelection {
            dataset: Some(self.dataset.clone()),
            symbols: vec![self.symbol.clone()],
            sessions: Some(self.range),
            ..BarSelection::default()
        };
        // Without the list there are no other frames to switch to, and nothing else is lost.
        let files = self.stores.bars.list_files(&selection).unwrap_or_default();
        let frames: BTreeSet<Timeframe> = files.iter().map(|file| file.key.timeframe).collect();
        frames.into_iter().collect()
    }

    fn bars(&self, frame: Timeframe) -> Result<(Vec<PlacedBar>, BarOrigin), CliError> {
        let request = FrameBarsRequest {
            dataset: self.dataset.clone(),
            symbol: self.symbol.clone(),
            sessions: self.range,
            frame,
            choice: self.choice,
        };
        Ok(self.runner.frame_bars(&request)?)
    }

    fn source<'b>(&'b self, frame: Timeframe, bars: &'b [PlacedBar]) -> ChartSource<'b> {
        ChartSource {
            sessions: &self.sessions,
            frame,
            anchor: self.choice.anchor,
            segments: self.segments,
            bars,
            gaps: &self.gaps,
            until_us: self.now_us,
        }
    }
}

/// The series of the symbol: the one asked for, else the one with the newest bars.
fn find_series(
    session: &CliSession,
    stores: &Stores,
    request: &SeriesRequest,
) -> Result<SeriesStatus, CliError> {
    let symbol = &request.symbol;
    let held = stores.ledger.list_status(std::slice::from_ref(symbol))?;
    let mut held: Vec<SeriesStatus> = held
        .into_iter()
        .filter(|status| status.timeframe == Timeframe::M1 && status.rows > 0)
        .collect();
    // Of equally new ones the first by name.
    held.sort_by_key(|status| std::cmp::Reverse(status.sessions.map(|sessions| sessions.1)));
    let names: Vec<String> = held
        .iter()
        .map(|status| status.dataset.to_string())
        .collect();
    if held.is_empty() {
        let message = format!("nothing is kept of {symbol}");
        return Err(CliError::new(Exit::Partial, message).with_hint(format!(
            "`marketpipe status` lists what is kept; `marketpipe ingest --symbols {symbol}` fetches it"
        )));
    }
    let wanted = request.dataset.as_ref();
    let place = held
        .iter()
        .position(|status| wanted.is_none_or(|wanted| *wanted == status.dataset));
    let Some(place) = place else {
        let dataset = wanted.map_or_else(String::new, Dataset::to_string);
        let message = format!("nothing is kept of {symbol} in {dataset}");
        return Err(CliError::new(Exit::Partial, message)
            .with_hint(format!("it is kept in {}", names.join(", "))));
    };
    if wanted.is_none() && names.len() > 1 {
        session.say(&format!(
            "{symbol} is kept in {}; --dataset chooses another than the first",
            names.join(", ")
        ));
    }
    Ok(held.swap_remove(place))
}

/// First and last session: those that were named, else the last ones that have bars.
fn range_of(
    stores: &Stores,
    dataset: &Dataset,
    symbol: &Symbol,
    request: &SeriesRequest,
) -> Result<(SessionDate, SessionDate), CliError> {
    let selection = BarSelection {
        dataset: Some(dataset.clone()),
        symbols: vec![symbol.clone()],
        timeframe: Some(Timeframe::M1),
        sessions: None,
    };
    let files = stores.bars.list_files(&selection)?;
    let held = files
        .iter()
        .map(|file| file.first_session)
        .min()
        .zip(files.iter().map(|file| file.last_session).max());
    let nothing = |first: SessionDate, last: SessionDate| {
        let held = held.map_or_else(String::new, |(first, last)| {
            format!("; it is kept from {first} to {last}")
        });
        CliError::new(
            Exit::Partial,
            format!("nothing is kept of {symbol} from {first} to {last}{held}"),
        )
        .with_hint("choose other dates with --start and --end")
    };
    let (start, end) = request.dates;
    let (earliest, latest) = held.unwrap_or_else(|| Calendar::of(symbol).coverage());
    let last = end.unwrap_or(latest);
    let first = start.unwrap_or(earliest);
    let recent = SessionDate::from_days_since_epoch(last.days_since_epoch() - LOOK_BACK_DAYS);
    for from in [recent.unwrap_or(first).max(first), first] {
        let mut records = stores.ledger.list_sessions(dataset, symbol, from, last)?;
        records.retain(|record| record.rows() > 0);
        if start.is_some() && !records.is_empty() {
            return Ok((first, last));
        }
        if records.len() >= USUAL_SESSIONS || (from == first && !records.is_empty()) {
            let from = records.len().saturating_sub(USUAL_SESSIONS);
            return Ok((
                records[from].date,
                last.min(records[records.len() - 1].date),
            ));
        }
    }
    Err(nothing(first, last))
}
