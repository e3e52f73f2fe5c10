//! Validation: for every rule a planted fault is found with its id and place, and nothing else is; real bars have no
//! errors; reports, exit codes and acknowledgements.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use marketpipe::domain::Rule;
use marketpipe::infrastructure::fake_alpaca::{Tape, TapeBar};

use crate::support::lab::{Lab, made_up};
use crate::support::tamper::{Rows, forget_damage, rewrite};
use crate::support::{lean, real_data};

const FIRST: &str = "2024-05-20";
const LAST: &str = "2024-07-05";
/// A session in the middle: 2024-06-18, and its open.
const DAY: &str = "2024-06-18";
const OPEN: i64 = 1_718_717_400_000_000;
const MINUTE: i64 = 60_000_000;

/// Where a fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The bar of this minute after the open of [`DAY`].
    Minute(i64),
    /// A session.
    Session(&'static str),
    /// Somewhere in the series.
    Series,
}

/// How a fault comes about.
enum How {
    /// The provider sends it; the bars, and the open of the day.
    Sent(fn(&mut Vec<TapeBar>, i64)),
    /// Somebody writes it into the file of June.
    Written(fn(&mut Rows, i64)),
    /// The folder is changed otherwise, after everything was aggregated.
    Done(fn(&Lab, &str)),
}

/// A fault in a series of its own.
struct Plant {
    symbol: &'static str,
    rules: &'static [Rule],
    at: At,
    how: How,
}

/// What follows from any change of a file from outside.
const TAMPERED: [Rule; 2] = [Rule::NotAsCatalogued, Rule::NotAsDescribed];

fn at_minute(bars: &mut [TapeBar], open: i64, minute: i64) -> &mut TapeBar {
    bars.iter_mut()
        .find(|bar| bar.ts_us == open + minute * MINUTE)
        .unwrap()
}

/// Multiplies prices, rounded to cents, with the VWAP inside.
fn scale(bar: &mut TapeBar, factor: f64) {
    let cents = |price: f64| (price * factor * 100.0).round() / 100.0;
    (bar.open, bar.high) = (cents(bar.open), cents(bar.high));
    (bar.low, bar.close) = (cents(bar.low), cents(bar.close));
    bar.vwap = bar
        .vwap
        .map(|vwap| (vwap * factor).clamp(bar.low, bar.high));
}

fn flatten(bar: &mut TapeBar, price: f64) {
    (bar.open, bar.high, bar.low, bar.close) = (price, price, price, price);
    bar.vwap = bar.vwap.map(|_| price);
}

fn is_on(bar: &TapeBar, open: i64, minutes: std::ops::Range<i64>) -> bool {
    (open + minutes.start * MINUTE..open + minutes.end * MINUTE).contains(&bar.ts_us)
}

fn path_of(lab: &Lab, symbol: &str, frame: &str, period: &str) -> PathBuf {
    lab.data().join(format!(
        "lake/provider=alpaca/feed=sip/adjustment=raw/timeframe={frame}/symbol={symbol}/{period}/bars.parquet"
    ))
}

fn june(lab: &Lab, symbol: &str) -> PathBuf {
    path_of(lab, symbol, "1m", "month=2024-06")
}

