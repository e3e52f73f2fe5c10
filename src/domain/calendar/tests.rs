//! Tests of the calendar: known days, daylight saving, and that every instant belongs to one session.

use proptest::prelude::*;

use super::*;

const NYSE: Calendar = Calendar::nyse();

fn day(text: &str) -> SessionDate {
    text.parse().unwrap()
}

fn session(text: &str) -> Session {
    NYSE.session(day(text)).unwrap().unwrap()
}

fn is_closed(text: &str) -> bool {
    NYSE.session(day(text)).unwrap().is_none()
}

fn is_weekday(date: SessionDate) -> bool {
    date.naive().weekday().number_from_monday() < 6
}

fn us(rfc3339: &str) -> i64 {
    DateTime::parse_from_rfc3339(rfc3339)
        .unwrap()
        .timestamp_micros()
}

/// Session date and segment of an instant, on which calendar and locator agree.
fn place(rfc3339: &str) -> String {
    let (date, segment) = NYSE.locator().locate(us(rfc3339)).unwrap();
    let session = NYSE.session_containing(us(rfc3339)).unwrap();
    assert_eq!(session.date(), date);
    assert_eq!(session.segment_at(us(rfc3339)), Some(segment));
    format!("{date} {segment}")
}

fn all_sessions(calendar: Calendar) -> Vec<Session> {
    let (first, last) = calendar.coverage();
    calendar.sessions(first, last).unwrap()
}

#[test]
fn hours_follow_new_york_over_both_clock_changes() {
    for (date, open, close) in [
        ("2024-03-08", "2024-03-08T14:30:00Z", "2024-03-08T21:00:00Z"),
        ("2024-03-11", "2024-03-11T13:30:00Z", "2024-03-11T20:00:00Z"),
        ("2024-11-01", "2024-11-01T13:30:00Z", "2024-11-01T20:00:00Z"),
        ("2024-11-04", "2024-11-04T14:30:00Z", "2024-11-04T21:00:00Z"),
    ] {
        assert_eq!(
            (session(date).open_us(), session(date).close_us()),
            (us(open), us(close))
        );
    }
}

#[test]
fn the_window_over_a_clock_change_is_an_hour_shorter_or_longer() {
    let hours = |date| {
        let session = session(date);
        (session.window_end_us() - session.window_start_us()) / (60 * MINUTE_US)
    };
    assert_eq!(
        [
            hours("2024-03-11"),
            hours("2024-03-18"),
            hours("2024-11-04")
        ],
        [71, 72, 73]
    );
    assert_eq!(
        session("2024-03-11").minute_ts_us(0),
        us("2024-03-10T20:00:00-04:00")
    );
    assert_eq!(
        session("2024-11-04").minute_ts_us(0),
        us("2024-11-03T20:00:00-05:00")
    );
}

#[test]
fn every_frame_starts_at_20_00_new_york_of_the_calendar_day_before() {
    for session in all_sessions(NYSE) {
        let start = DateTime::from_timestamp_micros(session.minute_ts_us(0)).unwrap();
        let local = start.with_timezone(&New_York).naive_local();
        assert_eq!(
            local,
            session.date().pred().unwrap().naive().and_time(EVENING)
        );
        assert_eq!(
            session.minute_ts_us(MINUTES_PER_FRAME),
            session.window_end_us()
        );
    }
}

#[test]
fn a_half_day_closes_at_13_00_and_its_post_segment_at_17_00() {
    let half = session("2015-12-24");
    assert!(half.is_half_day());
    assert_eq!(half.close_us(), us("2015-12-24T13:00:00-05:00"));
    assert_eq!(half.post_close_us(), us("2015-12-24T17:00:00-05:00"));
    assert_eq!(half.expected_range(Segment::Regular), 810..1020);
    assert_eq!(half.expected_range(Segment::Post), 1020..1260);
    assert_eq!(place("2015-12-24T12:59:59-05:00"), "2015-12-24 regular");
    assert_eq!(place("2015-12-24T13:00:00-05:00"), "2015-12-24 post");
    assert_eq!(place("2015-12-24T19:59:00-05:00"), "2015-12-24 post");
}

#[test]
fn a_full_day_has_960_minutes_besides_the_night() {
    let full = session("2015-12-23");
    assert!(!full.is_half_day());
    let ranges = Segment::ALL.map(|segment| full.expected_range(segment));
    assert_eq!(ranges, [0..480, 480..810, 810..1200, 1200..1440]);
    assert_eq!(full.minute_ts_us(480), full.pre_open_us());
    assert_eq!(full.post_close_us(), full.window_end_us());
}

