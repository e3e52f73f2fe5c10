//! Rows as JSON: one document, or one object a line. Streams either way.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};

use super::{BUFFER_BYTES, Value};

/// Rows on their way out.
pub(super) struct JsonRows<'a> {
    out: BufWriter<&'a mut dyn Write>,
    /// The keys with their quotes and colon, as they stand in every object.
    keys: Vec<String>,
    is_document: bool,
    is_first: bool,
}

impl<'a> JsonRows<'a> {
    /// `{"schema":"marketpipe.NAME/1","rows":[..]}`, each row on its own line.
    pub(super) fn document(
        schema_name: &str,
        columns: &[&str],
        out: &'a mut dyn Write,
    ) -> io::Result<Self> {
        let mut rows = Self {
            is_document: true,
            ..Self::lines(columns, out)
        };
        rows.out.write_all(b"{\"schema\":")?;
        serde_json::to_writer(&mut rows.out, &format!("marketpipe.{schema_name}/1"))?;
        rows.out.write_all(b",\"rows\":[")?;
        Ok(rows)
    }

    /// One object a line.
    pub(super) fn lines(columns: &[&str], out: &'a mut dyn Write) -> Self {
        let keys = distinct(columns);
        let keys = keys
            .into_iter()
            .map(|key| format!("{}:", serde_json::Value::from(key)));
        let out = BufWriter::with_capacity(BUFFER_BYTES, out);
        Self {
            out,
            keys: keys.collect(),
            is_document: false,
            is_first: true,
        }
    }

    pub(super) fn row(&mut self, values: &[Value]) -> io::Result<()> {
        if self.is_document {
            self.out
                .write_all(if self.is_first { b"\n" } else { b",\n" })?;
        }
        self.is_first = false;
        for (column, (key, value)) in self.keys.iter().zip(values).enumerate() {
            self.out.write_all(if column == 0 { b"{" } else { b"," })?;
            self.out.write_all(key.as_bytes())?;
            write_value(&mut self.out, value)?;
        }
        let end: &[u8] = match (self.keys.is_empty(), self.is_document) {
            (false, true) => b"}",
            (false, false) => b"}\n",
            (true, true) => b"{}",
            (true, false) => b"{}\n",
        };
        self.out.write_all(end)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.is_document {
            self.out
                .write_all(if self.is_first { b"]}\n" } else { b"\n]}\n" })?;
        }
        self.out.flush()
    }
}

fn write_value(out: &mut impl Write, value: &Value) -> io::Result<()> {
    match value {
        Value::Text(text) => Ok(serde_json::to_writer(out, text)?),
        Value::Int(number) => write!(out, "{number}"),
        Value::UInt(number) => write!(out, "{number}"),
        // Not a number and the infinities become null.
        Value::Float(number) => Ok(serde_json::to_writer(out, number)?),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::Null => out.write_all(b"null"),
    }
}

/// The names, those that came before with a number behind: readers keep only one of two equal keys.
fn distinct(columns: &[&str]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut names = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = (*column).to_owned();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{column}_{number}");
            number += 1;
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_told_apart_by_a_number() {
        assert_eq!(
            distinct(&["a", "a", "b", "a", "a_2"]),
            ["a", "a_2", "b", "a_3", "a_2_2"]
        );
    }
}
