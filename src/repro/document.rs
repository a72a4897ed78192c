//! A document of experiments: sections of text, aligned tables and pictures, as Markdown with SVG files beside it.

use std::fmt::Write;

use super::Row;
use super::plot::Plot;

/// A part of a document.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What it holds, in order.
    pub parts: Vec<Part>,
}

/// What a section holds.
#[derive(Clone, Debug)]
pub enum Part {
    /// A paragraph, as Markdown.
    Text(String),
    /// A table.
    Table(Grid),
    /// A picture, written to the file `NAME.svg` beside the document.
    Picture {
        /// The file's name without ending.
        name: &'static str,
        /// The picture.
        plot: Plot,
    },
}

/// A table: a header and rows of as many cells.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// An empty table with these columns.
    pub fn new(columns: &[&str]) -> Grid {
        Grid { header: columns.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// Adds a row; one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.header.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// The table as Markdown, its columns aligned: the first to the left, the others to the right.
    fn markdown(&self) -> String {
        let cells = |line: &[String]| line.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>();
        let lines: Vec<Vec<String>> = std::iter::once(&self.header).chain(&self.rows).map(|l| cells(l)).collect();
        let width = |c: usize| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let mut text = String::new();
        for (at, line) in lines.iter().enumerate() {
            for (c, cell) in line.iter().enumerate() {
                let blank = " ".repeat(widths[c] - cell.chars().count());
                let _ = if c == 0 { write!(text, "| {cell}{blank} ") } else { write!(text, "| {blank}{cell} ") };
            }
            text.push_str("|\n");
            if at == 0 {
                for (c, width) in widths.iter().enumerate() {
                    let dashes = "-".repeat(width - usize::from(c > 0));
                    let _ = if c == 0 { write!(text, "| {dashes} ") } else { write!(text, "| {dashes}: ") };
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

/// The document and its pictures by file name.
pub fn render(heading: &str, sections: &[Section]) -> (String, Vec<(String, String)>) {
    let mut text = format!("{heading}\n");
    let mut pictures = Vec::new();
    for section in sections {
        let _ = write!(text, "\n## {}\n", section.title);
        for part in &section.parts {
            text.push('\n');
            match part {
                Part::Text(paragraph) => text.push_str(&wrapped(paragraph)),
                Part::Table(grid) => text.push_str(&grid.markdown()),
                Part::Picture { name, plot } => {
                    let file = format!("{name}.svg");
                    let _ = writeln!(text, "![{}]({file})", plot.title);
                    pictures.push((file, plot.render()));
                }
            }
        }
    }
    (text, pictures)
}

/// The rows of experiments as a table.
pub fn summary(rows: &[Row]) -> Grid {
    let mut grid = Grid::new(&["figure", "ours", "band", "within"]);
    for row in rows {
        let ours = row.ours.map_or("skipped".into(), figure);
        let band = row.band.map_or("-".into(), |b| band(&b));
        let within = row.within.map_or("-", |w| if w { "yes" } else { "no" });
        grid.row([row.metric.clone(), ours, band, within.into()]);
    }
    grid
}

/// A band as people read it.
pub fn band(band: &[Option<f64>; 2]) -> String {
    match *band {
        [Some(low), Some(high)] if low == high => figure(low),
        [Some(low), Some(high)] => format!("{} to {}", figure(low), figure(high)),
        [Some(low), None] => format!("at least {}", figure(low)),
        [None, Some(high)] => format!("at most {}", figure(high)),
        [None, None] => "any".into(),
    }
}

/// A figure with three significant places.
pub fn figure(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if value == value.trunc() && size < 1e6 => format!("{value}"),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A paragraph in lines of at most 120 characters.
fn wrapped(paragraph: &str) -> String {
    let mut lines = vec![String::new()];
    for word in paragraph.split_whitespace() {
        let line = lines.last_mut().expect("there is a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > 120 {
            lines.push(word.into());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let mut grid = Grid::new(&["name", "ms"]);
        grid.row(["a|b".into(), "1.5".into()]);
        grid.row(["longer".into(), "100".into()]);
        let expected = "| name   |  ms |\n| ------ | --: |\n| a\\|b   | 1.5 |\n| longer | 100 |\n";
        assert_eq!(grid.markdown(), expected);
    }

    #[test]
    fn lines_are_short_and_lose_nothing() {
        let text = "word ".repeat(100);
        let lines = wrapped(&text);
        assert!(lines.lines().all(|l| l.len() <= 120) && lines.split_whitespace().count() == 100, "{lines}");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([3.0, 1234.5, 12.34, 1.234, 0.1234].map(figure), ["3", "1234", "12.3", "1.23", "0.123"]);
        assert_eq!(band(&[Some(0.0), Some(10.0)]), "0 to 10");
        assert_eq!(band(&[Some(15.0), Some(15.0)]), "15");
        assert_eq!(band(&[Some(0.9), None]), "at least 0.900");
    }
}
