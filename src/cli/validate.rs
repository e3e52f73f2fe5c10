//! `validate`: says what is wrong with what is stored, where and why; acknowledging what is as it should be.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::args::HeldArgs;
use super::dates::read_dates;
use super::exit::{CliError, Exit};
use super::jobs::get_job;
use super::order::IngestOrder;
use super::output::{
    OutputFormat, Value, counted, escape_for_terminal, human_duration, with_thousands,
};
use super::query_file::refuse_in_data_folder;
use super::session::CliSession;
use super::stopping::Stopping;
use super::symbols::{read_legal_symbols, tell_absent};
use super::validate_report::Reports;
use super::whole_file::write_beside;
use crate::app::Stores;
use crate::domain::job::JobId;
use crate::domain::metric::RunCommand;
use crate::domain::ports::{
    BarSelection, BarStore as _, FindingRepository as _, StoreErrorKind, SymbolBarsRepository as _,
};
use crate::domain::{Calendar, Dataset, Rule, SessionDate, Severity, Symbol};
use crate::infrastructure::csv_report::CsvReportRepository;
use crate::ingestion::RequestedRange;
use crate::validation::{ValidationReport, ValidationRequest};

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe validate
  marketpipe validate --symbols AAPL --start 2024-07-01 --html report.html
  marketpipe validate --fail-on warning --max-missing-pct 1 --junit junit.xml
  marketpipe validate --rules
  marketpipe validate ack 0f3c9a1b2d4e --reason 'halted, see the exchange'

Each run leaves a CSV report in reports/ of the data folder; `query` has the same as the view `findings`. Acknowledged findings \
stay silent until their bar changes. Exit code 4: findings at or above --fail-on, or a series with more missing minutes than \
--max-missing-pct. [validation] in the configuration has thresholds and severities.";

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    pub(super) held: HeldArgs,
    /// Only what this ingest job asked for
    #[arg(long, value_name = "ID")]
    pub(super) job: Option<i64>,
    /// Where the CSV report goes [default: reports/ in the data folder]
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Write a page with a completeness map and the bars in question
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write JUnit XML for CI
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Exit 4 on findings of this severity or a graver one
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Error)]
    pub(super) fail_on: FailOn,
    /// Exit 4 when more of a series' regular minutes are missing
    #[arg(long, value_name = "PCT", value_parser = read_percentage)]
    pub(super) max_missing_pct: Option<f64>,
    /// List the rules with their reasons
    #[arg(long)]
    pub(super) rules: bool,
    #[command(subcommand)]
    pub(super) command: Option<ValidateCommand>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ValidateCommand {
    /// Acknowledge a finding: it stays silent until its bar changes
    #[command(
        after_help = "Examples:\n  marketpipe validate ack 0f3c9a1b2d4e --reason 'halted'\n  marketpipe validate ack 0f3c9a1b2d4e --reason 'real: earnings'"
    )]
    Ack {
        /// The finding's id, as the report and the view `findings` have it
        id: String,
        /// Why it is as it should be
        #[arg(long, value_name = "WORDS")]
        reason: String,
    },
    /// Take an acknowledgement back
    #[command(
        after_help = "Examples:\n  marketpipe validate unack 0f3c9a1b2d4e\n  marketpipe validate unack 0f3c9a1b2d4e --data-dir /srv/bars"
    )]
    Unack {
        /// The finding's id
        id: String,
    },
}

/// From which severity on findings make the exit code 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// Wrong for sure
    Error,
    /// Worth a look
    Warning,
    /// Never, but for --max-missing-pct
    Never,
}

impl FailOn {
    /// The severity; `None` for never.
    pub(super) const fn severity(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Never => None,
        }
    }
}

fn read_percentage(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim_end().parse::<f64>();
    number
        .ok()
        .filter(|number| (0.0..=100.0).contains(number))
        .ok_or_else(|| "expected a percentage from 0 to 100".to_owned())
}

/// Findings and series that the summary names; the others are in the report.
const NAMED: usize = 10;

/// Days before an ingest without dates that its validation covers.
const DAYS_OF_A_JOB: i32 = 30;