#[test]
fn closes_at_14_00_are_half_days_whose_late_hours_are_not_cut() {
    let half = session("1992-12-24");
    assert!(half.is_half_day());
    assert_eq!(half.close_us(), us("1992-12-24T14:00:00-05:00"));
    assert_eq!(half.post_close_us(), us("1992-12-24T20:00:00-05:00"));
}

#[test]
fn segments_begin_on_their_first_microsecond() {
    for (instant, expected) in [
        ("2024-01-10T03:59:59.999999-05:00", "2024-01-10 overnight"),
        ("2024-01-10T04:00:00-05:00", "2024-01-10 pre"),
        ("2024-01-10T09:30:00-05:00", "2024-01-10 regular"),
        ("2024-01-10T15:59:59.999999-05:00", "2024-01-10 regular"),
        ("2024-01-10T16:00:00-05:00", "2024-01-10 post"),
        ("2024-01-10T19:59:59.999999-05:00", "2024-01-10 post"),
        ("2024-01-10T20:00:00-05:00", "2024-01-11 overnight"),
    ] {
        assert_eq!(place(instant), expected, "{instant}");
    }
}

#[test]
fn the_evening_in_january_belongs_to_the_next_session_though_utc_is_a_day_ahead() {
    assert_eq!(place("2024-01-11T00:59:00Z"), "2024-01-10 post");
    assert_eq!(place("2024-01-11T01:00:00Z"), "2024-01-11 overnight");
    assert_eq!(place("2024-07-11T00:00:00Z"), "2024-07-11 overnight");
}

#[test]
fn weekends_and_holidays_belong_to_the_night_of_the_session_that_follows() {
    assert_eq!(place("2024-07-12T20:00:00-04:00"), "2024-07-15 overnight");
    assert_eq!(place("2024-07-13T12:00:00-04:00"), "2024-07-15 overnight");
    assert_eq!(place("2024-07-04T12:00:00-04:00"), "2024-07-05 overnight");
    assert_eq!(place("2024-12-31T20:00:00-05:00"), "2025-01-02 overnight");
    assert_eq!(place("2001-09-11T08:46:00-04:00"), "2001-09-17 overnight");
}

#[test]
fn only_the_last_night_before_a_session_has_numbered_minutes() {
    let monday = session("2024-07-15");
    assert_eq!(monday.minute_index(us("2024-07-12T20:00:00-04:00")), None);
    assert_eq!(monday.minute_index(us("2024-07-14T19:59:00-04:00")), None);
    assert_eq!(
        monday.minute_index(us("2024-07-14T20:00:00-04:00")),
        Some(0)
    );
    assert_eq!(
        monday.minute_index(us("2024-07-15T09:30:00-04:00")),
        Some(810)
    );
    assert_eq!(
        monday.minute_index(us("2024-07-15T09:30:00.000001-04:00")),
        None
    );
    assert_eq!(monday.minute_index(us("2024-07-15T20:00:00-04:00")), None);
    assert_eq!(monday.minute_index(i64::MIN), None);
    assert_eq!(monday.minute_index(i64::MAX), None);
}

#[test]
fn closures_that_no_rule_foretells_are_known() {
    let closures = "1994-04-27 2001-09-11 2001-09-12 2001-09-13 2001-09-14 2004-06-11 \
        2007-01-02 2012-10-29 2012-10-30 2018-12-05 2025-01-09";
    for date in closures.split(' ') {
        assert!(is_closed(date), "{date}");
    }
}

/// Source: NYSE Group's announcement of 2025-12-23.
#[test]
fn announced_holidays_and_half_days_up_to_2028_are_as_announced() {
    let announced = "2026-01-01 2026-01-19 2026-02-16 2026-04-03 2026-05-25 2026-06-19 \
        2026-07-03 2026-09-07 2026-11-26 2026-12-25 2027-01-01 2027-01-18 \
        2027-02-15 2027-03-26 2027-05-31 2027-06-18 2027-07-05 2027-09-06 \
        2027-11-25 2027-12-24 2028-01-17 2028-02-21 2028-04-14 2028-05-29 \
        2028-06-19 2028-07-04 2028-09-04 2028-11-23 2028-12-25";
    let half_days = "2026-11-27 2026-12-24 2027-11-26 2028-07-03 2028-11-24";
    let (mut closed, mut half) = (Vec::new(), Vec::new());
    let mut date = day("2026-01-01");
    while date <= day("2028-12-31") {
        match NYSE.session(date).unwrap() {
            None if is_weekday(date) => closed.push(date.to_string()),
            Some(session) if session.is_half_day() => half.push(date.to_string()),
            _ => {}
        }
        date = date.succ().unwrap();
    }
    assert_eq!(closed.join(" "), announced);
    assert_eq!(half.join(" "), half_days);
}

