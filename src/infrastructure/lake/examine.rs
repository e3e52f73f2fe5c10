//! The doctor's look at a data directory: changes nothing, trusts nothing, and says of everything that is not as it
//! should be what to do about it.

mod database;
mod files;
mod place;

use super::DataDirectory;
use crate::domain::{Check, Diagnosis};

/// How closely to look, and when.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Every byte of every file and every page of the database; otherwise names, sizes and what the catalog says.
    pub is_deep: bool,
    /// Now, UTC microseconds.
    pub now_us: i64,
}

/// Of one check, so many findings are told one by one; the others are counted.
const TOLD: usize = 50;

/// Looks at a data directory. Each check says at least one thing.
pub fn examine(directory: &DataDirectory, look: Look) -> Vec<Diagnosis> {
    let mut seen = place::examine(directory);
    if !directory.root().is_dir() {
        return seen;
    }
    let (opened, told) = database::open(directory, look);
    seen.extend(told);
    match &opened {
        Some(database) => {
            seen.extend(place::examine_clock(database, look.now_us));
            seen.extend(database::examine_commits(directory, database));
            seen.extend(database::examine_jobs(directory, database));
            seen.extend(files::examine(directory, database, look));
        }
        None => seen.extend(files::examine_without_catalog(directory)),
    }
    seen
}

/// What a check says: its findings, the first ones in full, or that all is well.
fn told(
    check: Check,
    mut findings: Vec<Diagnosis>,
    all_is_well: impl FnOnce() -> String,
) -> Vec<Diagnosis> {
    if findings.is_empty() {
        return vec![Diagnosis::ok(check, all_is_well())];
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.health));
    if let Some(untold) = findings.get(TOLD..).filter(|untold| !untold.is_empty()) {
        let worst = untold.iter().map(|finding| finding.health).max();
        let message = format!("{} more like these", untold.len());
        let more = Diagnosis::new(check, worst.unwrap_or(crate::domain::Health::Note), message);
        findings.truncate(TOLD);
        findings.push(more);
    }
    findings
}
