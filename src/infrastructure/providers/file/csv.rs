//! Minute bars in comma-separated values. One line is one row, whatever its quotes say, so that a lost quote costs one line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use super::ReadError;
use super::collector::{Collector, RawRow};
use super::columns::{ColumnNames, Places};
use super::spool::RowPlace;
use super::time::shown;

/// Longer lines are no bars.
const MOST_LINE_BYTES: u64 = 64 << 10;

/// Reads a file; `-` is standard input.
pub(super) fn read(
    path: &Path,
    names: &ColumnNames,
    collector: &mut Collector,
) -> Result<(), ReadError> {
    if path == Path::new("-") {
        return read_lines(path, io::stdin().lock(), names, collector);
    }
    let file = File::open(path).map_err(ReadError::unreadable(path))?;
    read_lines(
        path,
        BufReader::with_capacity(1 << 18, file),
        names,
        collector,
    )
}

pub(super) fn read_lines(
    path: &Path,
    mut lines: impl BufRead,
    names: &ColumnNames,
    collector: &mut Collector,
) -> Result<(), ReadError> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    let mut number = 0;
    let mut places: Option<(Places, usize)> = None;
    loop {
        bytes.clear();
        let mut limited = (&mut lines).take(MOST_LINE_BYTES);
        let read = limited.read_until(b'\n', &mut bytes);
        if read.map_err(ReadError::unreadable(path))? == 0 {
            break;
        }
        number += 1;
        let place = RowPlace {
            file: &file,
            line: number,
        };
        if !bytes.ends_with(b"\n") && bytes.len() as u64 == MOST_LINE_BYTES {
            let reason = format!("line {number} is longer than {MOST_LINE_BYTES} bytes");
            return Err(ReadError::malformed(path, reason));
        }
        let Ok(line) = std::str::from_utf8(&bytes) else {
            match places {
                Some(_) => collector.refuse(place, "the line is no UTF-8".to_owned()),
                None => return Err(ReadError::malformed(path, "is no text in UTF-8")),
            }
            continue;
        };
        let line = line
            .trim_end_matches(['\n', '\r'])
            .trim_start_matches('\u{feff}');
        if line.trim().is_empty() {
            continue;
        }
        let mut fields = Vec::with_capacity(16);
        split(line, &mut fields);
        match places {
            None => {
                let found = names.find(&fields);
                let found = found.map_err(|reason| ReadError::malformed(path, reason))?;
                places = Some((found, fields.len()));
            }
            Some((_, columns)) if fields.len() != columns => {
                let reason = format!("has {} fields, the header has {columns}", fields.len());
                collector.refuse(place, reason);
            }
            Some((places, _)) => take(path, place, &fields, places, collector)?,
        }
    }
    match places {
        Some(_) => Ok(()),
        None => Err(ReadError::malformed(
            path,
            "is empty; the first line names the columns",
        )),
    }
}

fn take(
    path: &Path,
    place: RowPlace<'_>,
    fields: &[&str],
    places: Places,
    collector: &mut Collector,
) -> Result<(), ReadError> {
    let field = |at: usize| fields.get(at).copied().unwrap_or_default().trim();
    if places
        .filled
        .is_some_and(|at| field(at).eq_ignore_ascii_case("true"))
    {
        collector.leave_out_filled();
        return Ok(());
    }
    let row = row_of(&field, places, |text| collector.time.parse(text));
    collector.take(path, place, row)
}

/// The row that the fields of a line make.
fn row_of<'a>(
    field: &impl Fn(usize) -> &'a str,
    places: Places,
    read_time: impl FnOnce(&str) -> Result<i64, String>,
) -> RawRow<'a> {
    let mut unclear = None;
    let mut number = |at: usize| {
        let text = field(at);
        text.parse().unwrap_or_else(|_| {
            if !text.is_empty() {
                unclear.get_or_insert_with(|| format!("`{}` is no number", shown(text)));
            }
            f64::NAN
        })
    };
    let values = places.values.map(&mut number);
    let trade_count = places
        .trade_count
        .map(field)
        .filter(|text| !text.is_empty());
    let vwap = places.vwap.filter(|&at| !field(at).is_empty());
    let vwap = vwap.map(&mut number);
    let trade_count = trade_count.and_then(|text| {
        let count = whole(text);
        if count.is_none() {
            unclear.get_or_insert_with(|| format!("`{}` is no whole number", shown(text)));
        }
        count
    });
    RawRow {
        symbol: places.symbol.map(field),
        ts_us: read_time(field(places.ts)),
        values,
        unclear,
        trade_count,
        vwap,
    }
}

/// A whole number, also where it is written as a float.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let (number, zeros) = text.split_once('.')?;
        let is_whole = zeros.bytes().all(|byte| byte == b'0');
        is_whole.then(|| number.parse().ok()).flatten()
    })
}

/// Splits a line at its commas, but for those in quotes.
pub(super) fn split<'a>(line: &'a str, fields: &mut Vec<&'a str>) {
    let mut rest = line;
    loop {
        let quoted = rest.strip_prefix('"').and_then(|inner| {
            let end = inner.find('"')?;
            let after = &inner[end + 1..];
            (after.is_empty() || after.starts_with(',')).then_some((&inner[..end], after))
        });
        let (field, after) = match quoted {
            Some((field, after)) => (field, after.strip_prefix(',')),
            None => match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            },
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(line: &str) -> Vec<&str> {
        let mut fields = Vec::new();
        split(line, &mut fields);
        fields
    }

    #[test]
    fn quotes_hold_commas_and_a_lost_one_costs_nothing_else() {
        assert_eq!(fields("a,\"b,c\",d"), ["a", "b,c", "d"]);
        assert_eq!(fields("\"a\",,\"\""), ["a", "", ""]);
        assert_eq!(fields("\"a,b"), ["\"a", "b"]);
        assert_eq!(fields(""), [""]);
    }

    #[test]
    fn counts_are_whole_however_they_are_written() {
        assert_eq!(whole("12"), Some(12));
        assert_eq!(whole("12.0"), Some(12));
        for text in ["12.5", "x", "", ".", "1e3"] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn plain_fields_come_back(given in prop::collection::vec("[a-z0-9.:-]{0,8}", 1..12)) {
            let line = given.join(",");
            prop_assert_eq!(fields(&line), given.iter().map(String::as_str).collect::<Vec<_>>());
            let quoted: Vec<String> = given.iter().map(|field| format!("\"{field}\"")).collect();
            let line = quoted.join(",");
            prop_assert_eq!(fields(&line), given);
        }

        #[test]
        fn no_line_makes_splitting_panic(line in "[\",a\\PC]{0,40}") {
            prop_assert!(!fields(&line).is_empty());
        }
    }
}
