//! The first steps: a configuration file, completions, manual pages, and what mistakes are answered with.

use crate::support::lab::{program, run};

#[test]
fn init_writes_a_file_that_every_command_reads() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |arguments: &[&str]| run(program(folder.path()).args(arguments));
    let made = in_folder(&["init", "--symbols", "aapl,BRK-B", "--data-dir", "bars"]);
    assert_eq!(
        (made.code, made.stdout.as_str()),
        (0, ""),
        "{}",
        made.stderr
    );
    assert!(made.stderr.contains("--symbols @watch"), "{}", made.stderr);
    let shown = in_folder(&["config", "show", "--format", "csv"]).stdout;
    assert!(shown.contains("bars,file "), "{shown}");
    let range = ["--start", "2024-07-01", "--end", "2024-07-01"];
    let ingest = ["ingest", "--symbols", "@watch", "--provider", "synthetic"];
    let ran = in_folder(&[&ingest[..], &range].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(folder.path().join("bars/marketpipe.db").is_file());
}

#[test]
fn init_replaces_nothing_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marketpipe.toml");
    std::fs::write(&path, "log = \"info\"\n").unwrap();
    let refused = run(program(folder.path()).args(["init", "--yes"]));
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("marketpipe.toml is there already"),
        "{}",
        refused.stderr
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "log = \"info\"\n");
    let replaced = run(program(folder.path()).args(["init", "--force"]));
    assert_eq!(replaced.code, 0, "{}", replaced.stderr);
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("#log = \"warn\"")
    );
}

#[test]
fn init_makes_the_folder_of_the_file_and_names_the_data_as_it_sees_them() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "init",
        "--config",
        "conf/m.toml",
        "--data-dir",
        "bars",
        "--plan",
        "plus",
    ];
    let made = run(program(folder.path()).args(arguments));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let text = std::fs::read_to_string(folder.path().join("conf/m.toml")).unwrap();
    let here = folder.path().canonicalize().unwrap().join("bars");
    let named = text
        .lines()
        .find(|line| line.starts_with("data_dir"))
        .unwrap();
    let named = named.trim_start_matches("data_dir = ").trim_matches('"');
    assert_eq!(std::path::Path::new(named).file_name(), here.file_name());
    assert!(std::path::Path::new(named).is_absolute(), "{named}");
    assert!(
        text.contains("\nrequests_per_minute = 10000\nrealtime = true")
            || text.contains("\nrealtime = true\n"),
        "{text}"
    );
}

#[test]
fn init_refuses_what_is_no_symbol() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run(program(folder.path()).args(["init", "--symbols", "A$$"]));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(!folder.path().join("marketpipe.toml").exists());
}

#[test]
fn completions_man_and_init_work_where_the_configuration_does_not() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("marketpipe.toml"), "no toml at all").unwrap();
    assert_eq!(run(program(folder.path()).args(["config", "show"])).code, 5);
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef marketpipe"),
        ("fish", "complete -c marketpipe"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let ran = run(program(folder.path()).args(["completions", shell]));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains(word), "{shell}");
        assert!(
            ran.stdout.contains("ingest") && ran.stdout.contains("symbols-file"),
            "{shell}"
        );
    }
    let page = run(program(folder.path()).args(["man", "jobs", "resume"]));
    assert!(
        page.stdout.contains("marketpipe jobs resume 12"),
        "{}",
        page.stdout
    );
    let none = run(program(folder.path()).args(["man", "nosuch"]));
    assert_eq!(none.code, 2, "{}", none.stderr);
    let all = run(program(folder.path()).args(["man", "--output", "man1"]));
    assert_eq!((all.code, all.stdout.as_str()), (0, ""), "{}", all.stderr);
    assert!(folder.path().join("man1/marketpipe-ingest.1").is_file());
    assert_eq!(
        run(program(folder.path()).args(["init", "--force"])).code,
        0
    );
}

#[test]
fn a_mistyped_word_is_answered_with_the_nearest_one() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, meant) in [
        (vec!["ingst"], "'ingest'"),
        (vec!["ingest", "--symbls", "A"], "'--symbols'"),
        (vec!["query", "select 1", "--format", "jsn"], "'json'"),
        (vec!["completions", "bsh"], "'bash'"),
    ] {
        let ran = run(program(folder.path()).args(&arguments));
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.stderr.contains(meant), "{arguments:?}: {}", ran.stderr);
    }
}
