//! Rows as a table for people. Keeps them until the end, since columns are as wide as their widest cell.

use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Table, TableStyle};

use super::terminal::escape_for_terminal;
use super::wrap::{LongWords, wrapped};
use super::{Value, counted};

/// Rows that are shown at most: nobody reads more, and they are held in memory.
const MOST_ROWS: usize = 10_000;

/// A column of texts that is wrapped is at least so wide.
const LEAST_WRAPPED: usize = 24;

/// Columns apart by blanks, the header by a thin line.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction(' '))
    .header_separator(LineStyle::none().fill('─').junction(' '))
    .content_lines(ContentLineStyle::none().junction(' '));

/// The rows so far.
pub(super) struct TableRows {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Whether a column holds nothing but numbers.
    is_numeric: Vec<bool>,
    rows_left_out: u64,
    width: Option<u16>,
}

impl TableRows {
    pub(super) fn new(columns: &[&str]) -> Self {
        Self {
            columns: columns
                .iter()
                .map(|name| escape_for_terminal(name).into_owned())
                .collect(),
            rows: Vec::new(),
            is_numeric: vec![true; columns.len()],
            rows_left_out: 0,
            width: None,
        }
    }

    pub(super) fn fit_width(&mut self, width: Option<u16>) {
        self.width = width;
    }

    pub(super) fn row(&mut self, values: &[Value]) {
        if self.rows.len() == MOST_ROWS {
            self.rows_left_out += 1;
            return;
        }
        for (is_numeric, value) in self.is_numeric.iter_mut().zip(values) {
            *is_numeric &= value.is_number() || *value == Value::Null;
        }
        let cell = |value: &Value| match value.to_text() {
            Some(text) => escape_for_terminal(&text).into_owned(),
            None => "-".to_owned(),
        };
        self.rows.push(values.iter().map(cell).collect());
    }

    /// The whole table with its last line feed: as it is where it fits, else packed closely, else with its longest texts
    /// wrapped, else one line a value.
    pub(super) fn render(mut self) -> String {
        let width = self.width.map_or(usize::MAX, usize::from);
        if self.natural_width() <= width {
            return self.render_columns(Spacing::Wide);
        }
        if self.closest_width() > width && !self.wrap_longest(width) {
            return self.render_records();
        }
        self.render_columns(Spacing::Close)
    }

    fn render_columns(self, spacing: Spacing) -> String {
        let is_empty = self.rows.is_empty();
        let header = self.columns.iter().map(|name| match spacing {
            Spacing::Wide => name.clone(),
            Spacing::Close => name.replace('_', "_\n"),
        });
        let mut table = Table::new();
        table
            .load_style(STYLE)
            .set_header(header.collect::<Vec<_>>())
            .add_rows(self.rows);
        for (column, is_numeric) in table.column_iter_mut().zip(self.is_numeric) {
            // Without a border the outermost blanks would be margins.
            match spacing {
                Spacing::Wide if column.index == 0 => _ = column.set_padding((0, 1)),
                Spacing::Wide => {}
                Spacing::Close => _ = column.set_padding((0, 0)),
            }
            if is_numeric && !is_empty {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut text: String = table
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect();
        if is_empty {
            text.push_str("(no rows)\n");
        }
        text.push_str(&note_of_rows_left_out(self.rows_left_out));
        text
    }

    /// How wide the table is when no cell is broken.
    fn natural_width(&self) -> usize {
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(column, name)| self.widest_cell(column).max(name.chars().count()) + 3)
            .sum()
    }

    /// How wide it is when its columns are one blank apart and the words of its header one below the other.
    fn closest_width(&self) -> usize {
        let columns = (0..self.columns.len()).map(|column| self.closest_column(column) + 1);
        columns.sum::<usize>().saturating_sub(1)
    }

    fn closest_column(&self, column: usize) -> usize {
        let words = self.columns[column].split_inclusive('_');
        let word = words.map(|word| word.chars().count()).max();
        self.widest_cell(column).max(word.unwrap_or(0))
    }

    fn widest_cell(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    }

    /// The column of texts that takes the most room.
    fn longest_text(&self) -> Option<usize> {
        let texts = (0..self.columns.len()).filter(|&column| !self.is_numeric[column]);
        texts.max_by_key(|&column| self.closest_column(column))
    }

    /// Wraps the cells of the column with the longest text so that the table fits; false where that would leave too little.
    fn wrap_longest(&mut self, width: usize) -> bool {
        let Some(longest) = self.longest_text() else {
            return false;
        };
        let others = self.closest_width() - self.closest_column(longest);
        let room = width.saturating_sub(others);
        if room < LEAST_WRAPPED {
            return false;
        }
        for row in &mut self.rows {
            row[longest] = wrapped(&row[longest], room, LongWords::Broken).join("\n");
        }
        true
    }

    /// One line a value: for terminals too narrow for the table, where broken numbers would be misread.
    fn render_records(self) -> String {
        let name_width = self
            .columns
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        let room = usize::from(self.width.unwrap_or(u16::MAX))
            .saturating_sub(name_width + 2)
            .max(1);
        // Long texts go on below themselves; numbers and dates are shorter than any terminal.
        let below = format!("\n{:name_width$}  ", "");
        let value = |cell: &str| wrapped(cell, room, LongWords::Broken).join(&below);
        let record = |row: &Vec<String>| -> String {
            let cells = self.columns.iter().zip(row);
            cells
                .map(|(name, cell)| format!("{name:name_width$}  {}\n", value(cell)))
                .collect()
        };
        let records: Vec<String> = self.rows.iter().map(record).collect();
        let text = if records.is_empty() {
            "(no rows)\n".to_owned()
        } else {
            records.join("\n")
        };
        text + &note_of_rows_left_out(self.rows_left_out)
    }
}

/// How far apart columns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    /// Three blanks, the header in one line.
    Wide,
    /// One blank, the words of the header one below the other.
    Close,
}

/// How narrow a table of these rows can be, with its longest texts wrapped.
pub fn table_width(columns: &[&str], rows: &[Vec<Value>]) -> usize {
    let mut table = TableRows::new(columns);
    rows.iter().for_each(|row| table.row(row));
    let longest = table.longest_text();
    let longest = longest.map_or(0, |column| table.closest_column(column));
    table.closest_width() - longest.saturating_sub(LEAST_WRAPPED)
}

fn note_of_rows_left_out(rows: u64) -> String {
    match rows {
        0 => String::new(),
        rows => format!("({}; --format csv shows all)\n", counted(rows, "more row")),
    }
}
