//! Keys: wherever they come from and whatever goes wrong, they are found in nothing that the program prints or keeps.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use marketpipe::infrastructure::fake_alpaca::{FakeAlpaca, FakeConfig, Tape};
use marketpipe::infrastructure::fake_alpaca::{Fault, FaultScript, StallPoint, When};

use super::SECTION;
use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{files_below, made_up, program};

/// In lower case, so that a host name made of it is still found.
const KEY_ID: &str = "pkcanary5f3a9c1e7b";
const SECRET: &str = "sk/canary+8d2e6f4a0c9b7e5d3a1f";

/// Where the keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Pair(&'static str, &'static str),
    NamedVariables,
    File,
}

impl Source {
    fn words(self) -> String {
        match self {
            Self::Pair(key_id, secret) => format!("{key_id} + {secret}"),
            Self::NamedVariables => "variables that the configuration names".to_owned(),
            Self::File => "a file of mode 0600".to_owned(),
        }
    }
}

const SOURCES: [Source; 5] = [
    Source::Pair("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"),
    Source::Pair("ALPACA_API_KEY", "ALPACA_SECRET_KEY"),
    Source::Pair("ALPACA_KEY", "ALPACA_SECRET"),
    Source::NamedVariables,
    Source::File,
];

struct Vault {
    folder: tempfile::TempDir,
    server: FakeAlpaca,
    source: Source,
    hits: Vec<String>,
    runs: usize,
}

