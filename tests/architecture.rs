//! Keeps the layers pointing one way, by reading the source text.
//!
//! Fails on: a layer that names what it may not, an I/O crate in the core, a file name that says nothing, a
//! file without its `//!` line, an event that nobody publishes or nobody listens to, and a file within the program that the
//! container's build does not get.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::path::{Path, PathBuf};

/// The layers of `src`, what each must not name of the crate, and why.
const FORBIDDEN_LAYERS: [(&str, &[&str]); 6] = [
    (
        "domain",
        &[
            "ingestion",
            "aggregation",
            "validation",
            "metrics",
            "infrastructure",
            "app",
            "cli",
            "config",
        ],
    ),
    (
        "ingestion",
        &[
            "aggregation",
            "validation",
            "metrics",
            "infrastructure",
            "app",
            "cli",
            "config",
        ],
    ),
    (
        "aggregation",
        &[
            "ingestion",
            "validation",
            "metrics",
            "infrastructure",
            "app",
            "cli",
            "config",
        ],
    ),
    (
        "validation",
        &[
            "ingestion",
            "aggregation",
            "metrics",
            "infrastructure",
            "app",
            "cli",
            "config",
        ],
    ),
    (
        "metrics",
        &[
            "ingestion",
            "aggregation",
            "validation",
            "infrastructure",
            "app",
            "cli",
            "config",
        ],
    ),
    (
        "infrastructure",
        &[
            "ingestion",
            "aggregation",
            "validation",
            "metrics",
            "app",
            "cli",
            "config",
        ],
    ),
];

/// Crates that touch a disk, a network, a database or a file format: none of them in the core.
const IO_CRATES: [&str; 11] = [
    "reqwest",
    "rusqlite",
    "duckdb",
    "arrow",
    "parquet",
    "hyper",
    "flate2",
    "tempfile",
    "serde_json",
    "toml",
    "indicatif",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "helpers", "common", "misc", "manager"];

#[test]
fn layers_point_inwards() {
    let mut breaches = Vec::new();
    for file in source_files() {
        let layer = layer_of(&file);
        for (_, forbidden) in FORBIDDEN_LAYERS.iter().filter(|(name, _)| *name == layer) {
            for (number, line) in code_lines(&file) {
                for name in *forbidden {
                    if line.contains(&format!("crate::{name}::"))
                        || line.contains(&format!("marketpipe::{name}::"))
                    {
                        breaches.push(format!("{}:{number} names {name}: {line}", file.display()));
                    }
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn the_core_does_no_io() {
    let mut breaches = Vec::new();
    for file in source_files().into_iter().filter(|file| {
        ![
            "infrastructure",
            "cli",
            "app",
            "config",
            "main",
            "lib",
            "fuzzing",
        ]
        .contains(&layer_of(file).as_str())
    }) {
        for (number, line) in code_lines(&file) {
            for name in IO_CRATES {
                if line.contains(&format!("{name}::")) {
                    breaches.push(format!("{}:{number} names {name}: {line}", file.display()));
                }
            }
            if ["std::fs", "std::net", "std::env", "println!"]
                .iter()
                .any(|io| line.contains(io))
            {
                breaches.push(format!("{}:{number} does I/O: {line}", file.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn only_the_composition_root_names_infrastructure_and_use_cases() {
    for file in source_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let names_both =
            text.contains("crate::infrastructure::") && text.contains("crate::ingestion::");
        let allowed = ["app", "cli", "fuzzing"].contains(&layer_of(&file).as_str());
        assert!(
            !names_both || allowed,
            "{} names infrastructure and a use case",
            file.display()
        );
    }
}

#[test]
fn every_file_says_what_it_is_for_and_has_a_name_that_says_something() {
    for file in source_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} has no `//!` line",
            file.display()
        );
        let stem = file.file_stem().unwrap().to_str().unwrap();
        assert!(
            !EMPTY_NAMES.contains(&stem),
            "{} has an empty name",
            file.display()
        );
    }
}

#[test]
fn every_event_has_a_producer_and_a_consumer() {
    let text = std::fs::read_to_string(root().join("src/domain/event.rs")).unwrap();
    let variants: Vec<&str> = text
        .split("pub const fn name")
        .nth(1)
        .unwrap()
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split(' ').next())
        .collect();
    assert!(variants.len() > 8, "{variants:?}");
    let (mut produced, mut consumed) = (String::new(), String::new());
    for file in source_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let production = text.split("#[cfg(test)]").next().unwrap().to_owned();
        let consumers = ["src/infrastructure/events", "src/metrics"];
        if consumers
            .iter()
            .any(|folder| file.starts_with(root().join(folder)))
        {
            consumed.push_str(&production);
        } else {
            produced.push_str(&production);
        }
    }
    for variant in variants {
        let name = format!("Event::{variant}");
        assert!(produced.contains(&name), "nobody publishes {name}");
        assert!(consumed.contains(&name), "nobody listens to {name}");
    }
}

#[test]
fn the_container_is_built_of_all_that_the_program_contains() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let (ignored, recipe) = (read(".dockerignore"), read("Dockerfile"));
    let copied: Vec<&str> = recipe
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .flat_map(str::split_whitespace)
        .collect();
    let kept: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let mut within = 0;
    for file in source_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let included = text.split("include_str!(").skip(1);
        for path in included.filter_map(|rest| rest.split('"').nth(1)) {
            let path = file.parent().unwrap().join(path);
            let Ok(path) = std::fs::canonicalize(&path) else {
                continue;
            };
            let path = path.strip_prefix(root()).unwrap();
            let is_in = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
            assert!(is_in(&copied), "the Dockerfile lacks {}", path.display());
            assert!(is_in(&kept), ".dockerignore leaves out {}", path.display());
            within += 1;
        }
    }
    assert!(within > 8, "{within} files");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The first folder below `src`, or the file's own name where it lies in `src`.
fn layer_of(file: &Path) -> String {
    let below = file.strip_prefix(root().join("src")).unwrap();
    below
        .iter()
        .next()
        .unwrap()
        .to_str()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

/// Lines of code up to the tests, with their numbers.
fn code_lines(file: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .map(|(number, line)| (number + 1, line.trim().to_owned()))
        .filter(|(_, line)| !line.starts_with("//"))
        .collect()
}

fn source_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 30);
    files
}
