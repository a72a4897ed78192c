//! Operators that compute each element from the elements at the same place: one step of a chain.

use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::PowConst;
use tract_onnx::tract_core::ops::nn::LeakyRelu;

use super::{Form, Lowered, Lowering, Site};
use crate::graph::ir::{Access, NodeKind};
use crate::hal::{Chain, ChainArg, ChainStep, Fragment};
use crate::kernel::{Elementwise, fragments as f};
use crate::tensor::DType;

/// What an elementwise operator becomes.
struct Step {
    fragment: Fragment,
    /// Scalars after the tensor arguments.
    scalars: Vec<f32>,
    /// The operator's inputs in the fragment's order.
    order: Vec<usize>,
}

pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    let dtypes: Vec<DType> = site.inputs.iter().map(|&i| cx.dtype(i)).collect();
    let out = cx.dtype(*site.outputs.first()?);
    let step = if let Some(op) = site.node.op_as::<TypedBinOp>() {
        binary(op.0.name(), dtypes[0])
    } else if let Some(op) = site.node.op_as::<ElementWiseOp>() {
        unary(op, dtypes[0])
    } else if let Some(op) = site.node.op_as::<Cast>() {
        let _ = op;
        cast(dtypes[0], out)
    } else if site.node.op.name() == "Iff" {
        Ok(plain(f::SELECT_F32, 3))
    } else {
        return None;
    };
    Some(step.map(|step| form(cx, site, step)))
}

fn form(cx: &Lowering, site: &Site, step: Step) -> Form {
    let mut inputs = Vec::new();
    let mut args = Vec::new();
    let mut scalars = Vec::new();
    for &k in &step.order {
        let id = site.inputs[k];
        let scalar = cx.known(id).filter(|c| c.volume() == 1).and_then(|c| c.to_device_words().ok());
        match scalar {
            Some(word) => {
                args.push(ChainArg::Scalar(scalars.len() as u8));
                scalars.push(f32::from_bits(word[0]));
            }
            None => {
                args.push(ChainArg::Input(inputs.len() as u8));
                inputs.push(Access::plain(id));
            }
        }
    }
    for scalar in step.scalars {
        args.push(ChainArg::Scalar(scalars.len() as u8));
        scalars.push(scalar);
    }
    let output = site.outputs[0];
    let kind = NodeKind::Elementwise(Elementwise {
        chain: Chain { steps: vec![ChainStep { fragment: step.fragment, args }] },
        scalars,
        shape: cx.shape(output),
        dtype: cx.dtype(output),
    });
    Form::new(kind, inputs, vec![Access::plain(output)])
}

fn plain(fragment: Fragment, n: usize) -> Step {
    Step { fragment, scalars: Vec::new(), order: (0..n).collect() }
}

fn with(fragment: Fragment, scalars: &[f32]) -> Step {
    Step { fragment, scalars: scalars.to_vec(), order: vec![0] }
}

fn is_int(dtype: DType) -> bool {
    matches!(dtype, DType::I32 | DType::I64)
}

fn binary(name: &str, dtype: DType) -> Result<Step, String> {
    let by_type = |float: Option<Fragment>, int: Option<Fragment>, truth: Option<Fragment>| match dtype {
        DType::F32 => float,
        DType::Bool => truth,
        _ => int,
    };
    let fragment = match name {
        "Add" => by_type(Some(f::ADD), Some(f::ADD_I32), None),
        "Sub" | "SubF" => by_type(Some(f::SUB), Some(f::SUB_I32), None),
        "Mul" => by_type(Some(f::MUL), Some(f::MUL_I32), None),
        "Div" => by_type(Some(f::DIV), Some(f::DIV_I32), None),
        "Rem" => by_type(Some(f::REM_F32), Some(f::REM_I32), None),
        "Min" => by_type(Some(f::MIN_F32), Some(f::MIN_I32), None),
        "Max" => by_type(Some(f::MAX_F32), Some(f::MAX_I32), None),
        "Pow" => by_type(Some(f::POW_F32), None, None),
        "And" => by_type(None, None, Some(f::AND_BOOL)),
        "Or" => by_type(None, None, Some(f::OR_BOOL)),
        "Xor" => by_type(None, None, Some(f::XOR_BOOL)),
        "BitAnd" if is_int(dtype) => Some(f::AND_BOOL),
        "BitOr" if is_int(dtype) => Some(f::OR_BOOL),
        "BitXor" if is_int(dtype) => Some(f::XOR_BOOL),
        "Eq" | "EQ" => by_type(Some(f::EQUAL_F32), Some(f::EQUAL_I32), Some(f::EQUAL_I32)),
        "NE" => by_type(Some(f::NOT_EQUAL_F32), Some(f::NOT_EQUAL_I32), Some(f::NOT_EQUAL_I32)),
        "LT" => by_type(Some(f::LESS_F32), Some(f::LESS_I32), None),
        "LTE" => by_type(Some(f::LESS_EQUAL_F32), Some(f::LESS_EQUAL_I32), None),
        "GT" => by_type(Some(f::GREATER_F32), Some(f::GREATER_I32), None),
        "GTE" => by_type(Some(f::GREATER_EQUAL_F32), Some(f::GREATER_EQUAL_I32), None),
        _ => None,
    };
    let mut step = plain(fragment.ok_or(format!("{name} of {dtype} has no kernel"))?, 2);
    if name == "SubF" {
        step.order = vec![1, 0];
    }
    Ok(step)
}