#[rustfmt::skip]
fn plants() -> Vec<Plant> {
    let sent = |symbol, rule, at, how| Plant { symbol, rules: rule, at, how: How::Sent(how) };
    let written = |symbol, rule, at, how| Plant { symbol, rules: rule, at, how: How::Written(how) };
    let done = |symbol, rule, at, how| Plant { symbol, rules: rule, at, how: How::Done(how) };
    vec![
        done("SGONE", &[Rule::Unreadable], At::Series, |lab, symbol| {
            std::fs::remove_file(june(lab, symbol)).unwrap();
        }),
        done("SCUT", &[Rule::NotAsCatalogued, Rule::Unreadable], At::Series, |lab, symbol| {
            let bytes = std::fs::read(june(lab, symbol)).unwrap();
            std::fs::write(june(lab, symbol), &bytes[..bytes.len() / 2]).unwrap();
        }),
        written("SVALUE", &TAMPERED, At::Series, |rows, _| rows.volume[1000] += 1.0),
        done("SFOOT", &[Rule::NotAsDescribed], At::Series, |lab, symbol| {
            rewrite(&june(lab, symbol), |rows| rows.volume[1000] += 1.0);
            forget_damage(&lab.data(), &june(lab, symbol), symbol, "1m");
        }),
        written("SORDER", &[TAMPERED[0], TAMPERED[1], Rule::NotAscending], At::Minute(60), |rows, open| {
            let at = rows.find(open + 60 * MINUTE);
            rows.swap(at, at + 1);
        }),
        done("STRAY", &[Rule::Uncatalogued], At::Series, |lab, symbol| {
            let stray = path_of(lab, symbol, "1m", "month=2023-06");
            std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
            std::fs::copy(june(lab, symbol), stray).unwrap();
        }),
        written("POHLC", &[TAMPERED[0], TAMPERED[1], Rule::Inconsistent], At::Minute(60), |rows, open| {
            let at = rows.find(open + 60 * MINUTE);
            rows.low[at] = rows.high[at] + 1.0;
        }),
        written("PNAN", &[TAMPERED[0], TAMPERED[1], Rule::BadPrice], At::Minute(60), |rows, open| {
            let at = rows.find(open + 60 * MINUTE);
            rows.close[at] = f64::NAN;
        }),
        sent("PTICK", &[Rule::FineTick], At::Minute(60), |bars, open| {
            let bar = at_minute(bars, open, 60);
            bar.open = bar.low + (bar.high - bar.low) * 0.123_456_789_1;
            bar.high += 0.01;
        }),
        sent("PJUMP", &[Rule::Jump], At::Minute(60), |bars, open| {
            for bar in bars.iter_mut().filter(|bar| bar.ts_us >= open + 60 * MINUTE) {
                scale(bar, 1.21);
            }
        }),
        sent("PHIGH", &[Rule::Spike], At::Minute(60), |bars, open| at_minute(bars, open, 60).high *= 1.3),
        sent("PLOW", &[Rule::Spike], At::Minute(60), |bars, open| at_minute(bars, open, 60).low *= 0.7),
        sent("PSPIKE", &[Rule::Spike], At::Minute(60), |bars, open| scale(at_minute(bars, open, 60), 1.3)),
        sent("PGAP", &[Rule::OvernightGap], At::Minute(0), |bars, open| {
            for bar in bars.iter_mut().filter(|bar| bar.ts_us >= open) {
                scale(bar, 1.42);
            }
        }),
        sent("PSPLIT", &[Rule::Split], At::Minute(0), |bars, open| {
            for bar in bars.iter_mut().filter(|bar| bar.ts_us >= open) {
                scale(bar, 1.0 / 7.0);
                bar.volume *= 7.0;
            }
        }),
        sent("PSTALE", &[Rule::Stale], At::Minute(60), |bars, open| {
            let price = at_minute(bars, open, 59).close;
            for bar in bars.iter_mut().filter(|bar| is_on(bar, open, 60..110)) {
                flatten(bar, price);
                bar.volume = bar.volume.max(1.0);
            }
        }),
        sent("PVWAP", &[Rule::VwapOutside], At::Minute(60), |bars, open| {
            let bar = at_minute(bars, open, 60);
            bar.vwap = Some(bar.high + 0.01);
        }),
        sent("PNONE", &[Rule::VwapMissing], At::Minute(60), |bars, open| at_minute(bars, open, 60).vwap = None),
        sent("PZERO", &[Rule::VwapMissing], At::Minute(60), |bars, open| at_minute(bars, open, 60).vwap = Some(0.0)),
        written("VNEG", &[TAMPERED[0], TAMPERED[1], Rule::BadVolume], At::Minute(60), |rows, open| {
            let at = rows.find(open + 60 * MINUTE);
            rows.volume[at] = -5.0;
        }),
        sent("VFRAC", &[Rule::FractionalVolume], At::Minute(60), |bars, open| at_minute(bars, open, 60).volume += 0.5),
        sent("VSPIKE", &[Rule::VolumeSpike], At::Minute(60), |bars, open| {
            let mut volumes: Vec<f64> = bars.iter().map(|bar| bar.volume).collect();
            volumes.sort_by(f64::total_cmp);
            at_minute(bars, open, 60).volume = (volumes[volumes.len() / 2] * 2_000.0).round();
        }),
        sent("VNONE", &[Rule::ZeroVolume], At::Minute(60), |bars, open| {
            let bar = at_minute(bars, open, 60);
            (bar.volume, bar.vwap) = (0.0, None);
            bar.high = bar.open.max(bar.close) + 0.05;
        }),
        sent("VTHIN", &[Rule::SessionVolume], At::Session(DAY), |bars, open| {
            for bar in bars.iter_mut().filter(|bar| is_on(bar, open, 0..390)) {
                bar.volume = (bar.volume / 100.0).ceil();
            }
        }),
        written("TOFF", &[TAMPERED[0], TAMPERED[1], Rule::OffMinute], At::Series, |rows, open| {
            let at = rows.find(open + 60 * MINUTE);
            rows.ts[at] += 1_000_000;
        }),
        written("TDATE", &[TAMPERED[0], TAMPERED[1], Rule::WrongSession], At::Series, |rows, open| {
            let at = rows.find(open + 60 * MINUTE);
            let day = rows.session_date[at];
            let last = rows.session_date.iter().rposition(|&other| other == day).unwrap();
            // The next session is the one after Juneteenth.
            rows.session_date[last] = day + 2;
        }),
        written("TSEG", &[TAMPERED[0], TAMPERED[1], Rule::WrongSegment], At::Minute(60), |rows, open| {
            let at = rows.find(open + 60 * MINUTE);
            rows.segment[at] = "pre".into();
        }),
        sent("THALF", &[Rule::MarketClosed], At::Session("2024-07-03"), |bars, _| {
            // 18:00 in New York on the half day.
            let like = *bars.last().unwrap();
            let late = TapeBar { ts_us: 1_720_044_000_000_000, ..like };
            let at = bars.partition_point(|bar| bar.ts_us < late.ts_us);
            bars.insert(at, late);
        }),
        sent("TSUN", &[Rule::MarketClosed], At::Session("2024-06-17"), |bars, open| {
            // Saturday noon in New York.
            let like = *at_minute(bars, open, 0);
            let late = TapeBar { ts_us: 1_718_467_200_000_000, ..like };
            let at = bars.partition_point(|bar| bar.ts_us < late.ts_us);
            bars.insert(at, late);
        }),
        sent("CQUAR", &[Rule::MissingMinutes], At::Session(DAY), |bars, open| at_minute(bars, open, 60).high = 0.01),
        sent("CGONE", &[Rule::MissingSession], At::Session(DAY), |bars, open| {
            bars.retain(|bar| !is_on(bar, open, -330..630));
        }),
        done("XBAR", &[Rule::DerivedDiffers], At::Minute(60), |lab, symbol| {
            let path = path_of(lab, symbol, "5m", "year=2024");
            rewrite(&path, |rows| {
                let at = rows.find(OPEN + 60 * MINUTE);
                rows.volume[at] += 1.0;
            });
            forget_damage(&lab.data(), &path, symbol, "5m");
        }),
        done("XOLD", &[Rule::DerivedStale], At::Series, |lab, symbol| {
            let symbol = symbol.to_owned();
            lab.server.update_tape(|tape| {
                tape.edit("sip", &symbol, |bars| at_minute(bars, OPEN, 60).volume += 100.0);
            });
            lab.refresh(&symbol, DAY, DAY);
        }),
        done("XLEDGER", &[Rule::MissingMinutes, Rule::LedgerDiffers], At::Session(DAY), |lab, symbol| {
            let database = rusqlite::Connection::open(lab.data().join("marketpipe.db")).unwrap();
            let changed = database.execute(
                "DELETE FROM session_record WHERE session_day = 19892 AND series_id =
                     (SELECT series_id FROM series WHERE symbol = ?)",
                [symbol],
            );
            assert_eq!(changed.unwrap(), 1);
        }),
    ]
}

