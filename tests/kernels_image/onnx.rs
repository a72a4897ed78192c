//! ONNX's own node tests of these operators, through our references and kernels. They are not part of the repository:
//! `COTENANT_ONNX_NODE` names the folder that holds `test_resize_…` and its like.

use std::collections::HashMap;
use std::path::Path;

use cotenant::hal::Device;
use cotenant::kernel::{
    Coordinates, Deconv, GridSample, Nearest, Operator, Padding, Pool, Pooling, Resize, ResizeAxis, ResizeMode,
    SampleMode, SamplePadding, Window,
};
use cotenant::tensor::{DType, HostTensor};
use prost::Message;
use tract_onnx::pb;

struct Node {
    attributes: HashMap<String, pb::AttributeProto>,
    inputs: Vec<Option<HostTensor>>,
    outputs: Vec<HostTensor>,
}

impl Node {
    fn ints(&self, name: &str) -> Option<Vec<usize>> {
        self.attributes.get(name).map(|a| a.ints.iter().map(|&v| v as usize).collect())
    }

    fn int(&self, name: &str) -> i64 {
        self.attributes.get(name).map_or(0, |a| a.i)
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.attributes.get(name).map_or(default.into(), |a| String::from_utf8(a.s.clone()).unwrap())
    }

    fn input(&self, at: usize) -> Option<&HostTensor> {
        self.inputs.get(at)?.as_ref().filter(|t| t.volume() > 0)
    }

    fn shape(&self) -> Vec<usize> {
        self.inputs[0].as_ref().unwrap().shape().to_vec()
    }
}

fn tensor(path: &Path) -> HostTensor {
    let proto = pb::TensorProto::decode(&*std::fs::read(path).unwrap()).unwrap();
    let shape: Vec<usize> = proto.dims.iter().map(|&d| d as usize).collect();
    let dtype = match proto.data_type {
        1 => DType::F32,
        2 => DType::U8,
        6 => DType::I32,
        7 => DType::I64,
        other => panic!("{}: data type {other}", path.display()),
    };
    if proto.raw_data.is_empty() && !proto.float_data.is_empty() {
        return HostTensor::from_f32(&shape, &proto.float_data);
    }
    if proto.raw_data.is_empty() && !proto.int64_data.is_empty() {
        return HostTensor::from_i64(&shape, &proto.int64_data);
    }
    HostTensor::new(dtype, &shape, proto.raw_data.clone()).unwrap()
}

fn read(folder: &Path) -> Node {
    let model = pb::ModelProto::decode(&*std::fs::read(folder.join("model.onnx")).unwrap()).unwrap();
    let graph = model.graph.unwrap();
    let node = &graph.node[0];
    let data = folder.join("test_data_set_0");
    let position = |name: &String| graph.input.iter().position(|i| i.name == *name);
    Node {
        attributes: node.attribute.iter().map(|a| (a.name.clone(), a.clone())).collect(),
        inputs: node.input.iter().map(|n| Some(tensor(&data.join(format!("input_{}.pb", position(n)?))))).collect(),
        outputs: (0..graph.output.len()).map(|k| tensor(&data.join(format!("output_{k}.pb")))).collect(),
    }
}

fn pool(node: &Node, max: bool) -> Box<dyn Operator> {
    let shape = node.shape();
    let rank = shape.len() - 2;
    let ones = vec![1; rank];
    let padding = match node.text("auto_pad", "NOTSET").as_str() {
        "SAME_UPPER" => Padding::SameUpper,
        "SAME_LOWER" => Padding::SameLower,
        "VALID" => Padding::Valid,
        _ => {
            let pads = node.ints("pads").unwrap_or(vec![0; 2 * rank]);
            let (before, after) = pads.split_at(rank);
            Padding::Explicit { before: before.to_vec(), after: after.to_vec(), ceil: node.int("ceil_mode") == 1 }
        }
    };
    let window = Window::new(
        &shape[2..],
        &node.ints("kernel_shape").unwrap(),
        &node.ints("strides").unwrap_or(ones.clone()),
        &node.ints("dilations").unwrap_or(ones),
        &padding,
    );
    let pooling = match (max, node.outputs.len(), node.int("count_include_pad")) {
        (true, 1, _) => Pooling::Max,
        (true, _, _) => Pooling::MaxWithIndices { column_major: node.int("storage_order") == 1 },
        (false, _, 0) => Pooling::Average,
        // ONNX's reference counts an overhang too.
        (false, _, _) => Pooling::AverageOfWindow,
    };
    Box::new(Pool { pooling, batch: shape[0], channels: shape[1], window: window.unwrap() })
}

