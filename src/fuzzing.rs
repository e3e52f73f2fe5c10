//! What hostile input must not do: one function for each fuzz target of `fuzz/`, compiled for it and for tests alone.
//!
//! Each takes any bytes and panics when a promise is broken; that nothing panics, hangs or grows is the least of them.

use std::path::{Component, Path};

use chrono::DateTime;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::read_range;
use crate::config::{Config, EXAMPLE_FILE};
use crate::domain::instant::format_utc;
use crate::domain::services::fill::BarLabel;
use crate::domain::symbol::MAX_SYMBOL_CHARS;
use crate::domain::{
    BarBatch, Calendar, DerivedBatch, LARGEST_EXACT, PartitionKey, Period, SessionDate, Symbol,
    Timeframe,
};
use crate::infrastructure::http::{
    HeaderMap, HeaderName, HeaderValue, MAX_PAUSE, Pause, ServerHints, answered_at_us, inflate,
};
use crate::infrastructure::parquet::FileDescription;
use crate::infrastructure::parquet::data_storage::{key_of_path, relative_path};
use crate::infrastructure::parquet::engine::{Known, ParquetStorageEngine};
use crate::infrastructure::providers::alpaca::{
    MAX_ROWS, MAX_STRAY_SYMBOLS, MAX_TOKEN_BYTES, Page, decode_page, decode_thoroughly,
    parse_timestamp,
};
use crate::infrastructure::providers::file::{FileProvider, ReadOptions, SymbolSource, TimeRule};
use crate::ingestion::RequestedRange;

/// The time that open ranges end at: 2026-09-03T13:30:00Z.
const NOW_US: i64 = 1_788_442_200_000_000;

/// A page of bars: both readers agree, and what is accepted keeps every limit.
pub fn page(bytes: &[u8]) {
    let requested = ["AAPL", "BRK.B", "MSFT"].map(symbol_of);
    let (quick, thorough) = (
        decode_page(bytes, &requested),
        decode_thoroughly(bytes, &requested, 1),
    );
    let page = match (quick, thorough) {
        (Ok(quick), Ok(thorough)) => {
            // In words every NaN is alike.
            assert_eq!(format!("{quick:?}"), format!("{thorough:?}"));
            quick
        }
        (Err(_), Err(_)) => return,
        (quick, thorough) => panic!("the readers disagree: {quick:?} and {thorough:?}"),
    };
    check_page(page, &requested);
}

fn check_page(page: Page, requested: &[Symbol]) {
    let rows: usize = page.bars.iter().map(|(_, columns)| columns.len()).sum();
    let stray_rows: usize = page.strays.iter().map(|stray| stray.rows).sum();
    assert!(rows + stray_rows <= MAX_ROWS && page.strays.len() <= MAX_STRAY_SYMBOLS);
    if let Some(token) = &page.next {
        assert!((1..=MAX_TOKEN_BYTES).contains(&token.0.len()));
    }
    for stray in &page.strays {
        let shown = format!("{}{}", stray.symbol, stray.evidence);
        assert!(stray.rows > 0 && !shown.chars().any(char::is_control));
        assert!(!stray.symbol.starts_with(['=', '+', '-', '@']));
    }
    for (at, (symbol, columns)) in page.bars.into_iter().enumerate() {
        assert!(at < requested.len() && requested.contains(&symbol));
        assert!(!columns.is_empty() && columns.has_equal_lengths());
        for row in 0..columns.len() {
            let bar = columns.bar(row);
            let values = [bar.open, bar.high, bar.low, bar.close, bar.volume];
            assert!(!values.into_iter().chain(bar.vwap).any(f64::is_infinite));
            assert_ne!(bar.volume.to_bits(), (-0.0_f64).to_bits());
        }
        if let Ok(batch) = BarBatch::from_columns(columns, Calendar::of(&symbol)) {
            assert!((0..batch.len()).all(|row| batch.bar(row).broken_rule().is_none()));
        }
    }
}

/// A timestamp: what is read is what chrono reads, and of its strict spelling nothing is missed.
pub fn timestamp(bytes: &[u8]) {
    let read = parse_timestamp(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert_eq!(read, None, "a timestamp is ASCII");
        return;
    };
    let by_chrono = DateTime::parse_from_rfc3339(text).ok();
    let is_strict = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b':' | b'+' | b'-' | b'.' | b'T' | b'Z'));
    let is_leap_second = text.get(17..19) == Some("60");
    if read.is_some() || (is_strict && !is_leap_second) {
        assert_eq!(read, by_chrono.map(|instant| instant.timestamp_micros()));
    }
    if let Some(us) = read {
        let year_is_written = (1..=9999).contains(&chrono::Datelike::year(
            &DateTime::from_timestamp_micros(us).expect("chrono read it"),
        ));
        assert!(!year_is_written || parse_timestamp(format_utc(us)) == Some(us));
    }
}

