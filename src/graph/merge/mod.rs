//! Merging: the same operator with the same weights, in several graphs, becomes one batched launch.
//!
//! [`merged`] takes the disjoint union of graphs (requests to one model, tenants with equal weights, models that share
//! their first layers) and finds nodes *at the same place*: the same operator and constants, reading values at the same
//! place ([`classes`]). Values at the same place lie together in one *stacked* tensor with an axis of instances in front,
//! and each instance's own is a slice of it, which costs nothing; inputs and outputs too, so requests are written straight
//! into the batch. Nodes at the same place become one node where their operator has that form
//! ([`crate::kernel::Operator::stacked`]); others compute each instance straight into its slice ([`plan`]).
//!
//! No bit changes. Operators keep the order of their sums, and every instance's values lie as they would alone: where a
//! concatenation cannot be merged, what is computed into it is not merged either, because kernels whose lanes share rows
//! look at the layout. CPU nodes, and what follows them, stay apart. Activations take as much memory as those of all
//! graphs; equal constants lie there once.
//!
//! Deliberately not here: who may be merged. Stacked instances share buffers, so it is for tenants that trust each other.

mod build;
mod classes;
mod hosts;
mod lift;
mod plan;

use super::ir::Graph;
use super::union::Union;

/// What merging came to.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The joint graph. Inputs and outputs are those of all instances one after the other, named as by [`Union`].
    pub graph: Graph,
    /// Nodes that compute several instances at once.
    pub stacked: usize,
    /// Nodes of the graphs that went into them.
    pub absorbed: usize,
}

/// The graphs as one, equal parts batched. Of graphs without anything in common it is the disjoint union.
pub fn merged(graphs: &[&Graph]) -> Merged {
    let union = Union::of(graphs);
    let classes = classes::Classes::of(&union);
    let plan = plan::Plan::of(&union, &classes);
    let (stacked, absorbed) = plan.counts(&classes);
    Merged { graph: build::build(&union, &classes, &plan), stacked, absorbed }
}
