//! The validation report as CSV: one file for each run, complete or not there. Judges nothing.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use chrono::DateTime;

use super::disk;
use crate::domain::Finding;
use crate::domain::Symbol;
use crate::domain::instant::format_utc;
use crate::domain::ports::StoreError;

/// The columns of a report; more may be added at the end, none is renamed.
pub const REPORT_COLUMNS: [&str; 13] = [
    "rule",
    "severity",
    "dataset",
    "symbol",
    "session_date",
    "ts",
    "timeframe",
    "value",
    "expected",
    "message",
    "hint",
    "finding_id",
    "acknowledged",
];

/// A finding as a row of the report: `None` is no value.
pub fn report_row(finding: &Finding, acknowledged: Option<&str>) -> [Option<String>; 13] {
    [
        Some(finding.rule.to_string()),
        Some(finding.severity.to_string()),
        Some(finding.dataset.to_string()),
        finding.symbol.as_ref().map(Symbol::to_string),
        finding.session.map(|date| date.to_string()),
        finding.ts_us.map(format_utc),
        Some(finding.timeframe.to_string()),
        Some(finding.value.clone()),
        Some(finding.expected.clone()),
        Some(finding.message.clone()),
        Some(finding.hint().to_owned()),
        Some(finding.id()),
        acknowledged.map(str::to_owned),
    ]
}

/// The folder of reports.
#[derive(Debug, Clone)]
pub struct CsvReportRepository {
    folder: PathBuf,
}

impl CsvReportRepository {
    /// Reports in `folder`, which need not exist.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the report of a run goes that began at `begun_us`, of an ingest job's rows where one is named.
    pub fn path_of(&self, job: Option<i64>, begun_us: i64) -> PathBuf {
        let time = DateTime::from_timestamp_micros(begun_us).map_or_else(String::new, |time| {
            time.format("%Y%m%dT%H%M%S%.6fZ").to_string()
        });
        let about = job.map_or_else(String::new, |job| format!("-job-{job}"));
        self.folder.join(format!("validate{about}-{time}.csv"))
    }

    /// Begins the report at `path`. Until it is finished nothing lies there, or what lay there before.
    ///
    /// # Errors
    /// When the folder or the file cannot be made.
    pub fn begin(&self, path: &Path) -> Result<CsvReport, StoreError> {
        if path.starts_with(&self.folder) {
            let above = self.folder.parent().unwrap_or(Path::new(""));
            disk::refuse_links_below(above, &self.folder)?;
            disk::create_folders(&self.folder, disk::Access::Private)?;
        }
        let beside = disk::beside(path);
        let file = disk::create_anew(&beside)?;
        let mut report = CsvReport {
            path: path.to_owned(),
            beside,
            writer: Some(csv::Writer::from_writer(BufWriter::new(file))),
        };
        report.write(|writer| writer.write_record(REPORT_COLUMNS))?;
        Ok(report)
    }
}

/// A report that is being written.
#[derive(Debug)]
pub struct CsvReport {
    path: PathBuf,
    beside: PathBuf,
    writer: Option<csv::Writer<BufWriter<File>>>,
}

impl CsvReport {
    /// Adds a finding, with the reason for which it was acknowledged.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, finding: &Finding, acknowledged: Option<&str>) -> Result<(), StoreError> {
        let row = report_row(finding, acknowledged);
        self.write(|writer| {
            writer.write_record(row.iter().map(|field| field.as_deref().unwrap_or("")))
        })
    }

    /// Puts the report in its place.
    ///
    /// # Errors
    /// When it cannot be written or moved.
    pub fn finish(mut self) -> Result<PathBuf, StoreError> {
        let failed = |error| disk::io_failure("write", &self.beside, error);
        if let Some(writer) = self.writer.take() {
            let file = writer
                .into_inner()
                .map_err(|error| failed(error.into_error()))?
                .into_inner()
                .map_err(|error| failed(error.into_error()))?;
            file.sync_all().map_err(failed)?;
        }
        disk::rename(&self.beside, &self.path)?;
        Ok(self.path.clone())
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut csv::Writer<BufWriter<File>>) -> csv::Result<()>,
    ) -> Result<(), StoreError> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        write(writer)
            .map_err(|error| disk::io_failure("write", &self.beside, std::io::Error::other(error)))
    }
}

impl Drop for CsvReport {
    fn drop(&mut self) {
        // Only a report that was not finished still lies there.
        _ = fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Rule, Severity, Timeframe};

    #[test]
    fn a_report_is_complete_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let reports = CsvReportRepository::new(folder.path().join("reports"));
        let path = reports.path_of(Some(7), 1_719_927_000_000_001);
        assert!(path.ends_with("reports/validate-job-7-20240702T133000.000001Z.csv"));
        let finding = Finding {
            rule: Rule::Spike,
            severity: Severity::Warning,
            dataset: "alpaca/sip/raw".parse().unwrap(),
            symbol: None,
            timeframe: Timeframe::M1,
            session: None,
            ts_us: Some(1_719_927_000_000_000),
            value: "=1,\"2\"".into(),
            expected: String::new(),
            message: "two\nlines".into(),
            bar: None,
        };
        let mut abandoned = reports.begin(&path).unwrap();
        abandoned.add(&finding, None).unwrap();
        drop(abandoned);
        assert_eq!(
            disk::list_files_below(folder.path()).unwrap(),
            [] as [PathBuf; 0]
        );

        let mut report = reports.begin(&path).unwrap();
        report.add(&finding, Some("known")).unwrap();
        assert_eq!(report.finish().unwrap(), path);
        let mut reader = csv::Reader::from_path(&path).unwrap();
        assert_eq!(
            reader.headers().unwrap().iter().collect::<Vec<_>>(),
            REPORT_COLUMNS
        );
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1);
        assert_eq!(&rows[0][7], "=1,\"2\"");
        assert_eq!(
            (&rows[0][5], &rows[0][12]),
            ("2024-07-02T13:30:00Z", "known")
        );
        assert_eq!(disk::list_files_below(folder.path()).unwrap(), [path]);
    }
}
