//! Measurements from files: [`planner`] tables of whole models, and [`recorded`] lists of kernels. Both are CSV files with a
//! fixed header; an error names the file, the line, the column and the field, and a file is taken as a whole or not at all.

pub mod planner;
pub mod recorded;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Largest accepted file, in bytes.
pub const PROFILE_BYTES_MAX: u64 = 64 << 20;

/// What is wrong with a file of measurements.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It cannot be read.
    #[error("{}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{line}:{column}: {field}: found {found}, allowed is {allowed}", .file.display())]
    Field {
        /// The file.
        file: PathBuf,
        /// The line, from one.
        line: usize,
        /// Where in the line it begins, in characters from one.
        column: usize,
        /// The cell by its name in the header, or what else it is about.
        field: &'static str,
        /// What is there.
        found: String,
        /// What may be there.
        allowed: String,
    },
}

/// A line of a table whose header was right.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    file: &'a Path,
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    /// `found` is a part of the line, or empty.
    fn refuse(&self, field: &'static str, found: &str, allowed: &str) -> ProfileError {
        let at = (found.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let column = self.text.get(..at).map_or(1, |before| before.chars().count() + 1);
        // A damaged file may hold a line of megabytes.
        let mut shown: String = found.chars().take(40).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        let found = format!("{shown:?}");
        ProfileError::Field { file: self.file.into(), line: self.number, column, field, found, allowed: allowed.into() }
    }

    /// A cell as a number for which `fits` holds.
    fn number<T: FromStr + Copy>(
        &self,
        field: &'static str,
        cell: &str,
        allowed: &str,
        fits: impl Fn(T) -> bool,
    ) -> Result<T, ProfileError> {
        let value = cell.trim().parse().ok().filter(|v| fits(*v));
        value.ok_or_else(|| self.refuse(field, cell, allowed))
    }
}

/// The text of a file.
fn read(file: &Path) -> Result<String, ProfileError> {
    let failed = |source| ProfileError::Read { file: file.into(), source };
    let mut text = String::new();
    File::open(file).map_err(failed)?.take(PROFILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > PROFILE_BYTES_MAX {
        let what = format!("larger than the {} MiB that are allowed", PROFILE_BYTES_MAX >> 20);
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    Ok(text)
}

/// The lines below the header, without empty ones. The number of cells is left to the reader of each line.
fn lines<'a>(
    file: &'a Path,
    text: &'a str,
    header: &'static str,
) -> Result<impl Iterator<Item = (Line<'a>, &'a str)>, ProfileError> {
    let first = text.lines().next().unwrap_or_default().trim_start_matches('\u{feff}').trim_end();
    if first != header {
        return Err(Line { file, number: 1, text: first }.refuse("header", first, header));
    }
    let rest = text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty());
    Ok(rest.map(move |(at, text)| (Line { file, number: at + 1, text }, text.trim_end())))
}
