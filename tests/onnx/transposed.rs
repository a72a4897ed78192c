//! `ConvTranspose` whose output's extents are given: paddings by ONNX's formula.

use cotenant::tensor::HostTensor;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::net::{Net, int, ints, text};
use super::plain::Plain;
use super::{engines, run};

/// One axis: taps, stride, dilation, output padding, and how many elements come out.
#[derive(Clone, Copy)]
struct Case {
    taps: usize,
    stride: usize,
    dilation: usize,
    extra: usize,
    wanted: Option<usize>,
    auto_pad: &'static str,
    group: usize,
}

/// Every product is added where it belongs; then both ends are cut off.
fn expected(case: Case, x: &Plain, w: &Plain) -> Plain {
    let full = (x.shape[2] - 1) * case.stride + (case.taps - 1) * case.dilation + 1 + case.extra;
    let same = case.auto_pad.starts_with("SAME");
    let extent = case.wanted.unwrap_or(if same { x.shape[2] * case.stride } else { full });
    let total = full.saturating_sub(extent);
    let before = if case.auto_pad == "SAME_UPPER" { total / 2 } else { total - total / 2 };
    let (inputs, outputs) = (x.shape[1] / case.group, w.shape[1]);
    let mut all = Plain::make(&[1, outputs * case.group, extent], |_| 0.0);
    for c in 0..x.shape[1] {
        for o in 0..outputs {
            let channel = c / inputs * outputs + o;
            for at in 0..x.shape[2] {
                for t in 0..case.taps {
                    let place = (at * case.stride + t * case.dilation).checked_sub(before).filter(|&p| p < extent);
                    if let Some(place) = place {
                        all.data[channel * extent + place] += x.at(&[0, c, at]) * w.at(&[c, o, t]);
                    }
                }
            }
        }
    }
    all
}

#[test]
fn paddings_follow_from_the_output_shape() {
    let plain = Case { taps: 4, stride: 2, dilation: 1, extra: 0, wanted: None, auto_pad: "NOTSET", group: 1 };
    let mut cases = vec![plain, Case { dilation: 2, extra: 1, group: 2, ..plain }];
    for wanted in 17..=24 {
        cases.push(Case { wanted: Some(wanted), ..plain });
        cases.push(Case { wanted: Some(wanted), auto_pad: "SAME_UPPER", taps: 3, ..plain });
        cases.push(Case { wanted: Some(wanted), auto_pad: "SAME_LOWER", dilation: 2, group: 2, ..plain });
    }
    for auto_pad in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
        cases.push(Case { auto_pad, ..plain });
        cases.push(Case { auto_pad, taps: 5, stride: 3, ..plain });
    }
    let mut rng = StdRng::seed_from_u64(7);
    let engines = engines();
    for case in cases {
        let (x, w) = (Plain::random(&[1, 4, 10], &mut rng), Plain::random(&[4, 3, case.taps], &mut rng));
        let mut net = Net::new(17);
        let input = net.input(&x.shape);
        let weights = net.constant(&w.tensor());
        let mut attributes = vec![
            ints("strides", &[case.stride as i64]),
            ints("dilations", &[case.dilation as i64]),
            ints("output_padding", &[case.extra as i64]),
            text("auto_pad", case.auto_pad),
            int("group", case.group as i64),
        ];
        attributes.extend(case.wanted.map(|n| ints("output_shape", &[n as i64])));
        let y = net.node("ConvTranspose", &[&input, &weights], attributes);
        net.output(&y);
        let inputs: Vec<HostTensor> = vec![x.tensor()];
        for engine in &engines {
            let Case { taps, stride, wanted, auto_pad, .. } = case;
            let what = format!("{taps} taps by {stride}, {wanted:?} {auto_pad} on {}", engine.caps().name);
            let outputs = run(engine, &net, &inputs).unwrap_or_else(|e| panic!("{what}: {e}"));
            expected(case, &x, &w).expect(&outputs[0], &what);
        }
    }
}
