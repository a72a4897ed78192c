//! Weights in as few read-only buffers as the device's binding limit allows: a launch binds one of them, so all
//! constants of a node lie in one segment.

use std::collections::HashMap;
use std::sync::Arc;

use super::layout::{Home, Work, words};
use crate::graph::ir::{Graph, ValueId, ValueKind};
use crate::hal::{BufferId, Device, HalError, Region};
use crate::tensor::{HostTensor, TenantId};

/// Constants begin at multiples of this many words.
const ALIGN_WORDS: u64 = 16;
/// Bytes uploaded at once.
const UPLOAD_BYTES: usize = 16 << 20;

/// Which constants lie where.
#[derive(Debug)]
pub(super) struct Weights {
    segments: Vec<Segment>,
    /// Segment of each node that reads constants; `None` where they do not fit one.
    of_node: HashMap<usize, Option<usize>>,
    /// Segment of each constant that is copied by itself.
    of_copy: HashMap<ValueId, usize>,
}

#[derive(Debug, Default)]
struct Segment {
    words: u64,
    offsets: HashMap<ValueId, u64>,
    order: Vec<ValueId>,
}

impl Weights {
    /// Packs constants in the order in which nodes read them.
    pub(super) fn plan(graph: &Graph, work: &[Work], limit_bytes: u64, tenant: TenantId) -> Result<Weights, HalError> {
        let limit = limit_bytes / 4;
        let mut weights =
            Weights { segments: vec![Segment::default()], of_node: HashMap::new(), of_copy: HashMap::new() };
        for item in work {
            match item {
                Work::Node { at, inputs, .. } => {
                    if matches!(graph.nodes[*at].kind, crate::graph::ir::NodeKind::Cpu(_)) {
                        continue;
                    }
                    let constants: Vec<ValueId> = inputs.iter().filter_map(|h| h.constant).collect();
                    let segment = weights.find_segment(graph, &constants, limit);
                    weights.of_node.insert(*at, segment);
                }
                Work::Copy { from, .. } => {
                    if let Some(constant) = from.constant {
                        let asked = words_of(graph, constant) * 4;
                        let segment = weights
                            .find_segment(graph, &[constant], limit)
                            .ok_or(HalError::BufferTooLarge { tenant, asked, limit: limit_bytes })?;
                        weights.of_copy.insert(constant, segment);
                    }
                }
            }
        }
        Ok(weights)
    }

    /// A segment that holds all of `constants`: one that has them, else the last one that has room.
    fn find_segment(&mut self, graph: &Graph, constants: &[ValueId], limit: u64) -> Option<usize> {
        let holds = |s: &Segment| constants.iter().all(|c| s.offsets.contains_key(c));
        if let Some(at) = self.segments.iter().position(holds) {
            return Some(at);
        }
        let missing = |s: &Segment| -> u64 {
            let mut new: Vec<ValueId> = constants.iter().copied().filter(|c| !s.offsets.contains_key(c)).collect();
            new.sort_unstable();
            new.dedup();
            new.iter().map(|&c| words_of(graph, c).next_multiple_of(ALIGN_WORDS)).sum()
        };
        let last = self.segments.len() - 1;
        if self.segments[last].words + missing(&self.segments[last]) > limit {
            if missing(&Segment::default()) > limit {
                return None;
            }
            self.segments.push(Segment::default());
        }
        let at = self.segments.len() - 1;
        let segment = &mut self.segments[at];
        for &constant in constants {
            if !segment.offsets.contains_key(&constant) {
                segment.offsets.insert(constant, segment.words);
                segment.order.push(constant);
                segment.words += words_of(graph, constant).next_multiple_of(ALIGN_WORDS);
            }
        }
        Some(at)
    }

    pub(super) fn segment_of(&self, node: usize) -> Option<usize> {
        self.of_node.get(&node).copied().unwrap_or(Some(0))
    }

    pub(super) fn copy_segment(&self, from: &Home) -> usize {
        from.constant.and_then(|c| self.of_copy.get(&c).copied()).unwrap_or(0)
    }

    pub(super) fn offset(&self, constant: ValueId, segment: usize) -> usize {
        self.segments[segment].offsets.get(&constant).copied().unwrap_or(0) as usize
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.words * 4).sum()
    }

    /// Creates the buffers and fills them; every buffer is noted in `buffers` at once.
    pub(super) fn upload(
        &self,
        graph: &Graph,
        device: &mut dyn Device,
        tenant: TenantId,
        buffers: &mut Vec<BufferId>,
    ) -> Result<Vec<BufferId>, HalError> {
        let mut made = Vec::new();
        for segment in &self.segments {
            let buffer = device.alloc(tenant, segment.words.max(1) * 4)?;
            buffers.push(buffer);
            made.push(buffer);
            for constant in &segment.order {
                let words = device_words(&tensor_of(graph, *constant));
                let mut at = segment.offsets[constant] * 4;
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

fn tensor_of(graph: &Graph, id: ValueId) -> Arc<HostTensor> {
    match &graph.value(id).kind {
        ValueKind::Constant(tensor) => tensor.clone(),
        _ => Arc::new(HostTensor::zeros(crate::tensor::DType::F32, &[0])),
    }
}

fn words_of(graph: &Graph, id: ValueId) -> u64 {
    let value = graph.value(id);
    words(&value.shape, value.dtype, value.wide)
}

/// The tensor's words; types that devices do not hold, and integers beyond 32 bits, lie there as raw bytes for the CPU.
fn device_words(tensor: &HostTensor) -> Vec<u32> {
    tensor.to_device_words().unwrap_or_else(|_| {
        let mut bytes = tensor.bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytemuck::pod_collect_to_vec(&bytes)
    })
}
