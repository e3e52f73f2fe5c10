//! Judging an answer: every row to its session, sound rows into batches by partition, the others into quarantine. Pure.

use crate::domain::bar::HardRule;
use crate::domain::instant::format_utc;
use crate::domain::merge::{AskedSession, ShrinkPolicy};
use crate::domain::ports::{PartitionAnswer, QuarantinedRow, SessionAnswer};
use crate::domain::symbol_bars::{ClosedSession, ForeignBar};
use crate::domain::{
    Bar, BarBatch, BarColumns, BatchError, Calendar, CalendarError, Dataset, JobId, PartitionKey,
    Period, Symbol, SymbolBarsAggregate, Timeframe,
};

use super::fetch::{FetchedBars, FetchedUnit};
use super::plan::FetchUnit;

/// An answer that could not be judged: a mistake in this program, not in the data.
#[derive(Debug, thiserror::Error)]
pub(super) enum JudgeError {
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Foreign(#[from] ForeignBar),
}

/// A judged unit, ready to be committed.
#[derive(Debug, Default)]
pub(super) struct JudgedUnit {
    pub(super) answers: Vec<PartitionAnswer>,
    pub(super) quarantined: Vec<QuarantinedRow>,
    /// Minutes that came more than once with other values; the last row counts.
    pub(super) overruled_rows: u64,
}

/// What the judge must know besides the rows.
#[derive(Debug, Clone)]
pub(super) struct JudgeContext {
    pub(super) dataset: Dataset,
    pub(super) job: JobId,
    pub(super) shrink: ShrinkPolicy,
}

/// Judges all rows of a fetched unit.
pub(super) fn judge_unit(
    fetched: &FetchedUnit,
    context: &JudgeContext,
) -> Result<JudgedUnit, JudgeError> {
    let mut judged = JudgedUnit::default();
    let nothing = FetchedBars::default();
    for symbol in &fetched.unit.symbols {
        let bars = fetched.bars.get(symbol).unwrap_or(&nothing);
        judge_symbol(&mut judged, symbol, bars, fetched, context)?;
    }
    for (stray, source) in &fetched.strays {
        judged.quarantined.push(QuarantinedRow {
            dataset: context.dataset.clone(),
            symbol: stray.symbol.clone(),
            ts_us: None,
            rule: stray.rule,
            evidence: format!("{} rows, first: {}", stray.rows, stray.evidence),
            source: source.clone(),
            job: context.job,
            seen_at_us: fetched.asked_at_us,
        });
    }
    Ok(judged)
}

fn judge_symbol(
    judged: &mut JudgedUnit,
    symbol: &Symbol,
    bars: &FetchedBars,
    fetched: &FetchedUnit,
    context: &JudgeContext,
) -> Result<(), JudgeError> {
    let quarantine = |bar: &Bar, rule: HardRule| QuarantinedRow {
        dataset: context.dataset.clone(),
        symbol: symbol.to_string(),
        ts_us: (bar.ts_us != i64::MIN).then_some(bar.ts_us),
        rule,
        evidence: describe_bar(bar),
        source: bars.source.clone(),
        job: context.job,
        seen_at_us: fetched.asked_at_us,
    };
    let (closed, strays) = sort_into_sessions(&fetched.unit, symbol, &bars.columns)?;
    for bar in &strays {
        judged.quarantined.push(quarantine(
            bar,
            bar.broken_rule().unwrap_or(HardRule::OutsideWindow),
        ));
    }
    let calendar = Calendar::of(symbol);
    let mut months: Vec<(PartitionAnswer, Vec<BarColumns>)> = Vec::new();
    for session in closed {
        judged.overruled_rows += u64::try_from(session.replaced_rows).unwrap_or(u64::MAX);
        judged.quarantined.extend(
            session
                .quarantined
                .iter()
                .map(|(bar, rule)| quarantine(bar, *rule)),
        );
        let date = session.session.date();
        let period = Period::of(Timeframe::M1, date);
        let answer = SessionAnswer {
            asked: AskedSession {
                date,
                range: session.asked,
                quarantined_ts_us: session.quarantined_ts_us(),
            },
            session: session.session,
            asked_at_us: fetched.asked_at_us,
            next_pre_open_us: calendar.next_session(date)?.pre_open_us(),
        };
        // Sessions ascend, so a month's sessions follow one another.
        match months
            .last_mut()
            .filter(|(month, _)| month.key.period == period)
        {
            Some((month, kept)) => {
                month.sessions.push(answer);
                kept.push(session.kept);
            }
            None => {
                let key = PartitionKey {
                    dataset: context.dataset.clone(),
                    timeframe: Timeframe::M1,
                    symbol: symbol.clone(),
                    period,
                };
                let month = PartitionAnswer {
                    key,
                    answer: BarBatch::empty(),
                    sessions: vec![answer],
                    shrink: context.shrink,
                };
                months.push((month, vec![session.kept]));
            }
        }
    }
    for (mut month, kept) in months {
        month.answer = BarBatch::from_columns(BarColumns::concat(&kept), calendar)?;
        judged.answers.push(month);
    }
    Ok(())
}

/// Hands every row to its session's aggregate; rows of no asked session are returned apart.
fn sort_into_sessions(
    unit: &FetchUnit,
    symbol: &Symbol,
    columns: &BarColumns,
) -> Result<(Vec<ClosedSession>, Vec<Bar>), JudgeError> {
    let mut aggregates: Vec<SymbolBarsAggregate> = unit
        .sessions
        .iter()
        .map(|session| {
            let asked = unit.asked_of(session);
            SymbolBarsAggregate::open(symbol.clone(), *session, asked)
        })
        .collect();
    let mut strays = Vec::new();
    let mut current = 0;
    let mut row = 0;
    let belongs = |aggregate: &SymbolBarsAggregate, ts_us: i64| {
        aggregate.session().window_start_us() <= ts_us
            && ts_us < aggregate.session().window_end_us()
    };
    while let Some(&ts_us) = columns.ts_us.get(row) {
        // Rows come in order of time, so the session is nearly always the next one.
        if !aggregates
            .get(current)
            .is_some_and(|aggregate| belongs(aggregate, ts_us))
        {
            current = aggregates
                .partition_point(|aggregate| aggregate.session().window_end_us() <= ts_us);
        }
        match aggregates
            .get_mut(current)
            .filter(|aggregate| belongs(aggregate, ts_us))
        {
            Some(aggregate) => {
                let end = columns.ts_us[row..]
                    .iter()
                    .position(|&ts_us| !belongs(aggregate, ts_us))
                    .map_or(columns.len(), |rows| row + rows);
                aggregate.accept_rows(symbol, columns, row..end)?;
                row = end;
            }
            None => {
                strays.push(columns.bar(row));
                row += 1;
            }
        }
    }
    Ok((
        aggregates
            .into_iter()
            .map(SymbolBarsAggregate::close)
            .collect(),
        strays,
    ))
}

/// A row in words, for evidence.
fn describe_bar(bar: &Bar) -> String {
    let ts = if bar.ts_us == i64::MIN {
        "illegible".to_owned()
    } else {
        format_utc(bar.ts_us)
    };
    let count = bar
        .trade_count
        .map_or_else(|| "none".to_owned(), |count| count.to_string());
    let vwap = bar
        .vwap
        .map_or_else(|| "none".to_owned(), |vwap| vwap.to_string());
    format!(
        "ts={ts} open={} high={} low={} close={} volume={} trade_count={count} vwap={vwap}",
        bar.open, bar.high, bar.low, bar.close, bar.volume
    )
}
