//! Every command that README and guide show in a `console` block runs as it stands, in an empty folder, one after the other.

use std::path::Path;
use std::process::{Command, Output};

use marketpipe::infrastructure::fake_alpaca::{FAKE_KEY_ID, FAKE_SECRET};

use super::{in_repository, read};
use crate::support::lab::{Lab, files_below, program};

/// The commands of the `console` blocks of a document: a line that begins with `$ `, and the lines that it goes on with.
fn commands(document: &str) -> Vec<String> {
    let text = read(document);
    let mut commands: Vec<String> = Vec::new();
    let (mut is_console, mut goes_on) = (false, false);
    for line in text.lines() {
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            is_console = kind == "console";
            goes_on = false;
        } else if let Some(command) = line.trim_start().strip_prefix("$ ").filter(|_| is_console) {
            commands.push(command.to_owned());
            goes_on = command.ends_with('\\');
        } else if goes_on {
            commands.last_mut().unwrap().push_str(&format!("\n{line}"));
            goes_on = line.ends_with('\\');
        }
    }
    commands
}

/// What `cargo` does in these folders: `cargo run -- ARGUMENTS` is the program with them. `cargo test` and
/// `cargo install` are what has brought this test and the program about.
const CARGO: &str = "#!/bin/sh
case \"$1\" in
  run) shift; [ \"$1\" = -- ] && shift; exec marketpipe \"$@\" ;;
  test|install) exit 0 ;;
esac
echo \"what is cargo $*?\" >&2; exit 1
";

/// Runs a command line in the folder of a laboratory, with the program on the path.
fn shell(lab: &Lab, bin: &Path, line: &str) -> Output {
    // The variables that `export` sets hold for the commands after it, as in a terminal.
    let script = format!(
        "[ -f .exports ] && . ./.exports\n{line}\nstatus=$?\nexport -p > .exports\nexit $status"
    );
    let mut paths = vec![bin.to_owned()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let program = program(lab.folder.path());
    let variables = program
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let mut command = Command::new("sh");
    command
        .env_clear()
        .current_dir(lab.folder.path())
        .envs(variables);
    command
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("MARKETPIPE_ALPACA_URL", lab.server.base_url())
        .env("APCA_API_KEY_ID", FAKE_KEY_ID)
        .env("APCA_API_SECRET_KEY", FAKE_SECRET)
        .args(["-c", &script])
        .output()
        .unwrap()
}

fn run_all(document: &str) {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-06-03", "2024-07-05");
    let bin = tempfile::tempdir().unwrap();
    std::fs::write(bin.path().join("cargo"), CARGO).unwrap();
    make_runnable(&bin.path().join("cargo"));
    std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_marketpipe"),
        bin.path().join("marketpipe"),
    )
    .unwrap();
    let commands = commands(document);
    assert!(!commands.is_empty(), "{document} has no block of `console`");
    for command in commands {
        let ran = shell(&lab, bin.path(), &command);
        let (out, err) = (
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr),
        );
        assert!(
            ran.status.success(),
            "{document}: `{command}` ended with {}\n{out}\n{err}",
            ran.status
        );
        assert!(!err.contains("panicked"), "{document}: `{command}`\n{err}");
    }
}

fn make_runnable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn every_command_of_the_readme_runs() {
    run_all("README.md");
}

#[test]
fn every_command_of_the_guide_runs() {
    run_all("docs/guide.md");
}

#[test]
fn every_command_shown_in_help_is_one() {
    // The examples of the reference page are parsed, not run: many need an account or a service manager.
    let page = read("docs/reference/cli.md");
    let examples: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("  marketpipe "))
        .collect();
    assert!(examples.len() > 60, "{}", examples.len());
    for example in examples {
        let name = example
            .split_whitespace()
            .find(|word| !word.starts_with('-'))
            .unwrap();
        assert!(
            page.contains(&format!("`marketpipe {name}`")),
            "`marketpipe {example}` is no command"
        );
    }
}

#[test]
fn pictures_and_pages_of_the_documents_are_small() {
    for path in files_below(&in_repository("docs")) {
        let bytes = std::fs::metadata(&path).unwrap().len();
        assert!(bytes < 300_000, "{} has {bytes} bytes", path.display());
    }
}
