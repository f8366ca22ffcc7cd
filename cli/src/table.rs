//! Columns of text.

use std::io::{self, Write};

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a heading, each column as wide as its widest cell.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.rows.push(cells.into().iter().map(|cell| printable(cell)).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints the heading and the rows; a column without a single cell is left out.
    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let heading = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
        let used = |column: usize| self.rows.iter().any(|row| !row[column].is_empty());
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].as_str());
            cells.chain([self.columns[column].0]).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let layout =
            (0..self.columns.len()).filter(|&column| used(column)).map(|column| (column, width(column)));
        let layout = layout.collect::<Vec<_>>();
        for row in std::iter::once(&heading).chain(&self.rows) {
            let mut line = String::new();
            for &(column, width) in &layout {
                let cell = &row[column];
                let padding = " ".repeat(width - cell.chars().count());
                match self.columns[column].1 {
                    Align::Left => line.extend([cell, padding.as_str(), "  "]),
                    Align::Right => line.extend([padding.as_str(), cell, "  "]),
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The text with control characters escaped: a layer's name may hold any, and a terminal obeys them.
pub(crate) fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that gives one to three digits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(243_862_418), "243.9 MB");
    }

    #[test]
    fn empty_columns_are_left_out() {
        let mut table =
            Table::new(&[("layer", Align::Left), ("group", Align::Right), ("count", Align::Right)]);
        table.row(["conv1".to_owned(), String::new(), "20".to_owned()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "layer  count\nconv1     20\n");
    }
}
