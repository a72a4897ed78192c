//! NASNet-A (4 @ 1056), "mobile": an image classifier of searched cells, each a dozen small separable convolutions and pools
//! side by side.
//!
//! Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition" (2018), figure 4 and appendix A: two
//! reducing cells as the stem, then three times four normal cells with a reducing cell between. Each cell takes the outputs
//! of the two cells before it. Normalisation is not folded; where it follows a convolution fusion folds it. Strided windows
//! are padded on both sides alike. Without drop path and the auxiliary classifier (training only).

use super::builder::{Graph, Value};
use super::layers::{Conv, LINEAR};

/// Filters of the first normal cells: 1056 at the end are six parts of four times as many.
const FILTERS: usize = 1056 / 24;
/// Channels of the first convolution.
const STEM: usize = 32;
/// Normal cells of each size.
const REPEATS: usize = 4;

/// NASNet-A mobile for 224×224 images: 5.3 M parameters.
pub fn nasnet_mobile(g: &mut Graph) {
    let x = g.input("input", "N,3,224,224");
    let x = g.conv_batch_norm(x, "stem", Conv::same(STEM, 3).valid().stride(2));
    let mut cells = Cells { previous: Image { value: x, halvings: 1 }, current: Image { value: x, halvings: 1 } };
    cells.reduce(g, "stem0", FILTERS / 4);
    cells.reduce(g, "stem1", FILTERS / 2);
    for size in 0..3 {
        let filters = FILTERS << size;
        if size > 0 {
            cells.reduce(g, &format!("reduction{size}"), filters);
        }
        for cell in 0..REPEATS {
            cells.normal(g, &format!("cell{size}.{cell}"), filters);
        }
    }
    let x = g.relu(cells.current.value, "head.relu");
    let x = g.global_average(x, "pool");
    let logits = g.gemm(x, "logits", 1000, LINEAR);
    g.output(logits, "N,1000");
}

/// A value and how often its size was halved.
#[derive(Clone, Copy)]
struct Image {
    value: Value,
    halvings: usize,
}

/// The outputs of the last two cells.
struct Cells {
    previous: Image,
    current: Image,
}

impl Cells {
    /// A normal cell: five sums, concatenated with the older input.
    fn normal(&mut self, g: &mut Graph, name: &str, filters: usize) {
        let Inputs { old, new } = self.inputs(g, name, filters);
        let at = |part: &str| format!("{name}.{part}");
        let sep = |g: &mut Graph, x, part: &str, kernel| separable(g, x, &at(part), filters, kernel, 1);
        let (a, b) = (sep(g, new, "0.5x5", 5), sep(g, old, "0.3x3", 3));
        let first = g.add(a, b, &at("0"));
        let (a, b) = (sep(g, old, "1.5x5", 5), sep(g, old, "1.3x3", 3));
        let second = g.add(a, b, &at("1"));
        let a = g.average_pool(new, &at("2.average"), 3, 1, 1);
        let third = g.add(a, old, &at("2"));
        let a = g.average_pool(old, &at("3.left"), 3, 1, 1);
        let b = g.average_pool(old, &at("3.right"), 3, 1, 1);
        let fourth = g.add(a, b, &at("3"));
        let a = sep(g, new, "4.3x3", 3);
        let fifth = g.add(a, new, &at("4"));
        let value = g.concat(&[old, first, second, third, fourth, fifth], &at("concat"));
        self.next(Image { value, halvings: self.current.halvings });
    }

    /// A reducing cell: half the size, four sums concatenated.
    fn reduce(&mut self, g: &mut Graph, name: &str, filters: usize) {
        let Inputs { old, new } = self.inputs(g, name, filters);
        let at = |part: &str| format!("{name}.{part}");
        let sep = |g: &mut Graph, x, part: &str, kernel, stride| separable(g, x, &at(part), filters, kernel, stride);
        let (a, b) = (sep(g, new, "0.5x5", 5, 2), sep(g, old, "0.7x7", 7, 2));
        let first = g.add(a, b, &at("0"));
        let (a, b) = (g.max_pool(new, &at("1.max"), 3, 2, 1), sep(g, old, "1.7x7", 7, 2));
        let second = g.add(a, b, &at("1"));
        let (a, b) = (g.average_pool(new, &at("2.average"), 3, 2, 1), sep(g, old, "2.5x5", 5, 2));
        let third = g.add(a, b, &at("2"));
        let a = g.average_pool(first, &at("3.average"), 3, 1, 1);
        let fourth = g.add(a, second, &at("3"));
        let (a, b) = (sep(g, first, "4.3x3", 3, 1), g.max_pool(new, &at("4.max"), 3, 2, 1));
        let fifth = g.add(a, b, &at("4"));
        let value = g.concat(&[second, third, fourth, fifth], &at("concat"));
        self.next(Image { value, halvings: self.current.halvings + 1 });
    }

