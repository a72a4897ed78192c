//! What the workgroups of a co-kernel read: for each its program's place, and the programs' entries.

/// Words of a workgroup's header: its first entry, one past its last, counted in words from the stage's first, and which of
/// an entry's workers it is.
pub(super) const HEADER_WORDS: u32 = 3;

/// Words of an entry: body, first parameter word, first tile, one past the last tile, workers, and of pooled memory first
/// and last word of weights and arena.
pub(super) const ENTRY_WORDS: u32 = 9;

/// A launch in a program.
#[derive(Clone, Copy, Debug)]
pub(in crate::hal::wgpu) struct Entry {
    pub(in crate::hal::wgpu) body: u32,
    pub(in crate::hal::wgpu) params: u32,
    pub(in crate::hal::wgpu) tiles: [u32; 2],
    pub(in crate::hal::wgpu) workers: u32,
    /// First and last word of weights and arena.
    pub(in crate::hal::wgpu) memory: [u32; 4],
}

/// Programs of one stage while they are written.
#[derive(Debug, Default)]
pub(in crate::hal::wgpu) struct Programs {
    headers: Vec<[u32; 3]>,
    entries: Vec<Entry>,
    /// Headers of the program that was begun last.
    last: usize,
}

impl Programs {
    pub(in crate::hal::wgpu) fn clear(&mut self) {
        self.headers.clear();
        self.entries.clear();
    }

    /// A program for each of `workers` workgroups; of several launches for one.
    pub(in crate::hal::wgpu) fn begin(&mut self, workers: u32) {
        let first = self.entries.len() as u32;
        self.headers.extend((0..workers).map(|worker| [first, first, worker]));
        self.last = workers as usize;
    }

    /// Another launch of the program that was begun last.
    pub(in crate::hal::wgpu) fn push(&mut self, launch: Entry) {
        self.entries.push(launch);
        let at = self.headers.len() - self.last;
        self.headers[at..].iter_mut().for_each(|[_, end, _]| *end += 1);
    }

    /// Workgroups to dispatch.
    pub(in crate::hal::wgpu) fn workgroups(&self) -> u32 {
        self.headers.len() as u32
    }

    /// Appends the words.
    pub(in crate::hal::wgpu) fn write(&self, words: &mut Vec<u32>) {
        let entries = self.headers.len() as u32 * HEADER_WORDS;
        for [first, end, worker] in &self.headers {
            words.extend([entries + first * ENTRY_WORDS, entries + end * ENTRY_WORDS, *worker]);
        }
        for e in &self.entries {
            words.extend([e.body, e.params, e.tiles[0], e.tiles[1], e.workers]);
            words.extend(e.memory);
        }
    }
}