#[test]
fn a_new_year_on_a_saturday_is_not_observed() {
    for year in [1993, 1999, 2004, 2010, 2021, 2027] {
        assert!(!is_closed(&format!("{year}-12-31")), "{year}");
    }
}

#[test]
fn neighbours_are_found_over_the_year_end() {
    let (last, first) = (session("2024-12-31"), session("2025-01-02"));
    assert_eq!(NYSE.next_session(last.date()), Ok(first));
    assert_eq!(NYSE.next_session(day("2025-01-01")), Ok(first));
    assert_eq!(NYSE.previous_session(first.date()), Ok(last));
    assert_eq!(NYSE.previous_session(day("2025-01-01")), Ok(last));
    assert_eq!(
        NYSE.sessions(day("2024-12-31"), day("2025-01-02")),
        Ok(vec![last, first])
    );
    assert_eq!(
        NYSE.sessions(day("2025-01-02"), day("2024-12-31")),
        Ok(vec![])
    );
    assert_eq!(
        NYSE.sessions(day("2024-07-13"), day("2024-07-14")),
        Ok(vec![])
    );
}

#[test]
fn beyond_the_table_is_an_error_that_names_date_and_limits() {
    let error = NYSE.session(day("1989-12-29")).unwrap_err().to_string();
    let covered = format!(
        "calendar {}, which covers 1990-01-01 to 2028-12-31",
        NYSE.version()
    );
    assert_eq!(error, format!("1989-12-29 is outside {covered}"));
    let error = NYSE
        .next_session(day("2028-12-29"))
        .unwrap_err()
        .to_string();
    assert_eq!(error, format!("2029-01-01 is outside {covered}"));
    let error = NYSE.session_containing(0).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("1970-01-01T00:00:00Z belongs to no session of {covered}")
    );
    for (first, last) in [("1989-12-31", "1990-01-05"), ("2028-12-29", "2029-01-01")] {
        assert!(NYSE.sessions(day(first), day(last)).is_err());
    }
    assert!(NYSE.previous_session(day("1990-01-02")).is_err());
    assert!(NYSE.next_session(day("9999-12-31")).is_err());
    assert!(NYSE.previous_session(day("0001-01-01")).is_err());
}

#[test]
fn the_first_and_last_instants_of_the_table_are_exact() {
    assert_eq!(place("1989-12-29T20:00:00-05:00"), "1990-01-02 overnight");
    assert_eq!(place("2028-12-29T19:59:59.999999-05:00"), "2028-12-29 post");
    for outside in [
        "1989-12-29T19:59:59.999999-05:00",
        "2028-12-29T20:00:00-05:00",
    ] {
        let outside = us(outside);
        let error = NYSE.session_containing(outside).unwrap_err();
        assert_eq!(NYSE.locator().locate(outside), Err(error));
    }
    for calendar in [NYSE, Calendar::always_open()] {
        assert!(calendar.session_containing(i64::MIN).is_err());
        assert!(calendar.session_containing(i64::MAX).is_err());
    }
}

#[test]
fn windows_tile_time_without_gap_or_overlap() {
    for calendar in [NYSE, Calendar::always_open()] {
        for pair in all_sessions(calendar).windows(2) {
            assert_eq!(pair[0].window_end_us(), pair[1].window_start_us());
            assert_eq!(calendar.next_session(pair[0].date()), Ok(pair[1]));
            assert_eq!(calendar.previous_session(pair[1].date()), Ok(pair[0]));
        }
    }
}

#[test]
fn a_market_that_never_closes_has_utc_days_of_one_segment() {
    let calendar = Calendar::always_open();
    let sunday = calendar.session(day("2024-03-10")).unwrap().unwrap();
    assert_eq!(sunday.window_start_us(), us("2024-03-10T00:00:00Z"));
    assert_eq!(sunday.window_end_us(), us("2024-03-11T00:00:00Z"));
    assert_eq!(sunday.expected_range(Segment::Regular), 0..1440);
    for segment in [Segment::Overnight, Segment::Pre, Segment::Post] {
        assert!(sunday.expected_range(segment).is_empty());
    }
    assert_eq!(
        sunday.segment_at(sunday.window_end_us() - 1),
        Some(Segment::Regular)
    );
    assert_eq!(sunday.minute_index(us("2024-03-10T00:01:00Z")), Some(1));
    assert_eq!(
        calendar.session_containing(0).unwrap().date(),
        day("1970-01-01")
    );
    assert!(calendar.session_containing(-1).is_err());
}

