//! RandWire: an image classifier whose stages are random graphs of separable convolutions.
//!
//! Xie et al., "Exploring Randomly Wired Neural Networks for Image Recognition" (2019), table 1, small regime: three stages of
//! 32 nodes and 78, 156 and 312 channels, wired by Watts and Strogatz' model WS(4, 0.75), the paper's best. A node sums
//! what it gets with positive weights, then ReLU, separable convolution, normalisation. The graphs are drawn from a seed
//! of ours, as the paper's are from its own; its sizes are given for the mean over graphs.

use super::builder::{Graph, Value};
use super::layers::{Conv, LINEAR};
use super::weights::{self, Spread};

/// Channels of the first random stage.
const CHANNELS: usize = 78;
/// Nodes of a stage.
const NODES: usize = 32;
/// Neighbours of a node on the ring, on each side.
const NEIGHBOURS: usize = 2;
/// How probably an edge of the ring goes elsewhere.
const REWIRED: f32 = 0.75;

/// RandWire-WS(4, 0.75) with C = 78 for 224×224 images: 5.6 M parameters.
pub fn randwire_small(g: &mut Graph) {
    let x = g.input("input", "N,3,224,224");
    let x = g.conv_batch_norm(x, "conv1", Conv::same(CHANNELS / 2, 3).stride(2));
    let x = g.relu(x, "conv2.relu");
    let mut x = g.conv_batch_norm(x, "conv2", Conv::same(CHANNELS, 3).stride(2));
    for stage in 0..3 {
        x = random_stage(g, x, stage);
    }
    let x = g.relu(x, "head.relu");
    let x = g.conv_batch_norm(x, "head", Conv::same(1280, 1));
    let x = g.relu(x, "head.last");
    let x = g.global_average(x, "pool");
    let logits = g.gemm(x, "logits", 1000, LINEAR);
    g.output(logits, "N,1000");
}

/// A random graph at half the size: nodes without predecessor take the stage's input, the others' output is averaged where
/// they have no successor.
fn random_stage(g: &mut Graph, x: Value, stage: usize) -> Value {
    let channels = CHANNELS << stage;
    let edges = small_world(stage);
    let mut outputs: Vec<Value> = Vec::new();
    for node in 0..NODES {
        let name = format!("stage{}.{node}", stage + 3);
        let sources: Vec<Value> = edges.iter().filter(|e| e.1 == node).map(|e| outputs[e.0]).collect();
        let (y, stride) = match sources.is_empty() {
            true => (x, 2),
            false => (weighted(g, &sources, &name), 1),
        };
        let y = g.relu(y, &format!("{name}.relu"));
        let alone = Conv { groups: y.width(), ..Conv::same(y.width(), 3).stride(stride) };
        let y = g.conv_plain(y, &format!("{name}.depthwise"), alone);
        outputs.push(g.conv_batch_norm(y, &name, Conv::same(channels, 1).gain(LINEAR)));
    }
    let last: Vec<Value> = (0..NODES).filter(|n| edges.iter().all(|e| e.0 != *n)).map(|n| outputs[n]).collect();
    let name = format!("stage{}", stage + 3);
    let sum = sum(g, &last, &name);
    let share = g.scalar(&format!("{name}.share"), 1.0 / last.len() as f32);
    g.mul(sum, share, &format!("{name}.mean"))
}

/// The sum of values, each with a weight of its own: the sigmoid of a learned number, as it is when learning is over.
fn weighted(g: &mut Graph, sources: &[Value], name: &str) -> Value {
    if let [only] = sources {
        return *only;
    }
    let mut parts = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        let spread = Spread { mean: (1.0 / sources.len() as f32).sqrt(), std: 0.1 };
        let weight = g.weight(&format!("{name}.in{at}.weight"), &[1], spread);
        parts.push(g.mul(*source, weight, &format!("{name}.in{at}")));
    }
    sum(g, &parts, name)
}

fn sum(g: &mut Graph, parts: &[Value], name: &str) -> Value {
    let (first, others) = parts.split_first().expect("a graph without cycles has a node without successor");
    others.iter().enumerate().fold(*first, |sum, (at, part)| g.add(sum, *part, &format!("{name}.sum{at}")))
}

/// The edges of a stage, each from the lower to the higher number: a ring whose edges were rewired, walked once around
/// for each distance.
fn small_world(stage: usize) -> Vec<(usize, usize)> {
    let draws = weights::generate(weights::seed("randwire_small wiring"), stage, 4 * NODES * NODES, UNIT);
    let mut draws = draws.into_iter();
    let mut edges: Vec<(usize, usize)> = Vec::new();
    let ordered = |a: usize, b: usize| (a.min(b), a.max(b));
    for distance in 1..=NEIGHBOURS {
        edges.extend((0..NODES).map(|node| ordered(node, (node + distance) % NODES)));
    }
    for distance in 1..=NEIGHBOURS {
        for node in 0..NODES {
            let mut draw = || draws.next().expect("there are more draws than edges could use");
            if draw() >= REWIRED {
                continue;
            }
            let to = loop {
                let to = (draw() * NODES as f32) as usize % NODES;
                if to != node && !edges.contains(&ordered(node, to)) {
                    break to;
                }
            };
            let at = edges.iter().position(|e| *e == ordered(node, (node + distance) % NODES));
            edges[at.expect("an edge of the ring is rewired once")] = ordered(node, to);
        }
    }
    edges
}

/// Uniform between 0 and 1.
const UNIT: Spread = Spread { mean: 0.5, std: 0.288_675_13 };

#[cfg(test)]
mod tests {
    use super::super::probe::check;
    use super::*;

    #[test]
    fn randwire_small_loads_runs_and_listens_to_its_input() {
        check("randwire_small", &[("N", 1)]);
    }

    #[test]
    fn graphs_have_the_models_edges_and_differ() {
        let all: Vec<_> = (0..3).map(small_world).collect();
        for edges in &all {
            assert_eq!(edges.len(), NODES * NEIGHBOURS);
            assert!(edges.iter().all(|(from, to)| from < to && *to < NODES), "{edges:?}");
            let mut distinct = edges.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), edges.len(), "no edge is there twice");
        }
        assert!(all[0] != all[1] && all[1] != all[2]);
    }
}
