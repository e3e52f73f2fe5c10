//! `completions` and `man`: what shells and readers of manuals want of the command line, made from its definition. Knows no
//! data directory and no configuration.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Command, CommandFactory as _, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::args::Arguments;
use super::exit::{CliError, Exit};
use super::gaps::REASONS;
use super::output::write_stdout;
use super::whole_file::{make_folder, write_beside};
use crate::app::PROVIDERS;
use crate::domain::Timeframe;

/// What the help shows after the flags.
pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  marketpipe completions bash > ~/.local/share/bash-completion/completions/marketpipe
  marketpipe completions zsh > \"${fpath[1]}/_marketpipe\"
  marketpipe completions fish > ~/.config/fish/completions/marketpipe.fish
  marketpipe completions powershell >> $PROFILE";

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Whose script
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The command that the page is about, such as ingest or jobs resume [default: marketpipe itself]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write all pages into this folder instead, which is made if need be
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    output: Option<PathBuf>,
}

/// Prints the completion script of a shell.
pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    let mut command = with_candidates(Arguments::command());
    clap_complete::generate(args.shell, &mut command, "marketpipe", &mut script);
    if args.shell == Shell::Bash {
        let takes_files = |command: &&Command| {
            let mut places = command.get_positionals();
            places.any(|place| place.get_value_hint() == ValueHint::FilePath)
        };
        let names = command.get_subcommands().filter(takes_files);
        let script = String::from_utf8_lossy(&script).into_owned();
        let script = names.fold(script, |script, command| {
            offering_files(&script, command.get_name())
        });
        return print(script.as_bytes());
    }
    print(&script)
}

/// The bash script with files instead of flags where `command` takes files: `clap_complete` knows hints of flags alone.
fn offering_files(script: &str, command: &str) -> String {
    let begin = format!("\n        marketpipe__subcmd__{command})\n");
    let found = script.find(&begin).and_then(|start| {
        let length = script[start..].find("\n            ;;\n")?;
        Some(start..start + length)
    });
    let Some(place) = found else {
        return script.to_owned();
    };
    let flags =
        "            COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )\n            return 0";
    let block = script[place.clone()]
        .replace(" || ${COMP_CWORD} -eq 2 ]]", " ]]")
        // Where a function offers nothing, `-o default` makes bash offer files.
        .replace(
            &format!("\n{flags}"),
            "\n            COMPREPLY=()\n            return 0",
        );
    format!("{}{block}{}", &script[..place.start], &script[place.end..])
}

/// The command line with what a shell can offer for its values: those that are known, files and folders where they belong.
///
/// For completions alone: as part of the arguments themselves the values would be listed twice in the help.
fn with_candidates(command: Command) -> Command {
    command
        .mut_args(with_values)
        .mut_subcommands(with_candidates)
}

fn with_values(argument: Arg) -> Arg {
    if !argument.get_action().takes_values() || !argument.get_possible_values().is_empty() {
        return argument;
    }
    let known = known_values(&argument);
    if !known.is_empty() {
        return argument.value_parser(PossibleValuesParser::new(known));
    }
    let hint = match argument.get_value_hint() {
        ValueHint::AnyPath if is_named(&argument, "DIR") => ValueHint::DirPath,
        ValueHint::AnyPath => ValueHint::FilePath,
        // Without a hint a shell offers files.
        _ => ValueHint::Other,
    };
    argument.value_hint(hint)
}

fn is_named(argument: &Arg, value_name: &str) -> bool {
    let mut names = argument.get_value_names().into_iter().flatten();
    names.any(|name| name == value_name)
}

/// Values of an argument that its parser does not list.
fn known_values(argument: &Arg) -> Vec<&'static str> {
    match argument.get_id().as_str() {
        "provider" => PROVIDERS.to_vec(),
        "feed" => vec!["sip", "iex", "boats", "otc"],
        "adjustment" => vec!["raw", "split", "dividend", "spin-off", "all"],
        "timeframe" | "timeframes" => Timeframe::ALL.map(Timeframe::as_str).to_vec(),
        "anchor" => vec!["open", "clock"],
        "segment" => vec!["all", "overnight", "pre", "regular", "post"],
        // That of `validate ack` is words.
        "reason" if is_named(argument, "REASON") => REASONS.to_vec(),
        _ => Vec::new(),
    }
}

/// Prints one manual page, or writes all of them.
pub(super) fn man(args: &ManArgs) -> Result<Exit, CliError> {
    let pages = pages()?;
    if let Some(folder) = &args.output {
        return write_all(folder, &pages);
    }
    let mut name = vec!["marketpipe".to_owned()];
    name.extend(args.command.iter().cloned());
    let name = name.join("-");
    match pages.iter().find(|(page, _)| *page == name) {
        Some((_, roff)) => print(roff),
        None => {
            let message = format!("there is no command `{}`", args.command.join(" "));
            Err(CliError::new(Exit::Usage, message).with_hint("`marketpipe --help` lists them"))
        }
    }
}

fn write_all(folder: &Path, pages: &[(String, Vec<u8>)]) -> Result<Exit, CliError> {
    make_folder(folder)?;
    for (name, roff) in pages {
        write_beside(&folder.join(format!("{name}.1")), roff)?;
    }
    Ok(Exit::Done)
}

