//! Every kind of harm to every kind of file: the doctor names it, no command panics or answers with wrong rows, and
//! `repair` or `doctor --rebuild-catalog` make it good.

use std::fs;
use std::path::{Path, PathBuf};

use super::{copy_tree, downgrade};
use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{Lab, Ran, files_below, run};

const SYMBOLS: &str = "AAPL,BRK.B";
const FIRST: &str = "2024-05-01";
const LAST: &str = "2024-06-28";

/// What fetches everything.
const INGEST: [&str; 7] = [
    "ingest",
    "--symbols",
    SYMBOLS,
    "--start",
    FIRST,
    "--end",
    LAST,
];

const SUMS: &str = "select symbol, count(*), sum(volume), sum(close), min(ts), max(ts) from bars_1m group by symbol order by symbol";
const LONGER_SUMS: &str =
    "select symbol, count(*), sum(volume), sum(close) from bars_1h group by symbol order by symbol";

/// A lake with minutes and longer bars, what it answers, and copies of it to harm.
struct Ward {
    lab: Lab,
    ready: PathBuf,
    files: Vec<PathBuf>,
    answers: [String; 2],
}

/// A copy that was harmed.
struct Patient<'a> {
    ward: &'a Ward,
    folder: tempfile::TempDir,
}

impl Ward {
    fn new() -> Self {
        let lab = Lab::with_made_up(&["AAPL", "BRK.B"], FIRST, LAST);
        let range = ["--start", FIRST, "--end", LAST, "--aggregate"];
        lab.done(&[&["ingest", "--symbols", SYMBOLS], &range[..]].concat());
        let ready = lab.folder.path().join("ready");
        fs::rename(lab.data(), &ready).unwrap();
        let lake = ready.join("lake");
        let files = files_below(&lake);
        let files = files
            .iter()
            .map(|path| path.strip_prefix(&ready).unwrap().to_owned());
        let mut ward = Self {
            files: files.collect(),
            answers: [String::new(), String::new()],
            ready,
            lab,
        };
        let healthy = ward.admit(|_| ());
        let answers = [SUMS, LONGER_SUMS].map(|sql| healthy.run(&["query", sql]).stdout);
        assert_eq!(answers[0].lines().count(), 3, "{}", answers[0]);
        assert_eq!(healthy.run(&["doctor", "--deep"]).code, 0);
        ward.answers = answers;
        ward
    }

    /// A copy of the data directory after `harm`.
    fn admit(&self, harm: impl FnOnce(&Path)) -> Patient<'_> {
        let folder = tempfile::tempdir_in(self.lab.folder.path()).unwrap();
        copy_tree(&self.ready, folder.path());
        harm(folder.path());
        Patient { ward: self, folder }
    }

    /// A file of the lake whose path has these words.
    fn file(&self, words: [&str; 3]) -> PathBuf {
        let has_words = |path: &&PathBuf| {
            words
                .iter()
                .all(|word| path.to_str().unwrap().contains(word))
        };
        self.files.iter().find(has_words).unwrap().clone()
    }
}

