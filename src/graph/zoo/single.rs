//! Single operators with sizes in their names: `matmul_1024`, `conv3x3_64x56`, `softmax_128x1024`, …
//!
//! For tuning, calibration and demonstrations: the operator alone, with the batch axis `N` in front, so that batching
//! works as for whole networks. A family lists the forms of its sizes; each letter group between the `x` is one number.
//! No paper stands behind these; the default sizes are layers of the networks in the zoo.

use super::builder::{Graph, int, ints};
use super::layers::{Conv, LINEAR};
use super::weights::Spread;

/// Largest number of elements of one tensor: 1 GiB of floats. It keeps a slip in a name from taking the machine down.
pub const ELEMENTS_MAX: usize = 1 << 28;

/// Operators of one kind.
#[derive(Debug)]
pub struct Family {
    /// What stands before the sizes, without the underscore.
    pub prefix: &'static str,
    /// The forms of the sizes, the default one's form first.
    pub forms: &'static [&'static str],
    build: fn(&mut Graph, &[usize]),
    /// Number of elements of the largest tensor, or `None` when it overflows.
    elements: fn(&[usize]) -> Option<usize>,
}

impl Family {
    /// The sizes in `name`, if it belongs to this family: prefix, underscore, as many numbers as one of the forms has.
    pub fn sizes(&self, name: &str) -> Option<Vec<usize>> {
        let text = name.strip_prefix(self.prefix)?.strip_prefix('_')?;
        let sizes: Vec<usize> = text.split('x').map(|size| size.parse().ok()).collect::<Option<_>>()?;
        self.forms.iter().any(|form| form.split('x').count() == sizes.len()).then_some(sizes)
    }

    /// Why these sizes cannot be built, if so.
    pub fn objection(&self, sizes: &[usize]) -> Option<String> {
        if sizes.contains(&0) {
            return Some("every size must be at least 1".to_owned());
        }
        match (self.elements)(sizes) {
            Some(elements) if elements <= ELEMENTS_MAX => None,
            Some(elements) => {
                Some(format!("its largest tensor has {elements} elements; at most {ELEMENTS_MAX} are built"))
            }
            None => Some(format!("its largest tensor has more than {ELEMENTS_MAX} elements, the most that is built")),
        }
    }

    /// Adds the operator. The sizes come from [`Family::sizes`] and met no objection.
    pub fn build(&self, g: &mut Graph, sizes: &[usize]) {
        (self.build)(g, sizes);
    }
}

/// `y[N, M, Cols] = a[N, M, K] * weight[K, Cols]`
pub const MATMUL: Family = Family {
    prefix: "matmul",
    forms: &["SIZE", "MxKxCOLS"],
    build: |g, sizes| {
        let [rows, inner, columns] = matmul_sizes(sizes);
        let a = g.input("a", &format!("N,{rows},{inner}"));
        let weight = g.weight("weight", &[inner, columns], Spread::fan_in(inner, LINEAR));
        let y = g.matmul(a, weight, "y");
        g.output(y, &format!("N,{rows},{columns}"));
    },
    elements: |sizes| {
        let [rows, inner, columns] = matmul_sizes(sizes);
        largest(&[&[rows, inner], &[inner, columns], &[rows, columns]])
    },
};

/// 3×3 convolution with bias, padded: C channels in and out (or C in, O out), square images.
pub const CONV3X3: Family = Family {
    prefix: "conv3x3",
    forms: &["CxHW", "CxOxHW"],
    build: |g, sizes| conv(g, sizes, 3),
    elements: |sizes| conv_elements(sizes, 3),
};

/// 1×1 convolution with bias: C channels in and out (or C in, O out), square images.
pub const CONV1X1: Family = Family {
    prefix: "conv1x1",
    forms: &["CxHW", "CxOxHW"],
    build: |g, sizes| conv(g, sizes, 1),
    elements: |sizes| conv_elements(sizes, 1),
};

/// 3×3 convolution of each of C channels by itself, with bias, padded, square images.
pub const DEPTHWISE: Family = Family {
    prefix: "depthwise",
    forms: &["CxHW"],
    build: |g, sizes| {
        let dims = image(sizes[0], sizes[1]);
        let x = g.input("x", &dims);
        let y = g.conv(x, "y", Conv::depthwise(sizes[0]).gain(LINEAR));
        g.output(y, &dims);
    },
    elements: |sizes| largest(&[&[sizes[0], sizes[1], sizes[1]], &[sizes[0], 9]]),
};

/// 2×2 max-pool with stride 2 over C channels of square images.
pub const MAXPOOL: Family = Family {
    prefix: "maxpool",
    forms: &["CxHW"],
    build: |g, sizes| {
        let x = g.input("x", &image(sizes[0], sizes[1]));
        // A 1×1 image has no 2×2 window; there the pool is the identity.
        let window = sizes[1].min(2);
        let y = g.max_pool(x, "y", window, window, 0);
        g.output(y, &image(sizes[0], sizes[1] / window));
    },
    elements: |sizes| largest(&[&[sizes[0], sizes[1], sizes[1]]]),
};

/// Softmax of each of R rows of C columns.
pub const SOFTMAX: Family = Family {
    prefix: "softmax",
    forms: &["RxC"],
    build: |g, sizes| {
        let dims = matrix(sizes);
        let x = g.input("x", &dims);
        let y = g.softmax(x, "y");
        g.output(y, &dims);
    },
    elements: |sizes| largest(&[sizes]),
};