/// Validates, lists the rules, or acknowledges.
pub(super) fn run(session: &CliSession, args: &ValidateArgs) -> Result<Exit, CliError> {
    match &args.command {
        Some(ValidateCommand::Ack { id, reason }) => acknowledge(session, id, reason),
        Some(ValidateCommand::Unack { id }) => withdraw(session, id),
        None if args.rules => list_rules(session),
        None => validate(session, args),
    }
}

fn validate(session: &CliSession, args: &ValidateArgs) -> Result<Exit, CliError> {
    let mut request = request_of(session, args)?;
    for path in [&args.report, &args.html, &args.junit]
        .into_iter()
        .flatten()
    {
        refuse_in_data_folder(path, &session.app.directory())?;
    }
    let stores = session.job_stores()?;
    // A commit that died half-way is no damage.
    stores.bars.recover_if_possible();
    if let Some(job) = args.job {
        narrow_to_job(session, &stores, job, &mut request)?;
    }
    let is_short = tell_unknown(session, &stores, &request)?;
    let stopping = Stopping::default();
    stopping.watch_beside(None)?;
    let format = session.format();
    let mut stdout = std::io::stdout();
    let mut reports = Reports::default();
    reports.csv = begin_csv(session, args.report.as_deref(), args.job)?;
    reports.collect_junit(args.junit.is_some());
    reports.collect_page(args.html.is_some());
    if format != OutputFormat::Table {
        reports.stream_rows(format, &mut stdout)?;
    }
    let check = Check {
        session,
        stores: &stores,
        request: &request,
        fail_on: args.fail_on,
        stopping: &stopping,
    };
    let (report, exit) = check.carry_out(&mut reports)?;
    reports.finish_rows()?;
    if let Some(path) = &args.junit {
        write_beside(
            path,
            reports.junit(&report, args.fail_on.severity()).as_bytes(),
        )?;
    }
    if let Some(path) = &args.html {
        check.write_page(&report, &mut reports, path)?;
    }
    let csv = reports.finish_csv()?;
    if format == OutputFormat::Table {
        session.write_rows("validate", &RULE_COLUMNS, report.rules.iter().map(rule_row))?;
    }
    let mut words = render(&report, &reports, csv.as_deref());
    for (what, path) in [("page", &args.html), ("JUnit", &args.junit)] {
        if let Some(path) = path {
            words.push_str(&format!("\n{what}: {}", path.display()));
        }
    }
    tell(session, exit, &words);
    Ok(exit.or_partial(is_short))
}

/// One validation, and by what it is judged.
struct Check<'a> {
    session: &'a CliSession,
    stores: &'a Stores,
    request: &'a ValidationRequest,
    fail_on: FailOn,
    stopping: &'a Stopping,
}

impl Check<'_> {
    /// Validates into `reports`, as a run that is measured; what was found and how it ends.
    fn carry_out(&self, reports: &mut Reports<'_>) -> Result<(ValidationReport, Exit), CliError> {
        let Self {
            session, stores, ..
        } = self;
        let run = session.begin_run(stores, RunCommand::Validate);
        let runner = session.app.validation_runner(stores, session.events());
        let report = runner.run(self.request, reports, &self.stopping.signal)?;
        let exit = exit_of(&report, self.fail_on, self.stopping);
        run.end(exit);
        Ok((report, exit))
    }

    fn write_page(
        &self,
        report: &ValidationReport,
        reports: &mut Reports<'_>,
        path: &Path,
    ) -> Result<(), CliError> {
        let now_us = self.session.app.clock().now_us();
        let mut page = reports.page(report, &scope_words(self.request), now_us);
        page.charts = reports.charts(self.stores);
        let mut html = Vec::new();
        page.write_to(&mut html)
            .map_err(|error| CliError::new(Exit::Bug, error.to_string()))?;
        write_beside(path, &html)
    }
}

/// What `demo` shows: everything that is kept is checked, and a page about it written; the summary in words.
pub(super) fn check_all(
    session: &CliSession,
    stores: &Stores,
    path: &Path,
) -> Result<String, CliError> {
    let request = base_request(session);
    let mut reports = Reports::default();
    // Where the CSV report goes the page has its folder, too.
    reports.csv = begin_csv(session, None, None)?;
    reports.collect_page(true);
    let check = Check {
        session,
        stores,
        request: &request,
        fail_on: FailOn::Error,
        stopping: &Stopping::default(),
    };
    let (report, _) = check.carry_out(&mut reports)?;
    let csv = reports.finish_csv()?;
    check.write_page(&report, &mut reports, path)?;
    Ok(render(&report, &reports, csv.as_deref()))
}

