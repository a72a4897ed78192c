//! Where every value lies: which root (a piece of the arena) and through which view. Views and concatenations are
//! resolved here, so that most of them cost nothing; what remains are copies.

use std::sync::Arc;

use crate::graph::host::{HostProgram, Source};
use crate::graph::import::tensor::to_tract;
use crate::graph::ir::{Graph, NodeKind, ValueId, ValueKind};
use crate::graph::view::{ViewOp, apply_all};
use crate::tensor::{DType, HostTensor, View, volume};

/// Where a value lies.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// The piece of the arena; meaningless for constants.
    pub(super) root: usize,
    /// Its elements in words of the root (or of the constant).
    pub(super) view: View,
    /// The constant, for those that lie with the weights.
    pub(super) constant: Option<ValueId>,
    /// The value's element type.
    pub(super) dtype: DType,
    /// Its integers keep 64 bits.
    pub(super) wide: bool,
}

/// One thing to do, in order.
#[derive(Debug)]
pub(super) enum Work {
    /// A node with the operands that its kernel sees.
    Node {
        /// Position in the graph.
        at: usize,
        /// Operands, views applied.
        inputs: Vec<Home>,
        /// Results, views applied.
        outputs: Vec<Home>,
    },
    /// A copy from one layout to another of the same shape.
    Copy {
        /// For people.
        name: String,
        /// Source.
        from: Home,
        /// Target.
        to: Home,
        /// The value that is copied.
        value: ValueId,
    },
}

/// All homes and the roots that they lie in.
#[derive(Debug)]
pub(super) struct Layouts {
    homes: Vec<Option<Home>>,
    /// Words of each root.
    pub(super) roots: Vec<u64>,
    /// Roots of the graph's inputs: alive from the start.
    pub(super) input_roots: Vec<usize>,
    /// Where the outputs lie, contiguous, in the graph's order: alive to the end.
    pub(super) outputs: Vec<Home>,
    /// Values that are computed straight into a part of a concatenation.
    placed: Vec<Option<(ValueId, usize, usize)>>,
}

impl Layouts {
    /// Gives inputs their roots and decides which values are computed into concatenations.
    pub(super) fn of(graph: &Graph) -> Layouts {
        let mut layouts = Layouts {
            homes: vec![None; graph.values.len()],
            roots: Vec::new(),
            input_roots: Vec::new(),
            outputs: Vec::new(),
            placed: vec![None; graph.values.len()],
        };
        for (at, value) in graph.values.iter().enumerate() {
            let id = ValueId(at);
            match &value.kind {
                ValueKind::Constant(_) => {
                    let view = View::contiguous(0, &value.shape);
                    layouts.homes[at] =
                        Some(Home { root: 0, view, constant: Some(id), dtype: value.dtype, wide: value.wide });
                }
                ValueKind::Input(_) => {
                    let home = layouts.fresh(&value.shape, value.dtype, false);
                    layouts.input_roots.push(home.root);
                    layouts.homes[at] = Some(home);
                }
                ValueKind::Computed => {}
            }
        }
        layouts.choose_places(graph);
        layouts
    }

    pub(super) fn home(&self, id: ValueId) -> &Home {
        self.homes[id.0].as_ref().expect("nodes are in a valid order")
    }

    fn fresh(&mut self, shape: &[usize], dtype: DType, wide: bool) -> Home {
        self.roots.push(words(shape, dtype, wide));
        Home { root: self.roots.len() - 1, view: View::contiguous(0, shape), constant: None, dtype, wide }
    }

    /// From the last concatenation to the first: each value that a kernel computes gets its place in one of them.
    fn choose_places(&mut self, graph: &Graph) {
        let mut by_kernel = vec![false; graph.values.len()];
        for node in &graph.nodes {
            let kernel = node.kind.operator().is_some() || matches!(node.kind, NodeKind::Concat(_));
            for output in &node.outputs {
                by_kernel[output.value.0] = kernel;
            }
        }
        for node in graph.nodes.iter().rev() {
            let NodeKind::Concat(axis) = node.kind else {
                continue;
            };
            let target = node.outputs[0].value;
            let mut start = 0;
            for input in &node.inputs {
                let id = input.value;
                let extent = graph.value(id).shape[axis];
                let twice = node.inputs.iter().filter(|i| i.value == id).count() > 1;
                let output = graph.outputs.contains(&id);
                if by_kernel[id.0]
                    && self.placed[id.0].is_none()
                    && !twice
                    && !output
                    && writable(graph, id, axis, target)
                {
                    self.placed[id.0] = Some((target, axis, start));
                }
                start += extent;
            }
        }
    }

    /// The home for a new value: its place in a concatenation, or a root of its own.
    fn home_for(&mut self, graph: &Graph, id: ValueId) -> Home {
        let value = graph.value(id);
        let home = match self.placed[id.0] {
            Some((target, axis, start)) => {
                let whole = match &self.homes[target.0] {
                    Some(home) => home.clone(),
                    None => {
                        let home = self.home_for(graph, target);
                        self.homes[target.0] = Some(home.clone());
                        home
                    }
                };
                let view = whole.view.sliced(axis, start, value.shape[axis], 1);
                Home { view, ..whole }
            }
            None => self.fresh(&value.shape, value.dtype, value.wide),
        };
        self.homes[id.0] = Some(home.clone());
        home
    }

