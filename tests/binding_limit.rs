//! Models whose constants, or activations, are larger than a device binds at once, on every device with a limit made
//! small: what divides gives the bits of the whole, what does not is computed by the CPU, and what cannot be held is
//! refused with the numbers.

mod common;

use std::sync::Arc;

use common::limited::Limited;
use common::model::Model;
use common::{random, rng};
use cotenant::engine::{Engine, TenantSpec};
use cotenant::graph::{Graph, compile};
use cotenant::hal::wgpu::{WgpuDevice, find};
use cotenant::hal::{Device, Recording, WallClock};
use cotenant::tensor::{DType, HostTensor, TenantId};
use rand::Rng;
use rand::rngs::StdRng;

/// Opens every device twice: as it is, and with the limit.
fn on_every_device(limit: u64, mut f: impl FnMut(Opened, Opened)) {
    assert!(!common::devices().is_empty() || std::env::var_os("CI").is_none());
    for found in find() {
        let open = || Box::new(WgpuDevice::open(&found, WallClock::start()).unwrap());
        f(open(), Box::new(Limited::new(open(), limit)));
    }
}

type Opened = Box<dyn Device>;

/// The model's answers, and what it became on the device.
fn run(mut device: Opened, graph: &Arc<Graph>, requests: &[Vec<HostTensor>]) -> (Vec<Vec<u8>>, Compiled) {
    let compiled = compile(graph, device.as_mut(), TenantId(99)).unwrap();
    compiled.buffers.iter().for_each(|&b| device.free(b));
    let engine = Engine::builder().start_on(device).unwrap();
    let tenant = engine.load_graph(TenantSpec::new("t", "zoo:test"), graph.clone(), &mut |_| {}).unwrap();
    let answers = requests.iter().flat_map(|r| tenant.infer(r.clone()).unwrap().wait().unwrap().outputs);
    let answers = answers.map(|t| t.bytes().to_vec()).collect();
    (answers, Compiled { recording: compiled.recording, weight_bytes: compiled.memory.weight_bytes })
}

struct Compiled {
    recording: Arc<Recording>,
    weight_bytes: u64,
}

impl Compiled {
    fn launches(&self, kernel: &str) -> usize {
        let launches = self.recording.operations.iter().flat_map(|o| &o.launches);
        launches.filter(|l| l.kernel.name == kernel).count()
    }
}

/// Equal bits with and without the limit, nothing on the CPU, and at least `parts` launches of `kernel` under it.
fn check(what: &str, limit: u64, model: Model, requests: &[Vec<HostTensor>], kernel: &str, parts: usize) {
    let graph = model.load();
    on_every_device(limit, |whole, limited| {
        let what = format!("{what} on {}", whole.caps().name);
        let (expected, as_is) = run(whole, &graph, requests);
        let (got, cut) = run(limited, &graph, requests);
        let reasons: Vec<_> = cut.recording.operations.iter().filter_map(|o| o.reason.clone()).collect();
        assert_eq!((cut.recording.cpu_nodes(), as_is.recording.cpu_nodes()), (0, 0), "{what}: {reasons:?}");
        assert!(cut.launches(kernel) >= parts.max(as_is.launches(kernel) + 1), "{what}: {}", cut.recording);
        for (at, (g, e)) in got.iter().zip(&expected).enumerate() {
            assert!(g == e, "{what}: answer {at} differs");
            assert!(g.iter().any(|&b| b != 0), "{what}: answer {at} is all zero");
        }
    });
}

fn requests(dtype: DType, shape: &[usize], rng: &mut StdRng) -> Vec<Vec<HostTensor>> {
    (0..3).map(|_| vec![random(dtype, shape, rng)]).collect()
}

/// Row numbers of a table: inside, negative, at both ends.
fn rows(shape: &[usize], total: usize, rng: &mut StdRng) -> HostTensor {
    let total = total as i64;
    let n: usize = shape.iter().product();
    let mut values: Vec<i64> = (0..n).map(|_| rng.random_range(-total..total)).collect();
    for (value, edge) in values.iter_mut().zip([0, -1, total - 1, -total]) {
        *value = edge;
    }
    HostTensor::from_i64(shape, &values)
}