/// What `ingest --validate` does afterwards: the ingested symbols in the sessions that were asked for.
pub(super) fn after_ingest(
    session: &CliSession,
    stores: &Stores,
    dataset: &Dataset,
    symbols: Vec<Symbol>,
    sessions: Option<(SessionDate, SessionDate)>,
    job: Option<JobId>,
    stopping: &Stopping,
) -> Result<Exit, CliError> {
    let request = ValidationRequest {
        dataset: Some(dataset.clone()),
        symbols,
        sessions,
        ..base_request(session)
    };
    let mut reports = Reports::default();
    reports.csv = begin_csv(session, None, job.map(|job| job.0))?;
    let check = Check {
        session,
        stores,
        request: &request,
        fail_on: FailOn::Error,
        stopping,
    };
    let (report, exit) = check.carry_out(&mut reports)?;
    let csv = reports.finish_csv()?;
    tell(session, exit, &render(&report, &reports, csv.as_deref()));
    Ok(exit)
}

/// Says how it ended; what is not as it should be even to those who asked for quiet.
fn tell(session: &CliSession, exit: Exit, words: &str) {
    if exit == Exit::Done {
        session.say(words);
    } else {
        session.insist(words);
    }
}

fn base_request(session: &CliSession) -> ValidationRequest {
    let config = session.app.config();
    ValidationRequest {
        thresholds: config.validation.thresholds.clone(),
        severities: config.validation.severities.clone(),
        choice: config.aggregation.choice,
        most: config.validation.findings_a_rule,
        ..ValidationRequest::default()
    }
}

fn request_of(session: &CliSession, args: &ValidateArgs) -> Result<ValidationRequest, CliError> {
    let (first, last) = read_dates(args.held.start.as_deref(), args.held.end.as_deref())?;
    let (earliest, latest) = Calendar::always_open().coverage();
    Ok(ValidationRequest {
        symbols: read_legal_symbols(session, &args.held.series.symbols)?,
        dataset: args.held.series.dataset.clone(),
        sessions: (first.is_some() || last.is_some())
            .then(|| (first.unwrap_or(earliest), last.unwrap_or(latest))),
        max_missing_pct: args.max_missing_pct,
        ..base_request(session)
    })
}

/// Limits the request to what an ingest job was about.
fn narrow_to_job(
    session: &CliSession,
    stores: &Stores,
    id: i64,
    request: &mut ValidationRequest,
) -> Result<(), CliError> {
    let job = get_job(stores, id)?;
    let order = job
        .spec()
        .and_then(|spec| IngestOrder::from_spec(spec).ok());
    let Some(order) = order else {
        let message =
            format!("job {id} kept no request: it is an import, or an older version made it");
        return Err(CliError::new(Exit::Usage, message)
            .with_hint("name --symbols, --start and --end instead"));
    };
    let (asked, provider) = order.resolve(session, session.events())?;
    let latest = Calendar::always_open().coverage().1;
    let date_of = |ts_us: i64| {
        SessionDate::from_days_since_epoch(
            i32::try_from(ts_us.div_euclid(86_400_000_000)).unwrap_or_default(),
        )
    };
    let sessions = match asked.range {
        RequestedRange::Sessions { first, last } => Some((first, last.unwrap_or(latest))),
        // An evening belongs to the next session, a weekend to the one after it.
        RequestedRange::Instants(range) => {
            date_of(range.start_us).zip(date_of(range.end_us + 4 * 86_400_000_000))
        }
        RequestedRange::Incremental => {
            let begun = job.created_at_us();
            date_of(begun - i64::from(DAYS_OF_A_JOB) * 86_400_000_000).map(|first| (first, latest))
        }
        RequestedRange::WholeSeries { .. } => None,
    };
    let dataset = &provider.profile().dataset;
    if let Some(wanted) = request.dataset.replace(dataset.clone())
        && wanted != *dataset
    {
        let message = format!("job {id} is about {dataset}, not {wanted}");
        return Err(CliError::new(Exit::Usage, message));
    }
    if request.symbols.is_empty() {
        request.symbols = asked.symbols;
    } else {
        request
            .symbols
            .retain(|symbol| asked.symbols.contains(symbol));
        if request.symbols.is_empty() {
            let message = format!("job {id} asked for none of these symbols");
            return Err(CliError::new(Exit::Usage, message));
        }
    }
    request.sessions = request.sessions.or(sessions);
    Ok(())
}

