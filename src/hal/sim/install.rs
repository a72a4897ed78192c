//! What the launches of a recording cost on a simulated device.
//!
//! A time that was recorded, fitted or measured is taken as it is. Otherwise the cost is counted: an operation's FLOPs and
//! bytes are spread over its launches and their tiles, and a tile is a block of the kernel's workgroup size. Bytes beyond those
//! that must move in any case are operands that tiles of a matrix product load again; they come from L2 as far as that holds
//! them.

use super::cost::{Blocks, KernelCost, Roofline, Source, Unit, Work};
use super::occupancy::BlockNeed;
use super::profile::Profile;
use crate::hal::{KernelSpec, Operation, TensorRef};
use crate::tensor::show_shape;

/// Registers of a thread besides those that hold sums: addresses, counters, operands.
const REGISTERS_BASE: u32 = 32;

/// Registers of a thread at most.
const REGISTERS_MAX: u32 = 255;

/// Names a launch in a profile's table of measured times: what the operation is, the shapes that it reads and writes, which
/// of its launches it is, the kernel's configuration, and its tiles with the loop iterations of one.
pub fn kernel_key(operation: &Operation, launch: usize) -> String {
    let shapes = |tensors: &[TensorRef]| {
        let all: Vec<String> = tensors.iter().map(|t| show_shape(&t.view.shape)).collect();
        all.join(",")
    };
    let at = &operation.launches[launch];
    let (from, to) = (shapes(&operation.inputs), shapes(&operation.outputs));
    let (kernel, tiles, iterations) = (at.kernel.label(), at.tiles, at.tile_iterations);
    format!("{} {from} -> {to} #{launch} {kernel} {tiles}x{iterations}", operation.kind)
}

/// The cost of all tiles of a launch; `measured_ns` is its time on the device that the profile describes, if that is known.
pub fn launch_cost(operation: &Operation, launch: usize, profile: &Profile, measured_ns: Option<f64>) -> KernelCost {
    let at = &operation.launches[launch];
    match (operation.given, measured_ns) {
        (Some(given), _) => KernelCost::of_given(given, at.tiles, profile.compute.sms),
        (None, Some(ns)) => measured(ns, at.tiles, profile),
        (None, None) => counted(operation, launch),
    }
}

/// A kernel of measured time: each SM does one tile after the other.
fn measured(ns: f64, tiles: u32, profile: &Profile) -> KernelCost {
    let tiles = tiles.max(1);
    let waves = tiles.div_ceil(profile.compute.sms);
    KernelCost {
        source: Source::Measured,
        blocks: Blocks::Count(tiles),
        need: BlockNeed::Part(1),
        work: Work::Fixed { block_ns: ns / f64::from(waves), dram_bytes: 0.0 },
        workers: None,
    }
}

fn counted(operation: &Operation, launch: usize) -> KernelCost {
    // Launches of one operation differ in length as their tiles' loops do.
    let weight = |l: &crate::hal::Launch| f64::from(l.tiles) * (f64::from(l.tile_iterations) + 1.0);
    let all: f64 = operation.launches.iter().map(weight).sum();
    let at = &operation.launches[launch];
    let part = weight(at) / all / f64::from(at.tiles.max(1));
    let (flops, bytes) = (operation.flops as f64 * part, operation.bytes as f64 * part);
    let tile = Tile::of(&at.kernel);
    KernelCost {
        source: Source::Operators,
        blocks: Blocks::Count(at.tiles),
        need: BlockNeed::Of { threads: at.kernel.lanes, registers: tile.registers(), shared_bytes: 0 },
        work: Work::Roofline(Roofline {
            unit: Unit::Fp32,
            flops,
            efficiency: 1.0,
            dram_bytes: bytes,
            reused_bytes: (tile.bytes_per_flop() * flops - bytes).max(0.0),
            working_set: operation.bytes,
        }),
        workers: None,
    }
}

/// The tile of a matrix product as its configuration has it: rows, and columns of a lane. Other kernels have none.
struct Tile {
    rows: u32,
    lane_columns: u32,
    lanes: u32,
}

impl Tile {
    fn of(kernel: &KernelSpec) -> Tile {
        let value = |name: &str| kernel.consts.iter().find(|(n, _)| *n == name).map_or(0, |(_, v)| *v);
        Tile { rows: value("RM"), lane_columns: value("RN"), lanes: kernel.lanes }
    }

    /// Registers of a thread: a sum for each output, and what every kernel needs.
    fn registers(&self) -> u32 {
        (REGISTERS_BASE + self.rows * self.lane_columns).min(REGISTERS_MAX)
    }

    /// Bytes that a tile loads for each operation: a row of each operand for two operations on each output.
    fn bytes_per_flop(&self) -> f64 {
        let (rows, columns) = (f64::from(self.rows), f64::from(self.lane_columns * self.lanes));
        if rows * columns == 0.0 { 0.0 } else { 4.0 * (rows + columns) / (2.0 * rows * columns) }
    }
}
