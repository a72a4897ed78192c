//! Aligned tables for people: text to the left, numbers to the right, two spaces between columns.

use std::io::{self, Write};

/// Rows under a header.
#[derive(Debug, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(columns: &[&str]) -> Table {
        Table { header: columns.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// Adds a row; one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.header.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// True before the first row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints it; nothing where it has no rows.
    ///
    /// # Errors
    /// What `out` reports.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let columns = 0..self.header.len();
        let widths: Vec<usize> =
            columns.clone().map(|c| self.lines().map(|line| chars(&line[c])).max().unwrap_or(0)).collect();
        let numeric: Vec<bool> = columns.map(|c| self.rows.iter().all(|row| is_number(&row[c]))).collect();
        for line in self.lines() {
            let mut text = String::new();
            for (c, cell) in line.iter().enumerate() {
                let blank = " ".repeat(widths[c] - chars(cell));
                let (before, after) = if numeric[c] { (blank.as_str(), "") } else { ("", blank.as_str()) };
                text.push_str(&format!("{before}{cell}{after}  "));
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }

    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.header).chain(&self.rows)
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// Numbers with or without a unit, and the dash that stands for none.
fn is_number(cell: &str) -> bool {
    let first = cell.split(' ').next().unwrap_or_default().trim_end_matches('%');
    cell == "-" || cell.is_empty() || first.parse::<f64>().is_ok()
}

/// A number of bytes as people read it.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = "";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    format!("{value:.1} {unit}")
}

/// A number of operations as people read it: `1.25 G`.
pub fn si(n: f64) -> String {
    for (size, unit) in [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")] {
        if n >= size {
            return format!("{:.2}{unit}", n / size);
        }
    }
    format!("{n:.0}")
}

/// A number with three significant places behind the point where there is one, and a dash where there is none.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(v) if v.abs() >= 100.0 || v == 0.0 => format!("{v:.0}"),
        Some(v) if v.abs() >= 1.0 => format!("{v:.2}"),
        Some(v) if v.abs() >= 1e-3 => format!("{v:.4}"),
        Some(v) => format!("{v:.2e}"),
    }
}

/// `yes` or `no`.
pub fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_left_and_numbers_are_right() {
        let mut table = Table::new(&["name", "ms", "size"]);
        table.row(["a".into(), "1.5".into(), "12 B".into()]);
        table.row(["long".into(), "100.0".into(), "-".into()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let expected = "name     ms  size\na       1.5  12 B\nlong  100.0     -\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!([bytes(17), bytes(2048), bytes(5 << 30)], ["17 B", "2.0 KiB", "5.0 GiB"]);
        assert_eq!([si(999.0), si(1500.0), si(2.5e9)], ["999", "1.50 k", "2.50 G"]);
        assert_eq!([number(None), number(Some(0.0)), number(Some(1.2345))], ["-", "0", "1.23"]);
    }
}
