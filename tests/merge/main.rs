//! Merging graphs changes no bit: every instance of a merged graph answers what it answers alone, on every device; and
//! equal parts become batched launches.

#[path = "../common/mod.rs"]
mod common;
mod parts;
mod random_graphs;

use std::sync::Arc;

use common::{random, rng};
use cotenant::engine::{Engine, TenantSpec};
use cotenant::graph::{Graph, LoadOptions, ModelSource, compile, load, merge};
use cotenant::hal::{Recording, WallClock, null::NullDevice};
use cotenant::tensor::{DType, HostTensor, TenantId};
use proptest::prelude::*;
use rand::Rng;
use rand::rngs::StdRng;

/// An engine on the CPU, and one per GPU of this machine.
fn engines() -> Vec<(String, Engine)> {
    let devices = common::devices().into_iter();
    let mut engines: Vec<(String, Engine)> = devices
        .map(|device| (device.caps().name.clone(), Engine::builder().start_on(device).expect("it starts")))
        .collect();
    engines.push(("reference".into(), Engine::open("reference").expect("it starts")));
    engines
}

/// What a graph answers to these inputs.
fn answers(engine: &Engine, graph: &Graph, inputs: Vec<HostTensor>) -> Vec<HostTensor> {
    let tenant = engine.load_graph(TenantSpec::new("t", ""), Arc::new(graph.clone()), &mut |_| {}).expect("it loads");
    tenant.infer(inputs).expect("it takes the inputs").wait().expect("it answers").outputs
}

/// Random inputs of a graph; integers are 0 or 1, which are valid everywhere.
fn inputs(graph: &Graph, rng: &mut StdRng) -> Vec<HostTensor> {
    let ports = graph.input_ports().into_iter();
    ports
        .map(|port| match port.dtype {
            DType::I64 => {
                let n = port.shape.iter().product::<usize>();
                HostTensor::from_i64(&port.shape, &(0..n).map(|_| rng.random_range(0..2)).collect::<Vec<_>>())
            }
            dtype => random(dtype, &port.shape, rng),
        })
        .collect()
}

/// Panics unless the merged graph answers on every engine what the graphs answer alone.
fn assert_same_bits(engines: &[(String, Engine)], graphs: &[&Graph], seed: u64, what: &str) -> merge::Merged {
    let merged = merge::merged(graphs);
    let rng = &mut rng(seed);
    let requests: Vec<Vec<HostTensor>> = graphs.iter().map(|graph| inputs(graph, rng)).collect();
    for (name, engine) in engines {
        let alone: Vec<HostTensor> =
            graphs.iter().zip(&requests).flat_map(|(graph, request)| answers(engine, graph, request.clone())).collect();
        let together = answers(engine, &merged.graph, requests.concat());
        assert_eq!(together.len(), alone.len(), "{what}: outputs of all instances");
        for (at, (got, expected)) in together.iter().zip(&alone).enumerate() {
            assert!(got == expected, "{what}: output {at} of {} differs on {name}", merged.graph.name);
        }
        // Something to compare: zeros alone would be equal too.
        assert!(alone.iter().any(|t| t.bytes().iter().any(|b| *b != 0)), "{what}: every answer is zero on {name}");
    }
    merged
}

/// What a graph becomes on a device that runs nothing.
fn recording(graph: &Graph) -> Arc<Recording> {
    let mut device = NullDevice::open(WallClock::start());
    compile(graph, &mut device, TenantId(1)).expect("it compiles").recording
}

fn zoo(name: &str) -> Graph {
    load(&ModelSource::Zoo(name.into()), &LoadOptions::default()).expect("the zoo has it")
}

fn zoo_with(name: &str, dims: &[(&str, usize)]) -> Graph {
    let dims = dims.iter().map(|(name, n)| ((*name).to_string(), *n)).collect();
    load(&ModelSource::Zoo(name.into()), &LoadOptions { dims, ..LoadOptions::default() }).expect("the zoo has it")
}

