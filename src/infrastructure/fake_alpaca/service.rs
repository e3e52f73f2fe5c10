//! Answers one request: checks in the vendor's order, scripted faults, page, counters. Never touches a socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::cache::CachedPage;
use super::config::FakeConfig;
use super::damage::{Damage, damage_page, encode_body};
use super::faults::Fault;
use super::json::{Envelope, write_message, write_page};
use super::page::{Paging, cut_page};
use super::query::{BarsRequest, Standing};
use super::reply::{Coding, Delivery, JSON, Reply};
use super::request::RequestHead;
use super::script::{Encounter, FaultScript, RunningScript};
use super::state::{RateHeaders, State};
use super::stats::{FakeStats, RequestRecord};
use super::tape::Tape;
use super::target::{Query, Route, find_route};

/// A reply and how it travels.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) delivery: Delivery,
}

/// Everything a running server holds.
pub(super) struct Service {
    config: FakeConfig,
    started: Instant,
    state: Mutex<State>,
}

/// What the checks before the data leave to do.
enum Admission {
    /// The answer is known.
    Answered(Reply),
    /// The answer is in memory.
    Cached(CachedPage, RateHeaders),
    /// The page has to be made.
    Admitted(Box<Admitted>),
}

struct Admitted {
    route: Route,
    query: Query,
    tape: Arc<Tape>,
    generation: u64,
    met: Option<Encounter>,
    rate_headers: RateHeaders,
}

/// A page as it will be sent, and what was done to it.
struct Served {
    reply: Reply,
    bars: Option<u64>,
    fault_took_effect: bool,
    cacheable: bool,
}

impl Service {
    pub(super) fn new(tape: Tape, config: FakeConfig) -> Self {
        Self {
            state: Mutex::new(State::new(tape, &config)),
            config,
            started: Instant::now(),
        }
    }

    pub(super) fn latency(&self) -> Duration {
        self.config.latency
    }

    pub(super) fn stats(&self) -> FakeStats {
        self.lock().stats.clone()
    }

    pub(super) fn reset_stats(&self) {
        self.lock().stats = FakeStats::default();
    }

    pub(super) fn count_connection(&self) {
        self.lock().stats.connections += 1;
    }

    pub(super) fn set_faults(&self, script: FaultScript) {
        self.lock().script = RunningScript::new(script);
    }

    pub(super) fn change_tape(&self, change: impl FnOnce(&mut Tape)) {
        self.lock().change_tape(change);
    }

    pub(super) fn set_now(&self, now: DateTime<Utc>) {
        self.lock().set_now(now);
    }

