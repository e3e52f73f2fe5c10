//! The reference pages: two are written by the program's own words, one is compared with what it prints.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::{in_repository, read};
use crate::support::lab::{Lab, program, run};

/// Compares a page with what it should be; writes it where that is wanted.
fn hold(path: &str, expected: &str) {
    if std::env::var_os("MARKETPIPE_WRITE_DOCS").is_some() {
        std::fs::write(in_repository(path), expected).unwrap();
    }
    assert!(
        read(path) == expected,
        "{path} is not what the program says: MARKETPIPE_WRITE_DOCS=1 cargo test --test it docs::reference"
    );
}

#[test]
fn the_command_reference_is_what_help_says() {
    let mut page = String::from(
        "# Commands\n\nWhat `--help` says of each, written by a test. [output.md](output.md) has the fields of what they print.\n",
    );
    let mut left = vec![Vec::<String>::new()];
    while let Some(command) = left.pop() {
        let help = help(&command);
        let title = ["marketpipe".to_owned()]
            .iter()
            .chain(&command)
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        let level = "#".repeat(2 + command.len().min(2));
        write!(
            page,
            "\n{level} `{title}`\n\n```text\n{}\n```\n",
            help.trim_end()
        )
        .unwrap();
        let mut children: Vec<Vec<String>> = subcommands(&help)
            .into_iter()
            .map(|name| command.iter().cloned().chain([name]).collect())
            .collect();
        children.reverse();
        left.extend(children);
    }
    hold("docs/reference/cli.md", &page);
}

fn help(command: &[String]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(program(folder.path()).args(command).arg("--help"));
    assert_eq!(ran.code, 0, "{command:?}: {}", ran.stderr);
    ran.stdout
}

/// The names below `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_configuration_reference_is_what_the_example_says() {
    let mut page = String::from(
        "# Configuration\n\nEvery key with its default, written by a test from `config/marketpipe.example.toml`, which `marketpipe init`\n\
         starts from. A flag goes before an environment variable, a variable before the file; `marketpipe config show` says what\n\
         is in force and where it came from.\n",
    );
    let example = marketpipe::config::EXAMPLE_FILE;
    let (mut words, mut section, mut has_table) = (Vec::new(), String::new(), false);
    // What stands before the first empty line is about the file itself.
    for line in example.split_once("\n\n").unwrap().1.lines() {
        let key = line.strip_prefix("# ").unwrap_or(line).split_once(" = ");
        match (line, key) {
            ("", _) => words.clear(),
            (line, _) if line.starts_with('[') => {
                section = line.trim_matches(['[', ']']).to_owned();
                has_table = false;
                write!(page, "\n## `{section}`\n").unwrap();
                if !words.is_empty() {
                    write!(page, "\n{}\n", words.join(" ")).unwrap();
                    words.clear();
                }
            }
            (_, Some((key, value))) if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') => {
                if !has_table {
                    page.push_str("\n| key | default | meaning |\n|---|---|---|\n");
                    has_table = true;
                }
                let is_unset = line.starts_with('#');
                let default = if is_unset {
                    format!("none; such as `{value}`")
                } else {
                    format!("`{value}`")
                };
                let prefix = if section.is_empty() {
                    String::new()
                } else {
                    format!("{section}.")
                };
                writeln!(
                    page,
                    "| `{prefix}{key}` | {default} | {} |",
                    words.join(" ").replace('|', "\\|")
                )
                .unwrap();
            }
            (line, _) => words.push(line.trim_start_matches("# ").to_owned()),
        }
    }
    page.push_str(ENVIRONMENT);
    hold("docs/reference/configuration.md", &page);
}

const ENVIRONMENT: &str = "
## Environment

| variable | meaning |
|---|---|
| `MARKETPIPE_DATA_DIR` | `data_dir` |
| `MARKETPIPE_CONFIG` | the file itself |
| `MARKETPIPE_LOG` | `log` |
| `MARKETPIPE_ALPACA_URL` | `providers.alpaca.base_url` |
| `NO_COLOR` | `color = \"never\"` |
| `APCA_API_KEY_ID`, `APCA_API_SECRET_KEY` | Alpaca's credentials; else `ALPACA_API_KEY` and `ALPACA_SECRET_KEY`, else `ALPACA_KEY` and `ALPACA_SECRET` |
";

