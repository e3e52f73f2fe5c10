//! Experiments: what was done to the program, what was expected, how often it was tried and what came of it. Their
//! rows make the table of `tests/fault/RESULTS.md`, see CONTRIBUTING.md.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// Names the folder for the rows; without it they are only printed.
const ROWS: &str = "MARKETPIPE_FAULT_ROWS";

/// One fault, under trial. It has failed unless it is told that it passed.
pub(crate) struct Experiment {
    section: &'static str,
    fault: String,
    injected: String,
    expected: String,
    is_told: bool,
}

impl Experiment {
    /// Begins trials of `fault`, `injected` in this way, after which the program must do what is `expected`.
    pub(crate) fn begin(
        section: &'static str,
        fault: impl Into<String>,
        injected: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            section,
            fault: fault.into(),
            injected: injected.into(),
            expected: expected.into(),
            is_told: false,
        }
    }

    /// All `runs` of it did as expected; `result` says what was counted.
    pub(crate) fn passed(mut self, runs: usize, result: impl AsRef<str>) {
        assert!(runs > 0, "nothing was tried: {}", self.fault);
        self.tell(runs, result.as_ref());
    }

    fn tell(&mut self, runs: usize, result: &str) {
        self.is_told = true;
        let row = [
            self.section,
            &self.fault,
            &self.injected,
            &self.expected,
            &runs.to_string(),
            result,
        ]
        .map(|cell| cell.replace(['\t', '\n'], " "))
        .join("\t");
        println!("{row}");
        if let Some(folder) = std::env::var_os(ROWS) {
            let path = Path::new(&folder).join(format!("{}.tsv", self.section));
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .unwrap();
            file.write_all(format!("{row}\n").as_bytes()).unwrap();
        }
    }
}

impl Drop for Experiment {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(0, "FAILED");
        }
    }
}

/// How often to try something: `everyday` in the ordinary test command, `long` where `MARKETPIPE_FAULTS=long`.
pub(crate) fn trials(everyday: usize, long: usize) -> usize {
    match std::env::var("MARKETPIPE_FAULTS").as_deref() {
        Ok("long") => long,
        Ok(other) => panic!("MARKETPIPE_FAULTS is {other}, expected long or nothing"),
        Err(_) => everyday,
    }
}
