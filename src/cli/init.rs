//! `init`: a configuration file to start from. Asks on a terminal only; each question has a flag that answers it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::args::GlobalArgs;
use super::exit::{CliError, Exit};
use super::output::write_stderr;
use super::symbols::legal_symbols;
use super::whole_file::{make_folder, write_beside};
use crate::config::{Config, Environment, FILE_NAME, Flags, StarterChoices, starter_file};

/// The list of symbols that `init` makes.
const WATCH: &str = "watch";

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Alpaca's plan: basic (free, 200 requests a minute, sip 15 minutes late) or plus (10,000, up to now) [default: basic]
    #[arg(long, value_enum, value_name = "PLAN")]
    plan: Option<Plan>,
    /// Symbols of the list `watch`, for `ingest --symbols @watch`
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    symbols: Vec<String>,
    /// Ask nothing, even on a terminal
    #[arg(short, long)]
    yes: bool,
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Plan {
    #[value(alias = "free")]
    Basic,
    Plus,
}

impl Plan {
    /// Requests a minute; Alpaca's published limits.
    const fn requests_per_minute(self) -> u32 {
        match self {
            Self::Basic => 200,
            Self::Plus => 10_000,
        }
    }
}

/// Writes the file and says what to do next.
pub(super) fn run(global: &GlobalArgs, args: &InitArgs) -> Result<Exit, CliError> {
    let environment = Environment::of_process();
    let path = environment.config_path(global.config.as_deref());
    let path = path.unwrap_or_else(|| PathBuf::from(FILE_NAME));
    if path.symlink_metadata().is_ok() && !args.force {
        let message = format!("{} is there already", path.display());
        return Err(CliError::new(Exit::Usage, message)
            .with_hint("`marketpipe config show` says what it means; --force replaces it"));
    }
    let is_asking = !args.yes && io::stdin().is_terminal() && io::stderr().is_terminal();
    let choices = match is_asking {
        true => Questions::of_terminal().ask(global, args)?,
        false => answers(global.data_dir.as_deref(), args.plan, &args.symbols)?,
    };
    let choices = StarterChoices {
        data_dir: choices.data_dir.map(|folder| seen_from(&path, folder)),
        ..choices
    };
    // The user's configuration folder need not be there yet.
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    write_beside(&path, starter_file(&choices).as_bytes())?;
    // What was written is read as every command will: a file that cannot be used must not be left without a word.
    let flags = Flags {
        config: Some(path.clone()),
        ..Flags::default()
    };
    let config = Config::load(&flags, &environment)?;
    if !global.quiet {
        let has_keys = matches!(config.alpaca.credentials.load(), Ok(Some(_)));
        write_stderr(&next_steps(&path, &choices, has_keys));
    }
    Ok(Exit::Done)
}

/// The choices that flags and answers make.
fn answers(
    data_dir: Option<&Path>,
    plan: Option<Plan>,
    symbols: &[String],
) -> Result<StarterChoices, CliError> {
    let data_dir = data_dir.map(|folder| {
        let text = folder.to_str().map(str::to_owned);
        text.ok_or_else(|| {
            let message = format!(
                "the folder {} is not Unicode, which TOML must be",
                folder.display()
            );
            CliError::new(Exit::Usage, message)
        })
    });
    let watch = legal_symbols(symbols, &BTreeMap::new())?;
    Ok(StarterChoices {
        data_dir: data_dir.transpose()?,
        requests_per_minute: plan.map(Plan::requests_per_minute),
        is_realtime: plan.map(|plan| plan == Plan::Plus),
        watch: watch
            .iter()
            .map(|symbol| symbol.as_str().to_owned())
            .collect(),
    })
}

/// A folder as the file must name it: relative ones start at the file's own folder there, at the current one here.
fn seen_from(file: &Path, folder: String) -> String {
    let is_beside = file
        .parent()
        .is_none_or(|parent| parent.as_os_str().is_empty());
    if is_beside || folder.starts_with('~') {
        return folder;
    }
    let absolute = std::path::absolute(&folder).ok();
    absolute
        .and_then(|path| path.to_str().map(str::to_owned))
        .unwrap_or(folder)
}

/// Questions and where they are answered.
struct Questions<R> {
    input: R,
}

impl Questions<io::StdinLock<'static>> {
    fn of_terminal() -> Self {
        Self {
            input: io::stdin().lock(),
        }
    }
}

