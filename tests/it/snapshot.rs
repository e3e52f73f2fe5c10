//! Snapshots: they stay as they were whatever happens to the lake, cost no room at first, and are whole or not there.

use std::path::{Path, PathBuf};

use crate::support::lab::{Lab, Ran, files_below, program, run};

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-07-01", "2024-07-05");
    lab.ingest("AAPL,MSFT", "2024-07-01", "2024-07-02");
    lab.done(&["aggregate"]);
    lab
}

fn folder(lab: &Lab, name: &str) -> PathBuf {
    lab.data().join("snapshots").join(name)
}

/// What the doctor says of every byte of a data directory.
fn doctor(lab: &Lab, data: &Path) -> Ran {
    let data = data.to_str().unwrap();
    lab.run(&["--data-dir", data, "doctor", "--deep", "--format", "csv"])
}

/// All bars of a data directory.
fn bars(lab: &Lab, data: &Path) -> String {
    let sql = "select * from bars_1m order by symbol, ts";
    let data = data.to_str().unwrap();
    let ran = lab.done(&["--data-dir", data, "query", sql, "--format", "csv"]);
    ran.stdout
}

#[test]
fn a_snapshot_stays_as_it_was_while_the_lake_goes_on() {
    let lab = lab();
    let before = bars(&lab, &lab.data());
    let made = lab.done(&["snapshot", "--name", "first", "--format", "csv"]);
    assert!(
        made.stdout
            .starts_with("name,made,files,rows,bytes,path\nfirst,"),
        "{}",
        made.stdout
    );
    lab.ingest("AAPL,MSFT", "2024-07-03", "2024-07-05");
    assert_ne!(bars(&lab, &lab.data()), before);
    let kept = folder(&lab, "first");
    assert_eq!(bars(&lab, &kept), before);
    let status = lab.done(&[
        "--data-dir",
        kept.to_str().unwrap(),
        "status",
        "--format",
        "csv",
    ]);
    assert!(
        status.stdout.contains("AAPL,1d,"),
        "derived bars are there: {}",
        status.stdout
    );
    let seen = doctor(&lab, &kept);
    assert_eq!(seen.code, 0, "{}{}", seen.stdout, seen.stderr);
    let seen = doctor(&lab, &lab.data());
    assert_eq!(
        seen.code, 0,
        "a snapshot is nothing strange: {}",
        seen.stdout
    );
}

