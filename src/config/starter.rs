//! The file that `init` writes: every key with its default and what it means, and in force only what was chosen. Knows no
//! question and no folder.

use super::EXAMPLE_FILE;

/// What somebody wants otherwise than the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StarterChoices {
    /// Where the data lie.
    pub data_dir: Option<String>,
    /// Requests a minute that the plan allows.
    pub requests_per_minute: Option<u32>,
    /// Whether the plan includes the last quarter of an hour.
    pub is_realtime: Option<bool>,
    /// The symbols of the list `watch`; none makes no list.
    pub watch: Vec<String>,
}

/// A configuration file with `choices` in force. Every other key is there as a comment, so that the defaults of a later
/// version hold unless somebody wanted something else.
pub fn starter_file(choices: &StarterChoices) -> String {
    let mut text = String::with_capacity(EXAMPLE_FILE.len());
    for line in EXAMPLE_FILE.lines() {
        match line.split_once(" = ") {
            _ if line.starts_with("# MarketPipe's configuration.") => text.push_str(
                "# MarketPipe's configuration. Every key is optional; those that are commented out show the defaults.",
            ),
            Some((key, _)) if !line.starts_with('#') => match choices.of(key) {
                Some(value) => text.push_str(&format!("{key} = {value}")),
                None => text.push_str(&format!("#{line}")),
            },
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    if !choices.watch.is_empty() {
        // The file ends with the section of the lists.
        let watch = toml::Value::from(choices.watch.clone());
        text.push_str(&format!("watch = {watch}\n"));
    }
    text
}

impl StarterChoices {
    /// What was chosen for `key`, as TOML. The keys asked for here have the same name in no two sections.
    fn of(&self, key: &str) -> Option<String> {
        match key {
            "data_dir" => self
                .data_dir
                .as_ref()
                .map(|folder| toml::Value::from(folder.as_str()).to_string()),
            "requests_per_minute" => self.requests_per_minute.map(|number| number.to_string()),
            "realtime" => self.is_realtime.map(|is_realtime| is_realtime.to_string()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn choices() -> StarterChoices {
        StarterChoices {
            data_dir: Some("/srv/a \"quoted\" \\ folder".into()),
            requests_per_minute: Some(10_000),
            is_realtime: Some(true),
            watch: vec!["AAPL".into(), "BRK.B".into()],
        }
    }

    fn entries(text: &str) -> Vec<(&'static str, String)> {
        let config = Config::of_text(text).unwrap();
        let entries = config.entries().iter();
        entries
            .map(|entry| (entry.key, entry.value.clone()))
            .collect()
    }

    #[test]
    fn nothing_chosen_is_the_defaults() {
        let text = starter_file(&StarterChoices::default());
        assert_eq!(entries(&text), entries(""));
        let in_force = text
            .lines()
            .filter(|line| !(line.is_empty() || line.starts_with('#') || line.starts_with('[')));
        assert_eq!(in_force.collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn every_key_stands_there_and_holds_once_it_is_uncommented() {
        let text = starter_file(&StarterChoices::default());
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if !key.starts_with(' ') && !key.is_empty() => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(
            toml::from_str::<toml::Table>(&uncommented).unwrap(),
            toml::from_str::<toml::Table>(EXAMPLE_FILE).unwrap()
        );
    }

    #[test]
    fn what_was_chosen_is_in_force_and_nothing_else() {
        let chosen = entries(&starter_file(&choices()));
        let defaults = entries("");
        let changed: Vec<_> = chosen
            .iter()
            .filter(|entry| !defaults.contains(entry))
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        let keys: Vec<_> = changed.iter().map(|(key, _)| *key).collect();
        assert_eq!(
            keys,
            [
                "data_dir",
                "providers.alpaca.requests_per_minute",
                "providers.alpaca.realtime",
                "lists"
            ]
        );
        assert!(
            changed[0].1.ends_with("a \"quoted\" \\ folder"),
            "{changed:?}"
        );
    }
}