fn resize(node: &Node, upsample: bool) -> (Box<dyn Operator>, Vec<HostTensor>) {
    let shape = node.shape();
    let rank = shape.len();
    let (roi, scales, sizes) =
        if upsample { (None, node.input(1), None) } else { (node.input(1), node.input(2), node.input(3)) };
    let axes = node.ints("axes").unwrap_or((0..rank).collect());
    let exclude_outside = node.int("exclude_outside") == 1;
    let antialias = node.int("antialias") == 1;
    let mode = match node.text("mode", "nearest").as_str() {
        "linear" => ResizeMode::Linear { antialias, exclude_outside },
        "cubic" => {
            let a = node.attributes.get("cubic_coeff_a").map_or(-0.75, |a| f64::from(a.f));
            ResizeMode::Cubic { a, antialias, exclude_outside }
        }
        _ => ResizeMode::Nearest(match node.text("nearest_mode", "round_prefer_floor").as_str() {
            "round_prefer_ceil" => Nearest::RoundPreferCeil,
            "ceil" => Nearest::Ceil,
            "floor" => Nearest::Floor,
            _ => Nearest::RoundPreferFloor,
        }),
    };
    let mode = if upsample { ResizeMode::Nearest(Nearest::Floor) } else { mode };
    let default = if upsample { "asymmetric" } else { "half_pixel" };
    let coordinates = |k: usize| match node.text("coordinate_transformation_mode", default).as_str() {
        "half_pixel" => Coordinates::HalfPixel,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "tf_crop_and_resize" => {
            let roi = roi.unwrap().to_f32();
            Coordinates::TfCropAndResize { start: roi[k], end: roi[axes.len() + k] }
        }
        other => panic!("{other}"),
    };
    let output = node.outputs[0].shape();
    let changed = axes.iter().enumerate().map(|(k, &axis)| {
        let scale = match (scales, sizes) {
            (Some(scales), _) => f64::from(scales.to_f32()[k]),
            (_, Some(_)) if node.text("keep_aspect_ratio_policy", "stretch") != "stretch" => {
                let sizes = sizes.unwrap().to_f64();
                let ratios = axes.iter().zip(&sizes).map(|(&a, s)| s / shape[a] as f64);
                if node.text("keep_aspect_ratio_policy", "") == "not_larger" {
                    ratios.fold(f64::INFINITY, f64::min)
                } else {
                    ratios.fold(0.0, f64::max)
                }
            }
            _ => output[axis] as f64 / shape[axis] as f64,
        };
        ResizeAxis { axis, output: output[axis], scale, coordinates: coordinates(k) }
    });
    // An axis that keeps its extent and its places is none.
    let crops = node.text("coordinate_transformation_mode", "") == "tf_crop_and_resize";
    let mut changed: Vec<ResizeAxis> = changed.filter(|a| crops || a.scale != 1.0).collect();
    changed.sort_by_key(|a| a.axis);
    let outside = node.attributes.get("extrapolation_value").map_or(0.0, |a| a.f);
    let resize = Resize { mode, input: shape, axes: changed, outside };
    let tables = resize.tables();
    (Box::new(resize), tables)
}

fn deconv(node: &Node) -> Box<dyn Operator> {
    let (input, weights) = (node.shape(), node.inputs[1].as_ref().unwrap().shape().to_vec());
    let rank = input.len() - 2;
    let groups = node.int("group").max(1) as usize;
    let ones = vec![1; rank];
    let strides = node.ints("strides").unwrap_or(ones.clone());
    let dilations = node.ints("dilations").unwrap_or(ones);
    let output = node.outputs[0].shape()[2..].to_vec();
    let mut before = node.ints("pads").unwrap_or(vec![0; rank])[..rank].to_vec();
    let auto_pad = node.text("auto_pad", "NOTSET");
    if auto_pad.starts_with("SAME") {
        for k in 0..rank {
            let whole = Deconv::natural_extent(input[2 + k], weights[2 + k], strides[k], dilations[k], (0, 0), 0);
            let total = whole.saturating_sub(output[k]);
            before[k] = if auto_pad == "SAME_UPPER" { total / 2 } else { total - total / 2 };
        }
    }
    Box::new(Deconv {
        channels_out: weights[1] * groups,
        groups,
        kernel: weights[2..].to_vec(),
        strides,
        dilations,
        before,
        output,
        bias: node.inputs.len() > 2,
        input,
    })
}

