//! Faults of storage: disks that are full, read-only, broken, slow or gone, and limits of the process. Each trial disturbs
//! one command, looks at what it said and left, and runs it again undisturbed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{copy_tree, strace, wrapped};
use crate::kills::assert_catalog_agrees;
use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{Ran, files_below, program, read_output, run};

const RANGE: [&str; 6] = [
    "--symbols",
    "AAPL,MSFT",
    "--start",
    "2024-06-27",
    "--end",
    "2024-07-02",
];

/// A command to disturb, and what is there before it.
struct Scene {
    name: &'static str,
    before: &'static [&'static str],
    command: &'static str,
    /// The schema version that the database is set back to, with nothing in it.
    old_schema: bool,
}

const fn scene(
    name: &'static str,
    before: &'static [&'static str],
    command: &'static str,
) -> Scene {
    Scene {
        name,
        before,
        command,
        old_schema: false,
    }
}

/// `@` stands for the range of sessions.
const INGEST: &str = "ingest --provider synthetic @";
const SCENES: [Scene; 9] = [
    scene("ingest", &[], INGEST),
    scene(
        "ingest --aggregate --validate",
        &[],
        "ingest --provider synthetic @ --aggregate --validate",
    ),
    scene(
        "ingest into kept months",
        &["ingest --provider synthetic --symbols AAPL,MSFT --start 2024-06-27 --end 2024-07-01"],
        INGEST,
    ),
    scene("aggregate", &[INGEST], "aggregate"),
    scene(
        "repair",
        &["ingest --provider synthetic --symbols AAPL --start 2024-06-28 --end 2024-07-02"],
        "repair --start 2024-06-27 --end 2024-07-02",
    ),
    scene(
        "jobs prune",
        &[
            INGEST,
            "ingest --provider synthetic --symbols AAPL --start 2024-07-03 --end 2024-07-03",
        ],
        "jobs prune --older-than 0d",
    ),
    scene(
        "validate",
        &[INGEST, "aggregate"],
        "validate --fail-on never",
    ),
    scene(
        "query --output",
        &[INGEST],
        "query QUERY --output out.parquet --force",
    ),
    Scene {
        old_schema: true,
        ..scene("migration", &[], INGEST)
    },
];

