//! `jobs`: past and running ingests.

use super::args::{JobsArgs, JobsCommand};
use super::exit::{CliError, Exit};
use super::output::Value;
use super::session::CliSession;
use crate::domain::instant::format_utc;
use crate::domain::job::{IngestionJob, JobId};
use crate::domain::ports::{CheckpointRepository, JobRepository, StoreErrorKind};

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

/// Prints jobs, or one job with its units.
pub(super) fn run(session: &CliSession, args: &JobsArgs) -> Result<Exit, CliError> {
    let stores = session.stores()?;
    match args.command {
        JobsCommand::List { limit } => {
            let jobs = stores.jobs.list_jobs(limit)?;
            session.write_rows("jobs", &COLUMNS, jobs.iter().map(row))
        }
        JobsCommand::Show { id } => {
            let job = stores
                .jobs
                .get_job(JobId(id))
                .map_err(|error| match error.kind {
                    StoreErrorKind::Missing => {
                        CliError::new(Exit::Usage, format!("there is no job {id}"))
                            .with_hint("`marketpipe jobs list` shows all")
                    }
                    _ => error.into(),
                })?;
            session.say(&describe(&job));
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
    }
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
        "job {} {}: {}\n  started {}, {finished}\n  {} rows new, {} revised, {} quarantined; {} requests, {} retries{message}",
        job.id(),
        job.state(),
        job.request(),
        format_utc(job.created_at_us()),
        counts.rows_new,
        counts.rows_revised,
        counts.rows_quarantined,
        counts.requests,
        counts.retries,
    )
}
