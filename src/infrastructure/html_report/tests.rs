//! What must hold of every page, whatever is written on it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::super::candle_svg::{BarLook, ChartBar, DRAWABLE, MOST_STEPS};
use super::super::markup::{MissingPercent, Percent};
use super::charts::{Candles, Moment, PLOT};
use super::findings::LONG_MESSAGE;
use super::heat_map::base_36;
use super::page::{SCRIPT, SCRIPT_SHA256, STYLE};
use super::*;
use crate::domain::chart::PriceScale;

const HOSTILE: &str =
    "</script><img src=x onerror=alert(1)>\"'`&\\\u{0}\u{7}\u{2028}\u{202e}]]>{{0}}";

fn html(page: &Page) -> String {
    let mut out = Vec::new();
    page.write_to(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn bar(time: &str, price: f64) -> ChartBar {
    ChartBar {
        time: time.to_owned(),
        open: price,
        high: price + 1.0,
        low: price - 1.0,
        close: price + 0.5,
        volume: 1_000.0,
        look: BarLook::Plain,
    }
}

fn cell(day: u8, present: u16, worst: u8, reason: u8) -> Cell {
    Cell {
        date: (2024, 3, day),
        present,
        expected: 390,
        worst,
        reason,
    }
}

/// A page that holds `text` wherever a text can stand.
fn page_of(text: &str) -> Page {
    let text = || text.to_owned();
    Page {
        title: text(),
        scope: text(),
        generated: text(),
        partial: Some(text()),
        totals: Totals {
            errors: 1,
            series: 1,
            ..Totals::default()
        },
        not_checked: vec![NotCheckedLine {
            series: text(),
            reason: text(),
        }],
        rules: vec![RuleLine {
            id: "MP-P001",
            severity: "error",
            title: text(),
            why: text(),
            found: 1,
        }],
        series: vec![SeriesLine {
            label: text(),
            present: 389,
            expected: 390,
            cells: vec![cell(4, 389, 3, 1)],
        }],
        findings: vec![FindingLine {
            id: text(),
            rule: "MP-P001",
            severity: "error",
            series: text(),
            timeframe: text(),
            session: text(),
            time: text(),
            value: text(),
            expected: text(),
            message: text(),
            hint: text(),
            acknowledged: Some(text()),
        }],
        findings_left_out: 0,
        charts: vec![Chart {
            title: text(),
            message: text(),
            bars: vec![ChartBar {
                look: BarLook::Marked,
                ..bar(&text(), 10.0)
            }],
        }],
    }
}

#[test]
fn hostile_text_stays_text_wherever_it_stands() {
    let (plain, hostile) = (html(&page_of("x")), html(&page_of(HOSTILE)));
    // The same tags, as often, whatever the texts are.
    for tag in ["</script", "<script", "<", ">"] {
        let count = |text: &str| text.matches(tag).count();
        assert_eq!(count(&plain), count(&hostile), "{tag}");
    }
    assert!(!hostile.contains("<img"));
    let outside = hostile.replace(SCRIPT, "");
    assert!(outside.contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;&#39;"));
    assert!(outside.contains("\\u003c/script\\u003e\\u003cimg"));
    assert!(!outside.contains(['\u{0}', '\u{7}', '\u{2028}', '\u{202e}']));
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let page = page_of(&"é".repeat(LONG_MESSAGE + 1));
    let written = html(&page);
    assert!(written.contains("é\u{2026}</summary>\u{2026}é</details>"));
}

#[test]
fn numbers_that_are_not_finite_leave_no_trace_in_the_drawing() {
    let odd = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        -0.0,
    ];
    let mut bars = vec![bar("2024-03-05 14:30", 10.0)];
    for number in odd {
        bars.push(bar("2024-03-05 14:31", number));
        bars.push(ChartBar {
            volume: number,
            ..bar("2024-03-05 14:32", 11.0)
        });
        bars.push(ChartBar {
            high: number,
            ..bar("2024-03-05 14:33", 12.0)
        });
    }
    for bars in [
        bars.clone(),
        vec![bar("", f64::NAN)],
        vec![bar("", 5.0)],
        vec![],
    ] {
        let chart = Chart {
            bars,
            ..Chart::default()
        };
        let drawing = Candles(&chart).to_string();
        // Only a title, which is read, may name such a number.
        for piece in drawing.split("<title>") {
            let drawn = piece
                .split_once("</title>")
                .map_or(piece, |(_, drawn)| drawn);
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
            assert!(!drawn.contains("e30") && !drawn.contains("e-"), "{drawn}");
        }
    }
}

#[test]
fn an_axis_has_a_few_round_steps_at_any_size() {
    for (low, high) in [
        (10.0, 10.0),
        (0.0, 0.0),
        (-5.0, 5.0),
        (99.99, 100.01),
        (1e-7, 2e-7),
        (-DRAWABLE, DRAWABLE),
    ] {
        let axis = PriceScale::over([high, low].into_iter(), MOST_STEPS);
        let steps = (axis.high - axis.low) / axis.step;
        assert!((2.0..=6.0).contains(&steps), "{low} {high}: {steps}");
        assert!(PLOT.y(&axis, high) >= PLOT.price_top && PLOT.y(&axis, low) <= PLOT.price_bottom);
    }
}

#[test]
fn an_empty_page_says_that_nothing_was_checked() {
    let written = html(&Page::default());
    assert!(written.contains("Nothing was checked"));
    assert!(written.contains("There are no series to show."));
    assert!(written.contains("No rule found anything."));
    assert!(written.contains("There are no findings to list."));
    assert!(!written.contains("id=\"charts\""));
    assert!(written.ends_with("</html>\n"));
}

#[test]
fn the_verdict_counts_in_words() {
    let verdict = |errors, warnings, infos, series| {
        let totals = Totals {
            errors,
            warnings,
            infos,
            series,
            ..Totals::default()
        };
        let page = Page {
            totals,
            ..Page::default()
        };
        page.verdict().1
    };
    assert_eq!(
        verdict(2, 1_400, 0, 40),
        "2 errors, 1,400 warnings in 40 series"
    );
    assert_eq!(verdict(1, 0, 5, 1), "1 error in 1 series");
    assert_eq!(
        verdict(0, 0, 5, 3),
        "Nothing at or above a warning in 3 series"
    );
}

#[test]
fn a_page_about_a_part_says_so_and_is_not_green() {
    let whole = Page {
        totals: Totals {
            series: 3,
            ..Totals::default()
        },
        ..Page::default()
    };
    let part = Page {
        partial: Some("3 of 7 series were checked".to_owned()),
        ..whole.clone()
    };
    assert_eq!(whole.verdict().0, "good");
    assert_eq!(part.verdict().0, "");
    let banner =
        "<p class=\"partial\" role=\"note\"><b>Partial:</b> 3 of 7 series were checked</p>";
    assert!(html(&part).contains(banner));
    assert!(!html(&whole).contains("Partial"));
    // An ended run that came to nothing is no empty scope.
    let none = Page {
        partial: Some(String::new()),
        ..Page::default()
    };
    assert_eq!(none.verdict().1, "Nothing was checked");
}

#[test]
fn series_that_could_not_be_checked_are_named_with_the_reason() {
    let page = Page {
        not_checked: vec![NotCheckedLine {
            series: "a/b/raw MSFT".to_owned(),
            reason: "disk <gone>".to_owned(),
        }],
        ..Page::default()
    };
    let written = html(&page);
    assert!(written.contains("<a href=\"#not-checked\">"));
    assert!(written.contains(">a/b/raw MSFT</td><td class=\"what\">disk &lt;gone&gt;</td>"));
    assert!(!html(&Page::default()).contains("\"#not-checked\""));
}

#[test]
fn the_heat_map_holds_each_distinct_cell_once_and_series_as_runs() {
    let line = |cells| SeriesLine {
        label: "A".to_owned(),
        cells,
        ..SeriesLine::default()
    };
    let full = |day| cell(day, 390, 0, 0);
    let page = Page {
        series: vec![
            line(vec![
                full(6),
                full(4),
                full(5),
                cell(7, 12, 9, 9),
                cell(6, 390, 0, 0),
            ]),
            line(vec![full(5)]),
        ],
        ..Page::default()
    };
    let mut out = Vec::new();
    page.write_heat_data(&mut out).unwrap();
    let data = String::from_utf8(out).unwrap();
    assert!(
        data.contains("\"rows\":[[\"A\",\"0*3 1\"],\n[\"A\",\"- 0 -*2\"]]"),
        "{data}"
    );
    assert!(
        data.contains("\"kinds\":[[390,390,0,0],[12,390,3,0]]"),
        "{data}"
    );
    assert!(data.contains("\"2024-03-04\",\"2024-03-05\""), "{data}");
    assert_eq!(
        [0, 35, 36, 1_295].map(base_36),
        ["0", "z", "10", "zz"].map(str::to_owned)
    );
}

#[test]
fn shares_are_rounded_away_from_all_and_none() {
    assert_eq!(Percent(99_999, 100_000).to_string(), "99.99\u{a0}%");
    assert_eq!(Percent(7, 7).to_string(), "100.00\u{a0}%");
    assert_eq!(Percent(8, 7).to_string(), "100.00\u{a0}%");
    assert_eq!(Percent(0, 0).to_string(), "\u{2013}");
    assert_eq!(Percent(u64::MAX / 2, u64::MAX).to_string(), "49.99\u{a0}%");
    assert_eq!(
        MissingPercent(1, 1_000_000).to_string(),
        "under 0.01\u{a0}%"
    );
    assert_eq!(MissingPercent(0, 5).to_string(), "0.00\u{a0}%");
}

#[test]
fn times_are_taken_apart_where_their_form_is_known() {
    let parts = |text| {
        let Moment { date, clock, zone } = Moment::of(text);
        (date, clock, zone)
    };
    assert_eq!(
        parts("2024-03-05T14:30:00Z"),
        ("2024-03-05", Some("14:30"), "UTC")
    );
    assert_eq!(
        parts("2024-03-05 09:30 ET"),
        ("2024-03-05", Some("09:30"), "ET")
    );
    assert_eq!(parts("2024-03-05"), ("2024-03-05", None, ""));
    assert_eq!(parts("ééééééééééééééé"), ("éééééééééééé", None, ""));
}

#[test]
fn rules_that_found_something_come_first_the_severe_before_the_frequent() {
    let rule = |id, severity, found| RuleLine {
        id,
        severity,
        found,
        ..RuleLine::default()
    };
    let page = Page {
        rules: vec![
            rule("MP-1", "error", 0),
            rule("MP-2", "warning", 9),
            rule("MP-3", "error", 1),
            rule("MP-4", "warning", 10),
        ],
        ..Page::default()
    };
    let mut out = Vec::new();
    page.write_rules(&mut out).unwrap();
    let written = String::from_utf8(out).unwrap();
    let at = |id: &str| written.find(&format!("<code>{id}")).unwrap();
    assert!(at("MP-3") < at("MP-4") && at("MP-4") < at("MP-2") && at("MP-2") < at("MP-1"));
}

#[test]
fn what_was_left_out_is_said() {
    let page = Page {
        findings_left_out: 1_234,
        ..Page::default()
    };
    assert!(html(&page).contains("1,234 more findings are not listed here"));
}

#[test]
fn equal_pages_give_equal_bytes_that_name_nothing_elsewhere() {
    let page = page_of("x");
    let written = html(&page);
    assert_eq!(written, html(&page.clone()));
    for elsewhere in ["http://", "https://", "url(", "@import", " src=", "<link"] {
        assert!(!written.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn a_writer_that_fails_is_reported() {
    let mut full = &mut [0_u8; 100][..];
    assert!(page_of("x").write_to(&mut full).is_err());
}

#[test]
fn the_page_allows_exactly_its_own_script() {
    assert!(!SCRIPT.contains("</") && !STYLE.contains("</"));
    assert_eq!(STANDARD.encode(Sha256::digest(SCRIPT)), SCRIPT_SHA256);
}
