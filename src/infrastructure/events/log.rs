//! Events as log lines. Decides how loud each of them is, and nothing else.

use std::sync::{Mutex, PoisonError};

use tracing::{debug, info, warn};

use super::shown;
use crate::domain::Event;
use crate::domain::ports::EventSubscriber;

/// Waits from here on are told even where waiting is normal, milliseconds.
const LONG_WAIT_MS: u64 = 10_000;

/// Writes events to the log.
///
/// Warnings are what may need a person: failures, refusals, repetitions, and waits for others. Waits for the
/// rate limit belong to every large run and are told only when they are long. Pages and files are details.
#[derive(Debug, Default)]
pub struct LogSubscriber {
    /// For whom the last wait for the store was: to tell it again would say nothing new.
    told_holder: Mutex<Option<String>>,
}

impl LogSubscriber {
    fn is_told(&self, holder: &str) -> bool {
        let mut told = self
            .told_holder
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_told = told.as_deref() == Some(holder);
        *told = Some(holder.to_owned());
        is_told
    }
}

impl EventSubscriber for LogSubscriber {
    fn name(&self) -> &'static str {
        "log"
    }

    fn receive(&self, event: &Event) {
        match event {
            Event::JobStarted {
                job,
                symbols,
                units,
                requests,
                expected_rows,
                ..
            } => {
                info!(%job, symbols, units, requests, expected_rows, "job started");
            }
            Event::PageFetched {
                job,
                rows,
                wire_bytes,
            } => {
                debug!(%job, rows, wire_bytes, "page fetched");
            }
            Event::JobCounted { dataset, counts } => {
                debug!(
                    rows_received = counts.rows_received,
                    rows_new = counts.rows_new,
                    requests = counts.requests,
                    "counted {dataset}"
                );
            }
            Event::RequestAnswered {
                host,
                result,
                took_us,
            } => {
                let result = result.as_str();
                debug!(result, took_us, "request to {}", shown(host));
            }
            Event::RequestRetried {
                attempt,
                wait_ms,
                reason,
            } => {
                warn!(
                    attempt,
                    wait_ms,
                    "request failed and is repeated: {}",
                    shown(reason)
                );
            }
            Event::RateLimitWaited { wait_ms } if *wait_ms >= LONG_WAIT_MS => {
                info!(wait_ms, "waiting for the rate limit");
            }
            Event::RateLimitWaited { wait_ms } => debug!(wait_ms, "waiting for the rate limit"),
            Event::CircuitOpened {
                host,
                retry_in_ms: Some(wait_ms),
            } => {
                let wait_s = wait_ms.div_ceil(1000);
                warn!(
                    "{} does not answer; it is tried again in {wait_s} s",
                    shown(host)
                );
            }
            Event::CircuitOpened {
                host,
                retry_in_ms: None,
            } => warn!("{} does not answer and is given up", shown(host)),
            Event::StoreLockAwaited { holder } if self.is_told(holder) => {
                debug!("waiting for the store, which is held by {}", shown(holder));
            }
            Event::StoreLockAwaited { holder } => {
                warn!("waiting for the store, which is held by {}", shown(holder));
            }
            Event::PartitionCommitted {
                key,
                rows,
                rows_new,
                rows_revised,
                bytes,
            } => {
                debug!(rows, rows_new, rows_revised, bytes, "committed {key}");
            }
            Event::BarsQuarantined { symbol, rows, .. } => {
                warn!(
                    rows,
                    "bars of {} break a rule and are in quarantine",
                    shown(symbol)
                );
            }
            Event::ShrinkRefused {
                symbol,
                date,
                stored_rows,
                answered_rows,
                ..
            } => {
                warn!(
                    stored_rows,
                    answered_rows,
                    "answer for {symbol} on {date} is much shorter than what is stored and was \
                     refused; --accept-shrink takes it"
                );
            }
            Event::SymbolFailed { symbol, reason, .. } => {
                // The closing summary lists them; a unit of two hundred symbols fails as one.
                info!("{symbol} failed: {}", shown(reason));
            }
            Event::AggregationStarted { years, files } => {
                info!(years, files, "aggregation started");
            }
            Event::AggregationCompleted {
                dataset,
                symbol,
                year,
                files_written,
                files_unchanged,
                rows,
                bytes,
            } => {
                debug!(
                    files_written,
                    files_unchanged, rows, bytes, "aggregated {dataset} {symbol} {year}"
                );
            }
            Event::AggregationFailed {
                dataset,
                symbol,
                year,
                reason,
            } => {
                // The closing summary lists them.
                info!(
                    "aggregating {dataset} {symbol} {year} failed: {}",
                    shown(reason)
                );
            }
            Event::ValidationStarted { series } => info!(series, "validation started"),
            Event::ValidationCompleted {
                dataset,
                symbol,
                minutes,
                errors,
                warnings,
            } => {
                debug!(minutes, errors, warnings, "checked {dataset} {symbol}");
            }
            Event::ValidationFailed {
                dataset,
                symbol,
                reason,
            } => {
                // The closing summary lists them.
                info!("checking {dataset} {symbol} failed: {}", shown(reason));
            }
            Event::JobFinished { job, state, counts } => {
                info!(
                    %job,
                    %state,
                    rows_new = counts.rows_new,
                    rows_revised = counts.rows_revised,
                    rows_quarantined = counts.rows_quarantined,
                    requests = counts.requests,
                    retries = counts.retries,
                    "job finished"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::EnvFilter;

    use super::*;
    use crate::domain::JobId;
    use crate::domain::event::RequestResult;
    use crate::domain::job::{JobCounts, JobState};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log says of `events` under `filter`.
    fn logged(filter: &str, events: &[Event]) -> String {
        let written = Written::default();
        let out = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_writer(move || out.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let log = LogSubscriber::default();
            events.iter().for_each(|event| log.receive(event));
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// One event of each kind.
    fn every_kind() -> Vec<Event> {
        let job = JobId(7);
        let symbol = || "AAPL".parse().unwrap();
        let dataset = || "alpaca/sip/raw".parse().unwrap();
        let key = crate::domain::PartitionKey {
            dataset: dataset(),
            timeframe: crate::domain::Timeframe::M1,
            symbol: symbol(),
            period: "2024-07".parse().unwrap(),
        };
        vec![
            Event::JobStarted {
                job,
                dataset: dataset(),
                symbols: 1,
                units: 2,
                requests: 3,
                expected_rows: 4,
            },
            Event::PageFetched {
                job,
                rows: 5,
                wire_bytes: 6,
            },
            Event::JobCounted {
                dataset: dataset(),
                counts: JobCounts::default(),
            },
            Event::RequestAnswered {
                host: "data.alpaca.markets".into(),
                result: RequestResult::Ok,
                took_us: 1,
            },
            Event::RequestRetried {
                attempt: 1,
                wait_ms: 250,
                reason: "status 500".into(),
            },
            Event::RateLimitWaited { wait_ms: 300 },
            Event::CircuitOpened {
                host: "data.alpaca.markets".into(),
                retry_in_ms: Some(30_000),
            },
            Event::StoreLockAwaited {
                holder: "process 12".into(),
            },
            Event::PartitionCommitted {
                key,
                rows: 7,
                rows_new: 8,
                rows_revised: 9,
                bytes: 10,
            },
            Event::BarsQuarantined {
                dataset: dataset(),
                symbol: "AAPL".into(),
                rows: 11,
            },
            Event::ShrinkRefused {
                dataset: dataset(),
                symbol: symbol(),
                date: "2024-07-02".parse().unwrap(),
                stored_rows: 12,
                answered_rows: 13,
            },
            Event::SymbolFailed {
                dataset: dataset(),
                symbol: symbol(),
                kind: "invalid_symbol",
                reason: "no such symbol".into(),
            },
            Event::AggregationStarted { years: 1, files: 2 },
            Event::AggregationCompleted {
                dataset: dataset(),
                symbol: symbol(),
                year: 2024,
                files_written: 1,
                files_unchanged: 2,
                rows: 3,
                bytes: 4,
            },
            Event::AggregationFailed {
                dataset: dataset(),
                symbol: symbol(),
                year: 2024,
                reason: "no such file".into(),
            },
            Event::ValidationStarted { series: 1 },
            Event::ValidationCompleted {
                dataset: dataset(),
                symbol: symbol(),
                minutes: 390,
                errors: 1,
                warnings: 2,
            },
            Event::ValidationFailed {
                dataset: dataset(),
                symbol: symbol(),
                reason: "no such file".into(),
            },
            Event::JobFinished {
                job,
                state: JobState::Completed,
                counts: JobCounts::default(),
            },
        ]
    }

    #[test]
    fn every_kind_of_event_has_its_line() {
        assert_eq!(
            logged("debug", &every_kind()).lines().count(),
            every_kind().len()
        );
    }

    #[test]
    fn by_default_only_what_may_need_a_person_is_told() {
        let text = logged("warn", &every_kind());
        let expected = [
            "request failed and is repeated: status 500",
            "data.alpaca.markets does not answer; it is tried again in 30 s",
            "waiting for the store, which is held by process 12",
            "bars of AAPL break a rule and are in quarantine",
            "answer for AAPL on 2024-07-02 is much shorter",
        ];
        assert_eq!(text.lines().count(), expected.len(), "{text}");
        for (line, words) in text.lines().zip(expected) {
            assert!(line.contains("WARN") && line.contains(words), "{line}");
        }
    }

    #[test]
    fn a_wait_for_the_same_holder_is_told_once() {
        let wait = |holder: &str| Event::StoreLockAwaited {
            holder: holder.to_owned(),
        };
        let text = logged(
            "warn",
            &[wait("process 1"), wait("process 1"), wait("process 2")],
        );
        let told: Vec<&str> = text.lines().collect();
        assert_eq!(told.len(), 2, "{text}");
        assert!(told[1].ends_with("process 2"), "{text}");
    }

    #[test]
    fn jobs_and_long_waits_are_told_on_request() {
        let mut events = every_kind();
        events.push(Event::RateLimitWaited { wait_ms: 45_000 });
        let text = logged("info", &events);
        let told: Vec<&str> = text.lines().filter(|line| line.contains("INFO")).collect();
        let expected = [
            "job started job=7",
            "AAPL failed: no such symbol",
            "aggregation started",
            "aggregating alpaca/sip/raw AAPL 2024 failed",
            "validation started",
            "checking alpaca/sip/raw AAPL failed",
            "state=completed",
            "waiting for the rate limit wait_ms=45000",
        ];
        assert_eq!(told.len(), expected.len(), "{text}");
        for (line, words) in told.iter().zip(expected) {
            assert!(line.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn foreign_words_stay_on_their_line() {
        let reason = "bad\n\u{1b}[2JWARN faked".to_owned();
        let text = logged(
            "warn",
            &[Event::RequestRetried {
                attempt: 1,
                wait_ms: 1,
                reason,
            }],
        );
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(text.contains(r"bad\n\u{1b}[2JWARN faked"), "{text:?}");
    }
}
