//! `demo`: the real pipeline against the built-in server, in seconds, without account or network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::aggregate;
use super::args::LimitArgs;
use super::chart::series::{Series, SeriesRequest};
use super::chart::{self, DrawnHours};
use super::exit::{CliError, Exit};
use super::fake_alpaca::{made_up_bars, tape_bars};
use super::ingest::{IngestArgs, order_of};
use super::order::RunLimits;
use super::output::{LongWords, with_thousands, wrapped, wrapped_lines, write_stdout};
use super::session::{CliSession, terminal_width};
use super::sparkline::sparkline;
use super::summary;
use super::symbols::read_legal_symbols;
use super::validate;
use crate::app::Stores;
use crate::config::{Config, Environment, Flags};
use crate::domain::instant::format_utc;
use crate::domain::ports::{BarSelection, BarStore};
use crate::domain::{Calendar, Gap, GapReason, Segment, SessionDate, Symbol, Timeframe};
use crate::infrastructure::fake_alpaca::{
    FAKE_KEY_ID, FAKE_SECRET, FakeAlpaca, FakeConfig, Fault, FaultScript, Tape, When,
};
use crate::ingestion::{GapsRequest, IngestReport, list_gaps};

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where the demo's lake is made [default: ./marketpipe-demo]
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
}

/// Symbols that nobody takes for real ones.
const SYMBOLS: &str = "DEMOA,DEMOB,DEMOC";

/// Two weeks around Independence Day: a half day on 3 July, a holiday on 4 July.
const FIRST: &str = "2024-06-24";
const LAST: &str = "2024-07-05";

/// The half hour that the demo's server has no bars of.
const GAP_SESSION: &str = "2024-07-02";
const GAP_SYMBOL: &str = "DEMOB";
const GAP_MINUTES: std::ops::Range<u16> = 900..930;

/// Marks a folder as the demo's.
const DEMO_CONFIG: &str = "# The demo's lake: bars are made up. Every key has its default.\n";

/// The sessions whose candles are drawn: the gap's and its neighbours.
const CANDLES: (&str, &str) = ("2024-07-01", "2024-07-03");

const CHART_WIDTH: usize = 60;

/// Columns where there is no terminal.
const PIPE_WIDTH: usize = 80;

/// Characters beside a line of prices: symbol, first, last, number of minutes.
const BESIDE_CHART: usize = 52;

/// How long to wait for another process in the demo's folder.
const WAIT_S: u64 = 30;

/// Runs the demo and says what to try next.
pub(super) fn run(session: &CliSession, args: &DemoArgs) -> Result<Exit, CliError> {
    let folder = args
        .keep
        .clone()
        .unwrap_or_else(|| PathBuf::from("marketpipe-demo"));
    let symbols = read_legal_symbols(session, &[SYMBOLS.to_owned()])?;
    let server = start_server(&symbols)?;
    let demo = session.with_config(demo_config(session, &folder, &server)?);

    say(&demo, "MarketPipe demo: made-up bars, the real pipeline\n");
    say(
        &demo,
        &format!(
            "1. A server on {} speaks Alpaca's protocol",
            server.base_url()
        ),
    );
    say(
        &demo,
        &format!(
            "   It has {SYMBOLS} from {FIRST} to {LAST}: with a half day, a holiday, half an hour missing and one impossible \
             bar. Its rate limit stops the first request.\n"
        ),
    );
    say(&demo, "2. An ingest");
    let first = ingest_once(&demo, &symbols)?;
    say(&demo, &summary::render(&first));
    if first.job.is_none() {
        say(
            &demo,
            "  An earlier demo has fetched all of it: the server is not asked, and no limit met.",
        );
    }
    say(&demo, "\n3. The same ingest again: nothing is asked twice");
    let second = ingest_once(&demo, &symbols)?;
    say(&demo, &summary::render(&second));
    let stores = demo.stores()?;
    say(&demo, "\n4. What is missing, and why");
    report_gaps(&demo, &stores, &symbols)?;
    say(&demo, "\n5. Longer bars, made where minutes changed");
    let wait = Duration::from_secs(WAIT_S);
    let stores = demo.app.open_stores(demo.events(), wait)?;
    say(&demo, &indented(&aggregate::make_all(&demo, &stores)?));
    say(&demo, "\n6. Everything is checked");
    let reports = demo.app.directory().reports();
    let findings_page = reports.join("validation.html");
    say(
        &demo,
        &indented(&validate::check_all(&demo, &stores, &findings_page)?),
    );
    say(&demo, &format!("   as a page: {}", findings_page.display()));
    say(&demo, "\n7. Candles, with the gap left open");
    draw_candles(&demo, &stores, &reports.join("DEMOB.html"))?;
    say(
        &demo,
        "\n   All of them, closing prices of the regular sessions:",
    );
    draw(&demo, &stores, &symbols)?;
    say(&demo, &next_steps(&folder));
    Ok(Exit::Done)
}

