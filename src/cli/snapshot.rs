//! `snapshot`: the lake of one moment, for readers that know no lock.

use std::time::Duration;

use chrono::DateTime;
use clap::{Args, Subcommand};

use super::exit::{CliError, Exit};
use super::output::{Value, counted, human_bytes};
use super::session::CliSession;
use crate::domain::instant::format_utc;
use crate::infrastructure::lake::{Snapshot, SnapshotName};

const COLUMNS: [&str; 6] = ["name", "made", "files", "rows", "bytes", "path"];

#[derive(Debug, Args)]
pub(super) struct SnapshotArgs {
    /// The snapshot's name [default: the time, such as 20240702T143000Z]
    #[arg(long, value_name = "NAME", value_parser = read_name)]
    name: Option<SnapshotName>,
    /// How long to wait for another process that commits
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
    #[command(subcommand)]
    command: Option<SnapshotCommand>,
}

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    /// The snapshots that there are
    #[command(
        after_help = "Examples:\n  marketpipe snapshot list\n  marketpipe snapshot list --format json"
    )]
    List,
    /// Remove a snapshot; the lake keeps its files
    #[command(
        after_help = "Examples:\n  marketpipe snapshot drop before-repair\n  marketpipe snapshot drop 20240702T143000Z --data-dir /srv/bars"
    )]
    Drop {
        /// Its name
        #[arg(value_parser = read_name)]
        name: SnapshotName,
    },
}

fn read_name(text: &str) -> Result<SnapshotName, String> {
    SnapshotName::parse(text).ok_or_else(|| {
        "expected 1 to 64 letters, digits, points, hyphens and underscores, a letter or digit first"
            .to_owned()
    })
}

/// Makes, lists or removes snapshots.
pub(super) fn run(session: &CliSession, args: SnapshotArgs) -> Result<Exit, CliError> {
    match args.command {
        None => make(session, args.name, Duration::from_secs(args.wait)),
        Some(SnapshotCommand::List) => {
            let snapshots = session.app.list_snapshots()?;
            session.write_rows("snapshots", &COLUMNS, snapshots.iter().map(row))
        }
        Some(SnapshotCommand::Drop { name }) => drop_one(session, &name),
    }
}

fn make(
    session: &CliSession,
    name: Option<SnapshotName>,
    wait: Duration,
) -> Result<Exit, CliError> {
    let now_us = session.app.clock().now_us();
    let by_time = || {
        let time = DateTime::from_timestamp_micros(now_us).unwrap_or_default();
        SnapshotName::parse(&time.format("%Y%m%dT%H%M%SZ").to_string())
    };
    let name = name.or_else(by_time).ok_or_else(|| {
        CliError::new(Exit::Usage, "this moment has no name").with_hint("give it one with --name")
    })?;
    let mut others = session.app.list_snapshots()?.into_iter();
    if others.any(|other| other.name == name) {
        let name = name.as_str();
        return Err(
            CliError::usage(format!("there is a snapshot {name} already")).with_hint(format!(
                "give another --name, or `marketpipe snapshot drop {name}` first"
            )),
        );
    }
    let made = session.app.make_snapshot(&name, session.events(), wait)?;
    let made = made.ok_or_else(|| session.nothing_kept())?;
    session.say(&format!(
        "{}, {}, {} in {}; `--data-dir` of it reads the same",
        counted(made.files, "file"),
        counted(made.rows, "row"),
        human_bytes(made.bytes),
        made.folder.display()
    ));
    session.write_rows("snapshots", &COLUMNS, [row(&made)])
}

fn drop_one(session: &CliSession, name: &SnapshotName) -> Result<Exit, CliError> {
    if session.app.drop_snapshot(name)? {
        session.say(&format!("{} is gone; the lake is as it was", name.as_str()));
        return Ok(Exit::Done);
    }
    Err(CliError::new(
        Exit::Usage,
        format!("there is no snapshot {}", name.as_str()),
    )
    .with_hint("`marketpipe snapshot list` shows all"))
}

fn row(snapshot: &Snapshot) -> Vec<Value> {
    vec![
        Value::Text(snapshot.name.as_str().to_owned()),
        snapshot
            .made_at_us
            .map_or(Value::Null, |made| Value::Text(format_utc(made))),
        Value::UInt(snapshot.files),
        Value::UInt(snapshot.rows),
        Value::UInt(snapshot.bytes),
        Value::Text(snapshot.folder.display().to_string()),
    ]
}