impl Patient<'_> {
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.ward.lab.command(arguments);
        run(command.env("MARKETPIPE_DATA_DIR", self.folder.path()))
    }

    /// Nothing that reads panics, and what is answered is right or not answered at all.
    fn assert_honest(&self, context: &str) {
        for (sql, right) in [SUMS, LONGER_SUMS].iter().zip(&self.ward.answers) {
            let ran = self.run(&["query", sql]);
            let is_right = ran.code == 0 && ran.stdout == *right;
            let is_refused = ran.code != 0 && ran.stdout.is_empty();
            assert!(
                is_right || is_refused,
                "{context}: exit {}\n{}{}",
                ran.code,
                ran.stdout,
                ran.stderr
            );
        }
        for command in [
            &["status"][..],
            &["gaps"],
            &["jobs", "list"],
            &["metrics"],
            &["validate", "--fail-on", "never"],
            &["aggregate", "--check"],
        ] {
            let ran = self.run(command);
            assert!(
                [0, 3, 4, 7].contains(&ran.code),
                "{context}: {command:?} exit {}\n{}",
                ran.code,
                ran.stderr
            );
        }
    }

    /// The doctor says that `subject` is harmed.
    fn assert_diagnosed(&self, subject: &str, context: &str) {
        let ran = self.run(&["doctor", "--deep", "--format", "csv"]);
        assert_eq!(ran.code, 7, "{context}\n{}{}", ran.stdout, ran.stderr);
        let named = ran
            .stdout
            .lines()
            .any(|line| line.contains(",error,") && line.contains(subject));
        assert!(named, "{context}: {subject}\n{}", ran.stdout);
    }

    /// These commands, the last of which must succeed, give the lake as it was.
    fn assert_cured(&self, commands: &[&[&str]], context: &str) {
        for command in commands {
            let ran = self.run(command);
            assert_eq!(
                ran.code, 0,
                "{context}: {command:?}\n{}\n{}",
                ran.stdout, ran.stderr
            );
        }
        for path in &self.ward.files {
            let (was, is) = (self.ward.ready.join(path), self.folder.path().join(path));
            assert!(
                fs::read(is).ok() == fs::read(was).ok(),
                "{context}: {}",
                path.display()
            );
        }
        assert_eq!(
            files_below(&self.folder.path().join("lake")).len(),
            self.ward.files.len(),
            "{context}"
        );
        let looked = self.run(&["doctor", "--deep"]);
        assert_eq!(looked.code, 0, "{context}\n{}", looked.stdout);
        for (sql, right) in [SUMS, LONGER_SUMS].iter().zip(&self.ward.answers) {
            assert_eq!(self.run(&["query", sql]).stdout, *right, "{context}");
        }
    }
}

/// Ways to harm one file; the second path is another file of the same kind.
type Harm = fn(&Path, &Path);

fn flip(path: &Path, place: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let place = place(bytes.len());
    bytes[place] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, keep: impl FnOnce(usize) -> usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..keep(bytes.len())]).unwrap();
}

