//! The progress line on stderr. Shows what events tell; asks nobody.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{
    FormattedDuration, ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar,
};
use terminal_size::terminal_size_of;

use super::shown;
use crate::domain::ports::EventSubscriber;
use crate::domain::{Event, Symbol, counted, with_thousands};

/// How often the line shows that it is alive.
const TICK: Duration = Duration::from_millis(120);

/// The spinner and a blank.
const BESIDE_LINE: usize = 2;

/// Columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// A speed is told from then on: before, it is mostly chance.
const FIRST_SPEED: Duration = Duration::from_secs(1);

/// The line that is being drawn, if there is one: a terminal has only one last line.
static LINE: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Draws one line: symbols, rows, speed, requests left, time left; or what is being waited for.
///
/// Nothing is drawn where stderr is no terminal. What the terminal is too narrow for is left out, and the line is gone
/// when the job is finished or the subscriber dropped.
pub struct ProgressSubscriber {
    bar: ProgressBar,
    /// Columns of the terminal.
    width: Box<dyn Fn() -> usize + Send + Sync>,
    tally: Mutex<Tally>,
}

/// What was heard of the job so far.
#[derive(Debug, Default)]
struct Tally {
    symbols: usize,
    requests: u64,
    pages: u64,
    rows: u64,
    committed: HashSet<Symbol>,
    warnings: u64,
    /// What is being waited for.
    wait: Option<String>,
    /// Steps that are done, all of them, and what is done in them, where work has steps.
    steps: Option<(usize, usize, &'static str)>,
}

impl ProgressSubscriber {
    /// A line on stderr.
    pub fn new() -> Self {
        let width =
            || terminal_size_of(io::stderr()).map_or(USUAL_WIDTH, |(width, _)| width.0.into());
        Self::drawn_on(ProgressDrawTarget::stderr(), width)
    }

    fn drawn_on(
        target: ProgressDrawTarget,
        width: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        Self {
            bar,
            width: Box::new(width),
            tally: Mutex::default(),
        }
    }

    fn begin(&self) {
        self.bar.reset();
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(TICK);
        }
    }

    /// Draws the line, where whoever writes to stderr knows to clear it.
    fn draw(&self, line: String) {
        if !self.bar.is_hidden() {
            *LINE.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.bar.downgrade());
        }
        self.bar.set_message(line);
    }
}

impl Default for ProgressSubscriber {
    fn default() -> Self {
        Self::new()
    }
}

impl EventSubscriber for ProgressSubscriber {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn receive(&self, event: &Event) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::JobStarted { .. }
            | Event::AggregationStarted { .. }
            | Event::ValidationStarted { .. } => self.begin(),
            Event::JobFinished { .. } => return self.bar.finish_and_clear(),
            _ => {}
        }
        tally.note(event);
        if tally.is_over() {
            return self.bar.finish_and_clear();
        }
        let parts = tally.parts(self.bar.elapsed());
        if !parts.is_empty() {
            let room = (self.width)().saturating_sub(BESIDE_LINE);
            self.draw(fitting(&parts, room));
        }
    }
}

impl Tally {
    fn note(&mut self, event: &Event) {
        match event {
            Event::JobStarted {
                symbols, requests, ..
            } => {
                *self = Self {
                    symbols: *symbols,
                    requests: *requests,
                    ..Self::default()
                };
            }
            Event::PageFetched { rows, .. } => {
                self.pages += 1;
                self.rows += u64::try_from(*rows).unwrap_or(u64::MAX);
                self.wait = None;
            }
            Event::RequestRetried {
                attempt,
                wait_ms,
                reason,
            } => {
                let reason = shown(reason);
                let seconds = seconds(*wait_ms);
                self.wait = Some(format!(
                    "attempt {attempt} failed, next in {seconds}: {reason}"
                ));
            }
            Event::RateLimitWaited { wait_ms } => {
                self.wait = Some(format!("waiting {} for the rate limit", seconds(*wait_ms)));
            }
            Event::CircuitOpened { host, retry_in_ms } => {
                let host = shown(host);
                self.wait = Some(match retry_in_ms {
                    Some(wait_ms) => {
                        format!(
                            "{host} does not answer, tried again in {}",
                            seconds(*wait_ms)
                        )
                    }
                    None => format!("{host} does not answer and is given up"),
                });
            }
            Event::StoreLockAwaited { holder } => {
                self.wait = Some(format!("waiting for the store, held by {}", shown(holder)));
            }
            Event::PartitionCommitted { key, .. } => {
                self.committed.insert(key.symbol.clone());
                self.wait = None;
            }
            Event::BarsQuarantined { .. }
            | Event::ShrinkRefused { .. }
            | Event::SymbolFailed { .. } => {
                self.warnings += 1;
            }
            Event::AggregationStarted { years, .. } => {
                *self = Self {
                    steps: Some((0, *years, "symbol-years aggregated")),
                    ..Self::default()
                };
            }
            Event::AggregationCompleted { rows, .. } => {
                self.rows += u64::try_from(*rows).unwrap_or(u64::MAX);
                self.step_done();
            }
            Event::AggregationFailed { .. } => {
                self.warnings += 1;
                self.step_done();
            }
            Event::ValidationStarted { series } => {
                *self = Self {
                    steps: Some((0, *series, "series checked")),
                    ..Self::default()
                };
            }
            Event::ValidationCompleted { minutes, .. } => {
                self.rows += minutes;
                self.step_done();
            }
            Event::ValidationFailed { .. } => {
                self.warnings += 1;
                self.step_done();
            }
            // Pages and partitions tell as much, and are what goes on.
            Event::JobCounted { .. }
            | Event::RequestAnswered { .. }
            | Event::JobFinished { .. } => {}
        }
    }