/// Layer normalisation of each of R rows of C columns.
pub const LAYERNORM: Family = Family {
    prefix: "layernorm",
    forms: &["RxC"],
    build: |g, sizes| {
        let dims = matrix(sizes);
        let x = g.input("x", &dims);
        let y = g.layer_norm(x, "y", 1e-5);
        g.output(y, &dims);
    },
    elements: |sizes| largest(&[sizes]),
};

/// Mean of each of R rows of C columns.
pub const REDUCE_MEAN: Family = Family {
    prefix: "reduce_mean",
    forms: &["RxC"],
    build: |g, sizes| {
        let x = g.input("x", &matrix(sizes));
        let y = g.node("ReduceMean", "y", &[x], sizes[0], vec![ints("axes", &[2]), int("keepdims", 0)]);
        g.output(y, &format!("N,{}", sizes[0]));
    },
    elements: |sizes| largest(&[sizes]),
};

/// Sum of two vectors of L elements: pure memory traffic.
pub const ADD: Family = Family {
    prefix: "add",
    forms: &["L"],
    build: |g, sizes| {
        let dims = format!("N,{}", sizes[0]);
        let a = g.input("a", &dims);
        let b = g.input("b", &dims);
        let y = g.add(a, b, "y");
        g.output(y, &dims);
    },
    elements: |sizes| largest(&[sizes]),
};

/// GELU of a vector of L elements, as the five nodes of exporters: a chain that fusion makes one.
pub const GELU: Family = Family {
    prefix: "gelu",
    forms: &["L"],
    build: |g, sizes| {
        let dims = format!("N,{}", sizes[0]);
        let x = g.input("x", &dims);
        let y = g.gelu(x, "y");
        g.output(y, &dims);
    },
    elements: |sizes| largest(&[sizes]),
};

/// Attention of H heads over S tokens of depth D: `softmax(q k^T / sqrt(D)) v`.
pub const ATTENTION: Family = Family {
    prefix: "attention",
    forms: &["HxSxD"],
    build: |g, sizes| {
        let [heads, tokens, depth] = [sizes[0], sizes[1], sizes[2]];
        let dims = format!("N,{heads},{tokens},{depth}");
        let [q, k, v] = ["q", "k", "v"].map(|name| g.input(name, &dims));
        let k = g.transpose(k, "k.transposed", &[0, 1, 3, 2], tokens);
        let scores = g.matmul(q, k, "scores");
        let scale = g.scalar("scale", 1.0 / (depth as f32).sqrt());
        let scores = g.mul(scores, scale, "scores.scaled");
        let weights = g.softmax(scores, "weights");
        let y = g.matmul(weights, v, "y");
        g.output(y, &dims);
    },
    elements: |sizes| largest(&[sizes, &[sizes[0], sizes[1], sizes[1]]]),
};

fn matmul_sizes(sizes: &[usize]) -> [usize; 3] {
    match *sizes {
        [rows, inner, columns] => [rows, inner, columns],
        _ => [sizes[0]; 3],
    }
}

/// Input channels, output channels, side.
fn conv_sizes(sizes: &[usize]) -> [usize; 3] {
    match *sizes {
        [input, output, side] => [input, output, side],
        _ => [sizes[0], sizes[0], sizes[1]],
    }
}

fn conv(g: &mut Graph, sizes: &[usize], kernel: usize) {
    let [input, output, side] = conv_sizes(sizes);
    let x = g.input("x", &image(input, side));
    let y = g.conv(x, "y", Conv::same(output, kernel).gain(LINEAR));
    g.output(y, &image(output, side));
}

fn conv_elements(sizes: &[usize], kernel: usize) -> Option<usize> {
    let [input, output, side] = conv_sizes(sizes);
    largest(&[&[input, side, side], &[output, side, side], &[input, output, kernel, kernel]])
}

fn image(channels: usize, side: usize) -> String {
    format!("N,{channels},{side},{side}")
}

fn matrix(sizes: &[usize]) -> String {
    format!("N,{},{}", sizes[0], sizes[1])
}

/// Elements of the largest of these shapes.
fn largest(shapes: &[&[usize]]) -> Option<usize> {
    let elements = |shape: &&[usize]| shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    shapes.iter().map(elements).try_fold(0, |most, elements| Some(most.max(elements?)))
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;
    use super::*;

    #[test]
    fn every_family_runs_at_a_small_size() {
        for name in [
            "matmul_64",
            "matmul_3x5x7",
            "conv3x3_8x14",
            "conv3x3_3x8x9",
            "conv1x1_16x7",
            "depthwise_12x9",
            "maxpool_4x8",
            "softmax_5x33",
            "layernorm_5x33",
            "reduce_mean_40x9",
            "add_1000",
            "gelu_1000",
            "attention_2x9x16",
        ] {
            check(name, &[("N", 1)]);
            check(name, &[("N", 3)]);
        }
    }

    #[test]
    fn sizes_follow_one_of_the_forms() {
        assert_eq!(MATMUL.sizes("matmul_64"), Some(vec![64]));
        assert_eq!(MATMUL.sizes("matmul_1x2x3"), Some(vec![1, 2, 3]));
        for name in ["matmul", "matmul_", "matmul_1x2", "matmul_1x2x3x4", "matmul_-1", "matmul_a", "matmulx_1"] {
            assert_eq!(MATMUL.sizes(name), None, "{name}");
        }
    }

    #[test]
    fn impossible_sizes_are_refused_without_being_built() {
        assert!(MATMUL.objection(&[0]).is_some());
        assert!(MATMUL.objection(&[usize::MAX]).is_some());
        assert!(MATMUL.objection(&[1_000_000]).is_some());
        assert!(MATMUL.objection(&[1 << 14]).is_none());
    }
}