/// Findings by symbol: rule, severity, session, timestamp.
type Found = BTreeMap<String, Vec<(String, String, String, String)>>;

fn findings(csv: &str) -> Found {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let mut found = Found::new();
    for row in reader.records() {
        let row = row.unwrap();
        let field = |at: usize| row[at].to_owned();
        found
            .entry(field(3))
            .or_default()
            .push((field(0), field(1), field(4), field(5)));
    }
    found
}

fn instant(ts_us: i64) -> String {
    marketpipe::domain::instant::format_utc(ts_us)
}

/// What came of planting.
struct Verdict {
    planted: BTreeMap<Rule, u32>,
    hits: BTreeMap<Rule, u32>,
    false_alarms: BTreeMap<Rule, Vec<String>>,
    misses: Vec<String>,
}

/// Compares what was found in the series of `symbols` with what was planted there.
fn judge(symbols: &[&str], plants: &[Plant], found: &Found, day: &str, open: i64) -> Verdict {
    let mut verdict = Verdict {
        planted: BTreeMap::new(),
        hits: BTreeMap::new(),
        false_alarms: BTreeMap::new(),
        misses: Vec::new(),
    };
    for symbol in symbols {
        let plant = plants.iter().find(|plant| plant.symbol == *symbol);
        let expected: BTreeSet<Rule> = plant
            .map(|plant| plant.rules.iter().copied().collect())
            .unwrap_or_default();
        let of_symbol = found.get(*symbol).cloned().unwrap_or_default();
        for (rule, severity, session, ts) in &of_symbol {
            let rule: Rule = rule.parse().unwrap();
            // Minutes without a trade are what such minutes are.
            let is_usual = rule == Rule::MissingMinutes && severity == "info";
            if !is_usual && !expected.contains(&rule) {
                let place = format!("{symbol} {session} {ts}");
                verdict.false_alarms.entry(rule).or_default().push(place);
            }
        }
        let Some(plant) = plant else { continue };
        for rule in plant.rules {
            *verdict.planted.entry(*rule).or_default() += 1;
            let is_main = plant.rules.last() == Some(rule);
            let is_in_place = |session: &str, ts: &str| match plant.at {
                At::Minute(minute) => ts == instant(open + minute * MINUTE) && session == day,
                At::Session(date) => session == date,
                At::Series => true,
            };
            let is_it = |(id, severity, session, ts): &(String, String, String, String)| {
                id == rule.id()
                    && (*rule != Rule::MissingMinutes || severity != "info")
                    && (!is_main || is_in_place(session, ts))
            };
            if of_symbol.iter().any(is_it) {
                *verdict.hits.entry(*rule).or_default() += 1;
            } else {
                let miss = format!("{symbol}: {rule}, found {of_symbol:?}");
                verdict.misses.push(miss);
            }
        }
    }
    verdict
}

