//! `jobs`: past and running ingests; going on with one, ending one, forgetting old ones.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::args::LimitArgs;
use super::dates::read_age;
use super::exit::{CliError, Exit};
use super::order::{IngestOrder, RunLimits};
use super::output::{Value, counted, with_thousands};
use super::session::CliSession;
use crate::app::Stores;
use crate::domain::instant::format_utc;
use crate::domain::job::{IngestionJob, JobId, JobState};
use crate::domain::ports::{CheckpointRepository, JobRepository, StoreErrorKind};

#[derive(Debug, Args)]
pub(super) struct JobsArgs {
    #[command(subcommand)]
    pub(super) command: JobsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// The newest jobs first
    #[command(
        after_help = "Examples:\n  marketpipe jobs list\n  marketpipe jobs list --limit 5 --format json"
    )]
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// One job and how far its units are
    #[command(
        after_help = "Examples:\n  marketpipe jobs show 12\n  marketpipe jobs show 12 --format json"
    )]
    Show {
        /// Its number
        id: i64,
    },
    /// Go on with a job that ended before its work was done
    #[command(
        after_help = "Examples:\n  marketpipe jobs resume 12\n  marketpipe jobs resume 12 --max-runtime 3600"
    )]
    Resume {
        /// Its number
        id: i64,
        #[command(flatten)]
        limits: LimitArgs,
    },
    /// End a job, whoever runs it; what it has committed is kept
    #[command(
        after_help = "Examples:\n  marketpipe jobs cancel 12\n  marketpipe jobs cancel 12 --data-dir /srv/bars"
    )]
    Cancel {
        /// Its number
        id: i64,
    },
    /// Forget jobs that ended long ago; those that quarantine or revisions refer to stay
    #[command(
        after_help = "Examples:\n  marketpipe jobs prune --older-than 90d\n  marketpipe jobs prune --older-than 12h"
    )]
    Prune {
        /// An age in weeks, days, hours or minutes: 13w, 90d, 12h, 30m
        #[arg(long, value_name = "AGE", value_parser = read_age)]
        older_than: Duration,
    },
}

const COLUMNS: [&str; 14] = [
    "id",
    "state",
    "started",
    "finished",
    "request",
    "rows_new",
    "rows_revised",
    "rows_quarantined",
    "requests",
    "retries",
    "wire_bytes",
    "files_written",
    "files_unchanged",
    "message",
];

/// What a narrow terminal can do without, the least missed first.
const COLUMNS_TO_DROP: [&str; 8] = [
    "files_unchanged",
    "files_written",
    "wire_bytes",
    "retries",
    "requests",
    "rows_quarantined",
    "rows_revised",
    "finished",
];

/// Prints jobs, or does what is wanted of one.
pub(super) fn run(session: &CliSession, command: JobsCommand) -> Result<Exit, CliError> {
    match command {
        JobsCommand::List { limit } => {
            let jobs = session.job_stores()?.jobs.list_jobs(limit)?;
            let rows = jobs.iter().map(row).collect();
            session.write_fitting("jobs", &COLUMNS, rows, &COLUMNS_TO_DROP)
        }
        JobsCommand::Show { id } => show(session, id),
        JobsCommand::Resume { id, limits } => resume(session, id, RunLimits::of(&limits)),
        JobsCommand::Cancel { id } => cancel(session, id),
        JobsCommand::Prune { older_than } => prune(session, older_than),
    }
}

/// A job, or the message that there is none.
pub(super) fn get_job(stores: &Stores, id: i64) -> Result<IngestionJob, CliError> {
    stores
        .jobs
        .get_job(JobId(id))
        .map_err(|error| match error.kind {
            StoreErrorKind::Missing => CliError::new(Exit::Usage, format!("there is no job {id}"))
                .with_hint("`marketpipe jobs list` shows all"),
            _ => error.into(),
        })
}

fn show(session: &CliSession, id: i64) -> Result<Exit, CliError> {
    let stores = session.job_stores()?;
    session.say(&describe(&get_job(&stores, id)?));
    let units = stores.checkpoints.list_checkpoints(JobId(id))?;
    let rows = units.iter().map(|unit| {
        vec![
            Value::UInt(unit.unit.into()),
            Value::Text(unit.description.clone()),
            Value::UInt(unit.committed.into()),
            Value::UInt(unit.total.into()),
        ]
    });
    session.write_rows(
        "job",
        &["unit", "covers", "partitions_committed", "partitions"],
        rows,
    )
}

