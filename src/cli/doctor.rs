//! `doctor`: looks at everything that is kept, says what to do about each thing that is not as it should be, and makes
//! the catalog anew where that is what to do.

use std::time::Duration;

use clap::Args;

use super::exit::{CliError, Exit};
use super::output::{OutputFormat, Value, counted, escape_for_terminal, with_thousands};
use super::session::{CliSession, terminal_width};
use crate::app::Rebuilt;
use crate::domain::{Check, Diagnosis, Health, PartitionKey};
use crate::infrastructure::lake::Reconciled;

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe doctor
  marketpipe doctor --deep
  marketpipe doctor --rebuild-catalog

Looks and changes nothing, unless --rebuild-catalog is given. Exit code 7: something is lost or damaged; 5: the \
configuration is wrong; 3: --rebuild-catalog set something aside or left it. `marketpipe validate` looks at what the bars \
say; this looks at what holds them.";

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Read every byte of every file and check every page of the database
    #[arg(long)]
    pub(super) deep: bool,
    /// Make the catalog anew of what the lake holds: files that are not there count as lost (is the lake's disk mounted?), a
    /// database that cannot be used is set aside, nothing is deleted
    #[arg(long)]
    pub(super) rebuild_catalog: bool,
    /// How long to wait for another process that commits
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(super) wait: u64,
}

const COLUMNS: [&str; 5] = ["check", "health", "subject", "message", "remedy"];

/// Prints what the doctor saw; exit 7 where bars are in danger, 5 where the configuration is wrong, 3 where a new catalog
/// could not take all that lay in the lake.
pub(super) fn run(session: &CliSession, args: &DoctorArgs) -> Result<Exit, CliError> {
    let mut has_lost = false;
    if args.rebuild_catalog {
        let wait = Duration::from_secs(args.wait);
        let rebuilt = session.app.rebuild_catalog(session.events(), wait)?;
        tell_rebuilt(session, &rebuilt);
        has_lost = !rebuilt.files.set_aside.is_empty() || !rebuilt.files.left.is_empty();
    }
    let seen = session.app.examine(args.deep);
    if session.format() == OutputFormat::Table {
        let width = terminal_width().map_or(120, usize::from);
        session.write_text(&as_page(&seen, width))?;
    } else {
        session.write_rows("doctor", &COLUMNS, seen.iter().map(row))?;
    }
    let count = |health| seen.iter().filter(|seen| seen.health == health).count() as u64;
    let (errors, warnings) = (count(Health::Error), count(Health::Warning));
    if errors + warnings == 0 {
        session.say("nothing is wrong");
    } else {
        session.say(&format!(
            "{}, {}",
            counted(errors, "error"),
            counted(warnings, "warning")
        ));
    }
    let is_wrong = |seen: &Diagnosis| seen.health == Health::Error;
    Ok(
        match seen
            .iter()
            .filter(|seen| is_wrong(seen))
            .map(|seen| seen.check)
            .max()
        {
            // Catalog and lake agree again, and still something is not as it was.
            None if has_lost => Exit::Partial,
            None => Exit::Done,
            Some(Check::Configuration) => Exit::Configuration,
            Some(_) => Exit::Storage,
        },
    )
}

/// For people: one check below the other, long words on lines of their own, what to do below what was seen.
fn as_page(seen: &[Diagnosis], width: usize) -> String {
    const INDENT: usize = 26;
    let mut page = String::new();
    for seen in seen {
        let head = format!("{:<8} {:<16} ", seen.health.as_str(), seen.check.as_str());
        let subject = seen
            .subject
            .as_ref()
            .map_or_else(String::new, |subject| format!("{subject}: "));
        let message = escape_for_terminal(&format!("{subject}{}", seen.message)).into_owned();
        page.push_str(&head);
        page.push_str(&wrapped(&message, INDENT, width));
        if let Some(remedy) = &seen.remedy {
            page.push_str(&" ".repeat(INDENT));
            page.push_str(&wrapped(
                &format!("-> {}", escape_for_terminal(remedy)),
                INDENT + 3,
                width,
            ));
        }
    }
    page
}

/// `text` broken between words so that no line but an unbreakable one is longer than `width`, from the second line on
/// indented; the first line begins at the indent already.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut column = indent;
    for (number, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if number > 0 && column + 1 + length > width {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            column = indent;
        } else if number > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines.push('\n');
    lines
}

fn row(seen: &Diagnosis) -> Vec<Value> {
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    vec![
        Value::Text(seen.check.to_string()),
        Value::Text(seen.health.to_string()),
        text(&seen.subject),
        Value::Text(seen.message.clone()),
        text(&seen.remedy),
    ]
}

fn tell_rebuilt(session: &CliSession, rebuilt: &Rebuilt) {
    if let Some(old) = &rebuilt.old_database {
        session.say(&format!(
            "the database that could not be used is kept as {}; jobs, quarantine, revisions, findings and measurements are in it alone",
            old.display()
        ));
    }
    let files = &rebuilt.files;
    let is_aside = |key: &PartitionKey| files.set_aside.iter().any(|aside| aside.key == *key);
    let gone = files.withdrawn.iter().filter(|key| !is_aside(key)).count();
    session.say(&format!(
        "{} as the catalog said, {} taken into it, {} set aside, {} gone",
        counted(files.kept as u64, "file"),
        with_thousands(files.adopted.len() as u64),
        with_thousands(files.set_aside.len() as u64),
        with_thousands(gone as u64),
    ));
    tell_moved_and_left(session, files);
    if files.kept + files.adopted.len() == 0 && !files.withdrawn.is_empty() {
        session.insist(
            "not one file is left: everything counts as lost; if the lake's disk was only not mounted, mount it and run the same command again",
        );
    }
    if files.adopted.len() + files.withdrawn.len() + files.set_aside.len() > 0 {
        session.say(
            "what was asked of these sessions is not known: `marketpipe repair` asks for what they lack, `marketpipe gaps` lists it",
        );
    }
}

/// Says what was moved out of the lake, where to, what stays as it is, and why.
pub(super) fn tell_moved_and_left(session: &CliSession, files: &Reconciled) {
    for aside in &files.set_aside {
        session.insist(&format!("set aside {}: {}", aside.to.display(), aside.why));
    }
    for left in &files.left {
        session.insist(&format!("left as it is {}: {}", left.path, left.why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_breaks_between_words_and_says_what_to_do_below() {
        let seen = Diagnosis::new(
            Check::Files,
            Health::Error,
            "is in the catalog but not on disk",
        )
        .of("lake/a.parquet")
        .remedy("marketpipe repair asks again");
        assert_eq!(
            as_page(&[Diagnosis::ok(Check::Jobs, "none is open"), seen], 60),
            "ok       jobs             none is open\n\
             error    files            lake/a.parquet: is in the catalog\n                          but not on disk\n                          \
             -> marketpipe repair asks again\n"
        );
    }
}
