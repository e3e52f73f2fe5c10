//! What a bar costs on disk.

use std::collections::{BTreeMap, BTreeSet};

use marketpipe::domain::{Calendar, Session, SessionDate};
use marketpipe::infrastructure::fake_alpaca::{Tape, TapeBar};

use crate::support::lab::Lab;
use crate::support::{lean, real_data};

/// The same bars on the last sessions of their months: only months that are over are written small.
fn at_month_ends(mut bars: Vec<TapeBar>) -> Vec<TapeBar> {
    let date_of = |bar: &TapeBar| {
        let session = Calendar::nyse().session_containing(bar.ts_us);
        session.unwrap().date()
    };
    let dates: BTreeSet<SessionDate> = bars.iter().map(date_of).collect();
    let mut moved = BTreeMap::new();
    let mut free: Vec<SessionDate> = Vec::new();
    for date in dates.into_iter().rev() {
        let month = date.month();
        if free.last().is_none_or(|last| last.month() != month) {
            let sessions = Calendar::nyse().sessions(month.first_day(), month.last_day());
            free = sessions.unwrap().iter().map(Session::date).collect();
        }
        moved.insert(date, free.pop().unwrap());
    }
    for bar in &mut bars {
        let date = date_of(bar);
        let days = moved[&date].days_since_epoch() - date.days_since_epoch();
        bar.ts_us += i64::from(days) * 86_400_000_000;
    }
    bars
}

/// Bytes per bar of the whole lake, footers included.
fn bytes_per_bar(fill: impl Fn(usize, TapeBar) -> TapeBar) -> Option<f64> {
    let folder = real_data()?;
    let source = lean::minutes(&folder);
    let mut tape = Tape::new();
    for (symbol, bars) in &source {
        let bars = bars.iter().enumerate().map(|(n, bar)| fill(n, *bar));
        tape.insert("sip", symbol, at_month_ends(bars.collect()));
    }
    let lab = Lab::with_tape(tape);
    lab.ingest("AAPL,GOOG,SPY", "2013-10-01", "2023-08-31");
    let bytes: usize = lab.files().values().map(Vec::len).sum();
    let rows: usize = source.values().map(Vec::len).sum();
    let cost = bytes as f64 / rows as f64;
    println!("{bytes} bytes, {rows} bars, {cost:.2} bytes per bar");
    Some(cost)
}

#[test]
fn a_real_minute_costs_at_most_nine_and_a_half_bytes() {
    let Some(cost) = bytes_per_bar(|_, bar| bar) else {
        return;
    };
    assert!(cost <= 9.5, "{cost:.2} bytes per bar");
}

#[test]
fn with_vwap_and_trade_count_it_costs_at_most_seventeen() {
    // Six decimals of VWAP anywhere between low and high, a trade for every hundred shares or so.
    let fill = |n: usize, bar: TapeBar| {
        let noise =
            ((n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / f64::from(1 << 24);
        let vwap = ((bar.low + (bar.high - bar.low) * noise) * 1e6).round() / 1e6;
        let trades = (bar.volume / 100.0 * (0.5 + noise)).ceil() as i64;
        TapeBar {
            vwap: Some(vwap.clamp(bar.low, bar.high)),
            trade_count: Some(trades),
            ..bar
        }
    };
    let Some(cost) = bytes_per_bar(fill) else {
        return;
    };
    assert!(cost <= 17.0, "{cost:.2} bytes per bar");
}
