//! Links in documents lead to files and headings that are there.

use std::path::{Path, PathBuf};

use super::in_repository;
use crate::support::lab::files_below;

/// The documents of the repository.
fn documents() -> Vec<PathBuf> {
    let root = in_repository("");
    let mut found: Vec<PathBuf> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for folder in ["docs", ".github", "tests", "config"] {
        found.extend(files_below(&root.join(folder)));
    }
    found.retain(|path| path.is_file() && path.extension().is_some_and(|ending| ending == "md"));
    found.sort();
    found
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for target in targets(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, heading) = target
                .split_once('#')
                .map_or((target, None), |(path, heading)| (path, Some(heading)));
            let file = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            assert!(
                file.exists(),
                "{}: {target} leads nowhere",
                document.display()
            );
            if let Some(heading) = heading {
                assert!(
                    headings(&file).iter().any(|known| known == heading),
                    "{}: {target} has no such heading",
                    document.display()
                );
            }
        }
    }
    assert!(count > 10, "only {count} links were found");
}

/// What stands in the round brackets of `[text](target)` and `![text](target)`, outside of code.
fn targets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (number, block) in text.split("```").enumerate() {
        if number % 2 == 1 {
            continue;
        }
        let mut rest = block;
        while let Some((_, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').unwrap();
            found.push(target);
            rest = after;
        }
    }
    found
}

/// The anchors that a reader of Markdown makes of headings.
fn headings(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}
