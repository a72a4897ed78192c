//! How large the zoo's networks are in the literature, and that ours are as large.

use std::ops::RangeInclusive;

use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_proto::DataType;

use crate::graph::{self, LoadOptions, ModelSource, NodeKind};

/// What is published about a network.
struct Published {
    name: &'static str,
    /// Trained parameters: scale and shift of normalisations, but no running averages.
    parameters: RangeInclusive<u64>,
    /// Normalisation is folded into the zoo's: the bias of a convolution stands for a scale and a shift.
    folded: bool,
    /// Millions of multiply-adds of convolutions and matrix products, for one image.
    mega_macs: RangeInclusive<f64>,
}

const fn exactly(name: &'static str, parameters: u64, folded: bool, mega_macs: RangeInclusive<f64>) -> Published {
    Published { name, parameters: parameters..=parameters, folded, mega_macs }
}

const PUBLISHED: [Published; 9] = [
    // torchvision's table of weights: parameters, and multiply-adds in G to two digits.
    exactly("resnet18", 11_689_512, false, 1_810.0..=1_820.0),
    exactly("resnet50", 25_557_032, true, 4_080.0..=4_120.0),
    exactly("vgg16", 138_357_544, false, 15_460.0..=15_490.0),
    exactly("mobilenet_v2", 3_504_872, true, 295.0..=315.0),
    exactly("squeezenet", 1_235_496, false, 345.0..=355.0),
    exactly("densenet121", 7_978_856, false, 2_825.0..=2_875.0),
    // 27,161,264 there with the auxiliary classifier, which has 3,326,696.
    exactly("inception_v3", 23_834_568, true, 5_705.0..=5_725.0),
    // Zoph et al. (2018), table 3: 5.3 M and 564 M; Keras' NASNetMobile counts the trained parameters exactly.
    exactly("nasnet_mobile", 5_289_978, false, 555.0..=575.0),
    // Xie et al. (2019), table 2: mean and deviation over random graphs.
    Published { name: "randwire_small", parameters: 5_500_000..=5_700_000, folded: false, mega_macs: 576.8..=589.2 },
];

#[test]
fn networks_have_as_many_parameters_as_published() {
    for published in &PUBLISHED {
        let parameters = trained(&super::describe(published.name).unwrap().finish_without_weights(), published.folded);
        assert!(published.parameters.contains(&parameters), "{} has {parameters} parameters", published.name);
    }
}

#[test]
fn networks_take_as_many_operations_as_published() {
    for published in &PUBLISHED {
        let name = published.name;
        let graph = graph::load(&ModelSource::Zoo(name.into()), &LoadOptions::default()).unwrap();
        let sums = graph.nodes.iter().filter_map(|n| match &n.kind {
            NodeKind::Contraction(contraction) => Some(contraction.operator().flops()),
            _ => None,
        });
        let mega_macs = sums.sum::<u64>() as f64 / 2e6;
        println!("{name}: {mega_macs:.1} M multiply-adds");
        assert!(published.mega_macs.contains(&mega_macs), "{name} takes {mega_macs:.1} M multiply-adds");
        assert!(graph.nodes.iter().all(|n| !matches!(n.kind, NodeKind::Cpu(_))), "{name} has kernels for everything");
    }
}

/// Weights as the literature counts them.
fn trained(proto: &ModelProto, folded: bool) -> u64 {
    let graph = proto.graph.as_ref().unwrap();
    let convolutions: Vec<&str> =
        graph.node.iter().filter(|n| n.op_type == "Conv").filter_map(|n| n.input.get(2)).map(String::as_str).collect();
    let mut sum = 0;
    for tensor in graph.initializer.iter().filter(|t| t.data_type == DataType::Float as i32 && !t.dims.is_empty()) {
        let average = tensor.name.ends_with(".running_mean") || tensor.name.ends_with(".running_var");
        let folded = folded && convolutions.contains(&tensor.name.as_str());
        let times = if average { 0 } else { 1 + u64::from(folded) };
        sum += times * tensor.dims.iter().product::<i64>() as u64;
    }
    sum
}