fn scene_of(name: &str) -> Bench {
    Bench::of(SCENES.iter().find(|scene| scene.name == name).unwrap())
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn lake_of(data: &Path) -> Files {
    let lake = data.join("lake");
    let files = files_below(&lake).into_iter();
    files
        .map(|path| {
            let name = path.strip_prefix(data).unwrap().to_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect()
}

/// A database as the first version of the program left it.
fn make_old_database(data: &Path) {
    fs::create_dir_all(data).unwrap();
    let sql = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/0001_initial.sql");
    let sql = fs::read_to_string(sql).unwrap().replace("\r\n", "\n");
    let sha256 = hex_sha256(sql.as_bytes());
    let database = rusqlite::Connection::open(data.join("marketpipe.db")).unwrap();
    database.execute_batch(&sql).unwrap();
    let insert = "INSERT INTO migration (version, name, sha256, applied_at_us) VALUES (1, '0001_initial', ?, 0)";
    database.execute(insert, [sha256]).unwrap();
    database
        .pragma_update(None, "application_id", 0x4d6b_7450)
        .unwrap();
    database.pragma_update(None, "user_version", 1).unwrap();
}

fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A scene with what an undisturbed run makes of it.
struct Bench {
    folder: tempfile::TempDir,
    scene: &'static Scene,
    before: Files,
    expected: Files,
    output: Option<Vec<u8>>,
}

/// One disturbed run's place.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Bench {
    fn of(scene: &'static Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut bench = Self {
            folder,
            scene,
            before: Files::new(),
            expected: Files::new(),
            output: None,
        };
        let template = bench.template();
        if scene.old_schema {
            make_old_database(&template);
        }
        for words in scene.before {
            let done = run(&mut command(bench.folder.path(), &template, words));
            assert_eq!(done.code, 0, "{}", done.stderr);
        }
        bench.before = lake_of(&template);
        let place = bench.place();
        let done = run(&mut bench.command(&place));
        assert_eq!(done.code, 0, "{}", done.stderr);
        bench.expected = lake_of(&place.data());
        bench.output = fs::read(place.folder.path().join("out.parquet")).ok();
        bench
    }

    fn template(&self) -> PathBuf {
        self.folder.path().join("template")
    }

    fn place(&self) -> Place {
        let place = Place {
            folder: tempfile::tempdir_in(self.folder.path()).unwrap(),
        };
        if self.template().exists() {
            fs::create_dir(place.data()).unwrap();
            copy_tree(&self.template(), &place.data());
        }
        place
    }

    fn command(&self, place: &Place) -> Command {
        command(place.folder.path(), &place.data(), self.scene.command)
    }

    /// A disturbed run keeps its promises, and a plain one afterwards makes everything good.
    fn judge(&self, place: &Place, ran: &Ran, fault: &str) {
        self.judge_disturbed(&place.data(), ran, fault);
        let about = self.about(ran, fault);
        let leftovers: Vec<_> = fs::read_dir(place.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(".out"))
            .collect();
        assert_eq!(leftovers, [] as [String; 0], "{about}");
        let output = place.folder.path().join("out.parquet");
        if let Ok(written) = fs::read(&output) {
            assert_eq!(Some(written), self.output, "half a result: {about}");
        }
        let again = run(&mut self.command(place));
        assert_eq!(again.code, 0, "rerun: {}\n{about}", again.stderr);
        // Not every command looks after jobs.
        let list = run(&mut command(
            place.folder.path(),
            &place.data(),
            "jobs list",
        ));
        assert_eq!(list.code, 0, "{}", list.stderr);
        assert_eq!(fs::read(&output).ok(), self.output, "{about}");
        self.judge_good(&place.data(), &about);
    }

    fn about(&self, ran: &Ran, fault: &str) -> String {
        format!(
            "{} under {fault}, exit {}:\n{}",
            self.scene.name, ran.code, ran.stderr
        )
    }

    fn judge_disturbed(&self, data: &Path, ran: &Ran, fault: &str) {
        let about = self.about(ran, fault);
        assert!(matches!(ran.code, 0 | 3 | 7) || is_config(ran), "{about}");
        let errors = ran
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "));
        // Each step of a command has one.
        let steps = if self.scene.command.contains("--aggregate") {
            3
        } else {
            1
        };
        assert!(errors.count() <= steps, "more than one error: {about}");
        if ran.code != 0 {
            let says_what = [
                "cannot ",
                "IO Error",
                "reads back",
                "not kept",
                "is damaged",
            ]
            .iter()
            .any(|words| ran.stderr.contains(words));
            let says_where = [
                "/",
                "stdout",
                "rows",
                "marketpipe.toml",
                "files at once",
                "out.parquet",
            ]
            .iter()
            .any(|words| ran.stderr.contains(words));
            assert!(says_what && says_where, "no cause or no path: {about}");
        }
        let catalogued = catalogued(data);
        for (name, bytes) in lake_of(data) {
            let is_whole = self.before.get(&name) == Some(&bytes)
                || self.expected.get(&name) == Some(&bytes)
                || catalogued.get(&name) == Some(&hex_sha256(&bytes));
            assert!(is_whole, "{} is half visible: {about}", name.display());
        }
        if ran.code == 0 {
            assert_eq!(lake_of(data), self.expected, "not done: {about}");
        }
    }

    fn judge_good(&self, data: &Path, about: &str) {
        assert_eq!(lake_of(data), self.expected, "{about}");
        assert_catalog_agrees(data);
        if self.scene.name != "jobs prune" {
            let database = rusqlite::Connection::open(data.join("marketpipe.db")).unwrap();
            let sum = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
            assert_eq!(
                sum("SELECT coalesce(sum(rows_new), 0) FROM job"),
                sum("SELECT coalesce(sum(rows), 0) FROM partition_file WHERE timeframe = '1m'"),
                "{about}"
            );
        }
    }
}

fn is_config(ran: &Ran) -> bool {
    ran.code == 5 && ran.stderr.contains("marketpipe.toml")
}

/// The loader of the program failed: nothing of the program was tried.
fn is_loader(ran: &Ran) -> bool {
    ran.code == 127 || ran.stderr.contains("error while loading shared libraries")
}

/// DuckDB ended the process because it could not read what the kernel tells of CPUs and limits. These are no files of
/// storage, and an exception that it lets escape cannot be caught from here.
fn is_abort_of_duckdb(ran: &Ran, log: &Path) -> bool {
    if !ran
        .stderr
        .contains("instance of 'duckdb::InternalException'")
    {
        return false;
    }
    let log = fs::read_to_string(log).unwrap();
    let first = log.lines().find(|line| line.contains("(INJECTED)"));
    first.is_some_and(|line| line.contains("\"/proc/") || line.contains("\"/sys/"))
}

fn catalogued(data: &Path) -> BTreeMap<PathBuf, String> {
    let list = || -> rusqlite::Result<BTreeMap<PathBuf, String>> {
        let database = rusqlite::Connection::open(data.join("marketpipe.db"))?;
        let mut select = database.prepare("SELECT path, sha256 FROM partition_file")?;
        let rows = select.query_map([], |row| {
            Ok((PathBuf::from(row.get::<_, String>(0)?), row.get(1)?))
        })?;
        rows.collect()
    };
    // Before its first migration there is no table, and no lake.
    if data.join("marketpipe.db").exists() {
        list().unwrap_or_default()
    } else {
        BTreeMap::new()
    }
}

fn command(folder: &Path, data: &Path, words: &str) -> Command {
    let mut command = program(folder);
    command.env("MARKETPIPE_DATA_DIR", data);
    for word in words.split(' ') {
        match word {
            "@" => command.args(RANGE),
            "QUERY" => command.arg("select * from bars_1m order by all"),
            word => command.arg(word),
        };
    }
    command
}

/// The same command after a line of shell.
fn after_shell(line: &str, inner: &Command) -> Command {
    wrapped(&["sh", "-c", &format!("{line}; exec \"$@\""), "sh"], inner)
}

fn works(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn has_tmpfs() -> bool {
    let mode = if is_root() { "-m" } else { "-rm" };
    let has = works(Command::new("unshare").args([mode, "mount", "-t", "tmpfs", "none", "/tmp"]));
    if !has {
        eprintln!("skipped: no tmpfs");
    }
    has
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// `wanted` of the numbers from 1 to `count`, evenly spread, the last one among them.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    let wanted = wanted.min(count);
    (1..=wanted).map(|n| n * count / wanted).collect()
}

/// System calls by what they do; a name that this machine does not have is passed over.
const CALLS: [&str; 9] = [
    "?openat",
    "?pwrite64",
    "?pread64",
    "?fsync,?fdatasync",
    "?rename,?renameat,?renameat2",
    "?mkdir,?mkdirat",
    "?unlink,?unlinkat",
    "?ftruncate,?fallocate",
    "?flock",
];
const ERRORS: [&str; 4] = ["EIO", "ENOSPC", "EDQUOT", "EROFS"];

/// How often one thread makes each of [`CALLS`] at most.
fn count_calls(bench: &Bench) -> Vec<usize> {
    let place = bench.place();
    let log = place.folder.path().join("log");
    let trace = format!("trace={}", CALLS.join(","));
    let wrapper = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-o",
        log.to_str().unwrap(),
        "-e",
        &trace,
    ];
    let ran = run(&mut wrapped(&wrapper, &bench.command(&place)));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let log = fs::read_to_string(log).unwrap();
    let count = |names: &&str| {
        let mut by_thread: BTreeMap<&str, usize> = BTreeMap::new();
        for line in log.lines() {
            let Some((thread, call)) = line.split_once(' ') else {
                continue;
            };
            let Some((call, _)) = call.trim_start().split_once('(') else {
                continue;
            };
            if names
                .split(',')
                .any(|name| name.trim_start_matches('?') == call)
            {
                *by_thread.entry(thread).or_default() += 1;
            }
        }
        by_thread.into_values().max().unwrap_or(0)
    };
    CALLS.iter().map(count).collect()
}

/// Fails calls of each kind at points that are spread over the run, once and from there on for good.
fn fail_calls(bench: &Bench, everyday: usize) {
    for (calls, count) in CALLS.iter().zip(count_calls(bench)) {
        if count == 0 {
            continue;
        }
        let names = calls.replace('?', "").replace(',', "/");
        let experiment = Experiment::begin(
            "storage",
            format!("{}: {names} fails", bench.scene.name),
            format!(
                "strace inject, n-th call of each thread of {count}, once and for good, EIO ENOSPC EDQUOT EROFS"
            ),
            "exit 7 or 3 naming path and cause, or done; nothing half visible; rerun gives the undisturbed lake",
        );
        let (mut tried, mut aborts, mut by_code) = (0, 0, BTreeMap::<i32, usize>::new());
        for (number, at) in spread(count, trials(everyday, usize::MAX))
            .into_iter()
            .enumerate()
        {
            let is_long = trials(0, 1) == 1;
            for (turn, when) in ["", "+"].iter().enumerate() {
                if !is_long && (number + turn) % 2 == 1 {
                    continue;
                }
                let error = ERRORS[(at + turn) % ERRORS.len()];
                let inject = format!("inject={calls}:error={error}:when={at}{when}");
                let place = bench.place();
                let log = place.folder.path().join("log");
                let trace = format!("trace={calls}");
                let wrapper = [
                    "strace",
                    "-f",
                    "--seccomp-bpf",
                    "-o",
                    log.to_str().unwrap(),
                    "-e",
                    &trace,
                    "-e",
                    &inject,
                ];
                let mut ran = run(&mut wrapped(&wrapper, &bench.command(&place)));
                if is_loader(&ran) {
                    continue;
                }
                if is_abort_of_duckdb(&ran, &log) {
                    aborts += 1;
                    // No promise of the exit code is kept here; all others are.
                    ran.code = 7;
                    ran.stderr.insert_str(0, "cannot read /proc or /sys: ");
                }
                bench.judge(&place, &ran, &inject);
                tried += 1;
                *by_code.entry(ran.code).or_default() += 1;
            }
        }
        let aborted = match aborts {
            0 => String::new(),
            aborts => format!(
                ", {aborts} of those with 7 were DuckDB aborting the process over /proc or /sys"
            ),
        };
        experiment.passed(tried, format!("exits {by_code:?}{aborted}"));
    }
}

/// Tests run side by side: each takes its share of the scenes.
fn fail_calls_of(names: &[&str]) {
    if strace() {
        names.iter().for_each(|name| fail_calls(&scene_of(name), 2));
    }
}

#[test]
fn a_failing_call_of_an_ingest_is_told_and_made_good_by_a_rerun() {
    fail_calls_of(&["ingest", "ingest into kept months"]);
}

#[test]
fn a_failing_call_of_what_follows_an_ingest_is_told_and_made_good_by_a_rerun() {
    fail_calls_of(&["ingest --aggregate --validate", "aggregate", "validate"]);
}

#[test]
fn a_failing_call_of_other_commands_is_told_and_made_good_by_a_rerun() {
    fail_calls_of(&["repair", "jobs prune", "query --output", "migration"]);
}

/// Runs under strace, which looks at these files alone. It is the program's child, so that `$$` is the program's id.
fn traced(paths: &[String], inject: &str, inner: &Command) -> Command {
    let class = inject.split_once(':').unwrap().0;
    let mut line = "exec strace -D -f --seccomp-bpf -o /dev/null".to_owned();
    for path in paths {
        line.push_str(&format!(" -P \"{path}\""));
    }
    line.push_str(&format!(" -e trace={class} -e inject={inject} \"$@\""));
    wrapped(&["sh", "-c", &line, "sh"], inner)
}

/// Every name under which a file of the undisturbed lake may be staged, as the shell will know it.
fn staged_names(bench: &Bench, data: &Path) -> Vec<String> {
    let staging = data.join("staging");
    let count = bench.expected.len();
    let name = |bytes: &Vec<u8>, number: usize| {
        format!(
            "{}/$$-{number}-{}.parquet",
            staging.display(),
            &hex_sha256(bytes)[..16]
        )
    };
    bench
        .expected
        .values()
        .flat_map(|bytes| (0..count).map(move |number| name(bytes, number)))
        .collect()
}

#[test]
fn a_failed_or_short_write_of_a_bar_file_never_reaches_the_lake() {
    if !strace() {
        return;
    }
    let bench = scene_of("ingest");
    for (fault, injects, is_fault) in [
        (
            "a write finds no room",
            &[
                "write:error=ENOSPC",
                "write:error=EDQUOT",
                "write:error=EFBIG",
            ][..],
            true,
        ),
        (
            "a write fails",
            &["write:error=EIO", "write:error=EROFS", "write:error=ESTALE"],
            true,
        ),
        (
            "a write is lost but claimed",
            &["write:retval=100", "write:retval=0"],
            true,
        ),
        ("a write is interrupted", &["write:error=EINTR"], false),
        (
            "a sync of a bar file fails",
            &["fsync:error=EIO", "fsync:error=ENOSPC"],
            true,
        ),
        (
            "reading back fails or is short",
            &["read:error=EIO", "read:retval=0"],
            true,
        ),
    ] {
        let experiment = Experiment::begin(
            "storage",
            fault,
            "strace inject on staged files alone, first call of each thread, once and for good",
            "exit 3 or 7 naming the file, nothing of it in the lake; interrupted: done",
        );
        let (mut tried, mut by_code) = (0, BTreeMap::<i32, usize>::new());
        for inject in injects {
            for when in if is_fault {
                &["1", "1+", "2"][..trials(2, 3)]
            } else {
                &["1", "2"]
            } {
                // A claim of more than there is would be no write.
                if when.ends_with('+') && inject.ends_with("=100") {
                    continue;
                }
                let inject = format!("{inject}:when={when}");
                let place = bench.place();
                let names = staged_names(&bench, &place.data());
                let ran = run(&mut traced(&names, &inject, &bench.command(&place)));
                // Not every thread has a second file or a second call for one.
                let must_fail = is_fault && when != &"2";
                let is_right = (ran.code != 0) == must_fail || (is_fault && !must_fail);
                assert!(is_right, "{}", bench.about(&ran, &inject));
                assert!(
                    !must_fail || ran.stderr.contains("/staging/"),
                    "{}",
                    ran.stderr
                );
                bench.judge(&place, &ran, &inject);
                tried += 1;
                *by_code.entry(ran.code).or_default() += 1;
            }
        }
        experiment.passed(tried, format!("exits {by_code:?}"));
    }
}

#[test]
fn a_kept_file_that_cannot_be_read_is_never_taken_for_no_data() {
    if !strace() {
        return;
    }
    for name in [
        "ingest into kept months",
        "aggregate",
        "validate",
        "query --output",
    ] {
        let bench = scene_of(name);
        let experiment = Experiment::begin(
            "storage",
            format!("{name}: kept files cannot be read"),
            "strace inject EIO on read and pread64 of the lake's files",
            "exit 3, 4 or 7 naming the file; the file is left as it is",
        );
        let place = bench.place();
        let paths: Vec<String> = bench
            .before
            .keys()
            .map(|path| place.data().join(path).display().to_string())
            .collect();
        let mut ran = run(&mut traced(
            &paths,
            "read,pread64:error=EIO:when=1+",
            &bench.command(&place),
        ));
        assert!(
            ran.stderr.contains("bars.parquet"),
            "{}",
            bench.about(&ran, "EIO")
        );
        if name == "validate" {
            // It tells of it as a finding.
            assert!(
                ran.stderr.contains("cannot be read") || ran.stderr.contains("Input/output"),
                "{}",
                ran.stderr
            );
            ran.code = 7;
        }
        assert!(matches!(ran.code, 3 | 7), "{}", bench.about(&ran, "EIO"));
        for (path, bytes) in &bench.before {
            assert_eq!(&fs::read(place.data().join(path)).unwrap(), bytes);
        }
        bench.judge(&place, &ran, "EIO on reading");
        experiment.passed(1, "as expected");
    }
}

#[test]
fn a_slow_disk_is_waited_for() {
    if !strace() {
        return;
    }
    let bench = scene_of("ingest");
    let experiment = Experiment::begin(
        "storage",
        "fsync is slow",
        "strace inject, 30 ms a call",
        "done",
    );
    let place = bench.place();
    let wrapper = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "inject=fsync,fdatasync:delay_enter=30000",
    ];
    let ran = run(&mut wrapped(&wrapper, &bench.command(&place)));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    bench.judge(&place, &ran, "slow fsync");
    experiment.passed(1, "done");
}