#[test]
fn nothing_is_written_to_a_snapshot_but_to_a_copy_of_it() {
    let lab = lab();
    lab.done(&["snapshot", "--name", "s"]);
    let kept = folder(&lab, "s");
    let before = bars(&lab, &kept);
    let into = |data: &Path, arguments: &[&str]| {
        lab.run(&[&["--data-dir", data.to_str().unwrap()], arguments].concat())
    };
    let made_up = [
        "ingest",
        "--provider",
        "synthetic",
        "--symbols",
        "ZZZ",
        "--start",
        "2024-07-01",
        "--end",
        "2024-07-01",
    ];
    for arguments in [
        &made_up[..],
        &["aggregate"],
        &["repair"],
        &["forget", "--symbols", "AAPL"],
        &["doctor", "--rebuild-catalog"],
        &["jobs", "prune", "--older-than", "1m"],
    ] {
        let ran = into(&kept, arguments);
        assert_eq!(ran.code, 7, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("is a snapshot"), "{}", ran.stderr);
    }
    for arguments in [
        &["jobs", "list"][..],
        &["status"],
        &["validate"],
        &["doctor", "--deep"],
    ] {
        let ran = into(&kept, arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(bars(&lab, &kept), before);
    let copy = lab.folder.path().join("copy");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&kept, &copy])
        .status();
    assert!(copied.unwrap().success());
    let ran = into(&copy, &made_up);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn the_manifest_names_every_file_with_its_sha256() {
    use sha2::Digest as _;
    let lab = lab();
    lab.done(&["snapshot", "--name", "s"]);
    let kept = folder(&lab, "s");
    let manifest = std::fs::read_to_string(kept.join("manifest.csv")).unwrap();
    let mut named = Vec::new();
    for line in manifest.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let bytes = std::fs::read(kept.join(fields[0])).unwrap();
        assert_eq!(fields[2], bytes.len().to_string(), "{line}");
        let digest = sha2::Sha256::digest(&bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(fields[3], hex, "{line}");
        named.push(kept.join(fields[0]));
    }
    named.sort();
    assert_eq!(named, files_below(&kept.join("lake")));
    assert_eq!(named.len(), lab.files().len());
}

#[cfg(unix)]
#[test]
fn bars_are_linked_and_not_copied() {
    use std::os::unix::fs::MetadataExt as _;
    let lab = lab();
    lab.done(&["snapshot", "--name", "s"]);
    for path in files_below(&folder(&lab, "s").join("lake")) {
        assert_eq!(
            std::fs::metadata(&path).unwrap().nlink(),
            2,
            "{}",
            path.display()
        );
    }
    lab.done(&["snapshot", "drop", "s"]);
    for path in files_below(&lab.data().join("lake")) {
        assert_eq!(
            std::fs::metadata(&path).unwrap().nlink(),
            1,
            "{}",
            path.display()
        );
    }
}

#[test]
fn snapshots_are_listed_and_dropped_by_name() {
    let lab = lab();
    lab.done(&["snapshot"]);
    lab.done(&["snapshot", "--name", "b"]);
    let again = lab.run(&["snapshot", "--name", "b"]);
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert!(
        again.stderr.contains("snapshot b already"),
        "{}",
        again.stderr
    );
    let list = lab.done(&["snapshot", "list", "--format", "csv"]).stdout;
    assert_eq!(list.lines().count(), 3, "{list}");
    let before = bars(&lab, &lab.data());
    lab.done(&["snapshot", "drop", "b"]);
    assert!(!folder(&lab, "b").exists());
    assert_eq!(bars(&lab, &lab.data()), before);
    let gone = lab.run(&["snapshot", "drop", "b"]);
    assert_eq!(gone.code, 2, "{}", gone.stderr);
    for name in ["../lake", ".hidden", "a/b", "-x"] {
        assert_eq!(lab.run(&["snapshot", "drop", "--", name]).code, 2, "{name}");
    }
    // A folder that is no snapshot is nobody's to drop.
    std::fs::create_dir(folder(&lab, "mine")).unwrap();
    assert_eq!(lab.run(&["snapshot", "drop", "mine"]).code, 2);
    assert!(folder(&lab, "mine").is_dir());
}

#[test]
fn what_a_dead_process_left_half_made_is_no_snapshot_and_goes() {
    let lab = lab();
    let half = folder(&lab, ".dead.4711");
    std::fs::create_dir_all(half.join("lake")).unwrap();
    std::fs::write(half.join("manifest.csv"), "path,rows,bytes,sha256\n").unwrap();
    let list = lab.done(&["snapshot", "list", "--format", "csv"]).stdout;
    assert_eq!(list.lines().count(), 1, "{list}");
    lab.done(&["snapshot", "--name", "s"]);
    assert!(!half.exists());
}

#[test]
fn a_file_that_is_gone_makes_no_snapshot() {
    let lab = lab();
    let gone = files_below(&lab.data().join("lake")).remove(0);
    std::fs::remove_file(&gone).unwrap();
    let ran = lab.run(&["snapshot", "--name", "s"]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(
        ran.stderr.contains(gone.to_str().unwrap()),
        "{}",
        ran.stderr
    );
    assert_eq!(
        files_below(&lab.data().join("snapshots")),
        Vec::<PathBuf>::new()
    );
}

#[test]
fn nothing_kept_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(program(folder.path()).arg("snapshot"));
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing is kept"), "{}", ran.stderr);
    assert!(
        !folder.path().join("data").exists(),
        "looking makes nothing"
    );
}

#[test]
fn snapshots_beside_ingests_hold_whole_commits() {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-01-02", "2024-07-05");
    lab.ingest("AAPL", "2024-07-01", "2024-07-01");
    let ingest = [
        "ingest",
        "--symbols",
        "AAPL,MSFT",
        "--start",
        "2024-01-02",
        "--end",
        "2024-07-05",
    ];
    let mut writer = lab.command(&ingest);
    writer
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null());
    let mut writer = writer.spawn().unwrap();
    let mut count = 0;
    while writer.try_wait().unwrap().is_none() || count == 0 {
        lab.done(&["snapshot", "--name", &format!("s{count}")]);
        count += 1;
    }
    for number in 0..count {
        let kept = folder(&lab, &format!("s{number}"));
        let seen = doctor(&lab, &kept);
        let wrong: Vec<&str> = seen
            .stdout
            .lines()
            .filter(|line| line.contains(",error,"))
            .collect();
        assert_eq!(
            (seen.code, wrong),
            (0, vec![]),
            "snapshot {number} of {count}"
        );
    }
}
