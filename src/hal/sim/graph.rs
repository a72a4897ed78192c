//! A graph of kernels that is launched at once: one launch on the host, and a short time before each node instead of a
//! launch. Its nodes run in their own order; it cannot be asked to retreat.

use std::sync::Arc;

use super::cost::KernelCost;

/// A kernel of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphNode {
    /// What it costs.
    pub cost: KernelCost,
    /// Nodes that must have ended before; each comes before this one.
    pub after: Vec<u32>,
}

/// Kernels with their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    nodes: Vec<GraphNode>,
    /// Nodes that wait for each node.
    next: Vec<Vec<u32>>,
}

impl Graph {
    /// A graph of these nodes; `None` when one waits for itself or for a later one.
    pub fn new(nodes: Vec<GraphNode>) -> Option<Graph> {
        let mut next = vec![Vec::new(); nodes.len()];
        for (at, node) in (0..).zip(&nodes) {
            for &before in &node.after {
                if before >= at {
                    return None;
                }
                next[before as usize].push(at);
            }
        }
        Some(Graph { nodes, next })
    }

    /// Kernels that follow each other.
    pub fn chain(costs: impl IntoIterator<Item = KernelCost>) -> Graph {
        let node = |(at, cost): (u32, KernelCost)| GraphNode { cost, after: at.checked_sub(1).into_iter().collect() };
        Graph::new((0..).zip(costs).map(node).collect()).expect("each waits for the one before")
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[GraphNode] {
        &self.nodes
    }
}

/// A launched graph.
#[derive(Clone, Debug)]
pub(super) struct GraphRun {
    pub(super) command: u32,
    pub(super) graph: Arc<Graph>,
    /// Nodes that each node still waits for.
    waiting: Vec<u32>,
    left: usize,
}

impl GraphRun {
    pub(super) fn new(command: u32, graph: Arc<Graph>) -> GraphRun {
        let waiting = graph.nodes.iter().map(|n| n.after.len() as u32).collect();
        GraphRun { command, left: graph.nodes.len(), graph, waiting }
    }

    /// Nodes that wait for nothing.
    pub(super) fn roots(&self) -> Vec<u32> {
        (0..).zip(&self.waiting).filter(|(_, w)| **w == 0).map(|(at, _)| at).collect()
    }

    /// A node ended: those that can begin now.
    pub(super) fn ended(&mut self, node: u32) -> Vec<u32> {
        self.left -= 1;
        let mut free = Vec::new();
        for &next in &self.graph.next[node as usize] {
            let waiting = &mut self.waiting[next as usize];
            *waiting -= 1;
            if *waiting == 0 {
                free.push(next);
            }
        }
        free
    }

    /// All nodes ended.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }
}