/// Runs the scene on a small file system that is enlarged before the rerun; what it looked like after each is copied out.
fn on_small_disk(bench: &Bench, options: &str, larger: &str) {
    let place = bench.place();
    let disk = place.folder.path().join("disk");
    let script = format!(
        "D='{disk}'; P='{place}'; mount -t tmpfs -o {options} none \"$D\" || exit 99
         MARKETPIPE_DATA_DIR=\"$D/data\" \"$@\" 2>\"$P/err1\"; echo $? >\"$P/code1\"
         mkdir \"$P/first\" \"$P/second\"; cp -a \"$D/data\" \"$P/first/\" 2>/dev/null
         mount -o remount,{larger} \"$D\" || exit 98
         MARKETPIPE_DATA_DIR=\"$D/data\" \"$@\" 2>\"$P/err2\"; echo $? >\"$P/code2\"
         cp -a \"$D/data\" \"$P/second/\"",
        disk = disk.display(),
        place = place.folder.path().display()
    );
    fs::create_dir(&disk).unwrap();
    let mut wrapper = vec!["unshare"];
    wrapper.push(if is_root() { "-m" } else { "-rm" });
    wrapper.extend(["sh", "-c", &script, "sh"]);
    let ran = run(&mut wrapped(&wrapper, &bench.command(&place)));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let told = |number: u8| {
        let read = |what: &str| {
            fs::read_to_string(place.folder.path().join(format!("{what}{number}"))).unwrap()
        };
        Ran {
            code: read("code").trim().parse().unwrap(),
            stdout: String::new(),
            stderr: read("err"),
        }
    };
    let (first, second) = (told(1), told(2));
    assert!(!first.stderr.contains("panicked at"), "{}", first.stderr);
    bench.judge_disturbed(&place.folder.path().join("first/data"), &first, options);
    assert_eq!(
        second.code,
        0,
        "rerun: {}\n{}",
        second.stderr,
        bench.about(&first, options)
    );
    bench.judge_good(
        &place.folder.path().join("second/data"),
        &bench.about(&first, options),
    );
}