/// A number of a bar: what is read is what Rust reads, to the last bit.
pub fn number(bytes: &[u8]) {
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| {
        text.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
    }) else {
        return;
    };
    let body = format!(
        r#"{{"bars":{{"AAPL":[{{"c":{text},"v":{text},"n":{text},"vw":{text}}}]}},"next_page_token":null}}"#
    );
    page(body.as_bytes());
    let Ok(read) = decode_page(body.as_bytes(), &[symbol_of("AAPL")]) else {
        return;
    };
    let (bar, number) = (read.bars[0].1.bar(0), text.parse::<f64>());
    let number = number.expect("a JSON number is one of Rust's");
    assert_eq!(bar.close.to_bits(), number.to_bits());
    assert_eq!(bar.vwap.map(f64::to_bits), Some(number.to_bits()));
    match bar.trade_count {
        Some(count) => {
            assert_eq!(bar.volume.to_bits(), (number + 0.0).to_bits());
            assert!(text.parse().map_or_else(
                |_| format!("{number:.0}").parse() == Ok(count)
                    && number.fract() == 0.0
                    && number.abs() <= LARGEST_EXACT,
                |exact: i64| exact == count
            ));
        }
        None => assert!(
            bar.volume.is_nan(),
            "a row without a count must not pass for one"
        ),
    }
}

/// Bars in CSV: every line but the header is kept, left out as filled, or named as unreadable.
pub fn csv(bytes: &[u8]) {
    let options = ReadOptions {
        dataset: "import/x/raw".parse().expect("a dataset"),
        format: None,
        symbol: SymbolSource::Usual,
        columns: Vec::new(),
        time: TimeRule::default(),
        label: BarLabel::Left,
        now_us: NOW_US,
    };
    let Ok(counts) = FileProvider::count_csv(&options, bytes) else {
        return;
    };
    let is_blank = |line: &&[u8]| {
        std::str::from_utf8(line)
            .is_ok_and(|line| line.trim_start_matches('\u{feff}').trim().is_empty())
    };
    let lines = bytes
        .split(|&byte| byte == b'\n')
        .filter(|line| !is_blank(line));
    let lines = u64::try_from(lines.count()).expect("few lines");
    assert_eq!(counts.iter().sum::<u64>(), lines.saturating_sub(1));
}

/// A symbol: kept as it is, and its path stays below the root and reads back to it.
pub fn symbol(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let symbol = match text.parse::<Symbol>() {
        Ok(symbol) => symbol,
        Err(error) => {
            assert!(!error.to_string().chars().any(char::is_control));
            return;
        }
    };
    assert_eq!(symbol.as_str(), text);
    assert!((1..=MAX_SYMBOL_CHARS).contains(&text.len()) && text.is_ascii());
    for timeframe in Timeframe::ALL {
        let date = SessionDate::from_ymd(2024, 7, 1).expect("a date");
        let key = PartitionKey {
            symbol: symbol.clone(),
            timeframe,
            period: Period::of(timeframe, date),
            ..some_key()
        };
        let path = relative_path(&key);
        assert_is_inside(Path::new(&path));
        assert_eq!(key_of_path(Path::new(&path)), Some(key));
    }
}

/// A path: what is taken for a partition's is exactly the path of that partition, and stays below the root.
pub fn path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC);
    let in_symbols_place = |symbol: &str| {
        format!(
            "provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol={symbol}/month=2024-07/bars.parquet"
        )
    };
    for candidate in [
        text.to_string(),
        in_symbols_place(&text),
        in_symbols_place(&encoded.to_string()),
    ] {
        let candidate = Path::new(&candidate);
        if let Some(key) = key_of_path(candidate) {
            let own = relative_path(&key);
            assert_eq!(Path::new(&own), candidate);
            assert_is_inside(candidate);
            assert_eq!(key.symbol.as_str().parse(), Ok(key.symbol.clone()));
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let raw = Path::new(std::ffi::OsStr::from_bytes(bytes));
        assert!(key_of_path(raw).is_none() || std::str::from_utf8(bytes).is_ok());
    }
}

fn assert_is_inside(path: &Path) {
    assert_eq!(path.components().count(), 7, "{}", path.display());
    assert!(
        path.components()
            .all(|part| matches!(part, Component::Normal(_))),
        "{} leaves the root",
        path.display()
    );
}

