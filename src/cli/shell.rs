//! `completions` and `man`: what shells and readers of manuals want of the command line, made from its definition. Knows no
//! data directory and no configuration.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::args::Arguments;
use super::exit::{CliError, Exit};
use super::output::write_stdout;
use super::whole_file::{make_folder, write_beside};

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
    clap_complete::generate(
        args.shell,
        &mut Arguments::command(),
        "marketpipe",
        &mut script,
    );
    print(&script)
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