fn unary(op: &ElementWiseOp, dtype: DType) -> Result<Step, String> {
    let name = op.0.name();
    if let Some(leaky) = op.0.downcast_ref::<LeakyRelu>() {
        return Ok(with(f::LEAKY_RELU, &[leaky.alpha]));
    }
    if let Some(pow) = op.0.downcast_ref::<PowConst>() {
        return Ok(with(f::POW_F32, &[pow.exponent]));
    }
    if name == "Square" && is_int(dtype) {
        return Ok(Step { fragment: f::MUL_I32, scalars: Vec::new(), order: vec![0, 0] });
    }
    let fragment = match (name.as_str(), dtype) {
        ("Neg", DType::F32) => f::NEG,
        ("Abs", DType::F32) => f::ABS_F32,
        ("Sign", DType::F32) => f::SIGN_F32,
        ("Neg", t) if is_int(t) => f::NEG_I32,
        ("Abs", t) if is_int(t) => f::ABS_I32,
        ("Sign", t) if is_int(t) => f::SIGN_I32,
        ("Not", DType::Bool) => f::NOT_BOOL,
        ("Exp", DType::F32) => f::EXP_F32,
        ("Ln", DType::F32) => f::LN,
        ("Square", DType::F32) => f::SQUARE,
        ("Sqrt", DType::F32) => f::SQRT_F32,
        ("Recip", DType::F32) => f::RECIP,
        ("Rsqrt", DType::F32) => f::RSQRT,
        ("Ceil", DType::F32) => f::CEIL_F32,
        ("Floor", DType::F32) => f::FLOOR_F32,
        ("RoundHalfToEven", DType::F32) => f::ROUND_HALF_EVEN,
        ("Cos", DType::F32) => f::COS_F32,
        ("Sin", DType::F32) => f::SIN_F32,
        ("Tan", DType::F32) => f::TAN_F32,
        ("Acos", DType::F32) => f::ACOS_F32,
        ("Asin", DType::F32) => f::ASIN_F32,
        ("Atan", DType::F32) => f::ATAN_F32,
        ("Cosh", DType::F32) => f::COSH_F32,
        ("Sinh", DType::F32) => f::SINH_F32,
        ("Acosh", DType::F32) => f::ACOSH_F32,
        ("Asinh", DType::F32) => f::ASINH_F32,
        ("Atanh", DType::F32) => f::ATANH_F32,
        ("Tanh", DType::F32) => f::TANH_F32,
        ("Erf", DType::F32) => f::ERF,
        ("Sigmoid", DType::F32) => f::SIGMOID,
        ("HardSwish", DType::F32) => f::HARD_SWISH,
        ("Silu", DType::F32) => f::SILU,
        ("GeluExact", DType::F32) => f::GELU,
        ("GeluApproximate", DType::F32) => f::GELU_TANH,
        ("IsNan", DType::F32) => f::IS_NAN,
        _ => return Err(format!("{name} of {dtype} has no kernel")),
    };
    Ok(plain(fragment, 1))
}

fn cast(from: DType, to: DType) -> Result<Step, String> {
    let fragment = match (from, to) {
        (a, b) if a == b || (is_int(a) && is_int(b)) => f::IDENTITY,
        (a, DType::F32) if is_int(a) => f::I32_TO_F32,
        (DType::Bool, DType::F32) => f::U32_TO_F32,
        (DType::Bool, b) if is_int(b) => f::IDENTITY,
        (DType::F32, DType::Bool) => f::F32_TO_BOOL,
        (a, DType::Bool) if is_int(a) => f::I32_TO_BOOL,
        // Values beyond 32 bits would be wrong, and are not known before.
        (DType::F32, DType::I32) => f::F32_TO_I32,
        _ => return Err(format!("casts from {from} to {to} have no kernel")),
    };
    Ok(plain(fragment, 1))
}
