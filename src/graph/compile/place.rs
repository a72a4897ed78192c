//! The memory plan: roots share the arena's words where their lives do not overlap. Largest first, each at the lowest
//! place that is free during its life.

use super::layout::{Home, Layouts, Work};

/// Roots begin at multiples of this many words.
const ALIGN_WORDS: u64 = 16;

/// Where the roots lie.
#[derive(Debug)]
pub(super) struct Plan {
    /// First word of each root.
    pub(super) offsets: Vec<u64>,
    /// Words of the arena; at least one.
    pub(super) words: u64,
    /// Words if every root had its own.
    pub(super) words_without_reuse: u64,
}

/// First and last piece of work that touches a root.
#[derive(Clone, Copy, Debug)]
struct Life {
    from: usize,
    to: usize,
}

pub(super) fn plan(layouts: &Layouts, work: &[Work]) -> Plan {
    let lives = lives(layouts, work);
    let size = |root: usize| layouts.roots[root].next_multiple_of(ALIGN_WORDS);
    let mut order: Vec<usize> = (0..layouts.roots.len()).filter(|&r| lives[r].is_some()).collect();
    order.sort_by_key(|&r| (std::cmp::Reverse(layouts.roots[r]), r));
    let mut offsets = vec![0; layouts.roots.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut words = ALIGN_WORDS;
    for root in order {
        let Some(life) = lives[root] else {
            continue;
        };
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|&&p| lives[p].is_some_and(|l| l.from <= life.to && life.from <= l.to))
            .map(|&p| (offsets[p], offsets[p] + size(p)))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + size(root) <= from {
                break;
            }
            at = at.max(to);
        }
        offsets[root] = at;
        words = words.max(at + size(root));
        placed.push(root);
    }
    let words_without_reuse = placed.iter().map(|&r| size(r)).sum();
    Plan { offsets, words, words_without_reuse }
}

fn lives(layouts: &Layouts, work: &[Work]) -> Vec<Option<Life>> {
    let mut lives: Vec<Option<Life>> = vec![None; layouts.roots.len()];
    let mut touch = |home: &Home, at: usize| {
        if home.constant.is_none() {
            let life = lives[home.root].get_or_insert(Life { from: at, to: at });
            life.from = life.from.min(at);
            life.to = life.to.max(at);
        }
    };
    for (at, item) in work.iter().enumerate() {
        match item {
            Work::Node { inputs, outputs, .. } => {
                inputs.iter().chain(outputs).for_each(|home| touch(home, at + 1));
            }
            Work::Copy { from, to, .. } => {
                touch(from, at + 1);
                touch(to, at + 1);
            }
        }
    }
    for home in &layouts.outputs {
        touch(home, work.len() + 1);
    }
    // Inputs are uploaded before the first piece of work.
    for &root in &layouts.input_roots {
        let life = lives[root].get_or_insert(Life { from: 0, to: 0 });
        life.from = 0;
    }
    lives
}
