//! Where something stands in a scenario file: looked up in the scenario's text when a message needs it, so that nothing
//! else has to carry places along.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Scenario;

/// A place in a scenario file, shown as `FILE:LINE:COLUMN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl Place {
    /// The place of a byte of `text`, which was read from `file`.
    pub(super) fn of(byte: usize, text: &str, file: &Path) -> Place {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place { file: file.into(), line, column }
    }
}

impl Scenario {
    /// Where the value of a key stands, given with the tables around it: `["device", "spec"]`. Where it is not in the file,
    /// the innermost table around it that is.
    pub fn place(&self, keys: &[&str]) -> Place {
        self.find(|root| {
            let (first, rest) = keys.split_first()?;
            Some(innermost(root.get(*first)?, rest))
        })
    }

    /// As [`Scenario::place`], in the table of tenant `tenant_idx`.
    pub fn place_of_tenant(&self, tenant_idx: usize, keys: &[&str]) -> Place {
        self.find(|root| Some(innermost(root.get("tenant")?.as_ref().get(tenant_idx)?, keys)))
    }

    fn find(&self, value: impl Fn(&DeTable<'_>) -> Option<usize>) -> Place {
        let root = DeTable::parse(&self.text).ok();
        let byte = root.and_then(|root| value(root.as_ref())).unwrap_or(0);
        Place::of(byte, &self.text, &self.origin)
    }
}

/// Where the value of `keys` in `value` begins, or that of as many of them as are there.
fn innermost(value: &Spanned<DeValue<'_>>, keys: &[&str]) -> usize {
    let mut value = value;
    for key in keys {
        let Some(inner) = value.as_ref().get(*key) else { break };
        value = inner;
    }
    value.span().start
}