    fn next(&mut self, cell: Image) {
        self.previous = std::mem::replace(&mut self.current, cell);
    }

    /// Both inputs with as many channels as the cell has filters, of the newer one's size. The very first cell has one
    /// input, and takes it as the older one as it is.
    fn inputs(&self, g: &mut Graph, name: &str, filters: usize) -> Inputs {
        let (old, new) = (self.previous, self.current);
        // Sums of a cell have twice the energy of their parts: what a ReLU takes away here is not made up for.
        let squeeze = |g: &mut Graph, x: Value, name: String| {
            let y = g.relu(x, &format!("{name}.relu"));
            g.conv_batch_norm(y, &name, Conv::same(filters, 1).gain(LINEAR))
        };
        let is_first = new.halvings == 1;
        let adjusted = if is_first {
            old.value
        } else if old.halvings < new.halvings {
            halve(g, old.value, &format!("{name}.old"), filters)
        } else {
            squeeze(g, old.value, format!("{name}.old"))
        };
        Inputs { old: adjusted, new: squeeze(g, new.value, format!("{name}.new")) }
    }
}

/// What the sums of a cell take.
#[derive(Clone, Copy)]
struct Inputs {
    old: Value,
    new: Value,
}

/// Half the size by two 1×1 convolutions, of the pixels in even and in odd rows and columns.
fn halve(g: &mut Graph, x: Value, name: &str, filters: usize) -> Value {
    let y = g.relu(x, &format!("{name}.relu"));
    let half = Conv::same(filters / 2, 1).stride(2).gain(LINEAR);
    let even = g.conv_plain(y, &format!("{name}.even"), half);
    let shifted = shift(g, y, &format!("{name}.shift"));
    let odd = g.conv_plain(shifted, &format!("{name}.odd"), half);
    let both = g.concat(&[even, odd], &format!("{name}.concat"));
    g.batch_norm(both, &format!("{name}.bn"))
}

/// The image without its first row and column, zeros after its last.
fn shift(g: &mut Graph, x: Value, name: &str) -> Value {
    let [pads, starts, ends, axes] = [
        ("pads", &[0, 0, 0, 0, 0, 0, 1, 1][..]),
        ("starts", &[1, 1]),
        ("ends", &[i64::MAX, i64::MAX]),
        ("axes", &[2, 3]),
    ]
    .map(|(part, values)| g.indices(&format!("{name}.{part}"), values));
    let padded = g.node("Pad", &format!("{name}.pad"), &[x, pads], x.width(), vec![]);
    g.node("Slice", name, &[padded, starts, ends, axes], x.width(), vec![])
}

/// Twice a ReLU, a convolution of each channel by itself, a 1×1 convolution and a normalisation; the first with the stride.
fn separable(g: &mut Graph, x: Value, name: &str, filters: usize, kernel: usize, stride: usize) -> Value {
    let once = |g: &mut Graph, x: Value, name: String, stride| {
        let y = g.relu(x, &format!("{name}.relu"));
        let alone = Conv { groups: x.width(), ..Conv::same(x.width(), kernel).stride(stride) };
        let y = g.conv_plain(y, &format!("{name}.depthwise"), alone);
        g.conv_batch_norm(y, &name, Conv::same(filters, 1).gain(LINEAR))
    };
    let y = once(g, x, format!("{name}.first"), stride);
    once(g, y, format!("{name}.second"), 1)
}

#[cfg(test)]
mod tests {
    use super::super::probe::check;

    #[test]
    fn nasnet_mobile_loads_runs_and_listens_to_its_input() {
        check("nasnet_mobile", &[("N", 1)]);
    }
}