    fn step_done(&mut self) {
        self.wait = None;
        if let Some((done, ..)) = &mut self.steps {
            *done += 1;
        }
    }

    /// Whether steps are under way and nothing is left of them.
    fn is_over(&self) -> bool {
        self.steps.is_some_and(|(done, steps, _)| done >= steps)
    }

    /// The parts of the line `elapsed` after the start, the most important first. Without work that has begun only a wait is
    /// worth one.
    fn parts(&self, elapsed: Duration) -> Vec<Part> {
        let wait = self.wait.clone().map(Part::Words);
        if self.steps.is_none() && self.symbols == 0 {
            return wait.into_iter().collect();
        }
        if let Some((done, steps, what)) = self.steps {
            let mut parts = vec![Part::Whole(format!("{done}/{steps} {what}"))];
            let rows = || Part::Whole(counted(self.rows, "row"));
            parts.push(wait.unwrap_or_else(rows));
            if self.warnings > 0 {
                parts.push(Part::Whole(format!(
                    "{} failed",
                    with_thousands(self.warnings)
                )));
            }
            return parts;
        }
        let mut parts = vec![
            Part::Whole(format!("{}/{} symbols", self.committed.len(), self.symbols)),
            Part::Whole(counted(self.rows, "row")),
        ];
        match wait {
            Some(wait) => parts.push(wait),
            None => parts.extend(self.what_is_left(elapsed).into_iter().map(Part::Whole)),
        }
        if self.warnings > 0 {
            let warnings = counted(self.warnings, "warning");
            parts.push(Part::Whole(warnings));
        }
        parts
    }

    fn what_is_left(&self, elapsed: Duration) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some(time_left) = self.time_left(elapsed) {
            parts.push(format!("{} left", FormattedDuration(time_left)));
        }
        let requests_left = self.requests.saturating_sub(self.pages);
        parts.push(format!("{} left", counted(requests_left, "request")));
        if let Some(rate) = per_second(self.rows, elapsed) {
            parts.push(format!("{} rows/s", with_thousands(rate)));
        }
        parts
    }

    /// The time that the requests still expected take at the speed so far; `None` before the first answer.
    fn time_left(&self, elapsed: Duration) -> Option<Duration> {
        let left = u128::from(self.requests.saturating_sub(self.pages));
        let millis = (elapsed.as_millis() * left).checked_div(u128::from(self.pages))?;
        Some(Duration::from_millis(
            u64::try_from(millis).unwrap_or(u64::MAX),
        ))
    }
}

/// What stands between two commas.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Said as a whole or not at all: half a number would be misread.
    Whole(String),
    /// As many of its words as fit.
    Words(String),
}

/// What of `parts` fits into a line of `room` characters, the first of them first.
fn fitting(parts: &[Part], room: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let between = if line.is_empty() { "" } else { ", " };
        let left = room.saturating_sub(line.chars().count() + between.len());
        let text = match part {
            Part::Whole(text) | Part::Words(text) if text.chars().count() <= left => text.clone(),
            Part::Whole(_) => continue,
            Part::Words(text) => match first_words(text, left) {
                Some(words) => words,
                None => continue,
            },
        };
        line.push_str(between);
        line.push_str(&text);
    }
    line
}

/// The first words of a text that is too long, and a sign that there are more; `None` where not one fits.
fn first_words(text: &str, room: usize) -> Option<String> {
    let ends = text.char_indices().filter(|(_, char)| *char == ' ');
    let shown = ends
        .map(|(end, _)| &text[..end])
        .take_while(|words| words.chars().count() < room)
        .last()?;
    Some(format!("{shown}…"))
}

fn per_second(rows: u64, elapsed: Duration) -> Option<u64> {
    if elapsed < FIRST_SPEED {
        return None;
    }
    let rate = (u128::from(rows) * 1000).checked_div(elapsed.as_millis())?;
    u64::try_from(rate).ok()
}

/// A wait in seconds with one digit after the point.
fn seconds(wait_ms: u64) -> String {
    format!("{}.{} s", wait_ms / 1000, wait_ms % 1000 / 100)
}

/// Takes the progress line away, if there is one: what comes next on stderr is the end of the work.
pub fn end_progress_line() {
    let line = LINE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(line) = line.and_then(|line| line.upgrade()) {
        line.finish_and_clear();
    }
}

/// Standard error for log lines: the progress line makes room for them and comes back below.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProgressAwareStderr;

/// A writer for the log, in the form that `tracing_subscriber`'s `with_writer` takes.
pub fn progress_aware_stderr() -> ProgressAwareStderr {
    ProgressAwareStderr
}

impl Write for ProgressAwareStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let line = LINE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bar = line
            .and_then(|line| line.upgrade())
            .filter(|bar| !bar.is_finished());
        match bar {
            Some(bar) => bar.suspend(|| io::stderr().write_all(bytes)),
            None => io::stderr().write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests;
