//! How many requests an ingest takes, and lists of many symbols.

use std::fmt::Write as _;

use chrono::Utc;
use marketpipe::domain::{Calendar, Segment, Session, SessionDate};
use marketpipe::infrastructure::fake_alpaca::{Tape, TapeBar};

use crate::support::lab::{Lab, made_up};

/// Regular minutes of a session.
fn regular_minutes(session: &Session) -> Vec<TapeBar> {
    let minutes = session.expected_range(Segment::Regular);
    let bars = minutes.map(|minute| TapeBar {
        ts_us: session.minute_ts_us(minute),
        open: 10.0,
        high: 10.5,
        low: 9.5,
        close: 10.25,
        volume: 100.0,
        trade_count: None,
        vwap: None,
    });
    bars.collect()
}

/// The last two sessions that are over for more than a day.
fn last_two_sessions() -> [Session; 2] {
    let today = SessionDate::from_naive(Utc::now().date_naive()).unwrap();
    let calendar = Calendar::nyse();
    // The one before the newest is settled: the newest one's pre-market has begun or is over.
    let newest = calendar.previous_session(today).unwrap();
    let last = calendar.previous_session(newest.date()).unwrap();
    [calendar.previous_session(last.date()).unwrap(), last]
}

#[test]
fn a_daily_update_of_a_thousand_symbols_takes_at_most_forty_five_requests() {
    let [before, last] = last_two_sessions();
    let letter = |n: u32| {
        char::from_digit(10 + n % 26, 36)
            .unwrap()
            .to_ascii_uppercase()
    };
    let symbols: Vec<String> = (0..1000)
        .map(|n| {
            ['Q', letter(n / 676), letter(n / 26), letter(n)]
                .iter()
                .collect()
        })
        .collect();
    let bars = [regular_minutes(&before), regular_minutes(&last)].concat();
    let mut tape = Tape::new();
    for symbol in &symbols {
        tape.insert("sip", symbol, bars.clone());
    }
    let lab = Lab::with_tape(tape);
    lab.configure("[providers.alpaca]\nrequests_per_minute = 100000\n");
    let list = lab.folder.path().join("symbols.txt");
    std::fs::write(&list, symbols.join("\n")).unwrap();
    let daily = ["ingest", "--symbols-file", list.to_str().unwrap()];
    let day = before.date().to_string();
    lab.done(&[&daily[..], &["--start", &day, "--end", &day]].concat());
    lab.server.reset_stats();
    let ran = lab.done(&daily);
    let stats = lab.server.stats();
    println!(
        "{} requests for {} bars\n{}",
        stats.requests, stats.bars, ran.stderr
    );
    assert_eq!(
        stats.bars,
        1000 * last.expected_range(Segment::Regular).len() as u64
    );
    assert!(stats.requests <= 45, "{}", stats.requests);
    assert_eq!(
        lab.query("select count(*) from bars_1m"),
        [bars.len().to_string() + "000"]
    );
}

#[test]
fn pages_are_full_whatever_is_held_already() {
    let (first, last) = ("2024-01-02", "2024-12-31");
    let symbols = ["AAPL", "BRK.B", "MSFT", "NVDA"];
    let lab = Lab::with_made_up(&symbols, first, last);
    // Holes of all kinds: a month, a day, one symbol only.
    lab.ingest("AAPL", "2024-03-01", "2024-03-28");
    lab.ingest("MSFT,NVDA", "2024-05-06", "2024-05-06");
    lab.ingest("BRK.B", "2024-08-01", "2024-08-01");
    lab.server.reset_stats();
    let shown = lab.done(&[
        "ingest",
        "--symbols",
        &symbols.join(","),
        "--start",
        first,
        "--end",
        last,
        "--dry-run",
        "--format",
        "csv",
    ]);
    assert_eq!(lab.server.stats().requests, 0, "a dry run asks nobody");
    assert!(
        shown.stderr.contains("to download") && shown.stderr.contains("at 200 requests a minute"),
        "{}",
        shown.stderr
    );
    assert!(
        shown.stdout.contains("AAPL,252,232,20,"),
        "{}",
        shown.stdout
    );
    assert!(
        shown
            .stdout
            .lines()
            .nth(1)
            .unwrap()
            .ends_with(",20 settled"),
        "{}",
        shown.stdout
    );
    let units: u64 = {
        let words = shown.stderr.split_once(" units").unwrap().0;
        words.rsplit(' ').next().unwrap().parse().unwrap()
    };
    lab.ingest(&symbols.join(","), first, last);
    let stats = lab.server.stats();
    let bound = stats.bars.div_ceil(10_000) * 105 / 100 + units;
    println!(
        "{} requests for {} bars in {units} batches",
        stats.requests, stats.bars
    );
    assert!(
        stats.requests <= bound,
        "{} requests, at most {bound}",
        stats.requests
    );
    for symbol in symbols {
        assert_eq!(
            lab.rows("alpaca/sip/raw", symbol),
            made_up(symbol, first, last)
        );
    }
}

#[test]
fn ten_thousand_symbols_in_many_spellings_are_planned_in_seconds() {
    let lab = Lab::with_tape(Tape::new());
    lab.configure("[lists]\nmega = [\"aapl\", \"brk-b\"]\nmany = \"many.txt\"\n");
    let mut text = String::from("# everything\n@mega\n");
    for n in 0..10_000 {
        writeln!(text, "S{n}, s{n}").unwrap();
    }
    std::fs::write(lab.folder.path().join("many.txt"), text).unwrap();
    let begun = std::time::Instant::now();
    let shown = lab.done(&[
        "ingest",
        "--symbols",
        "@many,BRK.B",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-31",
        "--dry-run",
        "--format",
        "csv",
    ]);
    let rows: Vec<&str> = shown.stdout.lines().skip(1).collect();
    assert_eq!(rows.len(), 10_002);
    assert!(
        rows[0].starts_with("AAPL,22,22,0,") && rows[1].starts_with("BRK.B,22,22,0,"),
        "{:?}",
        &rows[..2]
    );
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    let unknown = lab.run(&["ingest", "--symbols", "@nothing"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("many, mega"), "{}", unknown.stderr);
}