const HARMS: [(&str, Harm); 14] = [
    ("deleted", |path, _| fs::remove_file(path).unwrap()),
    ("empty", |path, _| fs::write(path, "").unwrap()),
    ("text instead", |path, _| {
        fs::write(path, "<html>no such file</html>").unwrap()
    }),
    ("zeros of the same length", |path, _| {
        let bytes = fs::metadata(path).unwrap().len();
        fs::write(path, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    }),
    ("cut to half", |path, _| cut(path, |bytes| bytes / 2)),
    ("cut by the last byte", |path, _| {
        cut(path, |bytes| bytes - 1)
    }),
    ("a bit flipped in the header", |path, _| flip(path, |_| 1)),
    ("a bit flipped in a page", |path, _| {
        flip(path, |bytes| bytes / 3)
    }),
    ("a bit flipped in the footer", |path, _| {
        flip(path, |bytes| bytes - 30)
    }),
    ("a bit flipped in the footer's length", |path, _| {
        flip(path, |bytes| bytes - 6)
    }),
    ("bytes added", |path, _| {
        let mut bytes = fs::read(path).unwrap();
        bytes.extend_from_slice(b"PAR1");
        fs::write(path, bytes).unwrap();
    }),
    ("another symbol's file in its place", |path, other| {
        _ = fs::copy(other, path).unwrap()
    }),
    ("a folder in its place", |path, _| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    ("a link to a sound file in its place", |path, other| {
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink(other, path).unwrap();
    }),
];

/// Every harm to the file of AAPL whose path has these words: named, never read, and made good.
fn assert_every_harm_is_cured(what: &str, [frame, period]: [&str; 2], expected: &str) {
    let ward = Ward::new();
    let (path, other) = (
        ward.file([frame, "symbol=AAPL", period]),
        ward.file([frame, "symbol=BRK", period]),
    );
    for (name, harm) in HARMS {
        let experiment = Experiment::begin(
            "damage",
            format!("a file of {what}: {name}"),
            "from outside, between two commands",
            format!("named by the doctor, never read as if it were right, {expected}"),
        );
        let patient = ward.admit(|data| harm(&data.join(&path), &data.join(&other)));
        patient.assert_diagnosed(path.to_str().unwrap(), name);
        let looked = patient.run(&["doctor", "--deep", "--format", "csv"]);
        let mut lines = looked.stdout.lines();
        let line = lines.find(|line| line.contains(path.to_str().unwrap()));
        // `aggregate` alone sees no damage that leaves the size as it was.
        let names_repair = line.is_some_and(|line| line.contains("marketpipe repair"));
        assert!(names_repair, "{name}\n{}", looked.stdout);
        patient.assert_honest(name);
        patient.assert_cured(&[&["repair"], &["aggregate"]], name);
        experiment.passed(1, "restored byte for byte");
    }
}

#[test]
fn a_harmed_file_of_minutes_is_named_never_read_and_fetched_again() {
    let place = ["timeframe=1m", "month=2024-06"];
    assert_every_harm_is_cured("minutes", place, "set aside and fetched again by repair");
}

#[test]
fn a_harmed_file_of_longer_bars_is_named_never_read_and_made_again() {
    let place = ["timeframe=1h", "year=2024"];
    assert_every_harm_is_cured("hourly bars", place, "made again from the minutes");
}

#[test]
fn a_lake_that_is_not_mounted_is_not_fetched_again() {
    let ward = Ward::new();
    let experiment = Experiment::begin(
        "damage",
        "the lake: an empty folder, one with what a file system puts there, or none, as where its disk is not mounted",
        "from outside, between two commands",
        "whoever writes refuses and changes nothing; once the catalog is told, everything is fetched again",
    );
    let mount = |data: &Path| {
        fs::rename(data.join("lake"), data.join("elsewhere")).unwrap();
        fs::create_dir(data.join("lake")).unwrap();
    };
    let new_month = [
        "ingest",
        "--symbols",
        "AAPL",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-01",
    ];
    for strangers in [
        &[][..],
        &["lake/lost+found"],
        &["lake/lost+found", "lake/provider=alpaca"],
    ] {
        let patient = ward.admit(mount);
        let data = patient.folder.path();
        for stranger in strangers {
            fs::create_dir(data.join(stranger)).unwrap();
        }
        for command in [
            &["repair"][..],
            &new_month,
            &["aggregate", "--full"],
            &["snapshot"],
        ] {
            let refused = patient.run(command);
            assert_eq!(refused.code, 7, "{command:?}: {}", refused.stderr);
            let has_asked = refused.stderr.contains("is its disk mounted?");
            assert!(has_asked, "{command:?}: {}", refused.stderr);
        }
        let looked = patient.run(&["doctor", "--format", "csv"]);
        assert_eq!(looked.code, 7, "{}", looked.stdout);
        let errors = looked
            .stdout
            .lines()
            .filter(|line| line.contains(",error,"));
        assert_eq!(errors.count(), 1, "{}", looked.stdout);
        assert!(
            looked.stdout.contains("is its disk mounted?"),
            "{}",
            looked.stdout
        );
        assert!(files_below(&data.join("lake")).is_empty());
        fs::remove_dir_all(data.join("lake")).unwrap();
        for command in [&["repair"][..], &new_month] {
            let refused = patient.run(command);
            assert_eq!(refused.code, 7, "{command:?}: {}", refused.stderr);
        }
        assert!(!data.join("lake").exists(), "it would be in the way");
        fs::rename(data.join("elsewhere"), data.join("lake")).unwrap();
        patient.assert_cured(&[], "mounted again");
    }
    let patient = ward.admit(mount);
    patient.assert_cured(
        &[
            &["doctor", "--rebuild-catalog"],
            &["repair"],
            &["aggregate"],
        ],
        "lost for good",
    );
    let patient = ward.admit(mount);
    let told = patient.run(&["doctor", "--rebuild-catalog"]);
    assert!(
        told.stderr.contains("not one file is left"),
        "{}",
        told.stderr
    );
    let data = patient.folder.path();
    fs::remove_dir(data.join("lake")).unwrap();
    fs::rename(data.join("elsewhere"), data.join("lake")).unwrap();
    patient.assert_cured(
        &[
            &["doctor", "--rebuild-catalog"],
            &["repair"],
            &["aggregate"],
        ],
        "told too early",
    );
    experiment.passed(5, "nothing changed, and fetched again byte for byte");
}

#[test]
fn any_flipped_bit_of_the_lake_is_found() {
    let ward = Ward::new();
    let experiment = Experiment::begin(
        "damage",
        "a random bit of a random file of the lake is flipped",
        "from outside, between two commands",
        "found by doctor --deep, and no query answers from the file",
    );
    let count = trials(12, 1000);
    for number in 0..count {
        // Steps of primes spread files and bits evenly.
        let path = &ward.files[number * 7 % ward.files.len()];
        let patient = ward.admit(|data| {
            let path = data.join(path);
            let mut bytes = fs::read(&path).unwrap();
            let bit = number * 104_729 % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(path, bytes).unwrap();
        });
        patient.assert_diagnosed(path.to_str().unwrap(), &path.display().to_string());
        if path.to_str().unwrap().contains("timeframe=1m") {
            let ran = patient.run(&["query", SUMS]);
            assert_eq!((ran.code, ran.stdout.as_str()), (7, ""), "{}", ran.stderr);
        }
    }
    experiment.passed(count, format!("{count} of {count} found"));
}

const DATABASE_HARMS: [(&str, Harm); 9] = [
    ("deleted", |path, _| fs::remove_file(path).unwrap()),
    ("empty", |path, _| fs::write(path, "").unwrap()),
    ("text instead", |path, _| {
        fs::write(path, "<html>no such file</html>").unwrap()
    }),
    ("its header zeroed", |path, _| {
        let mut bytes = fs::read(path).unwrap();
        bytes[..100].fill(0);
        fs::write(path, bytes).unwrap();
    }),
    ("cut to half", |path, _| {
        cut(path, |bytes| bytes / 2 / 4096 * 4096)
    }),
    ("cut within a page", |path, _| {
        cut(path, |bytes| bytes / 3 + 5)
    }),
    ("a page overwritten with noise", |path, _| {
        let mut bytes = fs::read(path).unwrap();
        let page = bytes.len() / 2 / 4096 * 4096;
        for (at, byte) in bytes[page..page + 4096].iter_mut().enumerate() {
            *byte = (at * 151 % 251) as u8;
        }
        fs::write(path, bytes).unwrap();
    }),
    ("another program's database in its place", |path, _| {
        fs::remove_file(path).unwrap();
        let other = rusqlite::Connection::open(path).unwrap();
        other
            .execute_batch(
                "PRAGMA application_id = 7; CREATE TABLE t (x); INSERT INTO t VALUES (1)",
            )
            .unwrap();
    }),
    ("its tables dropped", |path, _| {
        fs::remove_file(path).unwrap();
        rusqlite::Connection::open(path)
            .unwrap()
            .pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
            .unwrap();
    }),
];

#[test]
fn a_harmed_database_is_named_never_replaced_in_silence_and_made_anew_from_the_lake() {
    let ward = Ward::new();
    for (name, harm) in DATABASE_HARMS {
        let experiment = Experiment::begin(
            "damage",
            format!("the database: {name}"),
            "from outside, between two commands",
            "named by the doctor, no command makes a new one beside the files, restored from the lake",
        );
        let patient = ward.admit(|data| harm(&data.join("marketpipe.db"), data));
        patient.assert_diagnosed("marketpipe.db", name);
        patient.assert_honest(name);
        let ran = patient.run(&INGEST);
        assert_eq!(ran.code, 7, "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("doctor") || ran.stderr.contains("--rebuild-catalog"),
            "{name}: {}",
            ran.stderr
        );
        patient.assert_cured(
            &[&["doctor", "--rebuild-catalog"], &INGEST, &["aggregate"]],
            name,
        );
        experiment.passed(1, "lake, catalog and ledger restored");
    }
}

#[test]
fn older_newer_and_copied_databases_are_told_apart() {
    let ward = Ward::new();
    let begin = |fault: &str, expected: &str| {
        Experiment::begin(
            "damage",
            fault,
            "from outside, between two commands",
            expected,
        )
    };

    let experiment = begin("the database of an older version", "upgraded, nothing lost");
    let old = ward.admit(|data| downgrade(&data.join("marketpipe.db")));
    old.assert_cured(&[&INGEST, &["aggregate"]], "older");
    let old = ward.admit(|data| downgrade(&data.join("marketpipe.db")));
    old.assert_cured(&[&["repair"], &["aggregate"]], "older");
    experiment.passed(2, "upgraded");

    let experiment = begin(
        "the database of a newer version",
        "refused with exit 7, untouched",
    );
    let newer = ward.admit(|data| {
        let database = rusqlite::Connection::open(data.join("marketpipe.db")).unwrap();
        database.pragma_update(None, "user_version", 99).unwrap();
    });
    for command in [
        &INGEST[..],
        &["status"],
        &["doctor"],
        &["doctor", "--rebuild-catalog"],
    ] {
        let ran = newer.run(command);
        assert_eq!(ran.code, 7, "{command:?} {}", ran.stderr);
        assert!((ran.stderr + &ran.stdout).contains("newer"), "{command:?}");
    }
    experiment.passed(4, "refused by each command");

    let experiment = begin(
        "the database restored from before the last ingest",
        "files that it does not know are named and never overwritten; doctor --rebuild-catalog takes them",
    );
    let restored = ward.admit(|data| {
        let database = rusqlite::Connection::open(data.join("marketpipe.db")).unwrap();
        database.execute_batch("DELETE FROM partition_file WHERE period = '2024-06'; DELETE FROM session_record WHERE session_day >= 19875").unwrap();
    });
    restored.assert_diagnosed("month=2024-06", "restored");
    let ran = restored.run(&INGEST);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("is not overwritten; `marketpipe doctor`"),
        "{}",
        ran.stderr
    );
    restored.assert_cured(
        &[&["doctor", "--rebuild-catalog"], &INGEST, &["aggregate"]],
        "restored",
    );
    experiment.passed(1, "taken into the catalog, byte for byte");

    let experiment = begin(
        "a file restored from before the last ingest",
        "named; repair sets it aside and fetches what it should hold",
    );
    let path = ward.file(["timeframe=1m", "symbol=AAPL", "month=2024-06"]);
    let stale = {
        let lab = Lab::with_made_up(&["AAPL"], FIRST, LAST);
        lab.ingest("AAPL", FIRST, "2024-06-14");
        fs::read(lab.data().join(&path)).unwrap()
    };
    for cure in [&["repair"][..], &["doctor", "--rebuild-catalog"]] {
        let patient = ward.admit(|data| fs::write(data.join(&path), &stale).unwrap());
        patient.assert_diagnosed(path.to_str().unwrap(), "stale");
        patient.assert_honest("stale");
        patient.assert_cured(&[cure, &["repair"], &INGEST, &["aggregate"]], "stale");
    }
    experiment.passed(2, "fetched again, byte for byte");
}

#[test]
fn logs_locks_and_strangers_do_no_harm() {
    let ward = Ward::new();
    let harms: [(&str, &str, Harm); 7] = [
        ("the write-ahead log", "garbage", |data, _| {
            fs::write(data.join("marketpipe.db-wal"), vec![7; 9000]).unwrap()
        }),
        ("the write-ahead log's index", "garbage", |data, _| {
            fs::write(data.join("marketpipe.db-shm"), vec![7; 40_000]).unwrap()
        }),
        ("the store lock", "deleted", |data, _| {
            fs::remove_file(data.join("store.lock")).unwrap()
        }),
        (
            "the store lock",
            "says that a dead process holds it",
            |data, _| fs::write(data.join("store.lock"), "process 1 on mars").unwrap(),
        ),
        ("the publish lock", "deleted", |data, _| {
            _ = fs::remove_file(data.join("publish.lock"))
        }),
        ("staging", "deleted", |data, _| {
            fs::remove_dir_all(data.join("staging")).unwrap()
        }),
        ("staging", "left-over files", |data, _| {
            fs::write(data.join("staging/1-1-abc.parquet"), "half a file").unwrap()
        }),
    ];
    for (what, how, harm) in harms {
        let experiment = Experiment::begin(
            "damage",
            format!("{what}: {how}"),
            "from outside, between two commands",
            "no error, nothing lost",
        );
        let patient = ward.admit(|data| harm(data, data));
        patient.assert_honest(how);
        patient.assert_cured(&[&INGEST, &["aggregate"]], how);
        experiment.passed(1, "nothing lost");
    }
    let experiment = Experiment::begin(
        "damage",
        "a file that nobody knows in the lake",
        "from outside, between two commands",
        "named by the doctor as a warning, left where it is",
    );
    let patient = ward.admit(|data| fs::write(data.join("lake/notes.txt"), "mine").unwrap());
    let looked = patient.run(&["doctor", "--format", "csv"]);
    assert_eq!(looked.code, 0, "{}", looked.stdout);
    assert!(
        looked
            .stdout
            .contains("unknown files,warning,lake/notes.txt"),
        "{}",
        looked.stdout
    );
    patient.assert_honest("stranger");
    assert!(patient.folder.path().join("lake/notes.txt").exists());
    experiment.passed(1, "named");
}

/// The beginning of one experiment on a file or the database.
fn begin(fault: &str, expected: &str) -> Experiment {
    Experiment::begin(
        "damage",
        fault,
        "from outside, between two commands",
        expected,
    )
}

/// Whether anything was set aside.
fn has_set_aside(patient: &Patient<'_>) -> bool {
    !files_below(&patient.folder.path().join("damaged")).is_empty()
}

#[test]
fn repair_of_a_range_fetches_all_that_it_sets_aside_and_sets_aside_nothing_beyond() {
    let ward = Ward::new();
    let experiment = begin(
        "a damaged file of minutes, a part of which is in the range of repair",
        "all that it held is fetched again; one beyond the range stays, whichever bound is given",
    );
    let path = ward.file(["timeframe=1m", "symbol=AAPL", "month=2024-06"]);
    let harmed = || ward.admit(|data| flip(&data.join(&path), |bytes| bytes / 3));
    for range in [
        &["--start", "2024-06-12", "--end", "2024-06-18"][..],
        &["--start", "2024-06-12"],
        &["--end", "2024-06-12"],
        &["--start", "2024-05-31", "--end", "2024-06-03"],
    ] {
        let repair = [&["repair"], range].concat();
        harmed().assert_cured(&[&repair, &["aggregate"]], &format!("{range:?}"));
    }
    for range in [&["--end", "2024-05-31"][..], &["--start", "2024-07-01"]] {
        let patient = harmed();
        patient.run(&[&["repair"], range].concat());
        assert!(!has_set_aside(&patient), "{range:?}");
        patient.assert_cured(&[&["repair"], &["aggregate"]], "afterwards");
    }
    experiment.passed(6, "restored byte for byte");
}

#[test]
fn a_damaged_file_that_no_provider_has_stays_where_it_is() {
    let experiment = begin(
        "a damaged file of minutes of a dataset that no provider of the configuration has",
        "repair says so and leaves it, exit 3; with the provider back it is fetched again",
    );
    let lab = Lab::with_made_up(&["AAPL"], FIRST, LAST);
    let seed = |seed: u32| lab.configure(&format!("[providers.synthetic]\nseed = {seed}\n"));
    seed(1);
    let provider = ["ingest", "--provider", "synthetic", "--symbols", "AAPL"];
    lab.done(&[&provider[..], &["--start", FIRST, "--end", FIRST]].concat());
    let lake = lab.data().join("lake");
    let path = files_below(&lake).remove(0);
    let sound = fs::read(&path).unwrap();
    flip(&path, |bytes| bytes / 3);
    let harmed = fs::read(&path).unwrap();
    seed(2);
    let ran = lab.run(&["repair"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("left as it is"), "{}", ran.stderr);
    assert!(fs::read(&path).unwrap() == harmed);
    seed(1);
    lab.done(&["repair", "--start", FIRST, "--end", FIRST]);
    assert!(fs::read(&path).unwrap() == sound);
    experiment.passed(1, "left, then restored byte for byte");
}

#[test]
fn a_file_that_is_damaged_while_the_database_is_lost_is_missed_and_fetched_again() {
    let ward = Ward::new();
    let experiment = begin(
        "a damaged file of a symbol's earliest month, and no database",
        "the rebuilt catalog says that it is missing, exit 3; repair fetches it",
    );
    let path = ward.file(["timeframe=1m", "symbol=AAPL", "month=2024-05"]);
    let patient = ward.admit(|data| {
        fs::remove_file(data.join("marketpipe.db")).unwrap();
        flip(&data.join(&path), |bytes| bytes / 3);
    });
    let ran = patient.run(&["doctor", "--rebuild-catalog"]);
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("marketpipe repair"), "{}", ran.stderr);
    let gaps = patient.run(&["gaps", "--reason", "not asked", "--format", "csv"]);
    assert!(
        gaps.stdout.contains("2024-05-01"),
        "{}{}",
        gaps.stdout,
        gaps.stderr
    );
    patient.assert_cured(&[&["repair"], &["aggregate"]], "rebuilt");
    experiment.passed(1, "missed, then restored byte for byte");
}

#[test]
fn what_cannot_be_read_or_is_newer_holds_nothing_else_up_and_is_told() {
    let ward = Ward::new();
    let experiment = begin(
        "a damaged file behind a link in the place of its symbol's folder, and another damaged one",
        "the damaged one is set aside, the other left and told, exit 3; by rebuild, too",
    );
    let path = ward.file(["timeframe=1m", "symbol=BRK", "month=2024-05"]);
    let other = ward.file(["timeframe=1m", "symbol=AAPL", "month=2024-05"]);
    let symbol = other.parent().unwrap().parent().unwrap().to_owned();
    for command in [&["repair"][..], &["doctor", "--rebuild-catalog"]] {
        let patient = ward.admit(|data| {
            flip(&data.join(&path), |bytes| bytes / 3);
            flip(&data.join(&other), |bytes| bytes / 3);
            fs::rename(data.join(&symbol), data.join("elsewhere")).unwrap();
            std::os::unix::fs::symlink(data.join("elsewhere"), data.join(&symbol)).unwrap();
        });
        let ran = patient.run(command);
        assert_eq!(ran.code, 3, "{command:?} {}", ran.stderr);
        assert!(has_set_aside(&patient), "{command:?}");
        assert!(
            ran.stderr.contains("left as it is"),
            "{command:?} {}",
            ran.stderr
        );
        let data = patient.folder.path();
        fs::remove_file(data.join(&symbol)).unwrap();
        fs::rename(data.join("elsewhere"), data.join(&symbol)).unwrap();
        patient.assert_cured(&[&["repair"], &["aggregate"]], "the folder is back");
    }
    experiment.passed(2, "restored byte for byte");

    let experiment = begin(
        "a file of minutes says by a flipped bit that a newer program wrote it",
        "set aside where the catalog knows better, left and told where it does not",
    );
    let newer = |data: &Path| {
        let mut bytes = fs::read(data.join(&path)).unwrap();
        let word = b"\"schema\":1";
        let place = bytes.windows(word.len()).position(|found| found == word);
        bytes[place.unwrap() + word.len() - 1] = b'9';
        fs::write(data.join(&path), bytes).unwrap();
    };
    let patient = ward.admit(newer);
    patient.assert_diagnosed(path.to_str().unwrap(), "newer");
    patient.assert_cured(&[&["repair"], &["aggregate"]], "newer");
    let patient = ward.admit(|data| {
        newer(data);
        fs::remove_file(data.join("marketpipe.db")).unwrap();
    });
    let ran = patient.run(&["doctor", "--rebuild-catalog"]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(ran.stderr.contains("layout version 9"), "{}", ran.stderr);
    assert!(!has_set_aside(&patient));
    experiment.passed(2, "restored, and left as it is");
}

#[test]
fn links_and_folders_in_a_files_place_are_named_and_set_aside() {
    let ward = Ward::new();
    let experiment = begin(
        "a link and an empty folder in the places of files that nobody knows",
        "named by the doctor, set aside by rebuild",
    );
    let path = ward.file(["timeframe=1m", "symbol=AAPL", "month=2024-06"]);
    let place = |month: &str| {
        let text = path.to_str().unwrap();
        PathBuf::from(text.replace("month=2024-06", &format!("month={month}")))
    };
    let patient = ward.admit(|data| {
        fs::create_dir_all(data.join(place("2024-08"))).unwrap();
        let link = data.join(place("2024-07"));
        fs::create_dir(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(data.join(&path), link).unwrap();
    });
    for month in ["month=2024-07", "month=2024-08"] {
        patient.assert_diagnosed(month, month);
    }
    let ran = patient.run(&["doctor", "--rebuild-catalog"]);
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    patient.assert_cured(&[], "set aside");
    experiment.passed(1, "set aside");
}

#[test]
fn a_database_with_an_unreadable_value_is_set_aside_and_never_while_somebody_commits() {
    let ward = Ward::new();
    let experiment = begin(
        "the database: a value that no page check can tell from a right one",
        "rebuild sets it aside and makes a new one, and waits for whoever commits",
    );
    for sql in [
        "UPDATE partition_file SET first_session_day = -2000000000 WHERE path IN (SELECT path FROM partition_file LIMIT 1)",
        "UPDATE session_record SET present = zeroblob(5000) WHERE (series_id, session_day) IN (SELECT series_id, session_day FROM session_record LIMIT 1)",
    ] {
        let patient = ward.admit(|data| {
            let database = rusqlite::Connection::open(data.join("marketpipe.db")).unwrap();
            assert_eq!(database.execute(sql, []).unwrap(), 1, "{sql}");
        });
        let data = patient.folder.path();
        let lock = fs::File::options()
            .write(true)
            .open(data.join("store.lock"));
        let lock = lock.unwrap();
        lock.lock().unwrap();
        let ran = patient.run(&["doctor", "--rebuild-catalog", "--wait", "0"]);
        assert_eq!(ran.code, 8, "{}", ran.stderr);
        let aside = || {
            let names = fs::read_dir(data).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name());
            names
                .filter(|name| name.to_str().unwrap().contains(".damaged-"))
                .count()
        };
        assert_eq!(aside(), 0, "{sql}");
        drop(lock);
        patient.assert_cured(
            &[&["doctor", "--rebuild-catalog"], &INGEST, &["aggregate"]],
            sql,
        );
        assert!(aside() > 0, "{sql}");
    }
    experiment.passed(2, "restored from the lake");
}