#[test]
fn the_tables_rows_are_ascending_weekdays_and_give_the_version_its_name() {
    let closed = table::CLOSED_WEEKDAYS.map(|row| row.to_string());
    let early = table::EARLY_CLOSES.map(|(row, minute)| format!("{row} {minute}"));
    assert!(closed.is_sorted() && early.is_sorted());
    let Coverage {
        first,
        last,
        session_before,
    } = super::NYSE;
    let limits = [first, last, session_before].map(|date| number(date).to_string());
    let mut hash = 0x811c_9dc5_u32;
    for row in limits.iter().chain(&closed).chain(&early) {
        for byte in row.bytes().chain([b'\n']) {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    assert_eq!(NYSE.version(), format!("nyse-{}-{hash:08x}", last.year()));
    let days = first
        .naive()
        .iter_days()
        .take_while(|day| *day <= last.naive());
    let weekdays = days
        .filter(|day| day.weekday().number_from_monday() < 6)
        .count();
    assert_eq!(all_sessions(NYSE).len() + closed.len(), weekdays);
}

/// A minute's start that belongs to some session of the NYSE's table.
fn covered_minute_us() -> impl Strategy<Value = i64> {
    let start = us("1989-12-29T20:00:00-05:00") / MINUTE_US;
    let end = us("2028-12-29T20:00:00-05:00") / MINUTE_US;
    (start..end).prop_map(|minute| minute * MINUTE_US)
}

proptest! {
    #[test]
    fn an_instant_lies_in_one_session_and_the_locator_agrees(
        minutes in prop::collection::vec(covered_minute_us(), 1..20),
    ) {
        let mut locator = NYSE.locator();
        for start_us in minutes {
            for ts_us in [start_us, start_us + 1, start_us + MINUTE_US - 1] {
                let session = NYSE.session_containing(ts_us).unwrap();
                let segment = session.segment_at(ts_us).unwrap();
                prop_assert_eq!(locator.locate(ts_us), Ok((session.date(), segment)));
                let before = NYSE.previous_session(session.date());
                let after = NYSE.next_session(session.date());
                for other in [before, after].into_iter().flatten() {
                    prop_assert_eq!(other.segment_at(ts_us), None);
                }
            }
        }
    }

    #[test]
    fn a_numbered_minute_is_expected_in_its_segment_unless_late_on_a_half_day(
        ts_us in covered_minute_us(),
    ) {
        let session = NYSE.session_containing(ts_us).unwrap();
        if let Some(minute) = session.minute_index(ts_us) {
            let segment = session.segment_at(ts_us).unwrap();
            let is_late = session.is_half_day() && ts_us >= session.post_close_us();
            prop_assert_eq!(session.minute_ts_us(minute), ts_us);
            prop_assert_eq!(session.expected_range(segment).contains(&minute), !is_late);
        }
    }

    #[test]
    fn minute_numbers_and_instants_are_inverse(
        days in 7_305_i32..21_550,
        minute in 0..MINUTES_PER_FRAME,
    ) {
        let date = SessionDate::from_days_since_epoch(days).unwrap();
        for calendar in [NYSE, Calendar::always_open()] {
            let Some(session) = calendar.session(date).unwrap() else { continue };
            let ts_us = session.minute_ts_us(minute);
            prop_assert_eq!(session.minute_index(ts_us), Some(minute));
            prop_assert_eq!(session.minute_index(ts_us + 1), None);
            prop_assert_eq!(calendar.session_containing(ts_us), Ok(session));
        }
    }
}

#[test]
fn regular_minutes_of_a_range_are_those_of_its_sessions() {
    let nyse = Calendar::nyse();
    // A full day, a half day, a holiday, a full day, a weekend.
    assert_eq!(
        nyse.regular_minutes(day("2024-07-02"), day("2024-07-07")),
        390 + 210 + 390
    );
    assert_eq!(
        nyse.regular_minutes(day("2024-07-06"), day("2024-07-07")),
        0
    );
    assert_eq!(
        nyse.regular_minutes(day("2024-07-05"), day("2024-07-02")),
        0
    );
    let always = Calendar::always_open();
    assert_eq!(
        always.regular_minutes(day("2024-07-06"), day("2024-07-07")),
        2 * 1440
    );
    let (first, last) = nyse.coverage();
    let minutes = all_sessions(nyse)
        .into_iter()
        .map(|session| session.expected_range(Segment::Regular).len());
    let all = u64::try_from(minutes.sum::<usize>()).unwrap();
    assert_eq!(nyse.regular_minutes(first, last), all);
    assert_eq!(
        nyse.regular_minutes(day("1970-01-01"), day("2199-12-31")),
        all
    );
    assert_eq!(
        nyse.regular_minutes(day("2190-01-01"), day("2199-12-31")),
        0
    );
}