const F32: DType = DType::F32;

#[test]
fn matrix_products_are_divided_by_columns_with_their_bias() {
    let mut rng = rng(rand::random());
    for (m, k, n, transposed) in [(1, 129, 301, true), (7, 64, 333, false), (37, 100, 97, true), (1, 5, 2003, false)] {
        let weight = random(F32, &if transposed { [n, k] } else { [k, n] }, &mut rng);
        let model = Model::default()
            .input("x", F32, &[m, k])
            .constant("w", &weight)
            .constant("b", &random(F32, &[n], &mut rng))
            .node("Gemm", "sum", &["x", "w", "b"], &[("transB", &[i64::from(transposed)])])
            .node("Relu", "y", &["sum"], &[])
            .output("y", F32, &[m, n]);
        // Room for a little more than a third of the weight, or for the activations.
        let limit = ((k * n * 4).div_ceil(3) + n * 4 + 1000).max((m * (k + n) + 64) * 4) as u64;
        let parts = (k * n * 4).div_ceil(limit as usize);
        check(&format!("{m}x{k}x{n}"), limit, model, &requests(F32, &[m, k], &mut rng), "gemm", parts);
    }
}

#[test]
fn a_constant_first_operand_is_divided_by_rows_and_a_batched_one_by_batches() {
    let mut rng = rng(rand::random());
    let model = Model::default()
        .input("x", F32, &[33, 3])
        .constant("a", &random(F32, &[211, 33], &mut rng))
        .node("MatMul", "y", &["a", "x"], &[])
        .output("y", F32, &[211, 3]);
    check("rows", 10_000, model, &requests(F32, &[33, 3], &mut rng), "gemm", 3);
    let model = Model::default()
        .input("x", F32, &[13, 2, 17])
        .constant("w", &random(F32, &[13, 17, 19], &mut rng))
        .node("MatMul", "y", &["x", "w"], &[])
        .output("y", F32, &[13, 2, 19]);
    check("batches", 5_000, model, &requests(F32, &[13, 2, 17], &mut rng), "gemm", 4);
}

#[test]
fn an_embedding_that_is_also_the_last_product_lies_there_once() {
    let mut rng = rng(rand::random());
    let (words, width, tokens) = (1009, 24, 5);
    let model = || {
        let table = random(F32, &[words, width], &mut common::rng(1));
        Model::default()
            .input("ids", DType::I64, &[tokens])
            .constant("table", &table)
            .node("Gather", "embedded", &["table", "ids"], &[])
            .node("Tanh", "hidden", &["embedded"], &[])
            .node("Transpose", "columns", &["table"], &[("perm", &[1, 0])])
            .node("MatMul", "logits", &["hidden", "columns"], &[])
            .output("logits", F32, &[tokens, words])
            .output("embedded", F32, &[tokens, width])
    };
    let requests: Vec<_> = (0..4).map(|_| vec![rows(&[tokens], words, &mut rng)]).collect();
    let limit = 40_000;
    check("embedding", limit, model(), &requests, "gather", 3);
    check("logits", limit, model(), &requests, "gemm", 3);
    on_every_device(limit, |whole, limited| {
        let graph = model().load();
        let (whole, limited) = (run(whole, &graph, &[]).1, run(limited, &graph, &[]).1);
        let gaps = 64 * 4;
        assert!(
            limited.weight_bytes <= whole.weight_bytes + gaps,
            "{} of {}",
            limited.weight_bytes,
            whole.weight_bytes
        );
    });
}

#[test]
fn tables_are_divided_along_the_axis_that_is_chosen_from() {
    let mut rng = rng(rand::random());
    for (shape, axis, index) in
        [(vec![501, 7], 0, vec![3, 4]), (vec![5, 403, 3], 1, vec![6]), (vec![4, 997], 1, vec![5])]
    {
        let mut output = shape.clone();
        output.splice(axis..=axis, index.iter().copied());
        let model = Model::default()
            .input("ids", DType::I64, &index)
            .constant("table", &random(F32, &shape, &mut rng))
            .node("Gather", "y", &["table", "ids"], &[("axis", &[axis as i64])])
            .output("y", F32, &output);
        let requests: Vec<_> = (0..3).map(|_| vec![rows(&index, shape[axis], &mut rng)]).collect();
        check(&format!("{shape:?} along {axis}"), 3_000, model, &requests, "gather", 5);
    }
}