/// The configuration of the demo alone: neither the user's file nor the user's credentials take part.
fn demo_config(
    session: &CliSession,
    folder: &Path,
    server: &FakeAlpaca,
) -> Result<Config, CliError> {
    let file = folder.join("marketpipe.toml");
    let is_fresh = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    let is_the_demos = std::fs::read_to_string(&file).is_ok_and(|text| text == DEMO_CONFIG);
    if !is_fresh && !is_the_demos {
        let message = format!(
            "{} holds something else than a demo; its made-up bars stay away from it",
            folder.display()
        );
        return Err(
            CliError::new(Exit::Usage, message).with_hint("name a new or empty folder with --keep")
        );
    }
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, DEMO_CONFIG));
    written.map_err(|error| {
        CliError::new(
            Exit::Storage,
            format!("cannot write {}: {error}", file.display()),
        )
    })?;
    let environment = Environment::from_pairs([
        ("MARKETPIPE_ALPACA_URL", server.base_url()),
        ("APCA_API_KEY_ID", FAKE_KEY_ID),
        ("APCA_API_SECRET_KEY", FAKE_SECRET),
    ]);
    let flags = Flags {
        data_dir: Some(folder.to_owned()),
        config: Some(file),
        // How things are shown is the terminal's and the user's, for the demo as well.
        color: Some(session.app.config().color),
        ..Flags::default()
    };
    Ok(Config::load(&flags, &environment)?)
}

fn start_server(symbols: &[Symbol]) -> Result<FakeAlpaca, CliError> {
    let (first, last) = (date(FIRST)?, date(LAST)?);
    let gap = Calendar::nyse().session(date(GAP_SESSION)?)?;
    let mut tape = Tape::new();
    for symbol in symbols {
        let mut bars = tape_bars(&made_up_bars(symbol, 1, first, last)?);
        if let Some(session) = gap.filter(|_| symbol.as_str() == GAP_SYMBOL) {
            bars.retain(|bar| {
                !session.minute_index(bar.ts_us).is_some_and(|minute| {
                    is_in_gap(minute) && session.date() == session_date(bar.ts_us)
                })
            });
        }
        tape.insert("sip", symbol.as_str(), bars);
    }
    let server = FakeAlpaca::start(tape, FakeConfig::default()).map_err(|error| {
        CliError::new(
            Exit::Storage,
            format!("cannot start the demo's server on loopback: {error}"),
        )
    })?;
    server.set_faults(
        FaultScript::new()
            .on(When::Nth(1), Fault::too_many_requests())
            .on_times(When::Nth(3), 1, Fault::LowAboveHigh),
    );
    Ok(server)
}

fn is_in_gap(minute: u16) -> bool {
    GAP_MINUTES.contains(&minute)
}

fn session_date(ts_us: i64) -> SessionDate {
    Calendar::nyse()
        .session_containing(ts_us)
        .map_or_else(|_| Calendar::nyse().coverage().0, |session| session.date())
}

fn date(text: &str) -> Result<SessionDate, CliError> {
    text.parse()
        .map_err(|error| CliError::new(Exit::Bug, format!("demo date `{text}`: {error}")))
}

fn ingest_once(session: &CliSession, symbols: &[Symbol]) -> Result<IngestReport, CliError> {
    let args = IngestArgs {
        provider: "alpaca".to_owned(),
        start: Some(FIRST.to_owned()),
        end: Some(LAST.to_owned()),
        limits: LimitArgs {
            wait: WAIT_S,
            ..LimitArgs::default()
        },
        ..IngestArgs::default()
    };
    let ran = order_of(session, &args, symbols).run(session, RunLimits::of(&args.limits), None)?;
    match ran.exit {
        Exit::Done | Exit::Partial => Ok(ran.report),
        exit => Err(CliError::new(exit, "the demo's ingest did not finish")),
    }
}

/// Lists the regular minutes that the server answered without a bar.
fn report_gaps(session: &CliSession, stores: &Stores, symbols: &[Symbol]) -> Result<(), CliError> {
    for symbol in symbols {
        let request = GapsRequest {
            symbols: vec![symbol.clone()],
            dataset: None,
            first: Some(date(FIRST)?),
            last: Some(date(LAST)?),
            now_us: session.app.clock().now_us(),
        };
        let gaps = list_gaps(stores.ledger.as_ref(), &request)?;
        let words = gaps.iter().filter_map(|found| {
            let Gap {
                reason,
                minutes,
                start_us,
                ..
            } = found.gap;
            let is_bad = reason == GapReason::Quarantined;
            let reason = if is_bad {
                "a bad bar, in quarantine"
            } else {
                reason.as_str()
            };
            (minutes >= 5 || is_bad)
                .then(|| format!("{minutes} min from {} ({reason})", format_utc(start_us)))
        });
        let words: Vec<String> = words.collect();
        let text = if words.is_empty() {
            "no gap of five minutes or more in regular hours".to_owned()
        } else {
            words.join("; ")
        };
        say(session, &format!("   {symbol}  {text}"));
    }
    Ok(())
}