impl Vault {
    fn new(source: Source) -> Self {
        let mut tape = Tape::new();
        tape.insert("sip", "AAPL", made_up("AAPL", "2024-07-01", "2024-07-05"));
        let config = FakeConfig {
            key_id: KEY_ID.to_owned(),
            secret: SECRET.to_owned(),
            ..FakeConfig::default()
        };
        let vault = Self {
            folder: tempfile::tempdir().unwrap(),
            server: FakeAlpaca::start(tape, config).unwrap(),
            source,
            hits: Vec::new(),
            runs: 0,
        };
        let mut text = "[http]\nbase_delay_ms = 1\nattempts = 2\nconnect_timeout_ms = 500\nprobe_after_ms = 1\n[providers.alpaca]\nrequests_per_minute = 100000\n".to_owned();
        match source {
            Source::Pair(..) => {}
            Source::NamedVariables => {
                text += "key_id_env = \"MY_KEY\"\nsecret_key_env = \"MY_SECRET\"\n"
            }
            Source::File => {
                text += "credentials_file = \"keys.toml\"\n";
                let keys = format!("key_id = \"{KEY_ID}\"\nsecret_key = \"{SECRET}\"\n");
                let path = vault.keys();
                std::fs::write(&path, keys).unwrap();
                set_mode(&path, 0o600);
            }
        }
        std::fs::write(vault.folder.path().join("marketpipe.toml"), text).unwrap();
        vault
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path());
        command
            .env("MARKETPIPE_ALPACA_URL", self.server.base_url())
            .args(arguments);
        match self.source {
            Source::Pair(key_id, secret) => command.env(key_id, KEY_ID).env(secret, SECRET),
            Source::NamedVariables => command.env("MY_KEY", KEY_ID).env("MY_SECRET", SECRET),
            Source::File => &mut command,
        };
        command
    }

    /// Runs a command and looks for the keys in what it printed.
    fn run(&mut self, arguments: &[&str]) -> i32 {
        let command = self.command(arguments);
        self.run_command(command, &format!("{arguments:?}"))
    }

    fn run_command(&mut self, mut command: Command, what: &str) -> i32 {
        let output = command.output().unwrap();
        self.runs += 1;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("panicked at"), "{what}: {stderr}");
        self.look(&format!("stdout of {what}"), &output.stdout);
        self.look(&format!("stderr of {what}"), &output.stderr);
        output.status.code().unwrap_or(-1)
    }

    fn look(&mut self, place: &str, bytes: &[u8]) {
        for secret in [KEY_ID, SECRET] {
            let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
            for text in [
                secret,
                base64.as_str(),
                &secret.replace('/', "%2F").replace('+', "%2B"),
            ] {
                if bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
                {
                    self.hits.push(format!("{text} in {place}"));
                }
            }
        }
    }

    /// Looks into every file but the one of the keys; returns how many there were.
    fn look_into_files(&mut self) -> usize {
        let mut files: Vec<PathBuf> = files_below(self.folder.path());
        files.retain(|path| *path != self.keys());
        for path in &files {
            // A log or a lease may go away at any moment.
            if let Ok(bytes) = std::fs::read(path) {
                self.look(&path.display().to_string(), &bytes);
            }
        }
        files.len()
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

const INGEST: [&str; 8] = [
    "ingest",
    "--symbols",
    "AAPL,ZZZZ",
    "--start",
    "2024-07-01",
    "--end",
    "2024-07-03",
    "-vv",
];

/// Ways in which a server may repeat what it was sent.
fn echoes() -> Vec<(&'static str, Fault)> {
    let both = format!("you sent {KEY_ID} and {SECRET}");
    let json = format!("{{\"message\":\"{both}\"}}");
    let head = |status: &str, header: &str, body: &str| {
        Fault::Raw {
        bytes: format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{header}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
        chunk_bytes: 65_536,
        pause: Duration::ZERO,
    }
    };
    // Where the text is cut, half a secret must not stay behind.
    let long = format!("{}{SECRET}{KEY_ID}", "x".repeat(185));
    vec![
        ("401", Fault::json(401, &json)),
        ("403", Fault::json(403, &json)),
        ("400", Fault::json(400, &json)),
        ("500", Fault::json(500, &json)),
        ("429", Fault::json(429, &json)),
        ("text", Fault::BodyReplace(both.clone().into_bytes())),
        (
            "half a page",
            Fault::BodyReplace(
                format!("{{\"bars\": {{\"AAPL\": [{{\"t\": \"{SECRET}{KEY_ID}").into_bytes(),
            ),
        ),
        ("long text", Fault::BodyReplace(long.clone().into_bytes())),
        (
            "long message",
            Fault::json(400, &format!("{{\"message\":\"{long}\"}}")),
        ),
        (
            "redirect to a host",
            Fault::Redirect {
                code: 302,
                location: format!("http://{KEY_ID}.example/{SECRET}?k={SECRET}"),
            },
        ),
        (
            "redirect with a user",
            Fault::Redirect {
                code: 307,
                location: format!("https://{KEY_ID}:{SECRET}@evil.example/"),
            },
        ),
        (
            "request id of a refusal",
            head(
                "400 Bad Request",
                &format!("X-Request-ID: {KEY_ID}.{SECRET}"),
                "{\"message\":\"no\"}",
            ),
        ),
        (
            "request id of a page",
            head(
                "200 OK",
                &format!("X-Request-ID: {SECRET}"),
                "{\"bars\":{\"OTHER\":[{\"t\":\"2024-07-01T13:30:00Z\",\"o\":1,\"h\":1,\"l\":1,\"c\":1,\"v\":1}]},\"next_page_token\":null}",
            ),
        ),
        (
            "content encoding",
            head("200 OK", &format!("Content-Encoding: {KEY_ID}"), "{}"),
        ),
        (
            "status line",
            head(&format!("599 {SECRET}"), "X-A: b", &both),
        ),
        (
            "header names",
            head("400 Bad Request", &format!("X-{KEY_ID}: {SECRET}"), &json),
        ),
    ]
}

/// Everything that prints what is kept or configured.
const LOOKS: [&[&str]; 27] = [
    &["config", "show"],
    &["config", "show", "--format", "json"],
    &["config", "show", "--format", "table"],
    &["providers", "--format", "json"],
    &["status", "--format", "json"],
    &["gaps", "--format", "csv"],
    &["jobs", "list", "--format", "json"],
    &["jobs", "show", "1"],
    &["jobs", "resume", "1"],
    &["repair"],
    &["aggregate", "-vv"],
    &["validate", "-vv"],
    &[
        "validate", "--report", "r.csv", "--html", "r.html", "--junit", "r.xml",
    ],
    &["metrics", "--format", "json"],
    &["metrics", "--textfile", "m.prom"],
    &["metrics", "runs", "--format", "csv"],
    &["metrics", "events", "--format", "csv"],
    &["query", "from bars_1m limit 5"],
    &["query", "from bars_5m limit 5"],
    &["query", "from bars('10m') limit 5"],
    &["query", "from calendar limit 5"],
    &["query", "from jobs"],
    &["query", "from findings"],
    &["query", "from quarantine"],
    &["query", "from revisions"],
    &["query", "from gaps"],
    &["query", "from duckdb_settings()"],
];

#[test]
fn keys_are_found_in_nothing_that_is_printed_or_kept() {
    look_everywhere(&SOURCES[..1]);
}

#[test]
fn keys_by_other_ways_are_found_in_nothing_either() {
    look_everywhere(&SOURCES[1..]);
}

fn look_everywhere(sources: &[Source]) {
    for &source in sources {
        let number = SOURCES.iter().position(|of| *of == source).unwrap();
        let experiment = Experiment::begin(
            SECTION,
            "secrets",
            format!(
                "canary keys by {}; ingests that end well, in every refusal that repeats them, in traces and in a crash; every command that shows something",
                source.words()
            ),
            "no key in stdout, stderr, any file of the data directory, the command lines of the process and its children",
        );
        let mut vault = Vault::new(source);
        assert_eq!(vault.run(&INGEST), 3, "ZZZZ has no bars");
        let is_first = number == 0;
        // What differs by source is how keys are read; what the server does with them does not.
        let step = if is_first { 1 } else { SOURCES.len() };
        for (name, echo) in echoes().into_iter().skip(number).step_by(step) {
            vault
                .server
                .set_faults(FaultScript::new().on(When::Always, echo));
            let code = vault.run(&[&INGEST[..], &["--refresh"]].concat());
            assert!([3, 5, 6, 8].contains(&code), "{name}: {code}");
            vault.server.set_faults(FaultScript::new());
        }
        let urls = ["https://127.0.0.1:1", "https://no-such-host.invalid"];
        for url in urls.into_iter().take(if is_first { 2 } else { 0 }) {
            let mut command = vault.command(&[&INGEST[..], &["--refresh"]].concat());
            command.env("MARKETPIPE_ALPACA_URL", url);
            assert_eq!(vault.run_command(command, url), 6, "{url}");
        }
        // Whatever the libraries have to say.
        let mut command = vault.command(&[&INGEST[..7], &["--refresh"]].concat());
        command.env("MARKETPIPE_LOG", "trace");
        assert_eq!(vault.run_command(command, "trace"), 3);
        if is_first {
            // A TLS client at a server that speaks none.
            let url = vault.server.base_url().replace("http:", "https:");
            let mut command = vault.command(&[&INGEST[..], &["--refresh"]].concat());
            command.env("MARKETPIPE_ALPACA_URL", &url);
            assert_eq!(vault.run_command(command, &url), 6);
            vault.run(&["demo", "--keep", "tour"]);
        }
        // Each look at the first source, a third of them at each of the others, all in the long run.
        let step = if is_first { 1 } else { trials(3, 1) };
        for look in LOOKS.iter().skip(number % step).step_by(step) {
            vault.run(look);
        }
        look_while_it_runs_and_dies(&mut vault);
        let files = vault.look_into_files();
        assert!(files > 4, "{files}");
        assert_eq!(vault.hits, [] as [String; 0]);
        let runs = vault.runs;
        experiment.passed(
            runs,
            format!("0 hits in the output of {runs} runs and in {files} files"),
        );
    }
}

/// A run that hangs, seen from outside, with its log not yet in the database; then it dies as of a fault of its own.
fn look_while_it_runs_and_dies(vault: &mut Vault) {
    let stall = Fault::Stall {
        point: StallPoint::AfterHead,
        lasting: Duration::from_secs(30),
    };
    vault
        .server
        .set_faults(FaultScript::new().on(When::Always, stall));
    vault.server.reset_stats();
    let child = vault
        .command(&[&INGEST[..], &["--refresh"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while vault.server.stats().requests == 0 {
        assert!(begun.elapsed().as_secs() < 20, "nothing was asked");
        std::thread::yield_now();
    }
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    if process.exists() {
        let command_line = std::fs::read(process.join("cmdline")).unwrap();
        assert!(!command_line.is_empty());
        vault.look("the command line", &command_line);
        let mut children = String::new();
        for task in std::fs::read_dir(process.join("task")).unwrap() {
            let path = task.unwrap().path().join("children");
            children += &std::fs::read_to_string(path).unwrap_or_default();
        }
        assert_eq!(children.trim(), "", "it starts no other program");
        let limits = std::fs::read_to_string(process.join("limits")).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let words: Vec<&str> = core.unwrap().split_whitespace().collect();
        assert_eq!(
            words[4..6],
            ["0", "0"],
            "a crash would leave the keys on disk"
        );
    }
    let open = vault.look_into_files();
    assert!(open > 0);
    let told = Command::new("kill")
        .args(["-ABRT", &child.id().to_string()])
        .status();
    assert!(told.unwrap().success());
    let output = child.wait_with_output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), None, "it died of the signal");
    vault.look("stdout of the crash", &output.stdout);
    vault.look("stderr of the crash", &output.stderr);
    vault.server.set_faults(FaultScript::new());
    vault.runs += 1;
    let code = vault.run(&["jobs", "list"]);
    assert_eq!(code, 0);
}

#[cfg(unix)]
#[test]
fn a_file_of_keys_that_others_may_read_is_refused_before_anything_is_asked() {
    let mut vault = Vault::new(Source::File);
    let modes = [
        0o644,
        0o640,
        0o604,
        0o660,
        0o620,
        0o601,
        0o777,
        0o700 | 0o004,
    ];
    let experiment = Experiment::begin(
        SECTION,
        "secrets in a file that others may read",
        format!(
            "modes {}",
            modes.map(|mode| format!("{mode:04o}")).join(", ")
        ),
        "exit 5, nothing asked, no key shown; 0600, 0400 and a link to such a file are fine",
    );
    vault.server.reset_stats();
    for mode in modes {
        set_mode(&vault.keys(), mode);
        assert_eq!(vault.run(&INGEST), 5, "{mode:o}");
    }
    assert_eq!(vault.server.stats().requests, 0);
    // Text that is no TOML, a wrong key and a value of another type: none is quoted.
    set_mode(&vault.keys(), 0o600);
    let sound = std::fs::read_to_string(vault.keys()).unwrap();
    for text in [
        format!("{KEY_ID}\n{SECRET}\n"),
        format!("key_id = {KEY_ID}\nsecret_key = {SECRET}\n"),
        format!("key = \"{KEY_ID}\"\nsecret = \"{SECRET}\"\n"),
        format!("key_id = \"{KEY_ID}\"\nsecret_key = [\"{SECRET}\"]\n"),
        format!("key_id = \"{KEY_ID} {SECRET}\"\nsecret_key = \"{SECRET}\n"),
    ] {
        std::fs::write(vault.keys(), text).unwrap();
        assert_eq!(vault.run(&INGEST), 5);
    }
    std::fs::write(vault.keys(), sound).unwrap();
    for mode in [0o600, 0o400] {
        set_mode(&vault.keys(), mode);
        assert_eq!(vault.run(&INGEST), 3);
    }
    let elsewhere = vault.folder.path().join("elsewhere.toml");
    std::fs::rename(vault.keys(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, vault.keys()).unwrap();
    assert_eq!(vault.run(&INGEST), 3);
    set_mode(&elsewhere, 0o644);
    assert_eq!(vault.run(&INGEST), 5);
    assert_eq!(vault.hits, [] as [String; 0]);
    experiment.passed(vault.runs, "all as expected, 0 hits");
}
