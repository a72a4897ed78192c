//! Recorded kernel lists (`profile:FILE.csv`): what one inference or one training iteration launches, in order, as Orion
//! publishes them for a V100.

use std::path::Path;

use super::{Line, ProfileError, lines, read};

/// The header of a kernel list.
pub const HEADER: &str = "Name,Profile,Memory_footprint,SM_usage,Duration";

/// Most kernels of a list, about twenty times the longest training iteration that is published.
pub const KERNELS_MAX: usize = 100_000;

/// Longest accepted kernel: one minute.
const DURATION_NS_MAX: u64 = 60_000_000_000;

/// What bounds a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Arithmetic.
    Compute,
    /// Memory.
    Memory,
    /// Not known.
    Unknown,
}

/// A kernel of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedKernel {
    /// Its name.
    pub name: String,
    /// What bounds it.
    pub bound: Bound,
    /// SMs that its blocks would fill; more than the device has is several waves.
    pub sms: u32,
    /// Its duration alone on the device, in nanoseconds.
    pub ns: u64,
}

/// Reads a list. It has at least one kernel.
///
/// # Errors
/// [`ProfileError`].
pub fn read_list(file: &Path) -> Result<Vec<RecordedKernel>, ProfileError> {
    parse(file, &read(file)?)
}

/// Reads a list from text; `file` names it in errors.
///
/// # Errors
/// [`ProfileError::Field`].
pub fn parse(file: &Path, text: &str) -> Result<Vec<RecordedKernel>, ProfileError> {
    let mut kernels = Vec::new();
    for (line, row) in lines(file, text, HEADER)? {
        if kernels.len() == KERNELS_MAX {
            return Err(line.refuse("row", row, &format!("at most {KERNELS_MAX} kernels")));
        }
        kernels.push(kernel(&line, row)?);
    }
    match kernels.is_empty() {
        true => Err(Line { file, number: 2, text: "" }.refuse("row", "", "at least one kernel")),
        false => Ok(kernels),
    }
}

/// A line. Names of C++ functions may hold commas, so the other cells are counted from the end.
fn kernel(line: &Line, row: &str) -> Result<RecordedKernel, ProfileError> {
    let cells: Vec<&str> = row.rsplitn(5, ',').collect();
    let [duration, sms, footprint, profile, name] = cells[..] else {
        return Err(line.refuse("row", row, "five cells"));
    };
    if name.trim().is_empty() {
        return Err(line.refuse("Name", name, "a name"));
    }
    let bound =
        match line.number("Profile", profile, "1 (compute), 0 (memory) or -1 (unknown)", |v| (-1..=1).contains(&v))? {
            1 => Bound::Compute,
            0 => Bound::Memory,
            _ => Bound::Unknown,
        };
    line.number("Memory_footprint", footprint, "a number, not negative", |v: f64| v.is_finite() && v >= 0.0)?;
    Ok(RecordedKernel {
        name: name.trim().into(),
        bound,
        sms: line.number("SM_usage", sms, "1 to 4294967295", |v| v > 0)?,
        ns: line.number("Duration", duration, "1 to 60000000000 ns", |v| (1..=DURATION_NS_MAX).contains(&v))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &str, words: &[&str]) {
        let text = format!("{HEADER}\nConv,1,0,98,100480\n{rows}");
        let message = parse(Path::new("dir/list"), &text).unwrap_err().to_string();
        for word in [&["dir/list:3"], words].concat() {
            assert!(message.contains(word), "{word:?} is not in {message}");
        }
    }

    #[test]
    fn a_list_is_read() {
        let text = format!("{HEADER}\nConv,1,0,98,100480\nvoid f<int, 4>(a, b),-1,0,2,3232\nBatchNorm,0,0,64,40480\n");
        let list = parse(Path::new("x"), &text).unwrap();
        assert_eq!(list.iter().map(|k| k.bound).collect::<Vec<_>>(), [Bound::Compute, Bound::Unknown, Bound::Memory]);
        assert_eq!((list[1].name.as_str(), list[1].sms, list[1].ns), ("void f<int, 4>(a, b)", 2, 3232));
    }

    #[test]
    fn damage_is_named() {
        check("Conv,2,0,98,1", &["dir/list:3:6: Profile", "\"2\""]);
        check("Fläche,1,x,98,1", &["dir/list:3:10: Memory_footprint", "\"x\""]);
        check("Conv,1,0,0,1", &["SM_usage", "\"0\""]);
        check("Conv,1,0,98,0", &["Duration", "\"0\""]);
        check("Conv,1,0,98,1.5", &["Duration", "1.5"]);
        check("Conv,1,0,98,99999999999999999999", &["Duration"]);
        check(",1,0,98,5", &["Name"]);
        check("Conv,1,0,98", &["row", "five cells"]);
        let long = format!("{HEADER}\n{}", "k,1,0,1,1\n".repeat(KERNELS_MAX + 1));
        let message = parse(Path::new("list"), &long).unwrap_err().to_string();
        assert!(message.contains("list:100002:1: row") && message.contains("at most 100000"), "{message}");
        let empty = parse(Path::new("list"), HEADER).unwrap_err().to_string();
        assert!(empty.contains("list:2:1: row") && empty.contains("at least one kernel"), "{empty}");
    }
}