    /// The value of a `Date` header.
    pub(super) fn http_date(&self) -> String {
        let now = self.lock().now();
        now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    /// Answers a request and counts it.
    pub(super) fn answer(&self, head: &RequestHead) -> Answer {
        let arrived = self.started.elapsed();
        let (met, generation, served) = match self.admit(head, arrived) {
            Admission::Answered(reply) => (None, 0, Served::without_page(reply)),
            Admission::Cached(page, rate_headers) => (None, 0, Served::cached(page, rate_headers)),
            Admission::Admitted(admitted) => {
                let served = self.serve(&admitted, head.accepted_coding());
                (admitted.met, admitted.generation, served)
            }
        };
        let fault = met.map(|met| met.fault);
        let delivery = fault.as_ref().map_or(Delivery::Whole, Delivery::of);
        let mut state = self.lock();
        if let Some(bars) = served.bars {
            state.stats.pages += 1;
            state.stats.bars += bars;
            if served.cacheable && generation == state.generation {
                let page = CachedPage {
                    body: served.reply.body.clone(),
                    coding: served.reply.coding,
                    bars,
                };
                state
                    .cache
                    .insert(&head.target, head.accepted_coding(), page);
            }
        }
        state.stats.body_bytes += served.reply.body.len() as u64;
        let record = RequestRecord {
            arrived,
            target: head.target.clone(),
            status: delivery.has_status().then_some(served.reply.status),
            fault: fault
                .filter(|_| served.fault_took_effect)
                .map(|fault| fault.name()),
        };
        state.stats.record(record, self.config.logged_requests);
        Answer {
            reply: served.reply,
            delivery,
        }
    }

    /// Credentials, rate limit, route, script and cache, under one lock.
    fn admit(&self, head: &RequestHead, arrived: Duration) -> Admission {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.stats.requests += 1;
        state.stats.credentials_seen += u64::from(head.has_credentials());
        if head.method != "GET" {
            return Admission::Answered(Reply::nginx(405));
        }
        let authorised = head.header("apca-api-key-id") == Some(&self.config.key_id)
            && head.header("apca-api-secret-key") == Some(&self.config.secret);
        if !authorised {
            return Admission::Answered(Reply::nginx(401));
        }
        let rate_headers = match state.take_rate_token(arrived) {
            Ok(headers) => headers,
            Err(refusal) => return Admission::Answered(refusal),
        };
        let Some(route) = find_route(&head.target) else {
            return Admission::Answered(Reply::message(404, "endpoint not found."));
        };
        if state.script.is_empty()
            && let Some(page) = state.cache.find(&head.target, head.accepted_coding())
        {
            state.stats.cache_hits += 1;
            return Admission::Cached(page, rate_headers);
        }
        let query = Query::decode(&head.target);
        let symbols = match &route {
            Route::Multi => query.find("symbols").unwrap_or_default(),
            Route::Single(symbol) => symbol,
        };
        let met = state.script.meet(symbols, query.find("page_token"));
        Admission::Admitted(Box::new(Admitted {
            route,
            query,
            tape: Arc::clone(&state.tape),
            generation: state.generation,
            met,
            rate_headers,
        }))
    }

    /// Makes the answer to an admitted request; no lock is held.
    fn serve(&self, admitted: &Admitted, accepted: Coding) -> Served {
        let fault = admitted.met.as_ref().map(|met| &met.fault);
        if let Some(reply) = fault.and_then(Reply::in_place_of_page) {
            return Served {
                fault_took_effect: true,
                ..Served::without_page(reply)
            };
        }
        let standing = Standing {
            now_ns: self.lock().now().timestamp_nanos_opt().unwrap_or(i64::MAX),
            real_time: self.config.real_time,
        };
        let spoiled = fault.is_some_and(Fault::spoils_any_answer);
        let mut request = match BarsRequest::parse(&admitted.route, &admitted.query, standing) {
            Ok(request) => request,
            Err(refusal) => {
                let text = write_message(&refusal.message);
                return Served {
                    fault_took_effect: spoiled,
                    ..Served::without_page(coded_json(refusal.status, text, accepted, fault))
                };
            }
        };
        if let Some(Fault::ShortPages(bars)) = fault {
            request.limit = request.limit.min(*bars).max(1);
        }
        let paging = Paging {
            token_style: self.config.token_style,
            walk_end: self.config.walk_end,
        };
        let mut page = cut_page(&admitted.tape, &request, paging);
        let damage = admitted.met.as_ref().map_or_else(Damage::default, |met| {
            damage_page(&mut page, met, &request, paging.token_style)
        });
        let envelope = Envelope {
            single: match &admitted.route {
                Route::Multi => None,
                Route::Single(symbol) => Some(symbol),
            },
            currency: request.currency.as_deref(),
        };
        let edit = match &damage {
            Damage::Value(edit) => Some(edit),
            Damage::None | Damage::Page => None,
        };
        let text = write_page(&page, edit, envelope);
        let mut reply = coded_json(200, text, accepted, fault);
        reply.headers.clone_from(&admitted.rate_headers);
        Served {
            reply,
            bars: Some(page.bar_count() as u64),
            fault_took_effect: damage != Damage::None || spoiled,
            cacheable: fault.is_none() && !request.open_window,
        }
    }

    /// A panic elsewhere leaves counters behind, not broken ones.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Served {
    fn without_page(reply: Reply) -> Self {
        Self {
            reply,
            bars: None,
            fault_took_effect: false,
            cacheable: false,
        }
    }

    fn cached(page: CachedPage, rate_headers: RateHeaders) -> Self {
        let mut reply = Reply::new(200, JSON, page.body);
        reply.coding = page.coding;
        reply.headers = rate_headers;
        Self {
            bars: Some(page.bars),
            ..Self::without_page(reply)
        }
    }
}

fn coded_json(status: u16, text: Vec<u8>, accepted: Coding, fault: Option<&Fault>) -> Reply {
    let (body, coding) = encode_body(text, accepted, fault);
    let mut reply = Reply::new(status, JSON, body);
    reply.coding = coding;
    reply
}
