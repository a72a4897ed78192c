//! BERT encoders: text understanding, token ids in, one vector per token and one per text out.
//!
//! Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2019); the small one is BERT-Tiny of Turc
//! et al., "Well-Read Students Learn Better" (2019). The graph is what exporters make of the common implementation
//! (post-normalisation, pooler with tanh on the first token) at operator set 17: `LayerNormalization` is one node,
//! GELU is five. The sequence length `S` is free, up to 512.

use tract_onnx::pb::tensor_proto::DataType;

use super::builder::{Graph, Value, int};
use super::layers::{LINEAR, RELU};
use super::weights::Spread;

const VOCABULARY: usize = 30_522;
const POSITIONS: usize = 512;
const SEGMENTS: usize = 2;
const EPSILON: f32 = 1e-12;
/// Three embeddings are added; together they have variance 1.
const EMBEDDING_STD: f32 = 0.577_350_3;
/// What a masked token's score loses before the softmax: the paper's code's value.
const MASKED: f32 = -10_000.0;

/// The sizes in which BERTs differ; the inner layer is four times the width.
#[derive(Clone, Copy)]
struct Size {
    layers: usize,
    width: usize,
    heads: usize,
}

/// BERT-Tiny, 2 layers of width 128: 4.4 M parameters, 3.9 M of them word embeddings.
pub fn bert_tiny(g: &mut Graph) {
    encoder(g, Size { layers: 2, width: 128, heads: 2 });
}

/// BERT-Base, 12 layers of width 768: 109 M parameters.
pub fn bert_base(g: &mut Graph) {
    encoder(g, Size { layers: 12, width: 768, heads: 12 });
}

fn encoder(g: &mut Graph, size: Size) {
    let ids = g.index_input("input_ids", "N,S");
    let mask = g.index_input("attention_mask", "N,S");
    let segments = g.index_input("token_type_ids", "N,S");
    let mask = score_mask(g, mask);
    let mut x = embeddings(g, ids, segments, size.width);
    for layer in 0..size.layers {
        let name = format!("layer{layer}");
        let attended = attention(g, x, mask, &format!("{name}.attention"), size);
        let sum = g.add(attended, x, &format!("{name}.attention.add"));
        let y = g.layer_norm(sum, &format!("{name}.attention.norm"), EPSILON);
        let inner = g.linear(y, &format!("{name}.inner"), 4 * size.width, RELU);
        let inner = g.gelu(inner, &format!("{name}.gelu"));
        let outer = g.linear(inner, &format!("{name}.outer"), size.width, LINEAR);
        let sum = g.add(outer, y, &format!("{name}.add"));
        let last = layer + 1 == size.layers;
        x = g.layer_norm(sum, if last { "last_hidden_state" } else { &name }, EPSILON);
    }
    g.output(x, &format!("N,S,{}", size.width));
    let first = g.index("pooler.first", 0);
    let cls = g.gather(x, first, "pooler.token", 1, size.width);
    let pooled = g.gemm(cls, "pooler", size.width, LINEAR);
    let pooled = g.node("Tanh", "pooler_output", &[pooled], size.width, vec![]);
    g.output(pooled, &format!("N,{}", size.width));
}

/// `(1 - mask) * -10000` as `[N, 1, 1, S]`: what is added to the scores of every head and query.
fn score_mask(g: &mut Graph, mask: Value) -> Value {
    let mask = g.unsqueeze(mask, "mask.expanded", &[1, 2], 0);
    let mask = g.node("Cast", "mask.float", &[mask], 0, vec![int("to", DataType::Float as i64)]);
    let one = g.scalar("mask.one", 1.0);
    let hidden = g.node("Sub", "mask.hidden", &[one, mask], 0, vec![]);
    let penalty = g.scalar("mask.penalty", MASKED);
    g.mul(hidden, penalty, "mask")
}

fn embeddings(g: &mut Graph, ids: Value, segments: Value, width: usize) -> Value {
    let words = g.embedding(ids, "embeddings.word", VOCABULARY, width, EMBEDDING_STD);
    let kinds = g.embedding(segments, "embeddings.segment", SEGMENTS, width, EMBEDDING_STD);
    let positions = first_positions(g, ids, width);
    let sum = g.add(words, kinds, "embeddings.words_and_segments");
    let sum = g.add(sum, positions, "embeddings.sum");
    g.layer_norm(sum, "embeddings.norm", EPSILON)
}

/// The first `S` rows of the table of positions.
fn first_positions(g: &mut Graph, ids: Value, width: usize) -> Value {
    let table = g.weight("embeddings.position.weight", &[POSITIONS, width], Spread::centred(EMBEDDING_STD));
    let shape = g.node("Shape", "embeddings.shape", &[ids], 2, vec![]);
    let axis = g.indices("embeddings.length.axis", &[1]);
    let length = g.gather(shape, axis, "embeddings.length", 0, 1);
    let start = g.indices("embeddings.position.start", &[0]);
    let axes = g.indices("embeddings.position.axes", &[0]);
    g.node("Slice", "embeddings.position", &[table, start, length, axes], width, vec![])
}

/// Multi-head self-attention with its output projection.
fn attention(g: &mut Graph, x: Value, mask: Value, name: &str, size: Size) -> Value {
    let depth = size.width / size.heads;
    let mut heads = |part: &str, order: &[usize], width: usize| {
        let y = g.linear(x, &format!("{name}.{part}"), size.width, LINEAR);
        let shape = [0, 0, size.heads as i64, depth as i64];
        let y = g.reshape(y, &format!("{name}.{part}.split"), &shape, depth);
        g.transpose(y, &format!("{name}.{part}.heads"), order, width)
    };
    let query = heads("query", &[0, 2, 1, 3], depth);
    let key = heads("key", &[0, 2, 3, 1], 0);
    let value = heads("value", &[0, 2, 1, 3], depth);
    let scores = g.matmul(query, key, &format!("{name}.scores"));
    let root = g.scalar(&format!("{name}.scale"), (depth as f32).sqrt());
    let scores = g.node("Div", &format!("{name}.scaled"), &[scores, root], 0, vec![]);
    let scores = g.add(scores, mask, &format!("{name}.masked"));
    let weights = g.softmax(scores, &format!("{name}.weights"));
    let context = g.matmul(weights, value, &format!("{name}.context"));
    let context = g.transpose(context, &format!("{name}.join"), &[0, 2, 1, 3], depth);
    let context = g.reshape(context, &format!("{name}.flat"), &[0, 0, size.width as i64], size.width);
    g.linear(context, &format!("{name}.output"), size.width, LINEAR)
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;

    #[test]
    fn bert_tiny_loads_runs_and_listens_to_its_input() {
        check("bert_tiny", &[("N", 1), ("S", 24)]);
    }

    #[test]
    fn bert_tiny_takes_any_batch_and_length() {
        check("bert_tiny", &[("N", 3), ("S", 7)]);
    }
}
