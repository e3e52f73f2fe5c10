//! Faults of the server: the lake equals an undisturbed one, or the program says what is missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use marketpipe::domain::Calendar;
use marketpipe::infrastructure::fake_alpaca::{
    BarKey, Fault, FaultScript, StallPoint, TapeBar, When,
};

use crate::support::experiment::Experiment;
use crate::support::lab::{Lab, Ran, files_below, made_up, run_measured};

const SYMBOLS: &str = "AAPL,BRK.B,MSFT";

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "BRK.B", "MSFT"], "2024-06-24", "2024-07-05");
    lab.configure("[http]\nbase_delay_ms = 4\n");
    lab
}

fn ingest(lab: &Lab) -> Ran {
    lab.run(&[
        "ingest",
        "--symbols",
        SYMBOLS,
        "--start",
        "2024-06-24",
        "--end",
        "2024-07-05",
    ])
}

/// Every fault that the server can be scripted to make on a page or on the way.
fn every_fault() -> Vec<Fault> {
    let stall = |point| Fault::Stall {
        point,
        lasting: Duration::from_secs(2),
    };
    let text = |key, text: &str| Fault::FieldText {
        key,
        text: text.as_bytes().to_vec(),
    };
    vec![
        Fault::too_many_requests(),
        Fault::too_many_requests_retry_after("0"),
        Fault::too_many_requests_retry_after("1"),
        Fault::json(408, "{}"),
        Fault::json(425, "{}"),
        Fault::internal_server_error(),
        Fault::bad_gateway(),
        Fault::service_unavailable(),
        Fault::gateway_timeout(),
        Fault::json(400, "{\"message\":\"invalid page_token\"}"),
        Fault::HtmlOk,
        Fault::EmptyBody,
        Fault::ResetMidBody,
        Fault::CutBody,
        Fault::CutChunked,
        Fault::CloseUnanswered,
        stall(StallPoint::BeforeHead),
        stall(StallPoint::AfterHead),
        Fault::GzipBomb {
            decoded_bytes: 200 << 20,
        },
        Fault::Flood {
            body_bytes: 2 << 30,
        },
        Fault::CutGzip,
        Fault::BadGzipChecksum,
        Fault::GzipTrailingJunk,
        Fault::NotGzip,
        Fault::CutJson,
        Fault::TokenLoop,
        Fault::TokenPingPong,
        Fault::MissingToken,
        Fault::RepeatLastBar,
        Fault::EmptyPageWithToken,
        Fault::ShortPages(1000),
        Fault::ReversedRows,
        Fault::BarsOutsideWindow,
        Fault::UnaskedSymbol,
        Fault::LowerCaseSymbol,
        Fault::DuplicateSymbolKey,
        Fault::NullPrice,
        Fault::NegativePrice,
        Fault::HugePrice,
        Fault::LowAboveHigh,
        Fault::OffMinute,
        Fault::InvalidUtf8,
        text(BarKey::Open, "1e999"),
        text(BarKey::Volume, "\"12\""),
        text(BarKey::Time, "\"2024-07-01T13:30:00\""),
    ]
}

/// A fault with what tells it from others of its name.
fn in_words(fault: &Fault) -> String {
    let name = fault.name().replace('_', " ");
    match fault {
        Fault::Status {
            code, retry_after, ..
        } => format!(
            "{name} {code}{}",
            retry_after
                .as_ref()
                .map_or_else(String::new, |wait| format!(", Retry-After {wait}"))
        ),
        Fault::Stall { point, .. } => format!("{name} {point:?}"),
        Fault::FieldText { key, text } => {
            format!("{name} {key:?} {}", String::from_utf8_lossy(text))
        }
        _ => name,
    }
}

const LONG_RANGE: [&str; 4] = ["--start", "2024-01-02", "--end", "2024-06-28"];

fn long_lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "BRK.B", "MSFT"], "2024-01-02", "2024-06-28");
    lab.configure(
        "[http]\nread_timeout_ms = 400\nbase_delay_ms = 4\nprobe_after_ms = 50\n\
         [providers.alpaca]\nrequests_per_minute = 100000\n",
    );
    lab
}

fn long_ingest(lab: &Lab, more: &[&str]) -> (Ran, u64) {
    let words = ["ingest", "--symbols", SYMBOLS];
    run_measured(&mut lab.command(&[&words[..], &LONG_RANGE, more].concat()))
}

