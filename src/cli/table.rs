//! Plain tables: columns as wide as they need to be.

use std::io::{self, Write};

/// Rows of text under a header.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these columns; those that begin with `>` are set to the right.
    pub(crate) fn new(columns: &[&str]) -> Table {
        let right = columns.iter().map(|name| name.starts_with('>')).collect();
        let names = columns.iter().map(|name| name.trim_start_matches('>').to_owned()).collect();
        Table { rows: vec![names], right }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes it.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                let (width, right) = (widths.get(at).copied().unwrap_or(0), self.right.get(at) == Some(&true));
                if at > 0 {
                    line.push_str("  ");
                }
                if right {
                    line.push_str(&format!("{cell:>width$}"));
                } else {
                    line.push_str(&format!("{cell:<width$}"));
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", ">COUNT", "LAST"]);
        table.row(["a".to_owned(), "12".to_owned(), String::new()]);
        table.row(["longer".to_owned(), "3".to_owned(), "x".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME    COUNT  LAST\na          12\nlonger      3  x\n");
    }
}
