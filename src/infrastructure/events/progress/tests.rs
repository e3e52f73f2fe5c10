//! What the progress line promises, on a terminal of the test's own.

use std::sync::Arc;

use indicatif::TermLike;

use super::*;
use crate::domain::job::{JobCounts, JobState};
use crate::domain::{Dataset, JobId, PartitionKey, Timeframe};

/// A terminal that remembers what is written and whether the line is blank.
#[derive(Debug, Clone)]
struct Screen {
    width: u16,
    written: Arc<Mutex<Vec<String>>>,
}

impl Screen {
    fn new(width: u16) -> Self {
        Self {
            width,
            written: Arc::default(),
        }
    }

    fn subscriber(&self) -> ProgressSubscriber {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(self.clone()), 255);
        let width = self.width.into();
        ProgressSubscriber::drawn_on(target, move || width)
    }

    fn texts(&self) -> Vec<String> {
        self.written.lock().unwrap().clone()
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.width
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.written.lock().unwrap().push(text.to_owned());
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.written.lock().unwrap().push("<clear>".to_owned());
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn dataset() -> Dataset {
    "alpaca/sip/raw".parse().unwrap()
}

fn started() -> Event {
    Event::JobStarted {
        job: JobId(1),
        dataset: dataset(),
        symbols: 3,
        units: 2,
        requests: 10,
        expected_rows: 90_000,
    }
}

fn page() -> Event {
    Event::PageFetched {
        job: JobId(1),
        rows: 10_000,
        wire_bytes: 1,
    }
}

fn committed(symbol: &str) -> Event {
    let key = PartitionKey {
        dataset: dataset(),
        timeframe: Timeframe::M1,
        symbol: symbol.parse().unwrap(),
        period: "2024-07".parse().unwrap(),
    };
    Event::PartitionCommitted {
        key,
        rows: 1,
        rows_new: 1,
        rows_revised: 0,
        bytes: 1,
    }
}

fn finished() -> Event {
    Event::JobFinished {
        job: JobId(1),
        state: JobState::Completed,
        counts: JobCounts::default(),
    }
}

fn line_after(events: &[Event], elapsed: Duration) -> String {
    line_of_width(events, elapsed, usize::MAX)
}

fn line_of_width(events: &[Event], elapsed: Duration, room: usize) -> String {
    let mut tally = Tally::default();
    events.iter().for_each(|event| tally.note(event));
    fitting(&tally.parts(elapsed), room)
}

#[test]
fn before_work_begins_only_a_wait_is_shown() {
    let wait = Event::StoreLockAwaited {
        holder: "process 7".into(),
    };
    let second = Duration::from_secs(1);
    let words = "waiting for the store, held by process 7";
    assert_eq!(line_after(&[wait], second), words);
    assert_eq!(line_after(&[page()], second), "");
    assert_eq!(Tally::default().parts(second), []);
}

#[test]
fn the_line_tells_symbols_rows_speed_and_what_is_left() {
    let events = [
        started(),
        page(),
        page(),
        committed("A"),
        committed("A"),
        committed("B"),
    ];
    assert_eq!(
        line_after(&events, Duration::from_secs(4)),
        "2/3 symbols, 20,000 rows, 00:00:16 left, 8 requests left, 5,000 rows/s"
    );
    assert_eq!(
        line_after(&[started()], Duration::ZERO),
        "0/3 symbols, 0 rows, 10 requests left"
    );
}

#[test]
fn no_speed_is_told_before_a_second_has_passed() {
    let events = [started(), page()];
    let line = line_after(&events, Duration::from_millis(1));
    assert!(!line.contains("rows/s"), "{line}");
    let line = line_after(&events, Duration::from_secs(1));
    assert!(line.ends_with("10,000 rows/s"), "{line}");
}

#[test]
fn what_does_not_fit_is_left_out_as_a_whole() {
    let events = [started(), page(), page(), committed("A")];
    let whole = line_after(&events, Duration::from_secs(4));
    let parts: Vec<&str> = whole.split(", ").collect();
    for room in 0..whole.len() {
        let line = line_of_width(&events, Duration::from_secs(4), room);
        assert!(line.len() <= room, "{room}: {line}");
        let mut shown = line.split(", ").filter(|part| !part.is_empty());
        assert!(shown.all(|part| parts.contains(&part)), "{room}: {line}");
    }
    let line = line_of_width(&events, Duration::from_secs(4), 30);
    assert_eq!(line, "1/3 symbols, 20,000 rows");
}

#[test]
fn a_long_wait_is_told_in_as_many_words_as_fit() {
    let wait = Event::RequestRetried {
        attempt: 2,
        wait_ms: 500,
        reason: "the server closed the connection".into(),
    };
    let line = line_of_width(&[started(), wait], Duration::from_secs(1), 60);
    assert_eq!(
        line,
        "0/3 symbols, 0 rows, attempt 2 failed, next in 0.5 s: the…"
    );
}

#[test]
fn more_pages_than_expected_leave_nothing_negative() {
    let mut events = vec![started()];
    events.extend((0..12).map(|_| page()));
    let line = line_after(&events, Duration::from_secs(12));
    assert_eq!(
        line,
        "0/3 symbols, 120,000 rows, 00:00:00 left, 0 requests left, 10,000 rows/s"
    );
}

#[test]
fn a_wait_is_shown_until_the_work_goes_on() {
    let waits = [
        (
            Event::RateLimitWaited { wait_ms: 12_300 },
            "waiting 12.3 s for the rate limit",
        ),
        (
            Event::RequestRetried {
                attempt: 2,
                wait_ms: 500,
                reason: "status 500\n".into(),
            },
            r"attempt 2 failed, next in 0.5 s: status 500\n",
        ),
        (
            Event::CircuitOpened {
                host: "h".into(),
                retry_in_ms: Some(30_000),
            },
            "h does not answer, tried again in 30.0 s",
        ),
        (
            Event::CircuitOpened {
                host: "h".into(),
                retry_in_ms: None,
            },
            "h does not answer and is given up",
        ),
        (
            Event::StoreLockAwaited {
                holder: "process 7".into(),
            },
            "waiting for the store, held by process 7",
        ),
    ];
    for (wait, words) in waits {
        let line = line_after(&[started(), wait.clone()], Duration::from_secs(1));
        assert_eq!(line, format!("0/3 symbols, 0 rows, {words}"));
        for goes_on in [page(), committed("A")] {
            let line = line_after(&[started(), wait.clone(), goes_on], Duration::from_secs(1));
            assert!(!line.contains(words), "{line}");
        }
    }
}

#[test]
fn trouble_is_counted() {
    let symbol = || "A".parse::<Symbol>().unwrap();
    let events = [
        started(),
        Event::BarsQuarantined {
            dataset: dataset(),
            symbol: "A".into(),
            rows: 5,
        },
        Event::ShrinkRefused {
            dataset: dataset(),
            symbol: symbol(),
            date: "2024-07-02".parse().unwrap(),
            stored_rows: 9,
            answered_rows: 1,
        },
        Event::SymbolFailed {
            dataset: dataset(),
            symbol: symbol(),
            kind: "internal",
            reason: "x".into(),
        },
    ];
    assert!(line_after(&events, Duration::ZERO).ends_with(", 3 warnings"));
}

#[test]
fn a_new_job_starts_from_nothing() {
    let line = line_after(
        &[started(), page(), committed("A"), started()],
        Duration::ZERO,
    );
    assert_eq!(line, "0/3 symbols, 0 rows, 10 requests left");
}

#[test]
fn a_narrow_terminal_gets_a_shorter_line_and_never_a_second_one() {
    for width in [10, 40, 200] {
        let screen = Screen::new(width);
        let subscriber = screen.subscriber();
        for event in [
            started(),
            page(),
            committed("A"),
            Event::RateLimitWaited { wait_ms: 1 },
        ] {
            subscriber.receive(&event);
            subscriber.bar.tick();
        }
        let texts = screen.texts();
        assert!(
            texts
                .iter()
                .any(|text| text.contains("symbols") || width == 10),
            "{texts:?}"
        );
        for text in texts {
            assert!(
                text.chars().count() <= usize::from(width),
                "{width}: {text:?}"
            );
        }
    }
}

#[test]
fn the_line_is_gone_when_the_job_is_finished() {
    let screen = Screen::new(80);
    let subscriber = screen.subscriber();
    for event in [started(), page(), finished()] {
        subscriber.receive(&event);
    }
    assert!(subscriber.bar.is_finished());
    let texts = screen.texts();
    let last_clear = texts.iter().rposition(|text| text == "<clear>").unwrap();
    assert!(
        texts[last_clear..]
            .iter()
            .all(|text| !text.contains("symbols")),
        "{texts:?}"
    );
}

#[test]
fn without_a_terminal_nothing_is_drawn() {
    let subscriber = ProgressSubscriber::drawn_on(ProgressDrawTarget::hidden(), || 80);
    for event in [started(), page(), finished()] {
        subscriber.receive(&event);
    }
    assert!(subscriber.bar.is_hidden());
}

#[test]
fn log_lines_are_taken_whether_or_not_a_line_is_drawn() {
    let mut stderr = progress_aware_stderr();
    stderr.write_all(b"").unwrap();
    let subscriber = Screen::new(80).subscriber();
    subscriber.receive(&started());
    stderr.write_all(b"").unwrap();
    stderr.flush().unwrap();
}
