//! What happens next: a heap that knows where each entry lies, so that an entry is moved when its time changes.
//!
//! Rates change at every start and end of a kernel, and with them the ends of all that run beside it. With a heap that
//! only grows, outdated entries would outnumber the true ones; here each thing has one entry or none, memory is
//! bounded by what exists, and nothing outdated is ever seen. Equal times come in the order of [`What`].

use super::clock::Ps;

/// What happens. The order of variants decides between equal times: ends come before beginnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// The blocks of a train end.
    Train(u32),
    /// A transfer of a copy direction ends.
    Link(u32),
    /// A turn of an instance with time slices ends, or its switch.
    Turn(u32),
    /// A kernel of a graph may begin.
    Job(u32),
    /// The head of a hardware queue may begin.
    Queue(u32),
}

const KINDS: usize = 5;
const NOWHERE: u32 = u32::MAX;

impl What {
    fn split(self) -> (usize, usize) {
        match self {
            What::Train(n) => (0, n as usize),
            What::Link(n) => (1, n as usize),
            What::Turn(n) => (2, n as usize),
            What::Job(n) => (3, n as usize),
            What::Queue(n) => (4, n as usize),
        }
    }
}

/// See the module's comment.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    heap: Vec<(Ps, What)>,
    places: [Vec<u32>; KINDS],
}

impl Agenda {
    /// The next entry.
    pub(super) fn peek(&self) -> Option<(Ps, What)> {
        self.heap.first().copied()
    }

    /// When `what` happens.
    pub(super) fn time(&self, what: What) -> Option<Ps> {
        self.place(what).map(|at| self.heap[at].0)
    }

    /// Sets the time of `what`, which may have had another one.
    pub(super) fn set(&mut self, what: What, time: Ps) {
        match self.place(what) {
            Some(at) => {
                let before = self.heap[at].0;
                self.heap[at].0 = time;
                if time < before { self.up(at) } else { self.down(at) }
            }
            None => {
                let at = self.heap.len();
                self.heap.push((time, what));
                self.note(at);
                self.up(at);
            }
        }
    }

    /// Takes `what` off, if it is there.
    pub(super) fn remove(&mut self, what: What) {
        let Some(at) = self.place(what) else { return };
        let (kind, number) = what.split();
        self.places[kind][number] = NOWHERE;
        let last = self.heap.pop().expect("an entry lies there");
        if at == self.heap.len() {
            return;
        }
        let gone = std::mem::replace(&mut self.heap[at], last);
        self.note(at);
        if last < gone { self.up(at) } else { self.down(at) }
    }

    fn place(&self, what: What) -> Option<usize> {
        let (kind, number) = what.split();
        self.places[kind].get(number).copied().filter(|&at| at != NOWHERE).map(|at| at as usize)
    }

    fn note(&mut self, at: usize) {
        let (kind, number) = self.heap[at].1.split();
        let places = &mut self.places[kind];
        if places.len() <= number {
            places.resize(number + 1, NOWHERE);
        }
        places[number] = at as u32;
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= self.heap[at] {
                break;
            }
            self.swap(parent, at);
            at = parent;
        }
    }

    fn down(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let child = if right < self.heap.len() && self.heap[right] < self.heap[left] { right } else { left };
            if self.heap[at] <= self.heap[child] {
                return;
            }
            self.swap(child, at);
            at = child;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note(a);
        self.note(b);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_yields_what_a_sorted_map_would(steps in proptest::collection::vec((0u32..4, 0u32..12, 0u64..50), 1..200)) {
            let (mut agenda, mut model) = (Agenda::default(), BTreeMap::new());
            for (action, number, time) in steps {
                let what = if number % 2 == 0 { What::Train(number / 2) } else { What::Queue(number / 2) };
                match action {
                    0 => {
                        agenda.remove(what);
                        model.remove(&what);
                    }
                    1 => {
                        let first = model.iter().map(|(w, t)| (*t, *w)).min();
                        prop_assert_eq!(agenda.peek(), first);
                        if let Some((_, what)) = first {
                            agenda.remove(what);
                            model.remove(&what);
                        }
                    }
                    _ => {
                        agenda.set(what, time);
                        model.insert(what, time);
                    }
                }
                prop_assert_eq!(agenda.time(what), model.get(&what).copied());
            }
        }
    }
}
