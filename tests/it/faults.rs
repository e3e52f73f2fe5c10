//! Faults of the server: the lake equals an undisturbed one, or the program says what is missing.

use marketpipe::infrastructure::fake_alpaca::{Fault, FaultScript, When};

use crate::support::lab::{Lab, Ran};

const SYMBOLS: &str = "AAPL,BRK.B,MSFT";

fn lab() -> Lab {
    Lab::with_made_up(&["AAPL", "BRK.B", "MSFT"], "2024-06-24", "2024-07-05")
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
    let ran = ingest(&lab);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(lab.files().is_empty());
}
