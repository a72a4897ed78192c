//! Weights in as few read-only buffers as the device's binding limit allows: a launch binds one of them, so all
//! constants of a launch lie in one segment. What each launch binds is decided in `parts.rs`; operators that are computed
//! in parts are placed first, so that their small constants find room beside the pieces.

use std::collections::HashMap;
use std::ops::Range;

use super::copying;
use super::layout::Work;
use super::parts::{Binding, bindings};
use super::piece::Piece;
use crate::graph::ir::Graph;
use crate::hal::{BufferId, Device, HalError, Region};
use crate::tensor::{TenantId, View};

/// Pieces begin at multiples of this many words.
pub(super) const ALIGN_WORDS: u64 = 16;
/// Bytes uploaded at once.
const UPLOAD_BYTES: usize = 16 << 20;

/// Which pieces of constants lie where.
#[derive(Debug)]
pub(super) struct Weights {
    segments: Vec<Segment>,
    /// For each piece of work, the launches that compute it; none where its constants cannot be bound.
    placed: Vec<Vec<Placed>>,
}

/// A launch's part of an operator, and where it finds the constants.
#[derive(Debug)]
pub(super) struct Placed {
    /// Which of the operator's divisions and which units of it; `None` where the operator is computed whole.
    pub(super) part: Option<(usize, Range<usize>)>,
    /// The buffer.
    pub(super) segment: usize,
    /// For each input that is constant, its elements in words of the segment.
    pub(super) constants: Vec<Option<View>>,
}

#[derive(Debug, Default)]
struct Segment {
    words: u64,
    offsets: HashMap<Piece, u64>,
    order: Vec<Piece>,
}

impl Weights {
    /// Packs the constants of all work.
    pub(super) fn plan(graph: &Graph, work: &[Work], limit_bytes: u64) -> Weights {
        let limit = limit_bytes / 4;
        let wanted: Vec<Vec<Binding>> = work.iter().map(|item| bindings_of(graph, item, limit)).collect();
        let mut order: Vec<usize> = (0..work.len()).collect();
        order.sort_by_key(|&at| wanted[at].len() <= 1);
        let mut weights =
            Weights { segments: vec![Segment::default()], placed: work.iter().map(|_| Vec::new()).collect() };
        for at in order {
            weights.placed[at] = wanted[at].iter().map(|binding| weights.place(graph, binding, limit)).collect();
        }
        weights
    }

    /// Puts a binding's pieces into one segment.
    fn place(&mut self, graph: &Graph, binding: &Binding, limit: u64) -> Placed {
        let mut pieces: Vec<&Piece> = Vec::new();
        for (piece, _) in binding.pieces.iter().flatten() {
            if !pieces.contains(&piece) {
                pieces.push(piece);
            }
        }
        let at = self.segment_for(graph, &pieces, limit);
        let segment = &mut self.segments[at];
        for piece in pieces {
            segment.add(graph, piece);
        }
        let constants = binding.pieces.iter().map(|stored| {
            let (piece, view) = stored.as_ref()?;
            let offset = view.offset + segment.offsets[piece] as usize;
            Some(View { offset, ..view.clone() })
        });
        Placed { constants: constants.collect(), part: binding.part.clone(), segment: at }
    }

    /// The first of the segments that have room for all of `pieces` and hold most of them; else a new one.
    fn segment_for(&mut self, graph: &Graph, pieces: &[&Piece], limit: u64) -> usize {
        let missing = |segment: &Segment| -> u64 {
            let new = pieces.iter().filter(|p| !segment.offsets.contains_key(**p));
            new.map(|p| p.words(graph).next_multiple_of(ALIGN_WORDS)).sum()
        };
        let fitting = self.segments.iter().enumerate().filter_map(|(at, segment)| {
            let more = missing(segment);
            (more == 0 || segment.words + more <= limit).then_some((more, at))
        });
        if let Some((_, at)) = fitting.min() {
            return at;
        }
        self.segments.push(Segment::default());
        self.segments.len() - 1
    }

    /// The launches that compute the piece of work at this position; none where its constants cannot be bound.
    pub(super) fn placed(&self, at: usize) -> &[Placed] {
        &self.placed[at]
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.words * 4).sum()
    }

    /// Creates the buffers and fills them, unless the device computes nothing and nobody will read them; every buffer is noted
    /// in `buffers` at once.
    pub(super) fn upload(
        &self,
        graph: &Graph,
        device: &mut dyn Device,
        tenant: TenantId,
        buffers: &mut Vec<BufferId>,
    ) -> Result<Vec<BufferId>, HalError> {
        let mut made = Vec::new();
        for segment in &self.segments {
            let buffer = device.alloc_constants(tenant, segment.words.max(1) * 4)?;
            buffers.push(buffer);
            made.push(buffer);
            if !device.caps().computes() {
                continue;
            }
            for piece in &segment.order {
                let words = piece.contents(graph);
                let mut at = segment.offsets[piece] * 4;
                for chunk in bytemuck::cast_slice::<u32, u8>(&words).chunks(UPLOAD_BYTES) {
                    let bytes = chunk.len() as u64;
                    device.write(Region { buffer, offset: at, bytes }, chunk)?;
                    at += bytes;
                }
            }
        }
        Ok(made)
    }
}

impl Segment {
    fn add(&mut self, graph: &Graph, piece: &Piece) {
        if !self.offsets.contains_key(piece) {
            self.offsets.insert(piece.clone(), self.words);
            self.order.push(piece.clone());
            self.words += piece.words(graph).next_multiple_of(ALIGN_WORDS);
        }
    }
}

/// What the launches of a piece of work bind; none where no kernel computes it.
fn bindings_of(graph: &Graph, item: &Work, limit: u64) -> Vec<Binding> {
    match item {
        Work::Node { at, inputs, .. } => {
            let operator = graph.nodes[*at].kind.operator();
            operator.map_or_else(Vec::new, |operator| bindings(graph, operator, inputs, limit))
        }
        Work::Copy { from, to, .. } if to.wide || from.dtype.device_word().is_none() => Vec::new(),
        Work::Copy { from, .. } => bindings(graph, &copying(from), std::slice::from_ref(from), limit),
    }
}