impl<R: BufRead> Questions<R> {
    /// Asks for what no flag has answered.
    fn ask(&mut self, global: &GlobalArgs, args: &InitArgs) -> Result<StarterChoices, CliError> {
        let data_dir = match &global.data_dir {
            Some(folder) => Some(folder.clone()),
            None => self
                .line("Where should the data lie? [./data]")?
                .map(PathBuf::from),
        };
        let plan = match args.plan {
            Some(plan) => Some(plan),
            None => loop {
                let Some(answer) = self.line("Alpaca's plan, basic (free) or plus? [basic]")?
                else {
                    break None;
                };
                match Plan::from_str(&answer, true) {
                    Ok(plan) => break Some(plan),
                    Err(_) => write_stderr(&format!("`{answer}` is neither basic nor plus")),
                }
            },
        };
        if !args.symbols.is_empty() {
            return answers(data_dir.as_deref(), plan, &args.symbols);
        }
        loop {
            let line = self.line("Symbols to watch, separated by commas? [none]")?;
            let line = line.unwrap_or_default();
            match answers(data_dir.as_deref(), plan, &[line, String::new()]) {
                Err(error)
                    if data_dir
                        .as_deref()
                        .is_none_or(|folder| folder.to_str().is_some()) =>
                {
                    write_stderr(&error.message);
                }
                answered => return answered,
            }
        }
    }

    /// The answer to one question; `None` for an empty line.
    fn line(&mut self, question: &str) -> Result<Option<String>, CliError> {
        _ = write!(io::stderr(), "{question} ");
        _ = io::stderr().flush();
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(0) => Err(CliError::new(
                Exit::Interrupted,
                "nothing was written: the answers ended",
            )),
            Ok(_) => Ok(Some(line.trim().to_owned()).filter(|answer| !answer.is_empty())),
            Err(error) => Err(CliError::new(
                Exit::Usage,
                format!("cannot read the answer: {error}"),
            )),
        }
    }
}

fn next_steps(path: &Path, choices: &StarterChoices, has_keys: bool) -> String {
    let symbols = match choices.watch.is_empty() {
        true => "AAPL,MSFT".to_owned(),
        false => format!("@{WATCH}"),
    };
    let keys = match has_keys {
        true => "",
        false => {
            "  export APCA_API_KEY_ID=... APCA_API_SECRET_KEY=...   (keys never stand in this file)\n"
        }
    };
    format!(
        "wrote {}\nNext:\n{keys}  marketpipe ingest --symbols {symbols} --dry-run\n  marketpipe ingest --symbols {symbols}\n\
         Without an account:\n  marketpipe ingest --symbols {symbols} --provider synthetic",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(input: &str) -> Result<StarterChoices, CliError> {
        let args = InitArgs {
            plan: None,
            symbols: Vec::new(),
            yes: false,
            force: false,
        };
        Questions {
            input: input.as_bytes(),
        }
        .ask(&GlobalArgs::default(), &args)
    }

    #[test]
    fn empty_answers_are_the_defaults() {
        assert_eq!(asked("\n\n\n"), Ok(StarterChoices::default()));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_asked_for_again() {
        let choices = asked("/srv/bars\ngold\nplus\nAAPL, n$$\naapl, brk-b,AAPL\n").unwrap();
        assert_eq!(choices.data_dir.as_deref(), Some("/srv/bars"));
        assert_eq!(choices.requests_per_minute, Some(10_000));
        assert_eq!(choices.is_realtime, Some(true));
        assert_eq!(choices.watch, ["AAPL", "BRK.B"]);
    }

    #[test]
    fn answers_that_end_write_nothing() {
        assert_eq!(asked("/srv/bars\n").unwrap_err().exit, Exit::Interrupted);
    }

    #[test]
    fn a_folder_is_named_as_the_file_sees_it() {
        let beside = seen_from(Path::new("marketpipe.toml"), "bars".into());
        assert_eq!(beside, "bars");
        let elsewhere = seen_from(Path::new("/etc/marketpipe.toml"), "bars".into());
        assert_eq!(
            Some(elsewhere.as_str()),
            std::path::absolute("bars").unwrap().to_str()
        );
        assert_eq!(
            seen_from(Path::new("/etc/marketpipe.toml"), "~/bars".into()),
            "~/bars"
        );
    }
}
