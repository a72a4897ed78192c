//! The zoo: networks built in memory with seeded weights, so that everything runs without a single file.
//!
//! [`list`] names them, [`build`] makes one as an ONNX `ModelProto`, which then goes through the same import as a file.
//! Architectures and sizes are the real ones, because memory, launch counts and kernel shapes are what the rest of
//! Cotenant is about; weights are random but scaled like trained ones (`weights.rs`), so that outputs are finite,
//! depend on every input and can be compared between devices. They predict nothing.
//!
//! A new network is a file and a line in `table.rs`; `builder.rs` and `layers.rs` are what networks are written with.
//! Deliberately not here: anything that reads a file, and any optimisation, which is the importer's business.

mod bert;
mod builder;
mod densenet;
mod dlrm;
mod inception;
mod keyword;
mod layers;
mod lstm;
mod mobilenet;
mod nasnet;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod published;
mod randwire;
mod resnet;
mod single;
mod squeezenet;
mod table;
mod vgg;
mod weights;

use std::fmt;

use tract_onnx::pb::ModelProto;

use builder::Graph;
use table::{ENTRIES, Source};

/// One line about a network, or about a family of single operators at its default size.
#[derive(Debug)]
pub struct Entry {
    /// What [`build`] takes; behind `zoo:` on the command line.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// Its inputs, type and shape: `"ids i64[N,T]"`.
    pub inputs: &'static [&'static str],
    /// Values of the symbols in the shapes, to be used unless others are asked for.
    pub dims: &'static [(&'static str, usize)],
    /// Weights, at this size. Literature counts scale and shift of a batch normalisation: folded, one of them is gone;
    /// not folded, running mean and variance count here too.
    pub parameters: u64,
    source: Source,
}

impl Entry {
    /// For a family, how its names are formed: `"matmul_SIZE, matmul_MxKxCOLS"`.
    pub fn pattern(&self) -> Option<String> {
        match &self.source {
            Source::Network(_) => None,
            Source::Family(family) => {
                let names: Vec<String> = family.forms.iter().map(|form| format!("{}_{form}", family.prefix)).collect();
                Some(names.join(", "))
            }
        }
    }
}

/// Everything in the zoo: networks, then families of single operators at their default sizes.
pub fn list() -> &'static [Entry] {
    ENTRIES
}

/// The entry behind `name` (without `zoo:`): the network of that name, or the family that the name is a member of.
pub fn find(name: &str) -> Result<&'static Entry, ZooError> {
    Ok(resolve(name)?.0)
}

/// Builds `name` (without `zoo:`), weights included. The same name gives the same bits, always and everywhere.
pub fn build(name: &str) -> Result<ModelProto, ZooError> {
    Ok(describe(name)?.finish())
}

/// Number of weights of `name`, without generating them.
pub fn parameters(name: &str) -> Result<u64, ZooError> {
    Ok(describe(name)?.parameters())
}

/// A name that the zoo cannot build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZooError {
    /// Nothing has this name.
    Unknown {
        /// The name asked for.
        name: String,
        /// Names that resemble it; every name when none does.
        close: Vec<String>,
    },
    /// A single operator with sizes that are not built.
    Size {
        /// The name asked for.
        name: String,
        /// Which limit it breaks.
        reason: String,
    },
}

impl fmt::Display for ZooError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ZooError::Unknown { name, close } => {
                write!(f, "the zoo has no `{name}`; there is {}", close.join(", "))
            }
            ZooError::Size { name, reason } => write!(f, "the zoo does not build `{name}`: {reason}"),
        }
    }
}

impl std::error::Error for ZooError {}

/// The network with its weights described but not generated.
fn describe(name: &str) -> Result<Graph, ZooError> {
    let (entry, sizes) = resolve(name)?;
    let mut graph = Graph::new(name);
    match &entry.source {
        Source::Network(build) => build(&mut graph),
        Source::Family(family) => family.build(&mut graph, &sizes),
    }
    Ok(graph)
}

/// The entry behind `name` and, for a family, the sizes in the name.
fn resolve(name: &str) -> Result<(&'static Entry, Vec<usize>), ZooError> {
    for entry in ENTRIES {
        match &entry.source {
            Source::Network(_) if entry.name == name => return Ok((entry, Vec::new())),
            Source::Network(_) => {}
            Source::Family(family) => {
                let Some(sizes) = family.sizes(name) else { continue };
                return match family.objection(&sizes) {
                    None => Ok((entry, sizes)),
                    Some(reason) => Err(ZooError::Size { name: name.to_owned(), reason }),
                };
            }
        }
    }
    Err(ZooError::Unknown { name: name.to_owned(), close: close_names(name) })
}

/// The names that share a beginning with `name` or are a few letters away; families by their patterns.
fn close_names(name: &str) -> Vec<String> {
    let known = || ENTRIES.iter().map(|entry| (entry, entry.pattern().unwrap_or_else(|| entry.name.to_owned())));
    let stem = |text: &str| text.split('_').next().unwrap_or_default().to_lowercase();
    let is_close = |entry: &Entry| {
        let allowed = 1 + name.chars().count() / 4;
        stem(entry.name) == stem(name)
            || distance(&stem(entry.name), &stem(name)) <= stem(name).chars().count() / 4
            || distance(entry.name, &name.to_lowercase()) <= allowed
    };
    let close: Vec<String> = known().filter(|(entry, _)| is_close(entry)).map(|(_, text)| text).collect();
    if close.is_empty() { known().map(|(_, text)| text).collect() } else { close }
}

/// Levenshtein distance: insertions, deletions and replacements that make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_resolve_to_their_own_entry() {
        let names: HashSet<&str> = list().iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), list().len());
        for entry in list() {
            assert_eq!(find(entry.name).unwrap().name, entry.name);
        }
    }

    #[test]
    fn entries_state_the_parameters_that_are_built() {
        for entry in list() {
            assert_eq!(parameters(entry.name).unwrap(), entry.parameters, "{}", entry.name);
        }
    }

    #[test]
    fn entries_state_the_inputs_that_are_built() {
        for entry in list() {
            let built = probe::inputs(&describe(entry.name).unwrap().finish_without_weights());
            assert_eq!(built, entry.inputs, "{}", entry.name);
            let symbols: HashSet<&str> = probe::symbols_of(entry.inputs);
            let bound: HashSet<&str> = entry.dims.iter().map(|(symbol, _)| *symbol).collect();
            assert_eq!(symbols, bound, "{}", entry.name);
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_close_ones() {
        let close = |name: &str| match find(name) {
            Err(ZooError::Unknown { close, .. }) => close,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(close("resnet5"), ["resnet18", "resnet50"]);
        assert_eq!(close("bert"), ["bert_tiny", "bert_base"]);
        assert_eq!(close("matmul"), ["matmul_SIZE, matmul_MxKxCOLS"]);
        assert_eq!(close("zebra").len(), list().len());
    }

    #[test]
    fn an_impossible_size_says_why() {
        let message = find("matmul_1000000").err().unwrap().to_string();
        assert!(message.contains("matmul_1000000") && message.contains("268435456"), "{message}");
    }
}
