//! Planner tables: throughput and latency of a model for MIG sizes, batches and numbers of processes, as ParvaGPU publishes
//! them. Throughput is per process; a point that did not run (out of memory) has two zeros and is left out.

use std::path::Path;

use super::{Line, ProfileError, lines, read};

/// The header of a planner table.
pub const HEADER: &str = "Mig instance,Batch size,Workload Number,Throughput,Latency";

/// MIG sizes that a table may name, in compute slices.
pub const MIG_SIZES: [u32; 5] = [1, 2, 3, 4, 7];

/// Largest batch and number of processes that are accepted.
const BATCH_MAX: u32 = 1 << 16;
const PROCESSES_MAX: u32 = 48;

/// A measured point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannerPoint {
    /// Compute slices of the MIG instance.
    pub mig_size: u32,
    /// Items of a batch.
    pub batch: u32,
    /// Processes in the instance.
    pub processes: u32,
    /// Items per second of one process.
    pub throughput_rps: f64,
    /// Latency of a batch in seconds, as recorded; some recorders round it to milliseconds.
    pub latency_s: f64,
}

impl PlannerPoint {
    /// The latency of a batch in milliseconds by the throughput, which is not rounded: processes work in a closed loop.
    pub fn batch_ms(&self) -> f64 {
        f64::from(self.batch) / self.throughput_rps * 1e3
    }
}

/// Reads a table.
///
/// # Errors
/// [`ProfileError`].
pub fn read_table(file: &Path) -> Result<Vec<PlannerPoint>, ProfileError> {
    parse(file, &read(file)?)
}

/// Reads a table from text; `file` names it in errors.
///
/// # Errors
/// [`ProfileError::Field`].
pub fn parse(file: &Path, text: &str) -> Result<Vec<PlannerPoint>, ProfileError> {
    let mut points: Vec<PlannerPoint> = Vec::new();
    for (line, row) in lines(file, text, HEADER)? {
        let Some(point) = point(&line, row)? else { continue };
        let setting = |p: &PlannerPoint| (p.mig_size, p.batch, p.processes);
        if points.iter().any(|p| setting(p) == setting(&point)) {
            return Err(line.refuse("row", row, "one row for each instance, batch and number of processes"));
        }
        points.push(point);
    }
    Ok(points)
}

fn point(line: &Line, row: &str) -> Result<Option<PlannerPoint>, ProfileError> {
    let cells: Vec<&str> = row.split(',').collect();
    let [mig, batch, processes, throughput, latency] = cells[..] else {
        return Err(line.refuse("row", row, "five cells"));
    };
    let figure = |v: f64| v.is_finite() && v >= 0.0;
    let point = PlannerPoint {
        mig_size: line.number("Mig instance", mig, "1, 2, 3, 4 or 7", |v| MIG_SIZES.contains(&v))?,
        batch: line.number("Batch size", batch, "1 to 65536", |v| (1..=BATCH_MAX).contains(&v))?,
        processes: line.number("Workload Number", processes, "1 to 48", |v| (1..=PROCESSES_MAX).contains(&v))?,
        throughput_rps: line.number("Throughput", throughput, "a number of requests per second", figure)?,
        latency_s: line.number("Latency", latency, "a number of seconds", figure)?,
    };
    match (point.throughput_rps == 0.0, point.latency_s == 0.0) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(point)),
        (true, false) => Err(line.refuse("Throughput", throughput, "more than zero where the latency is")),
        (false, true) => Err(line.refuse("Latency", latency, "more than zero where the throughput is")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &str, words: &[&str]) {
        let text = format!("{HEADER}\n1,1,1,100,0.01\n{rows}");
        let message = parse(Path::new("dir/model.csv"), &text).unwrap_err().to_string();
        for word in [&["dir/model.csv:3"], words].concat() {
            assert!(message.contains(word), "{word:?} is not in {message}");
        }
    }

    #[test]
    fn a_table_is_read() {
        let text = format!("{HEADER}\n1,8,2,358.277,0.022\r\n\n7,64,1,0,0\n7,8,1,1600,0.005\n");
        let points = parse(Path::new("x"), &text).unwrap();
        assert_eq!(points.len(), 2, "what did not run is left out");
        assert_eq!((points[0].mig_size, points[0].batch, points[0].processes), (1, 8, 2));
        assert!((points[1].batch_ms() - 5.0).abs() < 1e-12);
        assert!(parse(Path::new("x"), &format!("\u{feff}{HEADER}")).unwrap().is_empty());
    }

    #[test]
    fn damage_is_named() {
        check("5,1,1,1,1", &["Mig instance", "\"5\"", "1, 2, 3, 4 or 7"]);
        check("1,0,1,1,1", &["Batch size", "\"0\""]);
        check("1,2,-1,1,1", &["dir/model.csv:3:5: Workload Number", "\"-1\""]);
        check("1,2,1,NaN,1", &["Throughput", "NaN"]);
        check("1,2,1,1,-3", &["Latency", "-3"]);
        check("1,2,1,0,1", &["Throughput"]);
        check("1,2,1,1,0", &["Latency"]);
        check("1,2,1,1", &["row", "five cells"]);
        check("1,2,1,1,1,1", &["row", "five cells"]);
        check("1,1,1,90,0.02", &["row", "one row for each"]);
        check(&"9".repeat(1000), &["row", "…"]);
        let headless = parse(Path::new("m.csv"), "1,1,1,100,0.01\n").unwrap_err().to_string();
        assert!(headless.contains("m.csv:1:1: header") && headless.contains("Workload Number"), "{headless}");
        assert!(parse(Path::new("m.csv"), "").is_err());
    }

    #[test]
    fn a_file_that_is_not_there_or_no_text_is_named() {
        let missing = read_table(Path::new("no/such/table.csv")).unwrap_err().to_string();
        assert!(missing.starts_with("no/such/table.csv"), "{missing}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bytes.csv");
        std::fs::write(&path, b"Mig instance\xff\xfe").unwrap();
        assert!(read_table(&path).unwrap_err().to_string().contains("bytes.csv"));
    }
}
