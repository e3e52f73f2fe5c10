//! A laboratory: a data folder, a server with made-up or real bars, and the program to run on them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use marketpipe::domain::ports::BarSelection;
use marketpipe::domain::{BarBatch, Calendar, PartitionKey, SessionDate, Symbol, Timeframe};
use marketpipe::infrastructure::fake_alpaca::{
    FAKE_KEY_ID, FAKE_SECRET, FakeAlpaca, FakeConfig, Tape, TapeBar,
};
use marketpipe::infrastructure::parquet::ParquetDataStorage;
use marketpipe::infrastructure::providers::synthetic::synthetic_session;

/// A temporary data folder and a server.
pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: FakeAlpaca,
}

/// What the program did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Lab {
    /// A laboratory whose server has the bars of `tape`.
    pub(crate) fn with_tape(tape: Tape) -> Self {
        Self::with_server(tape, FakeConfig::default())
    }

    /// A laboratory whose server has the bars of `tape` and behaves as `config` says.
    pub(crate) fn with_server(tape: Tape, config: FakeConfig) -> Self {
        let server = FakeAlpaca::start(tape, config).unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            server,
        }
    }

    /// A laboratory with made-up bars of `symbols` in both feeds, both dates inside.
    pub(crate) fn with_made_up(symbols: &[&str], first: &str, last: &str) -> Self {
        let mut tape = Tape::new();
        for symbol in symbols {
            let bars = made_up(symbol, first, last);
            tape.insert("sip", symbol, bars.clone());
            tape.insert("iex", symbol, bars);
        }
        Self::with_tape(tape)
    }

    /// Writes the configuration of the program's folder.
    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.folder.path().join("marketpipe.toml"), text).unwrap();
    }

    /// What SQL answers, as CSV without the header.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        let ran = self.done(&["query", sql, "--format", "csv"]);
        ran.stdout.lines().skip(1).map(str::to_owned).collect()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The program with the laboratory's environment, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path());
        command
            .env("MARKETPIPE_DATA_DIR", self.data())
            .env("MARKETPIPE_ALPACA_URL", self.server.base_url())
            .env("APCA_API_KEY_ID", FAKE_KEY_ID)
            .env("APCA_API_SECRET_KEY", FAKE_SECRET)
            .args(arguments);
        command
    }

    /// Runs the program.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    /// Runs the program, which must succeed.
    pub(crate) fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}\n{}\n{}", ran.stdout, ran.stderr);
        ran
    }

    /// Ingests whole sessions, which must succeed.
    pub(crate) fn ingest(&self, symbols: &str, first: &str, last: &str) -> Ran {
        self.done(&[
            "ingest",
            "--symbols",
            symbols,
            "--start",
            first,
            "--end",
            last,
        ])
    }

    /// Asks again for whole sessions, which must succeed.
    pub(crate) fn refresh(&self, symbols: &str, first: &str, last: &str) -> Ran {
        let range = ["--start", first, "--end", last, "--refresh"];
        self.done(&[&["ingest", "--symbols", symbols], &range[..]].concat())
    }

    /// Every file of the lake with its bytes.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let lake = self.data().join("lake");
        files_below(&lake)
            .into_iter()
            .map(|path| {
                (
                    path.strip_prefix(&lake).unwrap().to_owned(),
                    std::fs::read(&path).unwrap(),
                )
            })
            .collect()
    }

    /// All minutes of the lake by partition.
    pub(crate) fn partitions(&self) -> Vec<(PartitionKey, BarBatch)> {
        ParquetDataStorage::new(self.data().join("lake"))
            .load(&BarSelection {
                timeframe: Some(Timeframe::M1),
                ..BarSelection::default()
            })
            .unwrap()
    }

    /// The rows of one symbol, by dataset, as the server would keep them.
    pub(crate) fn rows(&self, dataset: &str, symbol: &str) -> Vec<TapeBar> {
        let of_symbol = |key: &PartitionKey| {
            key.dataset.to_string() == dataset && key.symbol.as_str() == symbol
        };
        self.partitions()
            .iter()
            .filter(|(key, _)| of_symbol(key))
            .flat_map(|(_, batch)| tape_bars(batch.columns()))
            .collect()
    }
}

/// Bars as the server keeps them.
pub(crate) fn tape_bars(columns: &marketpipe::domain::BarColumns) -> Vec<TapeBar> {
    (0..columns.len())
        .map(|row| {
            let bar = columns.bar(row);
            TapeBar {
                ts_us: bar.ts_us,
                open: bar.open,
                high: bar.high,
                low: bar.low,
                close: bar.close,
                volume: bar.volume,
                trade_count: bar.trade_count,
                vwap: bar.vwap,
            }
        })
        .collect()
}

/// Made-up bars of a symbol, both dates inside.
pub(crate) fn made_up(symbol: &str, first: &str, last: &str) -> Vec<TapeBar> {
    let symbol: Symbol = symbol.parse().unwrap();
    let date = |text: &str| text.parse::<SessionDate>().unwrap();
    let sessions = Calendar::of(&symbol)
        .sessions(date(first), date(last))
        .unwrap();
    sessions
        .iter()
        .flat_map(|session| tape_bars(&synthetic_session(&symbol, 1, session)))
        .collect()
}

/// The program in `folder` with an environment of its own.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marketpipe"));
    command.env_clear().current_dir(folder).env("HOME", folder);
    // Coverage runs tell the program where to leave its profile.
    if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", profile);
    }
    for name in ["LD_LIBRARY_PATH", "PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Runs a command; returns what it did and its peak memory, MiB, where the system tells it.
pub(crate) fn run_measured(command: &mut Command) -> (Ran, u64) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let peak_kib = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&peak_kib);
    // The high-water mark only grows, so the last look before the end is nearly the peak.
    let watcher = std::thread::spawn(move || {
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kib) = line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            else {
                return;
            };
            seen.fetch_max(kib, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let ran = read_output(child.wait_with_output().unwrap());
    watcher.join().unwrap();
    (ran, peak_kib.load(Ordering::Relaxed) / 1024)
}

/// Runs a command and reads what it printed.
pub(crate) fn run(command: &mut Command) -> Ran {
    read_output(command.output().unwrap())
}

/// What a finished command did, which must be neither a panic nor a betrayal.
pub(crate) fn read_output(output: Output) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let ran = Ran {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    };
    assert!(!ran.stderr.contains("panicked at"), "{}", ran.stderr);
    assert!(
        !ran.stderr.contains(FAKE_SECRET) && !ran.stdout.contains(FAKE_SECRET),
        "the secret was printed"
    );
    ran
}

/// The regular files below a folder, in order.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return files;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}