#[test]
fn a_full_disk_of_any_size_is_told_and_made_good_when_it_grows() {
    if !has_tmpfs() {
        return;
    }
    let bench = scene_of("ingest --aggregate --validate");
    let experiment = Experiment::begin(
        "storage",
        "the disk is full",
        "tmpfs from 16 KiB up in even steps, then enlarged",
        "exit 7 or 3 naming path and cause; nothing half visible; rerun gives the undisturbed lake",
    );
    let sizes = spread(80, trials(10, 80));
    for size in &sizes {
        on_small_disk(&bench, &format!("size={}k", size * 16), "size=64m");
    }
    experiment.passed(sizes.len(), "as expected");
    let experiment = Experiment::begin(
        "storage",
        "the disk has no inode left",
        "tmpfs with 2 inodes and more, then enlarged",
        "exit 7 or 3 naming path and cause; nothing half visible; rerun gives the undisturbed lake",
    );
    let inodes = spread(48, trials(8, 48));
    for count in &inodes {
        on_small_disk(
            &bench,
            &format!("size=64m,nr_inodes={}", count + 1),
            "nr_inodes=10000",
        );
    }
    experiment.passed(inodes.len(), "as expected");
}

#[test]
fn a_limit_of_file_size_or_descriptors_is_told_like_a_full_disk() {
    let sizes: Vec<String> = spread(300, trials(8, 75))
        .iter()
        .map(|n| format!("ulimit -f {}", n - 1))
        .collect();
    let descriptors: Vec<String> = spread(56, trials(6, 52))
        .iter()
        .map(|n| format!("ulimit -n {}", n + 4))
        .collect();
    for name in ["ingest --aggregate --validate", "query --output"] {
        let bench = scene_of(name);
        for (fault, limits) in [
            ("files may not grow", &sizes),
            ("few files may be open", &descriptors),
        ] {
            let experiment = Experiment::begin(
                "storage",
                format!("{name}: {fault}"),
                format!("{} to {}", limits[0], limits[limits.len() - 1]),
                "exit 7 or 3, not death by a signal; nothing half visible; rerun gives the undisturbed lake",
            );
            let (mut tried, mut by_code) = (0, BTreeMap::<i32, usize>::new());
            for limit in limits {
                let place = bench.place();
                let ran = run(&mut after_shell(limit, &bench.command(&place)));
                if is_loader(&ran) {
                    continue;
                }
                bench.judge(&place, &ran, limit);
                tried += 1;
                *by_code.entry(ran.code).or_default() += 1;
            }
            experiment.passed(tried, format!("exits {by_code:?}"));
        }
    }
}