/// The text of a configuration file: what is accepted is within its limits, and errors are lines with a place in the text.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Config::of_text(text) {
        Ok(config) => {
            assert!((1..=64).contains(&config.parallel_units));
            assert!((64..=16_777_216).contains(&config.query.memory_limit_mb));
            assert!((1..=100_000).contains(&config.alpaca.requests_per_minute));
            let url = &config.alpaca.base_url;
            assert!(url.starts_with("https://") || url.starts_with("http://"));
            assert!(!url.chars().any(|c| c.is_control() || c.is_whitespace()));
            for name in [&config.alpaca.feed, &config.alpaca.adjustment] {
                let dataset = crate::domain::Dataset::new("alpaca", name, name);
                assert!(dataset.is_ok(), "{name}");
            }
        }
        Err(error) => {
            use crate::config::ConfigError::{Malformed, UnknownKey};
            if let Malformed { line, column, .. } | UnknownKey { line, column, .. } = error {
                assert!((1..=text.matches('\n').count() + 1).contains(&line));
                let longest = text.split('\n').map(|line| line.chars().count()).max();
                assert!((1..=longest.unwrap_or_default() + 1).contains(&column));
            }
        }
    }
    assert!(
        Config::of_text(EXAMPLE_FILE).is_ok(),
        "nothing is remembered"
    );
}

/// A bar file: what is accepted as minutes or derived bars is proven, and minutes encode again to the same rows.
pub fn parquet(bytes: &[u8]) {
    ignore_caught_panics();
    let engine = ParquetStorageEngine::new();
    let proven = engine.decode(bytes.to_vec(), Known::Nothing);
    let trusted = engine.decode(bytes.to_vec(), Known::EveryByte);
    let derived = engine.decode_derived(bytes.to_vec(), Known::EveryByte);
    let unproven = engine.decode_unproven(bytes.to_vec());
    assert!(trusted.is_err() || derived.is_err(), "of both kinds");
    if let Ok((batch, description)) = &proven {
        let (same, _) = trusted
            .as_ref()
            .expect("proven rows are read unproven, too");
        assert_eq!(same, batch);
        check_description(description, batch);
        assert!(matches!(&unproven, Ok((_, _, Ok(())))));
    }
    if let Ok((batch, description)) = trusted {
        check_description(&description, &batch);
        check_minutes(&engine, batch);
    }
    if let Ok((derived, description)) = derived {
        check_description(&description, derived.bars());
        let (bars, minutes) = derived.clone().into_parts();
        let (columns, days, segments) = bars.into_parts();
        let again = DerivedBatch::from_parts(columns, days, segments, minutes);
        assert_eq!(again.as_ref(), Ok(&derived));
    }
    if let Ok((rows, _, _)) = unproven {
        let count = rows.len();
        let (batch, faulty) = rows.prove();
        assert_eq!(batch.len() + faulty.len(), count, "no row is lost");
        check_minutes(&engine, batch);
    }
}

fn check_description(description: &FileDescription, batch: &BarBatch) {
    assert_eq!(usize::try_from(description.rows), Ok(batch.len()));
    assert!(!batch.is_empty());
}

/// Rows of a proven batch keep every invariant, and a file of them holds the same rows.
fn check_minutes(engine: &ParquetStorageEngine, batch: BarBatch) {
    let (columns, days, segments) = batch.clone().into_parts();
    assert_eq!(
        BarBatch::from_parts(columns, days, segments).as_ref(),
        Ok(&batch)
    );
    // Session dates beyond the calendar cannot be described.
    if let Ok(file) = engine.encode(&some_key(), batch.clone()) {
        let (read, description) = engine
            .decode(file.bytes, Known::Nothing)
            .expect("what was written is read");
        assert_eq!(read, batch);
        assert_eq!(description, file.description);
    }
}

/// On damaged pages the reader panics and the engine catches it, which the fuzzer would take for a finding. Without a hook it
/// sees the panics that nobody caught, and no others.
fn ignore_caught_panics() {
    #[cfg(fuzzing)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    }
}

/// Headers, one a line: `Retry-After` and rate limits give waits of at most a day, measured by the server's own clock.
pub fn headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(&line[..colon]),
            HeaderValue::from_bytes(&line[colon + 1..]),
        ) {
            headers.append(name, value);
        }
    }
    let hints = ServerHints::read(&headers);
    let now_us = answered_at_us(&headers);
    let check = |pause: Pause| {
        assert!(pause.wait <= MAX_PAUSE);
        if let (Some(until_us), Some(now_us)) = (pause.until_us, now_us) {
            let wait_us = i64::try_from(pause.wait.as_micros()).expect("at most a day");
            assert_eq!(until_us - now_us, wait_us);
        }
        assert!(pause.until_us.is_none() || now_us.is_some());
        assert!(!pause.to_string().chars().any(char::is_control));
    };
    if let Some(reset) = hints.reset {
        assert!(!reset.wait.is_zero() && now_us.is_some());
        check(reset);
    }
    if let Some(retry_after) = hints.retry_after {
        check(retry_after);
    }
    let digits_of = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    for (name, number) in [
        ("x-ratelimit-limit", hints.limit),
        ("x-ratelimit-remaining", hints.remaining),
    ] {
        assert!(number.is_none() || digits_of(name).is_some());
    }
}

