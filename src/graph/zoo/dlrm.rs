//! DLRM: click prediction from 13 numbers and 26 categories; memory-bound look-ups beside small matrix products.
//!
//! Naumov et al., "Deep Learning Recommendation Model for Personalization and Recommendation Systems" (2019), with the
//! layers of the authors' Criteo-terabyte configuration: bottom MLP 13-512-256-64, embedding dimension 64, pairwise
//! dot products, top MLP 512-512-256-1. The tables have the cardinalities of the Criteo Kaggle data, the large
//! ones hashed down to 20 000 rows, so that the network stays below 60 MB.

use super::builder::{Graph, Value};
use super::layers::{LINEAR, RELU};

const DENSE: usize = 13;
const DIMENSION: usize = 64;
const ROWS_MAX: usize = 20_000;
/// Distinct values of each category before hashing.
const CARDINALITIES: [usize; 26] = [
    1460, 583, 10_131_227, 2_202_608, 305, 24, 12_517, 633, 3, 93_145, 5683, 8_351_593, 3194, 27, 14_992, 5_461_306,
    10, 5652, 2173, 4, 7_046_547, 18, 15, 286_181, 105, 142_572,
];
/// Deviation of the vectors that are multiplied with each other: a dot product of 64 terms then has variance 1.
const VECTOR_STD: f32 = 0.353_553_4;

/// DLRM with 26 tables: 14.0 M parameters.
pub fn dlrm(g: &mut Graph) {
    let dense = g.input("dense", &format!("N,{DENSE}"));
    let sparse = g.index_input("sparse", &format!("N,{}", CARDINALITIES.len()));
    let bottom = gemm_relu(g, dense, "bottom.0", 512, RELU);
    let bottom = gemm_relu(g, bottom, "bottom.1", 256, RELU);
    let bottom = gemm_relu(g, bottom, "bottom.2", DIMENSION, RELU * VECTOR_STD);
    let vectors = feature_vectors(g, bottom, sparse);
    let pairs = interactions(g, vectors, 1 + CARDINALITIES.len());
    let features = g.concat(&[bottom, pairs], "features");
    let top = gemm_relu(g, features, "top.0", 512, RELU);
    let top = gemm_relu(g, top, "top.1", 512, RELU);
    let top = gemm_relu(g, top, "top.2", 256, RELU);
    let top = g.gemm(top, "top.3", 1, LINEAR);
    let click = g.node("Sigmoid", "click", &[top], 1, vec![]);
    g.output(click, "N,1");
}

/// `[N, 27, 64]`: the dense features' vector, then one row of each table.
fn feature_vectors(g: &mut Graph, bottom: Value, sparse: Value) -> Value {
    let mut vectors = vec![g.unsqueeze(bottom, "vector.dense", &[1], DIMENSION)];
    for (table, cardinality) in CARDINALITIES.into_iter().enumerate() {
        let column = g.index(&format!("table{table}.column"), table as i64);
        let row = g.gather(sparse, column, &format!("table{table}.row"), 1, 0);
        let name = format!("table{table}");
        let vector = g.embedding(row, &name, cardinality.min(ROWS_MAX), DIMENSION, VECTOR_STD);
        vectors.push(g.unsqueeze(vector, &format!("vector.{table}"), &[1], DIMENSION));
    }
    g.concat(&vectors, "vectors")
}

/// Dot products of all pairs: the product of the matrix with its transpose, strictly below the diagonal.
fn interactions(g: &mut Graph, vectors: Value, count: usize) -> Value {
    let transposed = g.transpose(vectors, "interaction.transposed", &[0, 2, 1], count);
    let products = g.matmul(vectors, transposed, "interaction.products");
    let flat = g.reshape(products, "interaction.flat", &[0, (count * count) as i64], count * count);
    let below: Vec<i64> =
        (1..count).flat_map(|row| (0..row).map(move |column| (row * count + column) as i64)).collect();
    let pairs = g.indices("interaction.below_diagonal", &below);
    g.gather(flat, pairs, "interaction", 1, below.len())
}

fn gemm_relu(g: &mut Graph, x: Value, name: &str, features: usize, gain: f32) -> Value {
    let y = g.gemm(x, name, features, gain);
    g.relu(y, &format!("{name}.relu"))
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;

    #[test]
    fn dlrm_loads_runs_and_listens_to_its_input() {
        check("dlrm", &[("N", 16)]);
    }
}