#[test]
fn requests_to_one_model_answer_what_they_would_alone() {
    let engines = engines();
    let models = [
        zoo("keyword_spotting"),
        zoo_with("keyword_spotting", &[("N", 2)]),
        zoo_with("bert_tiny", &[("N", 1), ("S", 9)]),
        zoo_with("bert_tiny", &[("N", 2), ("S", 16)]),
        zoo_with("lstm", &[("N", 1), ("T", 4)]),
        zoo("dlrm"),
    ];
    for (at, graph) in models.iter().enumerate() {
        for n in [1, 2, 3, 5] {
            let what = format!("{n} instances of {}, number {at}", graph.name);
            assert_same_bits(&engines, &vec![graph; n], n as u64, &what);
        }
    }
}

#[test]
fn networks_of_images_answer_what_they_would_alone() {
    let engines = engines();
    for name in ["squeezenet", "mobilenet_v2", "randwire_small"] {
        let graph = zoo(name);
        assert_same_bits(&engines, &[&graph, &graph], 7, name);
    }
}

#[test]
fn equal_models_take_the_launches_and_the_weights_of_one() {
    for name in ["keyword_spotting", "squeezenet", "mobilenet_v2", "densenet121", "bert_tiny", "inception_v3"] {
        let graph = zoo(name);
        let (one, again) = (recording(&graph), zoo(name));
        for n in [2, 3, 5] {
            // Loaded twice: equal by what they are, not by where they lie.
            let graphs: Vec<&Graph> = (0..n).map(|i| if i % 2 == 0 { &graph } else { &again }).collect();
            let merged = merge::merged(&graphs);
            let together = recording(&merged.graph);
            let (launches, of_one) = (together.launches(), one.launches());
            assert!(launches <= of_one, "{n} x {name}: {launches} launches, {of_one} of one: {together}");
            assert_eq!(together.cpu_nodes(), 0, "{n} x {name}");
            assert_eq!(merged.absorbed, n * merged.stacked, "{n} x {name}");
            let (inputs, outputs) = (together.inputs.len(), together.outputs.len());
            assert_eq!((inputs, outputs), (n * one.inputs.len(), n * one.outputs.len()), "{n} x {name}");
            let constants =
                merged.graph.values.iter().filter(|v| matches!(v.kind, cotenant::graph::ValueKind::Constant(_)));
            let of_one = graph.values.iter().filter(|v| matches!(v.kind, cotenant::graph::ValueKind::Constant(_)));
            assert!(constants.count() <= of_one.count(), "{n} x {name}: equal weights are there once");
        }
    }
}

#[test]
fn models_without_anything_in_common_stay_as_they_are() {
    let engines = engines();
    let (a, b) = (zoo("keyword_spotting"), zoo("dlrm"));
    let merged = assert_same_bits(&engines, &[&a, &b], 3, "strangers");
    assert_eq!((merged.stacked, merged.absorbed), (0, 0));
    let launches = recording(&a).launches() + recording(&b).launches();
    assert_eq!(recording(&merged.graph).launches(), launches);
    let of_both = assert_same_bits(&engines, &[&a, &b, &a, &b, &a], 4, "two kinds");
    let of_both = recording(&of_both.graph);
    assert!(of_both.launches() <= launches + 4, "as many as one of each: {of_both}\n{}", recording(&b));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn random_graphs_answer_what_they_would_alone(seed in any::<u64>(), nodes in 1usize..14, pick in 0usize..3) {
        let graph = random_graphs::graph(&[(seed, nodes)]);
        let engines = engines();
        assert_same_bits(&engines, &vec![&*graph; [2, 3, 5][pick]], seed, &format!("seed {seed}, {nodes} nodes"));
    }

    #[test]
    fn graphs_that_are_equal_in_part_answer_what_they_would_alone(
        seed in any::<u64>(), common in 1usize..8, tails in proptest::collection::vec((0u64..2, 1usize..7), 2..5),
    ) {
        let graphs: Vec<Arc<Graph>> =
            tails.iter().map(|&(tail, nodes)| random_graphs::graph(&[(seed, common), (seed ^ (tail + 1), nodes)])).collect();
        let graphs: Vec<&Graph> = graphs.iter().map(|g| &**g).collect();
        let engines = engines();
        assert_same_bits(&engines, &graphs, seed, &format!("seed {seed}, {common} nodes in common, then {tails:?}"));
    }
}