impl Verdict {
    /// Prints the confusion matrix; everything must be found, and nothing else.
    fn assert_perfect(&self) {
        let count = |of: &BTreeMap<Rule, u32>, rule| of.get(&rule).copied().unwrap_or(0);
        eprintln!("rule     planted found false");
        for rule in Rule::ALL {
            let wrong = self.false_alarms.get(&rule).map_or(0, Vec::len);
            let (planted, found) = (count(&self.planted, rule), count(&self.hits, rule));
            if planted + found > 0 || wrong > 0 {
                eprintln!("{rule}  {planted:7} {found:5} {wrong:5}");
            }
        }
        assert!(
            self.misses.is_empty(),
            "missed:\n{}",
            self.misses.join("\n")
        );
        assert!(
            self.false_alarms.is_empty(),
            "false alarms: {:#?}",
            self.false_alarms
        );
    }
}

/// A laboratory in which the faults are planted: the series of `base`, once for each symbol.
fn planted_lab(
    symbols: &[&str],
    plants: &[Plant],
    open: i64,
    base: impl Fn(&str) -> Vec<TapeBar>,
) -> Lab {
    let mut tape = Tape::new();
    for symbol in symbols {
        let mut bars = base(symbol);
        for plant in plants.iter().filter(|plant| plant.symbol == *symbol) {
            if let How::Sent(change) = plant.how {
                change(&mut bars, open);
            }
        }
        tape.insert("sip", symbol, bars);
    }
    Lab::with_tape(tape)
}

