//! What the doctor says of a data directory: where it looked, what it saw, what to do about it. Pure values.

use std::fmt;

/// What is looked at. The configuration comes first: what else is wrong counts more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Configuration file and credentials.
    Configuration,
    /// The folder itself: permissions, room, file system.
    Directory,
    /// Clock and calendar.
    Clock,
    /// The database file.
    Database,
    /// Commits that were cut short, and what they left in `staging/`.
    Commits,
    /// Jobs whose processes died.
    Jobs,
    /// Files of the catalog.
    Files,
    /// What lies in the lake and is in no catalog.
    UnknownFiles,
    /// The completeness ledger against the files.
    Ledger,
}

impl Check {
    /// The name in reports; scripts rely on it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Directory => "directory",
            Self::Clock => "clock",
            Self::Database => "database",
            Self::Commits => "commits",
            Self::Jobs => "jobs",
            Self::Files => "files",
            Self::UnknownFiles => "unknown files",
            Self::Ledger => "ledger",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// As it should be.
    Ok,
    /// Worth knowing; goes away by itself or does no harm.
    Note,
    /// Nothing is lost, but somebody should do something.
    Warning,
    /// Bars are missing, damaged or not to be trusted until something is done.
    Error,
}

impl Health {
    /// The name in reports; scripts rely on it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that the doctor saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Where it looked.
    pub check: Check,
    /// How bad it is.
    pub health: Health,
    /// The file, folder or partition that is meant; `None` for the whole.
    pub subject: Option<String>,
    /// What it saw.
    pub message: String,
    /// What to do about it; `None` where nothing is to be done.
    pub remedy: Option<String>,
}

impl Diagnosis {
    /// Something that is as it should be.
    pub fn ok(check: Check, message: impl Into<String>) -> Self {
        Self::new(check, Health::Ok, message)
    }

    /// Something that is worth a word.
    pub fn new(check: Check, health: Health, message: impl Into<String>) -> Self {
        Self {
            check,
            health,
            subject: None,
            message: message.into(),
            remedy: None,
        }
    }

    /// The same of this file, folder or partition.
    #[must_use]
    pub fn of(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