/// Says what was named and of which nothing is known, if anything.
fn tell_unknown(
    session: &CliSession,
    stores: &Stores,
    request: &ValidationRequest,
) -> Result<bool, CliError> {
    let ValidationRequest {
        symbols, dataset, ..
    } = request;
    if symbols.is_empty() && dataset.is_none() {
        return Ok(false);
    }
    let selection = BarSelection {
        dataset: request.dataset.clone(),
        symbols: request.symbols.clone(),
        ..BarSelection::default()
    };
    let files = stores.bars.list_files(&selection)?;
    let mut asked = stores.ledger.list_series(symbols)?;
    asked.retain(|series| {
        dataset
            .as_ref()
            .is_none_or(|wanted| *wanted == series.dataset)
    });
    let with_files = files.iter().map(|file| &file.key.symbol);
    let held = with_files.chain(asked.iter().map(|series| &series.symbol));
    Ok(tell_absent(
        session,
        "nothing is kept",
        symbols,
        dataset.as_ref(),
        held,
    ))
}

/// Begins the CSV report; a data directory that cannot be written to costs the report and nothing else, unless it was
/// asked for by name.
fn begin_csv(
    session: &CliSession,
    named: Option<&Path>,
    job: Option<i64>,
) -> Result<Option<crate::infrastructure::csv_report::CsvReport>, CliError> {
    let reports = CsvReportRepository::new(session.app.directory().reports());
    let path = match named {
        Some(path) => path.to_owned(),
        None => reports.path_of(job, session.app.clock().now_us()),
    };
    match reports.begin(&path) {
        Ok(report) => Ok(Some(report)),
        Err(error) if named.is_none() && error.kind == StoreErrorKind::NotWritable => {
            session.say(&format!("no report is kept: {error}"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn exit_of(report: &ValidationReport, fail_on: FailOn, stopping: &Stopping) -> Exit {
    let has_findings = fail_on
        .severity()
        .is_some_and(|severity| report.reaches(severity));
    if report.is_stopped {
        stopping.exit()
    } else if has_findings || !report.too_incomplete.is_empty() {
        Exit::Findings
    } else if report.failures.is_empty() {
        Exit::Done
    } else {
        Exit::Partial
    }
}

fn scope_words(request: &ValidationRequest) -> String {
    let symbols = match request.symbols.len() {
        0 => "all symbols".to_owned(),
        count if count <= NAMED => {
            let names: Vec<&str> = request.symbols.iter().map(Symbol::as_str).collect();
            names.join(", ")
        }
        count => counted(u64::try_from(count).unwrap_or(u64::MAX), "symbol"),
    };
    let of = match &request.dataset {
        Some(dataset) => format!("{symbols} of {dataset}"),
        None => symbols,
    };
    match request.sessions {
        Some((first, last)) => format!("{of}, sessions {first} to {last}"),
        None => format!("{of}, all sessions"),
    }
}

fn render(report: &ValidationReport, reports: &Reports<'_>, csv: Option<&Path>) -> String {
    let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut lines = vec![format!(
        "checked {} series, {} and {} in {}",
        with_thousands(as_u64(report.series)),
        counted(report.sessions, "session"),
        counted(report.minutes, "minute"),
        human_duration(report.elapsed),
    )];
    let missing = report
        .minutes_expected
        .saturating_sub(report.minutes_present);
    let mut found: Vec<String> = [Severity::Error, Severity::Warning, Severity::Info]
        .into_iter()
        .map(|severity| match severity {
            Severity::Info => format!("{} info", with_thousands(report.open(severity))),
            _ => counted(report.open(severity), severity.as_str()),
        })
        .collect();
    if report.acknowledged() > 0 {
        found.push(format!(
            "{} acknowledged",
            with_thousands(report.acknowledged())
        ));
    }
    lines.push(format!(
        "{}; {} of {} regular minutes missing ({:.2} %)",
        found.join(", "),
        with_thousands(missing),
        with_thousands(report.minutes_expected),
        report.missing_pct()
    ));
    lines.extend(reports.gravest(NAMED));
    for (dataset, symbol, pct) in report.too_incomplete.iter().take(NAMED) {
        lines.push(format!(
            "too incomplete: {dataset} {symbol}: {pct:.2} % of its regular minutes are missing"
        ));
    }
    if report.too_incomplete.len() > NAMED {
        lines.push(format!(
            "too incomplete: {} more",
            with_thousands(as_u64(report.too_incomplete.len() - NAMED))
        ));
    }
    for (dataset, symbol, reason) in report.failures.iter().take(NAMED) {
        lines.push(
            escape_for_terminal(&format!("not checked: {dataset} {symbol}: {reason}")).into_owned(),
        );
    }
    if report.failures.len() > NAMED {
        lines.push(format!(
            "not checked: {} more; -v names them",
            with_thousands(as_u64(report.failures.len() - NAMED))
        ));
    }
    if report.series_not_done > 0 {
        lines.push(format!(
            "stopped: {} series not checked",
            with_thousands(as_u64(report.series_not_done))
        ));
    }
    if let Some(reason) = &report.not_kept {
        lines.push(format!("findings are not kept: {reason}"));
    }
    if let Some(path) = csv {
        lines.push(format!("report: {}", path.display()));
    }
    lines.join("\n")
}

const RULE_COLUMNS: [&str; 6] = [
    "rule",
    "severity",
    "found",
    "acknowledged",
    "counted_only",
    "what",
];

fn rule_row(count: &crate::validation::RuleCount) -> Vec<Value> {
    vec![
        Value::Text(count.rule.to_string()),
        Value::Text(count.severity.to_string()),
        Value::UInt(count.open),
        Value::UInt(count.acknowledged),
        Value::UInt(count.left_out),
        Value::Text(count.rule.text().title.to_owned()),
    ]
}

/// Prints the rules with their reasons.
fn list_rules(session: &CliSession) -> Result<Exit, CliError> {
    let severities = &session.app.config().validation.severities;
    let rows = Rule::ALL.into_iter().map(|rule| {
        let text = rule.text();
        let severity = severities.of(rule, text.severity);
        vec![
            Value::Text(text.id.to_owned()),
            Value::Text(severity.map_or("off", Severity::as_str).to_owned()),
            Value::Text(text.title.to_owned()),
            Value::Text(text.why.to_owned()),
            Value::Text(text.hint.to_owned()),
        ]
    });
    session.write_rows("rules", &["rule", "severity", "what", "why", "hint"], rows)
}

fn acknowledge(session: &CliSession, id: &str, reason: &str) -> Result<Exit, CliError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(CliError::new(Exit::Usage, "--reason is empty")
            .with_hint("say why the finding is as it should be: whoever comes later reads it"));
    }
    let stores = session.job_stores()?;
    let now_us = session.app.clock().now_us();
    if !stores.findings.acknowledge(id, reason, now_us)? {
        return Err(no_finding(id));
    }
    session.say(&format!(
        "{id} is acknowledged until what it is about changes"
    ));
    Ok(Exit::Done)
}

fn withdraw(session: &CliSession, id: &str) -> Result<Exit, CliError> {
    if !session.job_stores()?.findings.withdraw(id)? {
        let shown = id.escape_default();
        return Err(CliError::new(
            Exit::Usage,
            format!("`{shown}` is not acknowledged"),
        ));
    }
    session.say(&format!("{id} is open again"));
    Ok(Exit::Done)
}

fn no_finding(id: &str) -> CliError {
    let message = format!("there is no finding `{}`", id.escape_default());
    CliError::new(Exit::Usage, message).with_hint(
        "`marketpipe query \"select finding_id, rule, symbol, message from findings\"` lists those of the last runs",
    )
}
