//! Interned names: an event holds a number, the text is stored once.

use std::collections::HashMap;
use std::sync::Arc;

/// Names that one timeline keeps; later ones all become [`Names::OTHER`], so a caller that makes names without end
/// (one per request, say) costs detail, not memory.
pub const NAMES_MAX: usize = 1 << 16;

/// A name of a [`Names`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(pub u32);

/// Texts by number and numbers by text.
#[derive(Clone, Debug)]
pub struct Names {
    texts: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, NameId>,
}

impl Names {
    /// What names beyond [`NAMES_MAX`] become.
    pub const OTHER: NameId = NameId(0);

    /// With only [`Names::OTHER`] in it.
    pub fn new() -> Names {
        let mut names = Names { texts: Vec::new(), ids: HashMap::new() };
        names.add("(other)");
        names
    }

    /// The number of `text`; allocates only the first time it is seen.
    pub fn intern(&mut self, text: &str) -> NameId {
        match self.ids.get(text) {
            Some(&id) => id,
            None if self.texts.len() >= NAMES_MAX => Names::OTHER,
            None => self.add(text),
        }
    }

    /// The text of `id`; panics for a number that this table never gave.
    pub fn text(&self, id: NameId) -> &str {
        &self.texts[id.0 as usize]
    }

    fn add(&mut self, text: &str) -> NameId {
        let id = NameId(self.texts.len() as u32);
        let shared: Arc<str> = text.into();
        self.texts.push(shared.clone());
        self.ids.insert(shared, id);
        id
    }
}

impl Default for Names {
    fn default() -> Names {
        Names::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number() {
        let mut names = Names::new();
        let gemm = names.intern("gemm");
        assert_eq!(names.intern("gemm"), gemm);
        assert_ne!(names.intern("softmax"), gemm);
        assert_eq!(names.text(gemm), "gemm");
    }

    #[test]
    fn names_without_end_do_not_take_memory_without_end() {
        let mut names = Names::new();
        for i in 0..NAMES_MAX + 10 {
            names.intern(&i.to_string());
        }
        assert_eq!(names.texts.len(), NAMES_MAX);
        assert_eq!(names.intern("one too many"), Names::OTHER);
        assert_eq!(names.text(names.ids["7"]), "7");
    }
}