/// What a summary says is missing: symbol, first and last session, from the lines `failed NAMES DATES: WHY`.
fn said_missing(stderr: &str) -> Vec<(String, String, String)> {
    let mut said = Vec::new();
    for line in stderr
        .lines()
        .filter_map(|line| line.strip_prefix("  failed "))
    {
        let what = line.split_once(": ").unwrap().0;
        let words: Vec<&str> = what
            .split([' ', ','])
            .filter(|word| !word.is_empty())
            .collect();
        let is_date = |word: &&&str| word.len() == 10 && word.as_bytes()[4] == b'-';
        let dates: Vec<&&str> = words.iter().filter(is_date).collect();
        let (Some(first), Some(last)) = (dates.first(), dates.last()) else {
            continue;
        };
        for symbol in words
            .iter()
            .filter(|word| SYMBOLS.split(',').any(|symbol| symbol == **word))
        {
            said.push((
                (*symbol).to_owned(),
                (**first).to_owned(),
                (**last).to_owned(),
            ));
        }
    }
    said
}

/// The rows of a symbol by their time.
fn by_minute(lab: &Lab, symbol: &str) -> BTreeMap<i64, TapeBar> {
    let rows = lab.rows("alpaca/sip/raw", symbol);
    rows.into_iter().map(|bar| (bar.ts_us, bar)).collect()
}

/// Under a fault at every `n`-th request: what is stored is right, what is not is said, and a run without the fault
/// makes all good.
fn assert_survived(fault: &Fault, every_nth: u64, reference: &Lab) {
    let experiment = Experiment::begin(
        "network",
        in_words(fault),
        format!("the built-in server, every {every_nth}th request"),
        "each stored row is right, each missing one is told, bounded time and memory; whole after a run without it",
    );
    let lab = long_lab();
    let name = format!("{} every {every_nth}", fault.name());
    lab.server
        .set_faults(FaultScript::new().on(When::EveryNth(every_nth), fault.clone()));
    let begun = Instant::now();
    let (ran, peak_mib) = long_ingest(&lab, &[]);
    let context = format!("{name}: exit {}\n{}", ran.code, ran.stderr);
    let made = lab.server.stats().with_fault(fault.name());
    assert!(made > 0, "the server never did it: {context}");
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?} {context}",
        begun.elapsed()
    );
    assert!(peak_mib < 512, "{peak_mib} MiB {context}");
    assert!([0, 3, 6].contains(&ran.code), "{context}");
    assert_eq!(
        files_below(&lab.data().join("staging")).len(),
        0,
        "{context}"
    );
    let apart: Vec<String> = if lab.data().join("marketpipe.db").exists() {
        lab.query("select symbol || ' ' || epoch_us(ts) from quarantine where ts is not null")
    } else {
        Vec::new()
    };
    let said = said_missing(&ran.stderr);
    for symbol in SYMBOLS.split(',') {
        let (stored, right) = (by_minute(&lab, symbol), by_minute(reference, symbol));
        for (ts_us, bar) in &stored {
            assert_eq!(right.get(ts_us), Some(bar), "{symbol} {context}");
        }
        let mut untold = 0;
        for ts_us in right.keys().filter(|ts_us| !stored.contains_key(ts_us)) {
            let session = Calendar::nyse()
                .session_containing(*ts_us)
                .unwrap()
                .date()
                .to_string();
            let is_apart = [0, 30_000_000]
                .iter()
                .any(|late_us| apart.contains(&format!("{symbol} {}", ts_us + late_us)));
            let is_said = said
                .iter()
                .any(|(named, first, last)| named == symbol && (first..=last).contains(&&session));
            untold += u32::from(!is_apart && !is_said);
        }
        // A row without a readable time cannot be told by its minute.
        let unreadable = format!("{symbol} without a readable time");
        let unreadable = u32::try_from(ran.stderr.matches(&unreadable).count()).unwrap();
        assert_eq!(
            untold, unreadable,
            "minutes of {symbol} are missing and nobody says so: {context}"
        );
    }
    lab.server.set_faults(FaultScript::new());
    let has_bad_rows = ran.code == 0 && lab.files() != reference.files();
    let (again, _) = long_ingest(&lab, if has_bad_rows { &["--refresh"] } else { &[] });
    assert_eq!(again.code, 0, "{name}: {}", again.stderr);
    if lab.files() != reference.files() {
        // Some units were refused, others had bad rows.
        assert_eq!(long_ingest(&lab, &["--refresh"]).0.code, 0, "{name}");
    }
    assert_eq!(lab.files(), reference.files(), "{name}");
    let injected = lab.server.stats().with_fault(fault.name());
    experiment.passed(
        usize::try_from(injected).unwrap(),
        format!("exit {}, {peak_mib} MiB", ran.code),
    );
}