fn grid_sample(node: &Node) -> Box<dyn Operator> {
    Box::new(GridSample {
        mode: match node.text("mode", "linear").as_str() {
            "nearest" => SampleMode::Nearest,
            "cubic" | "bicubic" => SampleMode::Cubic,
            _ => SampleMode::Linear,
        },
        padding: match node.text("padding_mode", "zeros").as_str() {
            "border" => SamplePadding::Border,
            "reflection" => SamplePadding::Reflection,
            _ => SamplePadding::Zeros,
        },
        align_corners: node.int("align_corners") == 1,
        output: node.outputs[0].shape()[2..].to_vec(),
        input: node.shape(),
    })
}

/// The operator of a test, and its inputs.
fn operator(name: &str, node: &Node) -> (Box<dyn Operator>, Vec<HostTensor>) {
    let given: Vec<HostTensor> = node.inputs.iter().flatten().cloned().collect();
    if name.starts_with("test_resize") || name.starts_with("test_upsample") {
        let (operator, tables) = resize(node, name.starts_with("test_upsample"));
        return (operator, [given[..1].to_vec(), tables].concat());
    }
    let operator = match name {
        n if n.starts_with("test_maxpool") => pool(node, true),
        n if n.starts_with("test_averagepool") => pool(node, false),
        n if n.starts_with("test_convtranspose") => deconv(node),
        _ => grid_sample(node),
    };
    (operator, given)
}

/// What is wrong with the references or kernels in one test.
fn differences(folder: &Path, devices: &mut [Box<dyn Device>]) -> Vec<String> {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let node = read(folder);
    let (operator, inputs) = operator(name, &node);
    let mut found = Vec::new();
    let mut compare = |who: &str, got: &[HostTensor]| {
        for (got, expected) in got.iter().zip(&node.outputs) {
            if got.shape() != expected.shape() {
                found.push(format!("{name}: {who}: shape {:?}, expected {:?}", got.shape(), expected.shape()));
                continue;
            }
            let pairs = got.to_f64().into_iter().zip(expected.to_f64());
            let worst = pairs.map(|(g, e)| (g - e).abs() / (1.0 + e.abs())).fold(0.0, f64::max);
            if worst > 1e-4 {
                found.push(format!("{name}: {who}: differs by {worst}"));
            }
        }
    };
    compare("reference", &operator.reference(&inputs));
    let outputs: Vec<_> = node.outputs.iter().map(|t| (t.dtype(), t.shape().to_vec())).collect();
    for device in devices {
        match cotenant::kernel::harness::run(device.as_mut(), &*operator, &inputs, &outputs, Default::default()) {
            Ok(got) => compare(&device.caps().name.clone(), &got),
            Err(error) => compare(&error.to_string(), &[HostTensor::zeros(DType::F32, &[0])]),
        }
    }
    found
}

#[test]
fn references_and_kernels_agree_with_onnx() {
    let Some(folder) = std::env::var_os("COTENANT_ONNX_NODE") else {
        println!("skipped: COTENANT_ONNX_NODE does not name the folder of ONNX's node tests");
        return;
    };
    let wanted =
        ["test_resize_", "test_upsample_", "test_gridsample", "test_convtranspose", "test_maxpool", "test_averagepool"];
    let mut devices = crate::common::devices();
    let (mut n, mut found) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).expect("the folder of COTENANT_ONNX_NODE").flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        // Bytes do not live on devices.
        if wanted.iter().any(|w| name.starts_with(w)) && name != "test_maxpool_2d_uint8" {
            n += 1;
            found.extend(differences(&entry.path(), &mut devices));
        }
    }
    println!("{n} tests");
    assert!(found.is_empty(), "{}", found.join("\n"));
}