#[test]
fn out_of_memory_ends_a_run_and_leaves_nothing_half_done() {
    let bench = scene_of("ingest --aggregate --validate");
    let limits: Vec<usize> = spread(40, trials(4, 40)).iter().map(|n| n * 20).collect();
    let experiment = Experiment::begin(
        "storage",
        "no memory is left",
        "ulimit -v from 20 MiB to 800 MiB",
        "done, or ended at once however it may be; nothing half visible; rerun gives the undisturbed lake",
    );
    let mut done = 0;
    for limit in &limits {
        let place = bench.place();
        let mut command = after_shell(
            &format!("ulimit -c 0; ulimit -v {}", limit * 1024),
            &bench.command(&place),
        );
        // Where memory fails the program may end in the middle of a message.
        let output = command.output().unwrap();
        let code = output.status.code();
        done += usize::from(code == Some(0));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let judged = Ran {
            code: if code == Some(0) { 0 } else { 7 },
            stdout: String::new(),
            stderr: format!("{stderr} cannot /"),
        };
        bench.judge(&place, &judged, &format!("{limit} MiB"));
    }
    experiment.passed(limits.len(), format!("{done} done"));
}

/// The command as somebody whom permissions bind; `None` after saying that the test is skipped.
fn unprivileged(place: &Place, inner: Command) -> Option<Command> {
    if !is_root() {
        return Some(inner);
    }
    const NOBODY: u32 = 65534;
    let setpriv = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let mut looks = wrapped(
        &setpriv,
        &command(place.folder.path(), &place.data(), "--version"),
    );
    let mut folder = Some(place.folder.path());
    while let Some(above) = folder
        .filter(|above| above.starts_with(std::env::temp_dir()) && *above != std::env::temp_dir())
    {
        fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
        folder = above.parent();
    }
    if !works(&mut looks) {
        eprintln!("skipped: nobody else can run the program");
        return None;
    }
    let mut folders = vec![place.data()];
    while let Some(folder) = folders.pop() {
        std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                std::os::unix::fs::chown(entry.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
    }
    Some(wrapped(&setpriv, &inner))
}

#[test]
fn what_may_not_be_written_is_told_with_its_path() {
    let month =
        "lake/provider=synthetic/feed=seed-1/adjustment=raw/timeframe=1m/symbol=AAPL/month=2024-07";
    let bench = scene_of("ingest into kept months");
    let place = bench.place();
    if unprivileged(&place, bench.command(&place)).is_none() {
        return;
    }
    for (what, path, mode, code) in [
        ("data folder", "", 0o555, 7),
        ("staging", "staging", 0o555, 7),
        ("database", "marketpipe.db", 0o400, 7),
        ("lock", "store.lock", 0o400, 7),
        ("partition's folder", month, 0o555, 3),
        (
            "bar file, unreadable,",
            &format!("{month}/bars.parquet"),
            0o000,
            3,
        ),
    ] {
        let experiment = Experiment::begin(
            "storage",
            format!("{what} without permission"),
            format!("chmod {mode:o}, not as root"),
            format!("exit {code} naming the path; rerun gives the undisturbed lake"),
        );
        let place = bench.place();
        let mut command = unprivileged(&place, bench.command(&place)).unwrap();
        let path = place.data().join(path);
        let kept = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let ran = run(&mut command);
        fs::set_permissions(&path, kept).unwrap();
        assert_eq!(ran.code, code, "{}", bench.about(&ran, what));
        bench.judge(&place, &ran, what);
        experiment.passed(1, "as expected");
    }
}

#[test]
fn a_data_folder_that_vanishes_is_told_and_not_made_anew() {
    if !strace() {
        return;
    }
    let bench = scene_of("ingest");
    let runs = trials(2, 20);
    let experiment = Experiment::begin(
        "storage",
        "the data folder vanishes in the middle of a run",
        "moved away while fsync is slow, later moved back",
        "exit 7; no empty lake in its place; rerun gives the undisturbed lake",
    );
    for number in 0..runs {
        let place = bench.place();
        let wrapper = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync",
            "-e",
            "inject=fsync:delay_enter=40000",
        ];
        let mut command = wrapped(&wrapper, &bench.command(&place));
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !place.data().join("running").exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(50) * u32::try_from(number % 6).unwrap());
        let away = place.folder.path().join("away");
        fs::rename(place.data(), &away).unwrap();
        let ran = read_output(child.wait_with_output().unwrap());
        let left = files_below(&place.data().join("lake"));
        assert_eq!(left, [] as [PathBuf; 0], "{}", ran.stderr);
        assert!(
            !place.data().join("marketpipe.db").exists(),
            "{}",
            ran.stderr
        );
        if place.data().exists() {
            fs::remove_dir_all(place.data()).unwrap();
        }
        fs::rename(&away, place.data()).unwrap();
        assert!(
            matches!(ran.code, 3 | 7),
            "{}",
            bench.about(&ran, "a vanished folder")
        );
        bench.judge(&place, &ran, "a vanished folder");
    }
    experiment.passed(runs, "as expected");
}