#[test]
fn every_planted_fault_is_found_in_its_place_and_nothing_else_is() {
    let plants = plants();
    let clean = ["CLEAN", "TIDY"];
    let symbols: Vec<&str> = plants
        .iter()
        .map(|plant| plant.symbol)
        .chain(clean)
        .collect();
    // A hole at the provider: three minutes of one afternoon that nobody has.
    let hole = OPEN + 7 * 1440 * MINUTE + 200 * MINUTE;
    let lab = planted_lab(&symbols, &plants, OPEN, |symbol| {
        let mut bars = made_up(symbol, FIRST, LAST);
        bars.retain(|bar| !(hole..hole + 3 * MINUTE).contains(&bar.ts_us));
        bars
    });
    lab.ingest(&symbols.join(","), FIRST, LAST);
    lab.done(&["aggregate", "--symbols", "XBAR,XOLD,CLEAN"]);
    for plant in &plants {
        match plant.how {
            How::Sent(_) => {}
            How::Written(change) => {
                rewrite(&june(&lab, plant.symbol), |rows| change(rows, OPEN));
            }
            How::Done(change) => change(&lab, plant.symbol),
        }
    }
    let ran = lab.run(&["validate", "--format", "csv"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    let found = findings(&ran.stdout);
    let mut verdict = judge(&symbols, &plants, &found, DAY, OPEN);
    let of_dataset = found.get("").cloned().unwrap_or_default();
    let place = (
        Rule::ProviderHole.id().to_owned(),
        "warning".to_owned(),
        "2024-06-25".to_owned(),
        instant(hole),
    );
    verdict.planted.insert(Rule::ProviderHole, 1);
    match &of_dataset[..] {
        [only] if *only == place => _ = verdict.hits.insert(Rule::ProviderHole, 1),
        other => verdict.misses.push(format!("hole: found {other:?}")),
    }
    verdict.assert_perfect();
    for rule in Rule::ALL {
        assert!(
            verdict.planted.contains_key(&rule),
            "{rule} has no planted fault"
        );
    }
    // A second look finds the same, and the view has it.
    let again = lab.run(&["validate", "--format", "csv"]);
    assert_eq!(again.stdout, ran.stdout);
    let kept = lab.query("select count(*) from findings");
    assert_eq!(kept, [(ran.stdout.lines().count() - 1).to_string()]);
}

/// SPY, 2013-10-08: five real sessions around the open of that day.
const REAL_DAY: &str = "2013-10-08";
const REAL_OPEN: i64 = 1_381_239_000_000_000;

#[test]
fn faults_that_are_planted_among_real_bars_are_found_as_well() {
    let Some(folder) = real_data() else { return };
    // What needs months of history, a VWAP, or the days and files of the made-up series.
    let needs_more = [
        "VTHIN", "PVWAP", "PNONE", "PZERO", "TDATE", "THALF", "TSUN", "CQUAR", "CGONE", "SVALUE",
    ];
    let mut plants = plants();
    plants
        .retain(|plant| !needs_more.contains(&plant.symbol) && !matches!(plant.how, How::Done(_)));
    let symbols: Vec<&str> = plants
        .iter()
        .map(|plant| plant.symbol)
        .chain(["CLEAN"])
        .collect();
    let real = lean::minutes(&folder);
    let spy: Vec<TapeBar> = real["SPY"]
        .iter()
        .filter(|bar| (bar.ts_us - REAL_OPEN).abs() < 8 * 1440 * MINUTE)
        .copied()
        .collect();
    let lab = planted_lab(&symbols, &plants, REAL_OPEN, |_| spy.clone());
    lab.ingest(&symbols.join(","), "2013-10-04", "2013-10-11");
    for plant in &plants {
        if let How::Written(change) = plant.how {
            let path = path_of(&lab, plant.symbol, "1m", "month=2013-10");
            rewrite(&path, |rows| change(rows, REAL_OPEN));
        }
    }
    let ran = lab.run(&["validate", "--format", "csv"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    judge(
        &symbols,
        &plants,
        &findings(&ran.stdout),
        REAL_DAY,
        REAL_OPEN,
    )
    .assert_perfect();
}

/// The warnings that the real bars deserve, with the reason for each.
const EXPLAINED: &[(&str, &str, &str, &str)] = &[];

#[test]
fn real_bars_have_no_error_and_every_warning_is_explained() {
    let Some(folder) = real_data() else { return };
    let lab = real_lab(&folder);
    lab.done(&["aggregate"]);
    // Session by session: what lies between the days of this collection is missing by its nature.
    let mut found: BTreeSet<(String, String, String)> = BTreeSet::new();
    let mut splits = Vec::new();
    let mut days = BTreeSet::new();
    for (_, bars) in lean::minutes(&folder) {
        for bar in bars {
            days.insert(instant(bar.ts_us - 4 * 3_600_000_000)[..10].to_owned());
        }
    }
    for day in &days {
        let ran = lab.run(&["validate", "--start", day, "--end", day, "--format", "csv"]);
        let by_symbol = findings(&ran.stdout);
        for (symbol, of_symbol) in by_symbol {
            for (rule, severity, session, ts) in of_symbol {
                assert_ne!(severity, "error", "{symbol} {rule} {session} {ts}");
                if rule == Rule::Split.id() {
                    splits.push((symbol.clone(), severity.clone(), session.clone()));
                }
                // Symbols of which this collection has nothing on a day are missing by its nature, too.
                if severity == "warning" && rule != Rule::MissingSession.id() {
                    found.insert((
                        symbol.clone(),
                        rule,
                        if ts.is_empty() { session } else { ts },
                    ));
                }
            }
        }
        assert_eq!(ran.code, 0, "{day}: {}", ran.stderr);
    }
    assert_eq!(
        splits,
        [(
            "AAPL".to_owned(),
            "info".to_owned(),
            "2014-06-09".to_owned()
        )],
        "AAPL's split"
    );
    let explained: BTreeSet<(String, String, String)> = EXPLAINED
        .iter()
        .map(|(symbol, rule, place, _)| (symbol.to_string(), rule.to_string(), place.to_string()))
        .collect();
    assert_eq!(found, explained);
}

/// A laboratory whose lake holds the real minutes.
fn real_lab(folder: &Path) -> Lab {
    let mut tape = Tape::new();
    for (symbol, bars) in lean::minutes(folder) {
        tape.insert("sip", &symbol, bars);
    }
    let lab = Lab::with_tape(tape);
    lab.ingest("AAPL,GOOG,SPY", "2013-10-01", "2023-08-31");
    lab
}

/// A small lake with one odd bar: AAPL, 2024-06-18, 10:30, a spike.
fn spiky_lab() -> Lab {
    let mut tape = Tape::new();
    for symbol in ["AAPL", "MSFT"] {
        let mut bars = made_up(symbol, "2024-06-17", "2024-06-21");
        if symbol == "AAPL" {
            scale(at_minute(&mut bars, OPEN, 60), 1.3);
        }
        tape.insert("sip", symbol, bars);
    }
    let lab = Lab::with_tape(tape);
    lab.ingest("AAPL,MSFT", "2024-06-17", "2024-06-21");
    lab
}

fn id_of(lab: &Lab, rule: Rule) -> String {
    let sql = format!("select finding_id from findings where rule = '{rule}'");
    let ids = lab.query(&sql);
    assert_eq!(ids.len(), 1, "{ids:?}");
    ids[0].clone()
}

#[test]
fn exit_codes_follow_fail_on_and_missing_minutes() {
    let lab = spiky_lab();
    let code = |arguments: &[&str]| lab.run(&[&["validate"], arguments].concat()).code;
    assert_eq!(code(&[]), 0, "a warning is no error");
    assert_eq!(code(&["--fail-on", "warning"]), 4);
    assert_eq!(code(&["--fail-on", "never"]), 0);
    assert_eq!(code(&["--symbols", "MSFT", "--fail-on", "warning"]), 0);
    assert_eq!(code(&["--start", "2024-06-20", "--fail-on", "warning"]), 0);
    assert_eq!(code(&["--end", "2024-06-18", "--fail-on", "warning"]), 4);
    assert_eq!(code(&["--max-missing-pct", "50"]), 0);
    assert_eq!(code(&["--max-missing-pct", "0"]), 4);
    assert_eq!(code(&["--symbols", "NONE"]), 3);
    assert_eq!(code(&["--max-missing-pct", "101"]), 2);
    assert_eq!(code(&["--job", "99"]), 2);
    assert_eq!(code(&["--report", "data/lake/x.csv"]), 2);
    let rules = lab.done(&["validate", "--rules", "--format", "json"]);
    assert_eq!(rules.stdout.matches("\"rule\":").count(), Rule::ALL.len());
    lab.configure("[validation.severity]\nMP-P005 = \"error\"\n");
    assert_eq!(code(&[]), 4, "by the configuration it is an error");
    lab.configure("[validation.severity]\nMP-P005 = \"off\"\n");
    assert_eq!(code(&["--fail-on", "warning"]), 0);
    lab.configure("[validation.severity]\nMP-P005 = \"bad\"\n");
    assert_eq!(code(&[]), 5);
    lab.configure("[validation]\njump_pct = 60\n");
    assert_eq!(code(&["--fail-on", "warning"]), 0);
}

#[test]
fn an_acknowledged_finding_is_silent_until_its_bar_changes() {
    let lab = spiky_lab();
    lab.done(&["validate"]);
    let id = id_of(&lab, Rule::Spike);
    assert_eq!(lab.run(&["validate", "ack", &id, "--reason", " "]).code, 2);
    assert_eq!(
        lab.run(&["validate", "ack", "none", "--reason", "x"]).code,
        2
    );
    lab.done(&["validate", "ack", &id, "--reason", "seen, and real"]);
    let ran = lab.done(&["validate", "--fail-on", "warning", "--format", "csv"]);
    assert!(ran.stderr.contains("1 acknowledged"), "{}", ran.stderr);
    let row = ran.stdout.lines().find(|line| line.contains(&id)).unwrap();
    assert!(row.ends_with("\"seen, and real\""), "{row}");
    let kept = lab.query("select acknowledged from findings where rule = 'MP-P005'");
    assert_eq!(kept, ["\"seen, and real\""]);
    // Another value of the same minute is another matter.
    lab.server.update_tape(|tape| {
        tape.edit("sip", "AAPL", |bars| scale(at_minute(bars, OPEN, 60), 1.1));
    });
    lab.refresh("AAPL", DAY, DAY);
    assert_eq!(lab.run(&["validate", "--fail-on", "warning"]).code, 4);
    assert_eq!(id_of(&lab, Rule::Spike), id);
    lab.done(&["validate", "ack", &id, "--reason", "still real"]);
    lab.done(&["validate", "--fail-on", "warning"]);
    lab.done(&["validate", "unack", &id]);
    assert_eq!(lab.run(&["validate", "unack", &id]).code, 2);
    assert_eq!(lab.run(&["validate", "--fail-on", "warning"]).code, 4);
    // Mended at the source, the finding goes.
    let mended = made_up("AAPL", "2024-06-17", "2024-06-21");
    lab.server
        .update_tape(|tape| tape.edit("sip", "AAPL", |bars| *bars = mended));
    lab.refresh("AAPL", DAY, DAY);
    lab.done(&[
        "validate",
        "--start",
        DAY,
        "--end",
        DAY,
        "--fail-on",
        "warning",
    ]);
    let none = lab.query("select count(*) from findings where rule = 'MP-P005'");
    assert_eq!(none, ["0"]);
}

#[test]
fn reports_are_written_where_they_are_wanted() {
    let lab = spiky_lab();
    let folder = lab.folder.path();
    let ran = lab.done(&[
        "validate",
        "--report",
        "own.csv",
        "--junit",
        "junit.xml",
        "--html",
        "page.html",
        "--format",
        "jsonl",
    ]);
    let rows = ran.stdout.lines().count();
    let csv = std::fs::read_to_string(folder.join("own.csv")).unwrap();
    assert_eq!(csv.lines().count(), rows + 1);
    assert!(!lab.data().join("reports").exists());
    let first: serde_json::Value =
        serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    let columns: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    assert_eq!(first.as_object().unwrap().len(), columns.len());
    let junit = std::fs::read_to_string(folder.join("junit.xml")).unwrap();
    assert!(
        junit.contains("<testsuite name=\"alpaca/sip/raw AAPL\""),
        "{junit}"
    );
    assert!(
        junit.contains("failures=\"0\""),
        "a warning fails no case by default"
    );
    let page = std::fs::read_to_string(folder.join("page.html")).unwrap();
    assert!(
        page.contains("MP-P005") && page.contains("<svg"),
        "the spike is drawn"
    );
    // By default in the data folder, one for each run, and of the job where one is named.
    lab.done(&["validate"]);
    lab.done(&["validate", "--job", "1"]);
    let reports = crate::support::lab::files_below(&lab.data().join("reports"));
    assert_eq!(reports.len(), 2);
    assert!(
        reports
            .iter()
            .any(|path| path.to_str().unwrap().contains("validate-job-1-"))
    );
    // An error fails its case.
    std::fs::remove_file(june(&lab, "MSFT")).unwrap();
    let ran = lab.run(&["validate", "--junit", "junit.xml", "--html", "page.html"]);
    assert_eq!(ran.code, 4);
    assert!(
        ran.stderr.contains("error MP-S001 alpaca/sip/raw MSFT"),
        "{}",
        ran.stderr
    );
    let junit = std::fs::read_to_string(folder.join("junit.xml")).unwrap();
    assert!(junit.contains("failures=\"1\""), "{junit}");
}

#[test]
fn an_ingest_checks_what_it_asked_for() {
    let lab = spiky_lab();
    let ingest = ["ingest", "--symbols", "AAPL", "--start", DAY, "--end", DAY];
    let ran = lab.done(&[&ingest[..], &["--aggregate", "--validate"]].concat());
    assert!(
        ran.stderr.contains("checked 1 series, 1 session "),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("warning MP-P005 alpaca/sip/raw AAPL 2024-06-18"),
        "{}",
        ran.stderr
    );
    assert_eq!(lab.query("select distinct symbol from findings"), ["AAPL"]);
    lab.configure("[validation.severity]\nMP-P005 = \"error\"\n");
    assert_eq!(lab.run(&[&ingest[..], &["--validate"]].concat()).code, 4);
}

#[cfg(unix)]
#[test]
fn who_may_only_read_still_gets_the_report() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = spiky_lab();
    let folder = lab.data();
    let set = |mode: u32| {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(0o555);
    let is_root = std::fs::write(folder.join("probe"), "").is_ok();
    if !is_root {
        let ran = lab.run(&["validate", "--format", "csv"]);
        assert!(
            ran.stdout.contains("MP-P005"),
            "{}\n{}",
            ran.stdout,
            ran.stderr
        );
    }
    set(0o755);
}

#[test]
fn validation_beside_ingests_and_aggregations_finds_nothing_wrong() {
    let lab = spiky_lab();
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            for round in 0..6 {
                lab.server.update_tape(|tape| {
                    tape.edit("sip", "MSFT", |bars| {
                        at_minute(bars, OPEN, 100 + round).volume += 7.0
                    });
                });
                lab.refresh("MSFT", "2024-06-17", "2024-06-21");
                lab.done(&["aggregate"]);
            }
        });
        let mut rounds = 0;
        while !changing.is_finished() || rounds < 3 {
            let ran = lab.run(&["validate", "--format", "csv"]);
            let errors: Vec<&str> = ran
                .stdout
                .lines()
                .filter(|line| line.contains(",error,"))
                .collect();
            assert!(errors.is_empty(), "{errors:#?}");
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            rounds += 1;
        }
    });
}
