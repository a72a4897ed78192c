//! A bidirectional LSTM tagger: token ids in, one score per token and tag out.
//!
//! The tagger of Huang, Xu and Yu, "Bidirectional LSTM-CRF Models for Sequence Tagging" (2015), without the CRF, with
//! two layers and the nine BIO tags of CoNLL-2003. It is the zoo's sequential network: `T` steps that no amount of
//! parallel hardware shortens. The recurrence is ONNX's `LSTM`, which works on `[T, N, width]`.

use super::builder::{Graph, Value, int, text};
use super::layers::LINEAR;
use super::weights::Spread;

const VOCABULARY: usize = 20_000;
const EMBEDDING: usize = 128;
const HIDDEN: usize = 256;
const LAYERS: usize = 2;
const TAGS: usize = 9;
/// Input, output, forget and cell gate.
const GATES: usize = 4;
const DIRECTIONS: usize = 2;

/// Two layers of 256 units in each direction: 4.9 M parameters.
pub fn lstm(g: &mut Graph) {
    let ids = g.index_input("ids", "N,T");
    let start = zero_state(g, ids);
    let x = g.embedding(ids, "embedding", VOCABULARY, EMBEDDING, 1.0);
    let mut x = g.transpose(x, "by_time", &[1, 0, 2], EMBEDDING);
    for layer in 0..LAYERS {
        x = bidirectional(g, x, start, &format!("lstm{layer}"));
    }
    // The hidden state of an LSTM stays well inside (-1, 1); the gain brings scores back to about 1.
    let scores = g.linear(x, "tag", TAGS, 2.0 * LINEAR);
    let scores = g.transpose(scores, "scores", &[1, 0, 2], TAGS);
    g.output(scores, &format!("N,T,{TAGS}"));
}

/// Zeros `[2, N, HIDDEN]`. Explicit, as exporters write them, because `N` is known only when the model is loaded.
fn zero_state(g: &mut Graph, ids: Value) -> Value {
    let shape = g.node("Shape", "start.ids_shape", &[ids], 2, vec![]);
    let axis = g.indices("start.axis", &[0]);
    let batch = g.gather(shape, axis, "start.batch", 0, 1);
    let directions = g.indices("start.directions", &[DIRECTIONS as i64]);
    let hidden = g.indices("start.hidden", &[HIDDEN as i64]);
    let shape = g.node("Concat", "start.shape", &[directions, batch, hidden], 3, vec![int("axis", 0)]);
    // Not `ConstantOfShape`: without a value tensor, tract 0.23.9 makes it f64.
    let zero = g.scalar("start.zero", 0.0);
    g.node("Expand", "start", &[zero, shape], HIDDEN, vec![])
}

/// `[T, N, in]` to `[T, N, 2 * HIDDEN]`: forward and backward states of each step side by side.
fn bidirectional(g: &mut Graph, x: Value, start: Value, name: &str) -> Value {
    let rows = GATES * HIDDEN;
    let w_shape = [DIRECTIONS, rows, x.width()];
    let w = g.weight(&format!("{name}.input.weight"), &w_shape, Spread::fan_in(x.width(), LINEAR));
    let r_shape = [DIRECTIONS, rows, HIDDEN];
    let r = g.weight(&format!("{name}.hidden.weight"), &r_shape, Spread::fan_in(HIDDEN, LINEAR));
    let bias = g.weight(&format!("{name}.bias"), &[DIRECTIONS, 2 * rows], Spread::BIAS);
    let no_lengths = None;
    let inputs = [Some(x), Some(w), Some(r), Some(bias), no_lengths, Some(start), Some(start)];
    let attributes = vec![int("hidden_size", HIDDEN as i64), text("direction", "bidirectional")];
    let y = g.sparse_node("LSTM", name, &inputs, HIDDEN, attributes);
    let y = g.transpose(y, &format!("{name}.directions_last"), &[0, 2, 1, 3], HIDDEN);
    let both = DIRECTIONS * HIDDEN;
    g.reshape(y, &format!("{name}.joined"), &[0, 0, both as i64], both)
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;

    #[test]
    fn lstm_loads_runs_and_listens_to_its_input() {
        check("lstm", &[("N", 1), ("T", 6)]);
    }

    #[test]
    fn lstm_takes_any_batch() {
        check("lstm", &[("N", 3), ("T", 4)]);
    }
}