#[test]
fn staging_on_another_file_system_is_refused_before_anything_is_fetched() {
    if !has_tmpfs() {
        return;
    }
    let experiment = Experiment::begin(
        "storage",
        "staging lies on another file system",
        "tmpfs mounted on staging",
        "exit 7 before anything is fetched",
    );
    let bench = scene_of("ingest");
    let place = bench.place();
    let staging = place.data().join("staging");
    fs::create_dir_all(&staging).unwrap();
    let script = format!(
        "mount -t tmpfs none '{}' || exit 99; exec \"$@\"",
        staging.display()
    );
    let mode = if is_root() { "-m" } else { "-rm" };
    let ran = run(&mut wrapped(
        &["unshare", mode, "sh", "-c", &script, "sh"],
        &bench.command(&place),
    ));
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(ran.stderr.contains("another file system"), "{}", ran.stderr);
    bench.judge(&place, &ran, "staging elsewhere");
    experiment.passed(1, "as expected");
}

#[test]
fn output_that_cannot_be_written_is_a_failure_and_a_closed_one_is_none() {
    let bench = scene_of("validate");
    let place = bench.place();
    let words = [
        "status",
        "jobs list",
        "gaps",
        "query QUERY",
        "validate --fail-on never --format csv",
        "metrics",
        "config show",
        "providers",
        "--help",
        "aggregate --format csv",
        "ingest --provider synthetic @ --format csv",
    ];
    for (fault, line, code) in [
        ("stdout is full", "exec >/dev/full", 7),
        ("stdout is closed", "exec >&-", 0),
        ("stderr is full", "exec 2>/dev/full", 0),
        ("stderr is closed", "exec 2>&-", 0),
        ("all three are closed", "exec <&- >&- 2>&-", 0),
    ] {
        let experiment =
            Experiment::begin("storage", fault, line, format!("exit {code}, no panic"));
        for words in words {
            let ran = run(&mut after_shell(
                line,
                &command(place.folder.path(), &place.data(), words),
            ));
            assert_eq!(ran.code, code, "{words}, {fault}: {}", ran.stderr);
        }
        experiment.passed(words.len(), "as expected");
    }
    let experiment = Experiment::begin(
        "storage",
        "the reader has gone",
        "a pipe whose other end is closed",
        "exit 0, no word",
    );
    for words in words {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(place.folder.path(), &place.data(), words);
        let child = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(command);
        let ran = read_output(child.wait_with_output().unwrap());
        assert!(
            ran.code == 0 && !ran.stderr.contains("error:"),
            "{words}: {}",
            ran.stderr
        );
    }
    experiment.passed(words.len(), "as expected");
    let ran = run(&mut bench.command(&place));
    bench.judge(&place, &ran, "nothing any more");
}
