//! Small graphs for single sentences of the contract.

use std::sync::Arc;

use cotenant::graph::{Graph, merge};
use cotenant::tensor::{DType, HostTensor};

use crate::common::model::Model;
use crate::{assert_same_bits, engines, recording};

fn weight(shape: &[usize], first: f32) -> HostTensor {
    let n = shape.iter().product::<usize>();
    HostTensor::from_f32(shape, &(0..n).map(|i| (first + i as f32 * 0.37).sin()).collect::<Vec<_>>())
}

fn dense(first: f32) -> Model {
    Model::default().input("x", DType::F32, &[4, 8]).constant("w", &weight(&[8, 8], first)).node(
        "MatMul",
        "product",
        &["x", "w"],
        &[],
    )
}

#[test]
fn different_weights_are_not_merged() {
    let end = |model: Model| model.node("Relu", "y", &["product"], &[]).output("y", DType::F32, &[4, 8]).load();
    let (a, b) = (end(dense(0.0)), end(dense(1.0)));
    assert_eq!(merge::merged(&[&a, &b]).stacked, 0);
    assert_eq!(merge::merged(&[&a, &b, &a]).stacked, 1);
}

#[test]
fn heads_on_one_trunk_share_its_launches() {
    let head = |first: f32| {
        let model = dense(0.0).constant("h", &weight(&[8, 3], first));
        model.node("Softmax", "s", &["product"], &[("axis", &[-1])]).node("MatMul", "y", &["s", "h"], &[])
    };
    let load = |first: f32| head(first).output("y", DType::F32, &[4, 3]).load();
    let graphs = [load(1.0), load(2.0), load(3.0)];
    let graphs: Vec<&Graph> = graphs.iter().map(|g| &**g).collect();
    let merged = assert_same_bits(&engines(), &graphs, 11, "three heads");
    // The trunk's product and its softmax once, three heads.
    assert_eq!(recording(&merged.graph).launches(), 5, "{}", recording(&merged.graph));
}

#[test]
fn operators_that_do_not_stack_write_into_the_stacked_tensor() {
    let model = dense(0.0).node("Trilu", "t", &["product"], &[]).node("Exp", "y", &["t"], &[]);
    let graph = model.output("y", DType::F32, &[4, 8]).load();
    let merged = assert_same_bits(&engines(), &[&*graph; 3], 12, "a triangle between");
    // One product, three triangles, one exponential; nothing is copied.
    assert_eq!(recording(&merged.graph).launches(), 5, "{}", recording(&merged.graph));
}

#[test]
fn cpu_nodes_and_what_follows_them_stay_apart() {
    let model = dense(0.0).node("Cast", "wide", &["product"], &[("to", &[11])]);
    let model = model.node("Cast", "back", &["wide"], &[("to", &[1])]).node("Exp", "y", &["back"], &[]);
    let graph = model.output("y", DType::F32, &[4, 8]).load();
    let cpu = recording(&graph).cpu_nodes();
    if cpu > 0 {
        let merged = assert_same_bits(&engines(), &[&*graph; 2], 13, "numbers of 64 bits");
        assert_eq!(recording(&merged.graph).cpu_nodes(), 2 * cpu);
        assert_eq!(merged.stacked, 1, "the product");
    }
}

/// A row's lanes depend on the number of rows on software devices, and with them the order of its sum.
#[test]
fn rows_keep_the_lanes_of_one_instance() {
    for rows in [1, 2, 7, 8, 9, 100] {
        let model = Model::default().input("x", DType::F32, &[rows, 700]);
        let model = model.node("Softmax", "s", &["x"], &[("axis", &[-1])]).node("ReduceSum", "y", &["s"], &[]);
        let graph = model.output("y", DType::F32, &[1, 1]).load();
        let merged = assert_same_bits(&engines(), &[&*graph; 5], rows as u64, &format!("{rows} rows"));
        assert_eq!(merged.absorbed, 5 * merged.stacked);
        assert!(merged.stacked >= 2, "softmax and sum");
    }
}

/// The members of a class that go on together need not be neighbours.
#[test]
fn some_of_the_instances_go_on_together() {
    let head = |first: f32| {
        let model = dense(0.0).constant("h", &weight(&[8, 3], first)).node("Relu", "r", &["product"], &[]);
        model.node("MatMul", "y", &["r", "h"], &[]).output("y", DType::F32, &[4, 3]).load()
    };
    let (a, b) = (head(1.0), head(2.0));
    let engines = engines();
    let check = |graphs: &[&Arc<Graph>], launches: usize| {
        let graphs: Vec<&Graph> = graphs.iter().map(|g| &***g).collect();
        let merged = assert_same_bits(&engines, &graphs, 14, "some together");
        assert_eq!(recording(&merged.graph).launches(), launches, "{}", recording(&merged.graph));
    };
    // The trunk is one launch; of the heads, those at even distances are one.
    check(&[&a, &b, &a, &b], 3);
    check(&[&a, &b, &b, &a], 3);
    check(&[&a, &a, &b, &a], 5);
}

#[test]
fn a_merged_graph_does_the_same_work() {
    let graph = crate::zoo("squeezenet");
    let merged = merge::merged(&[&graph; 4]).graph;
    let (one, four) = (recording(&graph), recording(&merged));
    let flops = |r: &cotenant::hal::Recording| r.operations.iter().map(|o| o.flops).sum::<u64>();
    assert_eq!(flops(&four), 4 * flops(&one), "the same work");
}
