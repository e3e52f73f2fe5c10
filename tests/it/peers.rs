//! The vendor's own client against the built-in server: what it reads is what the lake holds.

use crate::support::lab::Lab;
use crate::support::{oracle_python, oracle_script};
use marketpipe::infrastructure::fake_alpaca::{FAKE_KEY_ID, FAKE_SECRET};

#[test]
fn the_official_client_pages_through_the_built_in_server_and_gets_every_bar() {
    let Some(mut python) = oracle_python() else {
        return;
    };
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-06-17", "2024-07-05");
    lab.ingest("AAPL,MSFT", "2024-06-17", "2024-07-05");
    let output = python
        .arg(oracle_script("alpaca_py.py"))
        .args([
            lab.server.base_url(),
            "AAPL,MSFT",
            "2024-06-17T00:00:00+00:00",
            "2024-07-06T00:00:00+00:00",
        ])
        .env("APCA_API_KEY_ID", FAKE_KEY_ID)
        .env("APCA_API_SECRET_KEY", FAKE_SECRET)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut rows = 0;
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = lab.rows("alpaca/sip/raw", fields[0]);
        rows += ours.len();
        assert_eq!(fields[1], ours.len().to_string(), "{line}");
        assert_eq!(
            fields[2].parse::<f64>().unwrap(),
            ours.iter().map(|bar| bar.volume).sum::<f64>(),
            "{line}"
        );
    }
    assert!(
        rows > 10_000 && text.lines().count() == 2,
        "more than one page: {text}"
    );
}