    /// Resolves every node into work.
    pub(super) fn work(&mut self, graph: &Graph) -> Vec<Work> {
        let mut work = Vec::new();
        for (at, node) in graph.nodes.iter().enumerate() {
            match &node.kind {
                NodeKind::View => {
                    let access = &node.inputs[0];
                    let home = self.through(access.value, &access.views, &node.name, &mut work);
                    self.homes[node.outputs[0].value.0] = Some(home);
                }
                NodeKind::Concat(axis) => self.concat(graph, at, *axis, &mut work),
                _ => {
                    let cpu = matches!(node.kind, NodeKind::Cpu(_));
                    let inputs: Vec<Home> = match cpu {
                        // A CPU node reads its inputs where they lie.
                        true => node.inputs.iter().map(|a| self.home(a.value).clone()).collect(),
                        false => {
                            node.inputs.iter().map(|a| self.through(a.value, &a.views, &node.name, &mut work)).collect()
                        }
                    };
                    let outputs: Vec<Home> = node
                        .outputs
                        .iter()
                        .map(|access| {
                            let home = self.home_for(graph, access.value);
                            let view = apply_all(&access.views, &home.view).expect("places were chosen to fit");
                            Home { view, ..home }
                        })
                        .collect();
                    work.push(Work::Node { at, inputs, outputs });
                }
            }
        }
        self.finish(graph, &mut work);
        work
    }

    /// A value's home behind views; a reshape that does not fit the layout costs a copy.
    fn through(&mut self, id: ValueId, views: &[ViewOp], name: &str, work: &mut Vec<Work>) -> Home {
        let mut home = self.home(id).clone();
        let mut from = 0;
        loop {
            match apply_all(&views[from..], &home.view) {
                Ok(view) => return Home { view, ..home },
                Err((at, view)) => {
                    let source = Home { view, ..home.clone() };
                    let target = self.fresh(&source.view.shape, home.dtype, false);
                    let name = format!("{name} (copy)");
                    work.push(Work::Copy { name, from: source, to: target.clone(), value: id });
                    home = target;
                    from += at;
                }
            }
        }
    }

    fn concat(&mut self, graph: &Graph, at: usize, axis: usize, work: &mut Vec<Work>) {
        let node = &graph.nodes[at];
        let target = node.outputs[0].value;
        if let Some(home) = self.already_together(graph, at, axis) {
            self.homes[target.0] = Some(home);
            return;
        }
        let whole = match &self.homes[target.0] {
            Some(home) => home.clone(),
            None => self.home_for(graph, target),
        };
        let mut start = 0;
        for input in &node.inputs {
            let extent = graph.value(input.value).shape[axis];
            let to = Home { view: whole.view.sliced(axis, start, extent, 1), ..whole.clone() };
            let from = self.home(input.value).clone();
            let there = from.constant.is_none() && from.root == to.root && from.view == to.view;
            if !there && extent > 0 {
                work.push(Work::Copy { name: node.name.clone(), from, to, value: input.value });
            }
            start += extent;
        }
    }

    /// Parts that already lie next to each other in one root need no concatenation (a prefix of a longer one, say).
    fn already_together(&self, graph: &Graph, at: usize, axis: usize) -> Option<Home> {
        let node = &graph.nodes[at];
        if self.homes[node.outputs[0].value.0].is_some() || self.placed[node.outputs[0].value.0].is_some() {
            return None;
        }
        let first = self.home(node.inputs.first()?.value).clone();
        let mut next = first.view.offset as isize;
        let mut extent = 0;
        for input in &node.inputs {
            let home = self.home(input.value);
            let joins = home.constant.is_none()
                && home.root == first.root
                && home.view.offset as isize == next
                && home.view.strides == first.view.strides;
            if !joins || home.view.volume() == 0 {
                return None;
            }
            next += home.view.shape[axis] as isize * home.view.strides[axis];
            extent += home.view.shape[axis];
        }
        let mut view = first.view.clone();
        view.shape[axis] = extent;
        Some(Home { view, ..first })
    }

    /// Outputs are read as they lie: contiguous, in the arena, each with elements of its own type.
    fn finish(&mut self, graph: &Graph, work: &mut Vec<Work>) {
        for &id in &graph.outputs {
            let home = self.home(id).clone();
            let input = matches!(graph.value(id).kind, ValueKind::Input(_));
            let ready = home.constant.is_none() && home.view.is_contiguous() && !input;
            let home = match ready {
                true => home,
                false => {
                    let to = self.fresh(&home.view.shape, home.dtype, home.wide);
                    work.push(Work::Copy {
                        name: format!("{} (output)", graph.value(id).name),
                        from: home,
                        to: to.clone(),
                        value: id,
                    });
                    to
                }
            };
            self.outputs.push(home);
        }
    }
}

/// Words that a value takes: one for each element, or its bytes.
fn words(shape: &[usize], dtype: DType, wide: bool) -> u64 {
    match dtype.device_word() {
        Some(_) if !wide => volume(shape) as u64,
        _ => (volume(shape) * dtype.size()).div_ceil(4) as u64,
    }
}

/// True where the node that computes `id` can write it into a part of `target` along `axis`: its output views fit.
fn writable(graph: &Graph, id: ValueId, axis: usize, target: ValueId) -> bool {
    let shape = &graph.value(id).shape;
    let part = View::contiguous(0, &graph.value(target).shape).sliced(axis, 0, shape[axis], 1);
    graph
        .nodes
        .iter()
        .flat_map(|n| &n.outputs)
        .find(|o| o.value == id)
        .is_some_and(|o| apply_all(&o.views, &part).is_ok())
        && graph.value(id).dtype.device_word().is_some()
}

/// A program that answers a constant.
pub(super) fn constant_program(constant: &HostTensor) -> HostProgram {
    match to_tract(constant) {
        Ok(tensor) => HostProgram::answer(Source::Constant(Arc::new(tensor))),
        Err(_) => HostProgram::default(),
    }
}
