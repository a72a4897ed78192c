//! How matrix products and convolutions are cut into tiles: the tile's shape, how operands are read, how results leave.
//!
//! Two software devices were measured, and shape everything here. Both load storage lane by lane, so loads per product
//! decide: a tile keeps up to 128 sums in a lane, and lanes share one operand by broadcast. lavapipe's compiler takes
//! seconds for more sums; it loads two words as one 64-bit integer at the cost of one; and it wants straight code where
//! SwiftShader's compiler wants loops. Other devices take SwiftShader's form, unmeasured.

use crate::hal::{DeviceCaps, DeviceKind};
use crate::tensor::View;

/// Iterations of a tile that are allowed: below lavapipe's 65,535, with room for the walk over tiles.
pub(super) const TILE_ITERATIONS_MAX: usize = 60_000;

/// How an operand is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loads {
    /// Word by word.
    Words = 0,
    /// Pairs of neighbours along the summed axis.
    PairsAlongK = 1,
    /// Pairs of neighbours along m or n.
    PairsAlongOuter = 2,
}

/// A product or convolution that is to be cut: rows, columns, products of a sum, repetitions, and how its operands could
/// be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiled {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) batch: usize,
    pub(super) a: Loads,
    pub(super) b: Loads,
    /// One iteration takes so many steps of the sum that tiles must be small.
    pub(super) is_long: bool,
}

/// The answer. A tile has `rm` rows by `rn` columns a lane; `sg` lanes share rows, or none where it is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiling {
    pub(super) rm: u32,
    pub(super) rn: u32,
    pub(super) sg: u32,
    pub(super) a: Loads,
    pub(super) b: Loads,
    /// Results leave in straight code.
    pub(super) straight: bool,
}

impl Tiled {
    pub(super) fn tiling(&self, caps: &DeviceCaps, lanes: u32) -> Tiling {
        let columns = (self.n.div_ceil(lanes as usize) as u32).max(1);
        let [rm, rn] = match self.m as u32 {
            m if self.is_long => [m.min(8), 1],
            // A row or two take no rows that nobody asked for and more columns.
            m @ 0..=4 => [m, 1 << (columns / 4).clamp(1, 8).ilog2()],
            5..=8 => [8, columns.next_power_of_two().min(4)],
            _ if loads_pairs(caps) => self.cheapest(caps, lanes),
            _ => [16, columns.next_power_of_two().min(if caps.subgroup == Some(4) { 8 } else { 4 })],
        };
        self.with_shape(caps, lanes, [rm, rn])
    }

    /// The tiling of this shape, with operands read as far as shape and device allow.
    fn with_shape(&self, caps: &DeviceCaps, lanes: u32, [rm, rn]: [u32; 2]) -> Tiling {
        let sg = shared_rows(caps, lanes, rm);
        let usable = |loads: Loads, fits: bool| match loads {
            Loads::PairsAlongOuter if !fits => Loads::Words,
            _ if !loads_pairs(caps) => Loads::Words,
            loads => loads,
        };
        Tiling {
            rm,
            rn,
            sg,
            a: if sg == 0 { Loads::Words } else { usable(self.a, rm.is_multiple_of(2 * sg)) },
            b: usable(self.b, rn.is_multiple_of(2)),
            straight: loads_pairs(caps),
        }
    }

    /// The shape that takes lavapipe the least time by a model of its cost, in the time that its processor takes for a
    /// product of all lanes: fitted by hand to tiles of 32 to 256 sums at 512 x 512 x 512 (docs/PERFORMANCE.md).
    fn cheapest(&self, caps: &DeviceCaps, lanes: u32) -> [u32; 2] {
        const SHAPES: [[u32; 2]; 6] = [[16, 8], [32, 4], [24, 4], [16, 4], [8, 8], [8, 4]];
        const LOAD: f64 = 32.0;
        const PRODUCT: f64 = 1.2;
        const RESULT: f64 = 60.0;
        let units = caps.compute_units.unwrap_or(1) as usize;
        let cost = |shape: [u32; 2]| {
            let tiling = self.with_shape(caps, lanes, shape);
            let per_word = |loads: Loads| if loads == Loads::Words { 1.0 } else { 0.5 };
            let rows = f64::from(tiling.rm) / f64::from(tiling.sg.max(1)) * per_word(tiling.a);
            let loads = rows + f64::from(tiling.rn) * per_word(tiling.b);
            let sums = f64::from(tiling.rm * tiling.rn);
            let tile = self.k as f64 * (LOAD * loads + PRODUCT * sums) + RESULT * sums;
            (tiling.tiles(self.m, self.n, lanes) * self.batch).div_ceil(units) as f64 * tile
        };
        SHAPES.into_iter().min_by(|&a, &b| cost(a).total_cmp(&cost(b))).expect("there are shapes")
    }
}

impl Tiling {
    /// Tiles of one matrix of m by n results.
    pub(super) fn tiles(&self, m: usize, n: usize, lanes: u32) -> usize {
        m.div_ceil(self.rm as usize) * n.div_ceil((self.rn * lanes) as usize)
    }
}

/// True where every element of the axes begins at an even word.
pub(super) fn is_even(view: &View) -> bool {
    view.offset.is_multiple_of(2) && view.shape.iter().zip(&view.strides).all(|(&n, &s)| is_even_along(s, n))
}

/// True where steps along an axis of this stride and extent keep to even words.
pub(super) fn is_even_along(stride: isize, extent: usize) -> bool {
    extent == 1 || stride % 2 == 0
}

/// Invocations of a workgroup that compute-heavy kernels take.
pub(super) fn lanes(caps: &DeviceCaps) -> u32 {
    let wanted = if caps.kind == DeviceKind::SoftwareGpu { 8 } else { 64 };
    wanted.min(caps.limits.invocations_max)
}

/// True where a load of two words, as a 64-bit integer, costs no more than one of a word. Known of lavapipe only.
pub(super) fn loads_pairs(caps: &DeviceCaps) -> bool {
    caps.int64 && caps.kind == DeviceKind::SoftwareGpu
}

/// Columns of tiles that are computed together, row by row, when each reads `words` of the lanes' operand: as many as
/// stay in a core's cache.
pub(super) fn panel_tiles(words: usize, tiles_n: usize) -> u32 {
    const PANEL_WORDS: usize = 64 << 10;
    (PANEL_WORDS / words.max(1)).clamp(1, tiles_n.max(1)) as u32
}

/// Lanes that share the rows of a tile by broadcast, or zero. Only software devices are known to number the lanes of
/// their subgroups in order, and only there is a load so dear.
pub(super) fn shared_rows(caps: &DeviceCaps, lanes: u32, rows: u32) -> u32 {
    match caps.subgroup {
        Some(width)
            if caps.kind == DeviceKind::SoftwareGpu && lanes.is_multiple_of(width) && rows.is_multiple_of(width) =>
        {
            width
        }
        _ => 0,
    }
}
