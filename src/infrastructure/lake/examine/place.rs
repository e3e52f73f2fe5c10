//! The folder itself: whether it is there, may be written, has room and lies on a file system that keeps its promises;
//! and the clock, by what was recorded.

use std::path::Path;

use crate::domain::instant::format_utc;
use crate::domain::{Calendar, Check, Diagnosis, Health, SessionDate};
use crate::infrastructure::disk;
use crate::infrastructure::lake::DataDirectory;
use crate::infrastructure::sqlite::{Database, newest_instant_us};

/// With less than this an ingest may run out of room before it ends.
const LITTLE_ROOM_BYTES: u64 = 1 << 30;

/// The calendar should reach so far beyond today: less means that the program is old.
const CALENDAR_AHEAD_DAYS: i32 = 30;

const DAY_US: i64 = 86_400_000_000;

/// A clock may be set back by so much without a word.
const CLOCK_SLACK_US: i64 = 5 * 60 * 1_000_000;

/// Looks at the folder.
pub(super) fn examine(directory: &DataDirectory) -> Vec<Diagnosis> {
    let root = directory.root();
    let at = |health, message: &str| {
        Diagnosis::new(Check::Directory, health, message).of(root.display().to_string())
    };
    match root.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![at(Health::Note, "nothing is kept here yet").remedy(
                "`marketpipe ingest` makes it; `--data-dir` or MARKETPIPE_DATA_DIR names another",
            )];
        }
        Err(error) => {
            return vec![
                at(Health::Error, &format!("cannot be looked at: {error}"))
                    .remedy("check the permissions of the folders above it"),
            ];
        }
        Ok(found) if !found.is_dir() => {
            return vec![
                at(Health::Error, "is not a folder").remedy("name another with --data-dir"),
            ];
        }
        Ok(_) => {}
    }
    let mut findings = Vec::new();
    if !disk::may_write_in(root) {
        findings.push(
            at(
                Health::Warning,
                "may not be written: nothing can be ingested or repaired, only read",
            )
            .remedy(format!(
                "chown or chmod {}, or run as its owner",
                root.display()
            )),
        );
    }
    if disk::is_writable_by_all(root) {
        findings.push(
            at(
                Health::Warning,
                "may be written by everybody on this machine",
            )
            .remedy(format!("chmod o-w {}", root.display())),
        );
    }
    if let Some(kind) = disk::network_file_system(root) {
        findings.push(
            at(
                Health::Warning,
                &format!(
                    "lies on a network file system ({kind}), whose locks and renames may fail"
                ),
            )
            .remedy("keep the lake on a local disk and copy it from there"),
        );
    }
    for folder in [directory.lake(), directory.staging()] {
        if folder.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            findings.push(
                Diagnosis::new(
                    Check::Directory,
                    Health::Error,
                    "is not a folder of its own but a link or a file",
                )
                .of(folder.display().to_string())
                .remedy("move the data directory as a whole instead, and name it with --data-dir"),
            );
        }
    }
    if disk::are_on_different_file_systems(&directory.lake(), &directory.staging()) {
        findings.push(
            Diagnosis::new(
                Check::Directory,
                Health::Error,
                "lies on another file system than the lake: finished files cannot be moved into it",
            )
            .of(directory.staging().display().to_string())
            .remedy("keep staging/ and lake/ on one file system"),
        );
    }
    let room = disk::free_bytes(root);
    if let Some(bytes) = room.filter(|&bytes| bytes < LITTLE_ROOM_BYTES) {
        findings.push(
            at(
                Health::Warning,
                &format!("only {} MiB are free", bytes >> 20),
            )
            .remedy("free some space before the next ingest; what is committed is safe"),
        );
    }
    super::told(Check::Directory, findings, || describe(root, room))
}

fn describe(root: &Path, room: Option<u64>) -> String {
    let room = room.map_or_else(String::new, |bytes| format!(", {:.1} GiB free", gib(bytes)));
    format!("{}{room}", root.display())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// Looks at the clock and how far the calendar reaches.
pub(super) fn examine_clock(database: &Database, now_us: i64) -> Vec<Diagnosis> {
    let mut findings = Vec::new();
    match newest_instant_us(database) {
        Ok(Some(newest_us)) if newest_us > now_us + CLOCK_SLACK_US => findings.push(
            Diagnosis::new(
                Check::Clock,
                Health::Warning,
                format!(
                    "says {}, but something was recorded at {}: it was set back, or was ahead then",
                    format_utc(now_us),
                    format_utc(newest_us)
                ),
            )
            .remedy("set the clock; sessions that were recorded ahead of time are asked for again with `ingest --refresh`"),
        ),
        Ok(_) => {}
        Err(error) => findings.push(Diagnosis::new(Check::Clock, Health::Error, error.to_string())),
    }
    let (_, last) = Calendar::nyse().coverage();
    let today = i32::try_from(now_us.div_euclid(DAY_US))
        .ok()
        .and_then(SessionDate::from_days_since_epoch);
    let is_short = today.is_none_or(|today| {
        today.days_since_epoch() + CALENDAR_AHEAD_DAYS > last.days_since_epoch()
    });
    if is_short {
        findings.push(
            Diagnosis::new(
                Check::Clock,
                Health::Warning,
                format!(
                    "says {}, and the calendar is known until {last} only",
                    format_utc(now_us)
                ),
            )
            .remedy("set the clock, or install a newer marketpipe"),
        );
    }
    super::told(Check::Clock, findings, || {
        format!("{}, calendar known until {last}", format_utc(now_us))
    })
}