/// Every command's page under its name, `marketpipe-jobs-list`; the program's own first.
fn pages() -> Result<Vec<(String, Vec<u8>)>, CliError> {
    let mut root = Arguments::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    render(&root, &mut pages)
        .map_err(|error| CliError::new(Exit::Bug, format!("man pages: {error}")))?;
    Ok(pages)
}

fn render(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    pages.push((name, page(command)?));
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| render(command, pages))
}

/// The page of one command, its sections in the usual order.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .manual("MarketPipe")
        .source(concat!("marketpipe ", env!("CARGO_PKG_VERSION")))
        .date("");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command
        .get_arguments()
        .any(|argument| !argument.is_hide_set())
    {
        man.render_options_section(&mut page)?;
    }
    if command
        .get_subcommands()
        .any(|command| !command.is_hide_set())
    {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_help() {
        sections_of(&help.to_string()).to_writer(&mut page)?;
    }
    if command.get_version().is_some() {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// What the help shows after the flags, as sections: a list under its own name, line for line, so that commands can be
/// copied; sentences as notes.
fn sections_of(help: &str) -> Roff {
    let mut roff = Roff::new();
    let mut has_notes = false;
    for paragraph in help.split("\n\n") {
        let (first, lines) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        if let Some(heading) = first.strip_suffix(':').filter(|_| !lines.is_empty()) {
            roff.control("SH", [heading.to_uppercase().as_str()]);
            roff.control("nf", []);
            for line in lines.lines() {
                roff.text([roman(line.trim_start())]);
            }
            roff.control("fi", []);
            has_notes = false;
            continue;
        }
        let section = if has_notes {
            ("PP", None)
        } else {
            ("SH", Some("NOTES"))
        };
        roff.control(section.0, section.1);
        roff.text([roman(paragraph)]);
        has_notes = true;
    }
    roff
}

fn print(text: &[u8]) -> Result<Exit, CliError> {
    write_stdout(text)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_but_a_path_is_completed_with_files() {
        fn check(command: &Command) {
            for argument in command
                .get_arguments()
                .filter(|argument| argument.get_action().takes_values())
            {
                let is_path = matches!(
                    argument.get_value_hint(),
                    ValueHint::FilePath | ValueHint::DirPath
                );
                let is_bound = argument.get_value_hint() == ValueHint::Other
                    || !argument.get_possible_values().is_empty();
                assert!(
                    is_path || is_bound,
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        let mut command = with_candidates(Arguments::command());
        check(&command);
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut command, "marketpipe", &mut script);
        let script = String::from_utf8(script).unwrap();
        for words in ["alpaca iex synthetic", "open clock", "no-trade not-asked"] {
            assert!(script.contains(&format!("compgen -W \"{words}")), "{words}");
        }
        let changed = offering_files(&script, "import");
        assert_eq!(changed.matches(" == -* ]]").count(), 1);
        let flags = |script: &str| script.matches("compgen -W \"${opts}\"").count();
        assert_eq!(flags(&changed), flags(&script) - 1);
    }

    #[test]
    fn values_that_shells_offer_are_those_of_the_help() {
        let root = Arguments::command();
        for (command, name) in [
            ("ingest", "provider"),
            ("ingest", "feed"),
            ("ingest", "adjustment"),
            ("aggregate", "anchor"),
            ("export", "timeframe"),
            ("export", "segment"),
        ] {
            let command = root.find_subcommand(command).unwrap();
            let mut arguments = command.get_arguments();
            let argument = arguments
                .find(|argument| argument.get_id() == name)
                .unwrap();
            let help = argument.get_help().unwrap().to_string();
            let values = known_values(argument);
            assert!(
                values.len() > 1 && values.iter().all(|value| help.contains(value)),
                "{help}"
            );
        }
    }

    #[test]
    fn every_command_has_a_page_with_examples() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "marketpipe",
            "marketpipe-ingest",
            "marketpipe-jobs-resume",
            "marketpipe-man",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
        for (name, roff) in &pages {
            let text = String::from_utf8_lossy(roff);
            assert!(text.contains(".TH "), "{name}");
            let examples = text.split(".SH EXAMPLES\n.nf\n").nth(1);
            let examples = examples.and_then(|text| text.split("\n.fi\n").next());
            let examples = examples.unwrap_or_default();
            let has_subcommands = text.contains(".SH SUBCOMMANDS");
            assert!(
                examples.matches("marketpipe").count() >= 2 || has_subcommands,
                "{name} has fewer than two examples"
            );
            assert!(!text.contains(".SH EXTRA"), "{name}");
        }
    }

    #[test]
    fn examples_keep_their_lines_and_sentences_are_notes() {
        let help = "Examples:\n  marketpipe a\n  marketpipe b\n\nA sentence.\n\nAnother: one.";
        let roff = sections_of(help).to_roff();
        let expected = ".SH EXAMPLES\n.nf\nmarketpipe a\nmarketpipe b\n.fi\n.SH NOTES\nA sentence.\n.PP\nAnother: one.\n";
        assert_eq!(roff, expected);
    }
}