/// A packed body: it never unpacks to more than is allowed.
pub fn body(bytes: &[u8]) {
    const MAX_BYTES: usize = 1 << 16;
    if let Ok(unpacked) = inflate(bytes, MAX_BYTES) {
        assert!(unpacked.len() <= MAX_BYTES && unpacked.capacity() <= 2 * MAX_BYTES);
    }
}

/// `--start` and `--end`, one a line: a range never ends before it begins, and its bounds are what was written.
pub fn dates(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (start, end) = match text.split_once('\n') {
        Some((start, end)) => (Some(start), Some(end)),
        None => (Some(text), None),
    };
    let written = |text: Option<&str>| {
        let instant = DateTime::parse_from_rfc3339(text?).ok()?;
        Some(instant.timestamp_micros())
    };
    match read_range(start, end, NOW_US) {
        Ok(RequestedRange::Sessions { first, last }) => {
            assert!(last.is_none_or(|last| first <= last));
            assert_eq!(Some(first.to_string().as_str()), start);
            assert_eq!(last.map(|last| last.to_string()).as_deref(), end);
        }
        Ok(RequestedRange::Instants(range)) => {
            assert!(range.start_us <= range.end_us);
            assert!(written(start).is_none_or(|us| us == range.start_us));
            assert!(written(end).is_none_or(|us| us == range.end_us));
            assert!(end.is_some() || range.end_us == NOW_US);
        }
        Ok(other) => panic!("{other:?} from a start"),
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!(!error.message.chars().any(char::is_control));
        }
    }
}

/// Bars of AAPL in July 2024.
fn some_key() -> PartitionKey {
    PartitionKey {
        dataset: "alpaca/sip/raw".parse().expect("a dataset"),
        timeframe: Timeframe::M1,
        symbol: symbol_of("AAPL"),
        period: Period::Month("2024-07".parse().expect("a month")),
    }
}

fn symbol_of(text: &str) -> Symbol {
    text.parse().expect("a symbol")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    type Target = fn(&[u8]);

    const TARGETS: [(&str, Target); 11] = [
        ("body", body),
        ("config", config),
        ("csv", csv),
        ("dates", dates),
        ("headers", headers),
        ("number", number),
        ("page", page),
        ("parquet", parquet),
        ("path", path),
        ("symbol", symbol),
        ("timestamp", timestamp),
    ];

    /// The kept inputs of a target.
    fn kept(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut kept: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        kept.sort();
        kept
    }

    #[test]
    fn every_kept_input_keeps_the_promises() {
        for (target, check) in TARGETS {
            let inputs = kept(target);
            assert!(inputs.len() > 1, "{target} has no corpus");
            for (path, bytes) in inputs {
                let outcome = std::panic::catch_unwind(|| check(&bytes));
                assert!(outcome.is_ok(), "{}", path.display());
            }
        }
    }

    #[test]
    fn every_target_is_a_program_of_the_fuzzer() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let programs = fs::read_to_string(manifest.join("Cargo.toml")).unwrap();
        assert_eq!(programs.matches("[[bin]]").count(), TARGETS.len());
        for (target, _) in TARGETS {
            let program = fs::read_to_string(
                manifest
                    .join("fuzz_targets")
                    .join(target)
                    .with_extension("rs"),
            )
            .unwrap();
            assert!(program.contains(&format!("fuzzing::{target}(")), "{target}");
            assert!(
                programs.contains(&format!("name = \"{target}\"")),
                "{target}"
            );
        }
    }

    #[test]
    fn kept_files_of_both_kinds_are_still_read() {
        let engine = ParquetStorageEngine::new();
        let read = |bytes: &[u8]| {
            (
                engine.decode(bytes.to_vec(), Known::Nothing).is_ok(),
                engine
                    .decode_derived(bytes.to_vec(), Known::Nothing)
                    .is_ok(),
            )
        };
        let outcomes: Vec<_> = kept("parquet")
            .iter()
            .map(|(_, bytes)| read(bytes))
            .collect();
        assert!(outcomes.contains(&(true, false)) && outcomes.contains(&(false, true)));
    }
}