/// Every other fault, so that two tests share the work.
fn assert_all_survived(is_mine: fn(usize) -> bool) {
    let reference = long_lab();
    assert_eq!(long_ingest(&reference, &[]).0.code, 0);
    let pages = reference.server.stats().requests;
    assert!(pages > 15, "{pages} pages");
    for (number, fault) in every_fault().iter().enumerate() {
        if is_mine(number) {
            assert_survived(fault, 4, &reference);
        }
    }
}

#[test]
fn whatever_goes_wrong_the_lake_is_right_or_says_what_is_missing() {
    assert_all_survived(|number| number % 2 == 0);
}

#[test]
fn whatever_else_goes_wrong_the_lake_is_right_or_says_what_is_missing() {
    assert_all_survived(|number| number % 2 == 1);
}

#[test]
fn an_outage_in_the_middle_costs_nothing_but_time() {
    let reference = long_lab();
    assert_eq!(long_ingest(&reference, &[]).0.code, 0);
    let lab = long_lab();
    // Dead for longer than any request is repeated.
    let script = (6..18).fold(FaultScript::new(), |script, nth| {
        script.on(When::Nth(nth), Fault::CloseUnanswered)
    });
    lab.server.set_faults(script);
    let (ran, _) = long_ingest(&lab, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("asked for once more"), "{}", ran.stderr);
    assert_eq!(lab.files(), reference.files());
}

