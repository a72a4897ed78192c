//! Resizing: its tables become constants beside the weights.

use std::sync::Arc;

use tract_onnx::tract_core::ops::nn::resize as core;
use tract_onnx_opl::resize as opl;

use super::super::{Form, Lowered, Lowering, Site};
use crate::graph::ir::{Access, NodeKind};
use crate::kernel::{Coordinates, Nearest, Resize, ResizeAxis, ResizeMode};
use crate::tensor::DType;

pub(super) fn lower(cx: &mut Lowering, site: &Site) -> Option<Lowered> {
    let plan = if let Some(op) = site.node.op_as::<core::NearestUpsample>() {
        let _ = op;
        Ok(stretched(cx, site, ResizeMode::Nearest(Nearest::Floor), Coordinates::Asymmetric))
    } else if let Some(op) = site.node.op_as::<core::Resize>() {
        plain(cx, site, op)
    } else if let Some(op) = site.node.op_as::<opl::Resize>() {
        full(cx, site, op)
    } else {
        return None;
    };
    Some(plan.and_then(|resize| form(cx, site, resize)))
}

fn form(cx: &mut Lowering, site: &Site, resize: Resize) -> Lowered {
    let dtype = cx.dtype(site.inputs[0]);
    if dtype != DType::F32 && !matches!(resize.mode, ResizeMode::Nearest(_)) {
        return Err(format!("interpolation of {dtype} has no kernel"));
    }
    let mut inputs = vec![Access::plain(site.inputs[0])];
    for table in resize.tables() {
        let name = format!("{} (table)", site.node.name);
        let id = cx.own_constant(&name, table).map_err(|e| e.to_string())?;
        inputs.push(Access::plain(id));
    }
    Ok(Form::new(NodeKind::Kernel(Arc::new(resize)), inputs, vec![Access::plain(site.outputs[0])]))
}

/// The axes whose extents differ, or whose scale does, all alike.
fn stretched(cx: &Lowering, site: &Site, mode: ResizeMode, coordinates: Coordinates) -> Resize {
    let (input, output) = (cx.shape(site.inputs[0]), cx.shape(site.outputs[0]));
    let changed = (0..input.len()).filter(|&axis| input[axis] != output[axis]);
    let axes = changed.map(|axis| ResizeAxis::to_extent(axis, input[axis], output[axis], coordinates)).collect();
    Resize { mode, input, axes, outside: 0.0 }
}

fn plain(cx: &Lowering, site: &Site, op: &core::Resize) -> Result<Resize, String> {
    let mode = match op.interpolator {
        core::Interpolator::Nearest => ResizeMode::Nearest(match op.nearest {
            core::Nearest::Floor => Nearest::Floor,
            core::Nearest::RoundPreferCeil => Nearest::RoundPreferCeil,
        }),
        core::Interpolator::Linear => ResizeMode::Linear { antialias: false, exclude_outside: false },
        core::Interpolator::Cubic => ResizeMode::Cubic { a: -0.75, antialias: false, exclude_outside: false },
    };
    let coordinates = coordinates(&op.coord_transformer);
    let mut resize = stretched(cx, site, mode, coordinates);
    let scales = op.optional_scales_input.and_then(|k| site.inputs.get(k)).and_then(|&id| cx.known(id));
    if let Some(scales) = scales.filter(|s| s.volume() == resize.input.len()) {
        resize.axes = by_scales(&resize, &scales.to_f32(), &cx.shape(site.outputs[0]), coordinates);
    }
    Ok(resize)
}

fn by_scales(resize: &Resize, scales: &[f32], output: &[usize], coordinates: Coordinates) -> Vec<ResizeAxis> {
    let changed = (0..scales.len()).filter(|&axis| scales[axis] != 1.0 || resize.input[axis] != output[axis]);
    changed.map(|axis| ResizeAxis { axis, output: output[axis], scale: f64::from(scales[axis]), coordinates }).collect()
}