#[test]
fn convolutions_are_divided_by_channels_or_groups() {
    let mut rng = rng(rand::random());
    let cases = [
        ("Conv", 1, vec![29, 11, 3, 3], 29),
        ("Conv", 5, vec![35, 9, 3, 3], 35),
        ("ConvTranspose", 1, vec![11, 23, 3, 3], 23),
        ("ConvTranspose", 5, vec![35, 7, 3, 3], 35),
    ];
    for (op, groups, shape, channels) in cases {
        let input = if op == "Conv" { shape[1] * groups } else { shape[0] };
        let (size, out) = if op == "Conv" { (4, 2) } else { (2, 4) };
        let model = Model::default()
            .input("x", F32, &[1, input, size, size])
            .constant("w", &random(F32, &shape, &mut rng))
            .constant("b", &random(F32, &[channels], &mut rng))
            .node(op, "sum", &["x", "w", "b"], &[("group", &[groups as i64])])
            .node("Relu", "y", &["sum"], &[])
            .output("y", F32, &[1, channels, out, out]);
        let kernel = if op == "Conv" { "conv" } else { "deconv" };
        let requests = requests(F32, &[1, input, size, size], &mut rng);
        // A third of the weights, or the activations.
        let weights = shape.iter().product::<usize>();
        let limit = 4 * (weights / 3).max(input * size * size + 2 * channels * out * out + 64);
        check(&format!("{op} in {groups} groups"), limit as u64, model, &requests, kernel, 2);
    }
}

#[test]
fn chains_over_several_large_constants_are_divided() {
    let mut rng = rng(rand::random());
    let (rows, columns) = (53, 31);
    let large = |rng: &mut StdRng| random(F32, &[rows, columns], rng);
    let model = Model::default()
        .input("x", F32, &[columns])
        .constant("a", &large(&mut rng))
        .constant("b", &large(&mut rng))
        .constant("c", &random(F32, &[rows, 1], &mut rng))
        .node("Mul", "scaled", &["x", "a"], &[])
        .node("Add", "moved", &["scaled", "b"], &[])
        .node("Sub", "y", &["moved", "c"], &[])
        .output("y", F32, &[rows, columns]);
    check("chain", 8_000, model, &requests(F32, &[columns], &mut rng), "elementwise", 2);
}

#[test]
fn what_does_not_divide_is_computed_by_the_cpu_and_says_why() {
    let mut rng = rng(rand::random());
    let model = Model::default()
        .input("ids", DType::I64, &[9, 1])
        .constant("table", &random(F32, &[401, 5], &mut rng))
        .node("GatherND", "y", &["table", "ids"], &[])
        .output("y", F32, &[9, 5]);
    let graph = model.load();
    let from_start = |rng: &mut StdRng| HostTensor::from_i64(&[9, 1], &[0; 9].map(|_: i64| rng.random_range(0..401)));
    let requests: Vec<_> = (0..3).map(|_| vec![from_start(&mut rng)]).collect();
    on_every_device(4_000, |whole, limited| {
        let (expected, _) = run(whole, &graph, &requests);
        let (got, cut) = run(limited, &graph, &requests);
        assert!(got == expected);
        let reasons: Vec<&str> = cut.recording.operations.iter().filter_map(|o| o.reason.as_deref()).collect();
        assert!(reasons.len() == 1 && reasons[0].contains("4000 bytes"), "{reasons:?}");
    });
}

#[test]
fn activations_beyond_the_limit_are_refused_with_the_numbers() {
    let model = Model::default().input("x", F32, &[1000]).node("Relu", "y", &["x"], &[]).output("y", F32, &[1000]);
    let graph = model.load();
    on_every_device(7_999, |_, device| {
        let engine = Engine::builder().start_on(device).unwrap();
        let spec = TenantSpec::new("large", "zoo:test");
        let error = engine.load_graph(spec, graph.clone(), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("\"large\"") && error.contains("activations"), "{error}");
        assert!(error.contains("at most 7999"), "{error}");
    });
}