#[test]
fn a_host_that_dies_for_good_ends_the_run_in_bounded_time_and_names_what_is_left() {
    // Two may be whole before the host dies, five fail until it is left alone and four wait for it: some are never begun.
    let symbols = [
        "AAPL", "AMZN", "BRK.B", "DIA", "GOOG", "IWM", "META", "MSFT", "NFLX", "NVDA", "ORCL",
        "QQQ", "SPY", "TSLA",
    ];
    let (first, last) = ("2023-01-03", "2023-12-29");
    let lab = Lab::with_made_up(&symbols, first, last);
    lab.configure(
        "[http]\nbase_delay_ms = 4\nprobe_after_ms = 50\n[providers.alpaca]\nrequests_per_minute = 100000\n",
    );
    let script = (30..).take(2000).fold(FaultScript::new(), |script, nth| {
        script.on(When::Nth(nth), Fault::CloseUnanswered)
    });
    lab.server.set_faults(script);
    let begun = Instant::now();
    let ran = lab.run(&[
        "ingest",
        "--symbols",
        &symbols.join(","),
        "--start",
        first,
        "--end",
        last,
    ]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    for words in [
        "does not answer; it is tried again in",
        "does not answer and is given up",
        "not done",
        "jobs resume 1",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    // What is not there is named, what is there is right.
    for symbol in symbols {
        let stored = lab.rows("alpaca/sip/raw", symbol);
        let is_whole = stored == made_up(symbol, first, last);
        assert!(
            is_whole || ran.stderr.contains(symbol),
            "{symbol}: {}",
            ran.stderr
        );
    }
    lab.server.set_faults(FaultScript::new());
    lab.done(&["jobs", "resume", "1"]);
    for symbol in symbols {
        assert_eq!(
            lab.rows("alpaca/sip/raw", symbol),
            made_up(symbol, first, last)
        );
    }
}

#[test]
fn a_limit_that_holds_for_long_ends_the_run_and_says_until_when() {
    let lab = long_lab();
    lab.server.set_faults(
        FaultScript::new().on(When::Always, Fault::too_many_requests_retry_after("3600")),
    );
    for parallel in [4, 1] {
        let begun = Instant::now();
        // Nothing is waited for that long, by whoever comes after the first refusal neither.
        lab.configure(&format!(
            "[ingest]\nparallel = {parallel}\n[http]\nattempts = 1\n"
        ));
        let (ran, _) = long_ingest(&lab, &[]);
        assert_eq!(ran.code, 8, "{}", ran.stderr);
        assert!(ran.stderr.contains("until 20"), "{}", ran.stderr);
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{parallel}: {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn passing_faults_leave_no_trace_in_the_lake() {
    let reference = lab();
    assert_eq!(ingest(&reference).code, 0);
    for fault in [
        Fault::too_many_requests(),
        Fault::too_many_requests_retry_after("1"),
        Fault::internal_server_error(),
        Fault::bad_gateway(),
        Fault::ResetMidBody,
        Fault::CutGzip,
        Fault::RepeatLastBar,
        Fault::EmptyPageWithToken,
        Fault::ReversedRows,
    ] {
        let lab = lab();
        lab.server
            .set_faults(FaultScript::new().on_times(When::Nth(1), 1, fault.clone()));
        let ran = ingest(&lab);
        assert_eq!(ran.code, 0, "{}: {}", fault.name(), ran.stderr);
        assert_eq!(
            lab.server.stats().with_fault(fault.name()),
            1,
            "{}",
            fault.name()
        );
        assert_eq!(lab.files(), reference.files(), "{}", fault.name());
    }
}

#[test]
fn answers_that_are_no_answers_store_nothing() {
    for fault in [
        Fault::HtmlOk,
        Fault::CutJson,
        Fault::EmptyBody,
        Fault::InvalidUtf8,
        Fault::MissingToken,
        Fault::TokenLoop,
        Fault::DuplicateSymbolKey,
    ] {
        let lab = lab();
        lab.server
            .set_faults(FaultScript::new().on(When::Always, fault.clone()));
        let ran = ingest(&lab);
        assert_eq!(ran.code, 6, "{}: {}", fault.name(), ran.stderr);
        assert!(lab.files().is_empty(), "{}", fault.name());
    }
}

#[test]
fn a_bad_row_goes_to_quarantine_and_costs_no_neighbour() {
    let reference = lab();
    ingest(&reference);
    let rows = |lab: &Lab| {
        lab.partitions()
            .iter()
            .map(|(_, batch)| batch.len())
            .sum::<usize>()
    };
    for fault in [
        Fault::NullPrice,
        Fault::NegativePrice,
        Fault::LowAboveHigh,
        Fault::OffMinute,
    ] {
        let lab = lab();
        lab.server
            .set_faults(FaultScript::new().on_times(When::Nth(1), 1, fault.clone()));
        let ran = ingest(&lab);
        assert_eq!(ran.code, 0, "{}: {}", fault.name(), ran.stderr);
        assert!(
            ran.stderr.contains("1 quarantined"),
            "{}: {}",
            fault.name(),
            ran.stderr
        );
        assert_eq!(rows(&lab), rows(&reference) - 1, "{}", fault.name());
    }
    for fault in [Fault::BarsOutsideWindow, Fault::UnaskedSymbol] {
        let lab = lab();
        lab.server
            .set_faults(FaultScript::new().on_times(When::Nth(1), 1, fault.clone()));
        let ran = ingest(&lab);
        assert!(
            ran.stderr.contains("1 quarantined"),
            "{}: {}",
            fault.name(),
            ran.stderr
        );
        assert_eq!(lab.files(), reference.files(), "{}", fault.name());
    }
}

#[test]
fn credentials_never_follow_a_redirect() {
    let lab = lab();
    let other = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-02");
    let location = format!("{}/v2/stocks/bars", other.server.base_url());
    lab.server.set_faults(FaultScript::new().on(
        When::Always,
        Fault::Redirect {
            code: 307,
            location,
        },
    ));
    let ran = ingest(&lab);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert_eq!(
        (
            other.server.stats().requests,
            other.server.stats().connections
        ),
        (0, 0)
    );
}

#[test]
fn a_gzip_bomb_is_cut_off() {
    let lab = lab();
    lab.server.set_faults(FaultScript::new().on(
        When::Always,
        Fault::GzipBomb {
            decoded_bytes: 2 << 30,
        },
    ));
    let (ran, peak_mib) = run_measured(&mut lab.command(&[
        "ingest",
        "--symbols",
        SYMBOLS,
        "--start",
        "2024-06-24",
        "--end",
        "2024-07-05",
    ]));
    println!("a bomb of 2 GiB: {peak_mib} MiB");
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(peak_mib < 512, "{peak_mib} MiB");
    assert!(lab.files().is_empty());
}