fn full(cx: &Lowering, site: &Site, op: &opl::Resize) -> Result<Resize, String> {
    let exclude_outside = op.exclude_outside;
    let antialias = op.antialias;
    let mode = match op.interpolator {
        core::Interpolator::Nearest => ResizeMode::Nearest(match op.nearest {
            opl::Nearest::Floor => Nearest::Floor,
            opl::Nearest::Ceil => Nearest::Ceil,
            opl::Nearest::RoundPreferFloor => Nearest::RoundPreferFloor,
            opl::Nearest::RoundPreferCeil => Nearest::RoundPreferCeil,
        }),
        core::Interpolator::Linear => ResizeMode::Linear { antialias, exclude_outside },
        core::Interpolator::Cubic => {
            let a = f64::from(f32::from_bits(op.cubic_coeff_a_bits));
            ResizeMode::Cubic { a, antialias, exclude_outside }
        }
    };
    let (input, output) = (cx.shape(site.inputs[0]), cx.shape(site.outputs[0]));
    let rank = input.len();
    let axes: Vec<usize> = match &op.axes {
        Some(axes) => axes.iter().map(|&a| a.rem_euclid(rank as i64) as usize).collect(),
        None => (0..rank).collect(),
    };
    let given = |slot: Option<usize>| slot.and_then(|k| site.inputs.get(k)).and_then(|&id| cx.known(id));
    let scales = given(op.optional_scales_input).filter(|s| s.volume() == axes.len()).map(|s| s.to_f32());
    let roi = given(op.optional_roi_input).map(|r| r.to_f32()).unwrap_or_default();
    let kept = !matches!(op.keep_aspect_ratio_policy, opl::AspectRatio::Stretch);
    let sizes = given(op.optional_sizes_input).filter(|s| s.volume() == axes.len()).map(|s| s.to_i64());
    // With a kept aspect ratio one scale serves all axes.
    let common = sizes.filter(|_| kept).map(|sizes| {
        let ratios = axes.iter().zip(&sizes).map(|(&a, &s)| s as f64 / input[a] as f64);
        match op.keep_aspect_ratio_policy {
            opl::AspectRatio::NotLarger => ratios.fold(f64::INFINITY, f64::min),
            _ => ratios.fold(0.0, f64::max),
        }
    });
    let mut planned = Vec::new();
    for (at, &axis) in axes.iter().enumerate() {
        let coordinates = match &op.coord_transformer {
            opl::CoordTransform::Plain(plain) => coordinates(plain),
            opl::CoordTransform::TfCropAndResize => {
                let part = |k: usize| roi.get(k).copied();
                match (part(at), part(at + axes.len())) {
                    (Some(start), Some(end)) => Coordinates::TfCropAndResize { start, end },
                    _ => return Err("its region of interest is only known at run time".into()),
                }
            }
        };
        let by_extent = output[axis] as f64 / input[axis].max(1) as f64;
        let scale = scales.as_ref().map(|s| f64::from(s[at])).or(common).unwrap_or(by_extent);
        let same = scale == 1.0 && input[axis] == output[axis];
        if !same || matches!(coordinates, Coordinates::TfCropAndResize { .. }) {
            planned.push(ResizeAxis { axis, output: output[axis], scale, coordinates });
        }
    }
    let outside = f32::from_bits(op.extrapolation_value_bits);
    Ok(Resize { mode, input, axes: planned, outside })
}

fn coordinates(transformer: &core::CoordTransformer) -> Coordinates {
    match transformer {
        core::CoordTransformer::HalfPixel => Coordinates::HalfPixel,
        core::CoordTransformer::AlignCorners => Coordinates::AlignCorners,
        core::CoordTransformer::Asymmetric => Coordinates::Asymmetric,
        core::CoordTransformer::PytorchHalfPixel => Coordinates::PytorchHalfPixel,
        core::CoordTransformer::HalfPixelSymmetric => Coordinates::HalfPixelSymmetric,
        core::CoordTransformer::TfHalfPixelForNn => Coordinates::TfHalfPixelForNn,
    }
}