/// Goes on with a job: what it asked for and what is not there yet.
fn resume(session: &CliSession, id: i64, limits: RunLimits) -> Result<Exit, CliError> {
    let job = get_job(&session.job_stores()?, id)?;
    match job.state() {
        JobState::Completed => {
            session.say(&format!(
                "job {id} is completed: there is nothing to go on with"
            ));
            return Ok(Exit::Done);
        }
        JobState::Pending | JobState::Running => {
            let owner = job.owner();
            let message = format!(
                "job {id} is at work in process {} on {}",
                owner.pid, owner.host
            );
            return Err(CliError::new(Exit::TryLater, message)
                .with_hint(format!("`marketpipe jobs cancel {id}` ends it")));
        }
        JobState::Cancelled => {
            return Err(
                CliError::new(Exit::Usage, format!("job {id} was cancelled"))
                    .with_hint("run its command again: what was committed is kept"),
            );
        }
        JobState::Partial | JobState::Failed | JobState::Interrupted => {}
    }
    let order = job.spec().map(IngestOrder::from_spec).transpose();
    let order = order.map_err(|error| {
        let message = format!("the request of job {id} cannot be read: {error}");
        CliError::new(Exit::Storage, message).with_hint("run its command again")
    })?;
    let Some(order) = order else {
        let message = format!(
            "job {id} cannot go on by itself: it is an import, or an older version made it"
        );
        return Err(CliError::new(Exit::Usage, message)
            .with_hint(format!("run its command again: {}", job.request())));
    };
    session.say(&format!("job {id} goes on: {}", job.request()));
    order.run(session, limits, Some(job))?.tell(session)
}

/// Ends a job: a running one is asked to, one that might be resumed is closed for good.
fn cancel(session: &CliSession, id: i64) -> Result<Exit, CliError> {
    let stores = session.stores_to_change_jobs()?;
    let job = get_job(&stores, id)?;
    if stores.jobs.request_cancel(job.id())? {
        let pid = job.owner().pid;
        session.say(&format!(
            "job {id} ends within a few seconds (process {pid}); what it has committed is kept"
        ));
        return Ok(Exit::Done);
    }
    let job = get_job(&stores, id)?;
    if matches!(job.state(), JobState::Completed | JobState::Cancelled) {
        session.say(&format!("job {id} is {} already", job.state()));
        return Ok(Exit::Done);
    }
    let (from, counts) = (job.state(), *job.counts());
    let message = Some(format!("cancelled after it was {from}"));
    let now_us = session.app.clock().now_us();
    let cancelled = job.finish(JobState::Cancelled, counts, message, now_us);
    let cancelled = cancelled.map_err(|error| CliError::new(Exit::Bug, error.to_string()))?;
    stores.jobs.claim_job(&cancelled, from)?;
    session.say(&format!(
        "job {id} is cancelled; what it has committed is kept"
    ));
    Ok(Exit::Done)
}

fn prune(session: &CliSession, older_than: Duration) -> Result<Exit, CliError> {
    let stores = session.stores_to_change_jobs()?;
    let age_us = i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX);
    let before_us = session.app.clock().now_us().saturating_sub(age_us);
    let pruned = stores.jobs.prune_jobs(before_us)?;
    let kept = match pruned.kept {
        0 => String::new(),
        1 => "; one stays because quarantine or revisions refer to it".to_owned(),
        kept => format!(
            "; {} stay because quarantine or revisions refer to them",
            with_thousands(kept)
        ),
    };
    session.say(&format!(
        "forgotten: {}{kept}",
        counted(pruned.deleted, "job")
    ));
    Ok(Exit::Done)
}

fn row(job: &IngestionJob) -> Vec<Value> {
    let counts = job.counts();
    vec![
        Value::Int(job.id().0),
        Value::Text(job.state().to_string()),
        Value::Text(format_utc(job.created_at_us())),
        job.finished_at_us()
            .map_or(Value::Null, |at_us| Value::Text(format_utc(at_us))),
        Value::Text(job.request().to_owned()),
        Value::UInt(counts.rows_new),
        Value::UInt(counts.rows_revised),
        Value::UInt(counts.rows_quarantined),
        Value::UInt(counts.requests),
        Value::UInt(counts.retries),
        Value::UInt(counts.wire_bytes),
        Value::UInt(counts.files_written),
        Value::UInt(counts.files_unchanged),
        job.message()
            .map_or(Value::Null, |message| Value::Text(message.to_owned())),
    ]
}

/// A job in a few lines for people.
fn describe(job: &IngestionJob) -> String {
    let counts = job.counts();
    let finished = job.finished_at_us().map_or_else(
        || "not finished".to_owned(),
        |at_us| format!("finished {}", format_utc(at_us)),
    );
    let message = job
        .message()
        .map(|message| format!("\n  {message}"))
        .unwrap_or_default();
    format!(
        "job {} {}: {}\n  started {}, {finished}\n  {} new, {} revised, {} quarantined; {} ({} repeated){message}",
        job.id(),
        job.state(),
        job.request(),
        format_utc(job.created_at_us()),
        counted(counts.rows_new, "row"),
        with_thousands(counts.rows_revised),
        with_thousands(counts.rows_quarantined),
        counted(counts.requests, "request"),
        with_thousands(counts.retries),
    )
}