/// Draws the symbol with the gap over three sessions, the last of them a half day, and all of it as a page.
fn draw_candles(session: &CliSession, stores: &Stores, page: &Path) -> Result<(), CliError> {
    let request = |first: &str, last: &str| -> Result<SeriesRequest, CliError> {
        Ok(SeriesRequest {
            symbol: GAP_SYMBOL
                .parse()
                .map_err(|error| CliError::new(Exit::Bug, format!("demo symbol: {error}")))?,
            dataset: None,
            dates: (Some(date(first)?), Some(date(last)?)),
            hours: DrawnHours::Regular,
        })
    };
    let days = Series::open(session, stores, &request(CANDLES.0, CANDLES.1)?)?;
    let picture = chart::picture(session, &chart::fitting(&days, None)?);
    show(session, picture.trim_end());
    let everything = Series::open(session, stores, &request(FIRST, LAST)?)?;
    chart::write_page(&everything, None, page)?;
    say(
        session,
        &format!("   as a page to zoom in: {}", page.display()),
    );
    Ok(())
}

/// Each line three blanks further in.
fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("   {line}")).collect();
    lines.join("\n")
}

fn draw(session: &CliSession, stores: &Stores, symbols: &[Symbol]) -> Result<(), CliError> {
    let width = width().saturating_sub(BESIDE_CHART).clamp(8, CHART_WIDTH);
    for symbol in symbols {
        let selection = BarSelection {
            symbols: vec![symbol.clone()],
            timeframe: Some(Timeframe::M1),
            ..BarSelection::default()
        };
        let mut closes = Vec::new();
        for (_, batch) in stores.bars.load(&selection)? {
            let regular = batch
                .segments()
                .iter()
                .zip(&batch.columns().close)
                .filter(|(segment, _)| **segment == Segment::Regular);
            closes.extend(regular.map(|(_, close)| Some(*close)));
        }
        let (Some(Some(open)), Some(Some(close))) = (closes.first(), closes.last()) else {
            continue;
        };
        let rows = with_thousands(u64::try_from(closes.len()).unwrap_or(u64::MAX));
        say(
            session,
            &format!(
                "   {symbol}  {open:>8.2} {} {close:<8.2} {rows} regular minutes",
                sparkline(&closes, width)
            ),
        );
    }
    Ok(())
}

fn next_steps(folder: &Path) -> String {
    let ours = format!("marketpipe --data-dir {}", folder.display());
    let days = format!("--start {FIRST} --end {LAST}");
    let in_demo = [
        format!("{ours} chart {GAP_SYMBOL} --timeframe 5m"),
        format!("{ours} query \"from bars_1d order by all\""),
        format!("{ours} validate --html report.html"),
    ];
    let with_account = format!("marketpipe ingest --symbols AAPL,MSFT {days}");
    format!(
        "\nThe lake is in {}. Try:\n{}\n\
         With an account: export APCA_API_KEY_ID and APCA_API_SECRET_KEY, then\n{}",
        folder.display(),
        in_demo.map(|line| command(&line, width())).join("\n"),
        command(&with_account, width())
    )
}

/// A command on as many lines as the width demands, to be copied as it stands.
fn command(words: &str, width: usize) -> String {
    // The indentation, and a backslash where the line goes on.
    let room = width.saturating_sub(6).max(1);
    let lines = wrapped(words, room, LongWords::Whole);
    format!("  {}", lines.join(" \\\n    "))
}

/// Columns for the demo's words.
fn width() -> usize {
    terminal_width().map_or(PIPE_WIDTH, usize::from)
}

/// The demo speaks on stdout: its words are what was asked for.
fn say(session: &CliSession, text: &str) {
    show(session, &wrapped_lines(text, width()));
}

/// Shows lines as they are.
fn show(session: &CliSession, lines: &str) {
    if !session.global.quiet {
        _ = write_stdout(format!("{lines}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_too_long_goes_on_after_a_backslash() {
        let line = "marketpipe --data-dir /tmp/tour chart DEMOB";
        assert_eq!(command(line, 80), format!("  {line}"));
        assert_eq!(
            command(line, 30),
            "  marketpipe --data-dir \\\n    /tmp/tour chart DEMOB"
        );
    }
}