/// The fields of every shape that output.md documents: by the command in the heading, schema and fields with their types.
fn documented() -> BTreeMap<String, (String, Vec<(String, String)>)> {
    let page = read("docs/reference/output.md");
    let mut shapes = BTreeMap::new();
    for section in page.split("\n## ").skip(1) {
        let command = section.split('`').nth(1).unwrap().to_owned();
        let schema = section.split('`').nth(3).unwrap().to_owned();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let fields = rows.map(|row| {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().unwrap().trim_end_matches('`').to_owned();
            (name, cells.next().unwrap().to_owned())
        });
        shapes.insert(command, (schema, fields.collect()));
    }
    shapes
}

/// Data that give every command something to print.
fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-07-01", "2024-07-05");
    lab.ingest("AAPL,MSFT", "2024-07-01", "2024-07-03");
    lab.done(&["snapshot", "--name", "s"]);
    lab
}

#[test]
fn json_has_the_documented_fields_and_types() {
    let lab = lab();
    // What only some runs print comes first: the others change what is left to do.
    let dated =
        |command: &str| format!("{command} --symbols AAPL --start 2024-07-05 --end 2024-07-05");
    let mut runs: Vec<(String, String)> = vec![
        ("ingest --dry-run".into(), dated("ingest --dry-run")),
        ("ingest".into(), dated("ingest")),
        ("aggregate".into(), "aggregate".into()),
    ];
    let mut shapes = documented();
    for command in shapes.keys() {
        let arguments = match command.as_str() {
            "ingest" | "ingest --dry-run" | "aggregate" | "query" => continue,
            "jobs show" => "jobs show 1".into(),
            "chart" => "chart AAPL".into(),
            "metrics history" => "metrics history rows_new".into(),
            other => other.to_owned(),
        };
        runs.push((command.clone(), arguments));
    }
    for (command, arguments) in runs {
        let mut words: Vec<&str> = arguments.split(' ').collect();
        words.extend(["--format", "json"]);
        let ran = lab.run(&words);
        let (schema, fields) = shapes
            .remove(&command)
            .unwrap_or_else(|| panic!("{command} is not in output.md"));
        let printed: Value = serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{command}: {error}\n{}\n{}", ran.stdout, ran.stderr));
        assert_eq!(printed["schema"], schema.as_str(), "{command}");
        let rows = printed["rows"].as_array().unwrap();
        assert!(!rows.is_empty(), "{command} printed no row: {}", ran.stderr);
        for row in rows {
            let row = row.as_object().unwrap();
            let names: Vec<&String> = fields.iter().map(|(name, _)| name).collect();
            let mut sorted = names.clone();
            sorted.sort();
            assert_eq!(row.keys().collect::<Vec<_>>(), sorted, "{command}");
            for (name, kind) in &fields {
                assert!(
                    is_of(&row[name], kind),
                    "{command}: {name} is {}, documented as {kind}",
                    row[name]
                );
            }
        }
        let first_object = ran.stdout.lines().nth(1).unwrap();
        let mut from = 0;
        for (name, _) in &fields {
            let at = first_object[from..].find(&format!("\"{name}\":"));
            from +=
                at.unwrap_or_else(|| panic!("{command}: {name} is not in the documented order"));
        }
    }
    assert_eq!(
        shapes.keys().collect::<Vec<_>>(),
        ["query"],
        "documented and not tried"
    );
}

fn is_of(value: &Value, kind: &str) -> bool {
    let (kind, may_be_null) = match kind.strip_suffix(" or null") {
        Some(kind) => (kind, true),
        None => (kind, false),
    };
    match kind {
        _ if value.is_null() => may_be_null,
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => false,
    }
}

#[test]
fn views_have_the_documented_columns() {
    let lab = lab();
    let page = read("docs/reference/output.md");
    let views = page.split("### Views").nth(1).unwrap();
    let mut count = 0;
    for row in views.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (view, columns) = row.split_once("` |").unwrap();
        let documented: Vec<&str> = columns.split('`').skip(1).step_by(2).collect();
        let described = lab.query(&format!("select column_name from (describe {view})"));
        assert_eq!(described, documented, "{view}");
        count += 1;
    }
    assert!(count >= 8, "the table of views was not found");
}
