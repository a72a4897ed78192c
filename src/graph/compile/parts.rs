//! What a node binds: all its constants at once where they fit the device's binding limit, else only what its views reach,
//! else, part by part, the pieces that each part of its operator reads ([`Division`]).

use std::ops::Range;

use super::layout::Home;
use super::piece::Piece;
use super::weights::ALIGN_WORDS;
use crate::graph::ir::Graph;
use crate::kernel::{CutAxis, Division, Operator};
use crate::tensor::View;

/// Parts of one operator at most: each is a launch, and a piece that is much smaller than the limit is not worth one.
const PARTS_MAX: usize = 1024;

/// What one launch of a node binds.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// Which of the operator's divisions and which units of it; `None` where the operator is computed whole.
    pub(super) part: Option<(usize, Range<usize>)>,
    /// For each input that is constant: the piece that holds it, and where it lies in the piece.
    pub(super) pieces: Vec<Option<(Piece, View)>>,
}

/// The parts of `operator` over `inputs` whose constants fit `limit_words` each: the fewest that do. None where no
/// division is fine enough.
pub(super) fn bindings(graph: &Graph, operator: &dyn Operator, inputs: &[Home], limit_words: u64) -> Vec<Binding> {
    let constants = |pieces: &dyn Fn(usize, &Home) -> (Piece, View)| -> Vec<Option<(Piece, View)>> {
        inputs.iter().enumerate().map(|(k, home)| home.constant.map(|_| pieces(k, home))).collect()
    };
    let whole = constants(&|_, home| {
        let constant = home.constant.expect("asked for constants only");
        (Piece::whole(graph, constant), home.view.clone())
    });
    if words(graph, &whole) <= limit_words {
        return vec![Binding { part: None, pieces: whole }];
    }
    let on_device = |home: &Home| home.constant.is_none() || home.dtype.device_word().is_some();
    if !inputs.iter().all(on_device) {
        return Vec::new();
    }
    let reached = |home: &Home, view: &View| Piece::behind(home.constant.expect("asked for constants only"), view);
    let behind = constants(&|_, home| reached(home, &home.view));
    if words(graph, &behind) <= limit_words {
        return vec![Binding { part: None, pieces: behind }];
    }
    let divisions = operator.divisions();
    let finest = divisions.iter().enumerate().filter_map(|(at, d)| Some((parts_of(d, inputs, limit_words)?, at)));
    let Some((n, at)) = finest.min() else {
        return Vec::new();
    };
    let division = &divisions[at];
    let len = division.units.div_ceil(n);
    let ranges = (0..division.units).step_by(len).map(|start| start..(start + len).min(division.units));
    ranges
        .map(|units| {
            let cut =
                |k: usize, home: &Home| division.input(k).map_or(home.view.clone(), |c| c.slice(&home.view, &units));
            Binding { pieces: constants(&|k, home| reached(home, &cut(k, home))), part: Some((at, units)) }
        })
        .collect()
}

/// Into how many parts `division` must cut so that what each binds fits; `None` where one unit is too much already.
fn parts_of(division: &Division, inputs: &[Home], limit_words: u64) -> Option<usize> {
    let (mut fixed, mut per_unit) = (0, 0);
    for (k, home) in inputs.iter().enumerate().filter(|(_, home)| home.constant.is_some()) {
        let words = packed_words(&home.view);
        let follows = |cut: CutAxis| cut.axis_of(&home.view).is_some_and(|axis| home.view.strides[axis] != 0);
        match division.input(k).is_some_and(follows) {
            // The gap behind the piece does not shrink with it.
            true => (fixed, per_unit) = (fixed + ALIGN_WORDS, per_unit + words / division.units as u64),
            false => fixed += words.next_multiple_of(ALIGN_WORDS),
        }
    }
    let units = limit_words.checked_sub(fixed)?.checked_div(per_unit)?;
    let n = division.units.div_ceil(usize::try_from(units).ok().filter(|&units| units > 0)?);
    (n <= PARTS_MAX).then_some(n)
}

/// Words of the elements behind a view, each once where the view repeats them.
fn packed_words(view: &View) -> u64 {
    view.shape.iter().zip(&view.strides).filter(|(_, stride)| **stride != 0).map(|(&extent, _)| extent as u64).product()
}

fn words(graph: &Graph, pieces: &[Option<(Piece, View)>]) -> u64 {
    let mut distinct: Vec<&Piece> = Vec::new();
    for (piece, _) in pieces.iter().flatten() {
        if !distinct.contains(&piece) {
            distinct.push(piece);
        }
    }
    distinct.iter().map(|p| p.words(graph).next_multiple_of(ALIGN_WORDS)).sum()
}
