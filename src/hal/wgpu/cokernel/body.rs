//! A kernel as a part of a co-kernel: everything of it but an entry point.

use naga::{AddressSpace, Block, Module, Statement};

use super::super::compose::{self, Field};
use crate::hal::KernelSpec;

/// The functions of `shaders/linker/pooled_memory.wgsl`, each for the indices of one global.
const PLACES: [(&str, &str); 4] = [
    ("weights", "weights_at"),
    ("arena", "arena_at"),
    ("weight_pairs", "weight_pairs_at"),
    ("arena_pairs", "arena_pairs_at"),
];

/// How the invocations of a workgroup work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::hal::wgpu) enum Cooperation {
    /// Not at all: any number of invocations can walk over the lanes.
    None,
    /// Those of a subgroup do: whole subgroups can walk over the lanes, which are theirs in order.
    Subgroup,
    /// All do (barriers, workgroup memory): a workgroup must have exactly the kernel's lanes.
    Workgroup,
}

/// A kernel that can be linked into a co-kernel.
#[derive(Debug)]
pub(in crate::hal::wgpu) struct Body {
    /// Its functions, with the tile function among them; no entry point.
    pub(super) module: Module,
    /// The tile function's name.
    pub(super) tile: String,
    /// The parameter struct's name and fields.
    pub(super) op: String,
    pub(super) fields: Vec<Field>,
    /// Invocations of a workgroup, as it counts them.
    pub(super) lanes: u32,
    /// How its invocations work together.
    pub(in crate::hal::wgpu) cooperation: Cooperation,
    /// It sees memory as pairs of words too.
    pub(super) pairs: bool,
    /// Bytes of workgroup memory.
    pub(super) workgroup_bytes: u32,
}

impl Body {
    /// `pooled`: its tenant's memory is a range of a buffer that others share.
    ///
    /// # Errors
    /// A sentence that says what the kernel file lacks, or what naga found.
    pub(super) fn new(spec: &KernelSpec, pooled: bool) -> Result<Body, String> {
        let text = spec.configured()?;
        let text = if pooled { placed(&text) } else { text };
        let mut module = compose::linked(spec, &text)?;
        naga::compact::compact(&mut module, naga::compact::KeepUnused::Yes);
        let tile = format!("{}_tile", spec.name);
        let (op, fields) = compose::operation(&module, &tile)?;
        let used = used_globals(&module);
        let layouts = compose::layouts(&module)?;
        let (mut pairs, mut workgroup_bytes) = (false, 0);
        for (_, variable) in module.global_variables.iter().filter(|(handle, _)| used.contains(handle)) {
            match variable.space {
                AddressSpace::WorkGroup => workgroup_bytes += layouts[variable.ty].size,
                _ => pairs |= variable.binding.is_some_and(|b| b.binding > 2),
            }
        }
        let own = if workgroup_bytes > 0 { Cooperation::Workgroup } else { Cooperation::None };
        let cooperation = module.functions.iter().map(|(_, f)| cooperation(&f.body)).fold(own, Cooperation::max);
        Ok(Body { tile, op, fields, lanes: spec.lanes, cooperation, pairs, workgroup_bytes, module })
    }
}

/// Globals that the functions of a module use.
fn used_globals(module: &Module) -> Vec<naga::Handle<naga::GlobalVariable>> {
    let expressions = module.functions.iter().flat_map(|(_, f)| f.expressions.iter());
    expressions
        .filter_map(|(_, e)| match e {
            naga::Expression::GlobalVariable(global) => Some(*global),
            _ => None,
        })
        .collect()
}

/// How invocations carry out the statements of a block.
fn cooperation(block: &Block) -> Cooperation {
    let of_statement = |statement: &Statement| match statement {
        Statement::ControlBarrier(_) | Statement::MemoryBarrier(_) | Statement::WorkGroupUniformLoad { .. } => {
            Cooperation::Workgroup
        }
        Statement::SubgroupBallot { .. }
        | Statement::SubgroupGather { .. }
        | Statement::SubgroupCollectiveOperation { .. } => Cooperation::Subgroup,
        Statement::Block(block) => cooperation(block),
        Statement::If { accept, reject, .. } => cooperation(accept).max(cooperation(reject)),
        Statement::Switch { cases, .. } => {
            cases.iter().map(|case| cooperation(&case.body)).max().unwrap_or(Cooperation::None)
        }
        Statement::Loop { body, continuing, .. } => cooperation(body).max(cooperation(continuing)),
        _ => Cooperation::None,
    };
    block.iter().map(of_statement).max().unwrap_or(Cooperation::None)
}

/// The text with every index of the tenant's memory sent through the function that places it, and with declarations of
/// these functions, which the linker replaces.
fn placed(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1024);
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        place_indices(code, &mut out);
        out.push('\n');
    }
    for (_, place) in PLACES {
        out.push_str(&format!("fn {place}(i: u32) -> u32 {{ return i; }}\n"));
    }
    out
}

/// Copies a line, `memory[index]` as `memory[memory_at(index)]`, nested ones too.
fn place_indices(code: &str, out: &mut String) {
    let mut rest = code;
    // What closes each open bracket.
    let mut closing = Vec::new();
    while let Some(at) = rest.find(['[', ']']) {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        out.push_str(before);
        if rest.as_bytes()[at] == b'[' {
            let word = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            let place = PLACES.iter().find(|(memory, _)| *memory == word);
            out.push('[');
            if let Some((_, place)) = place {
                out.push_str(place);
                out.push('(');
            }
            closing.push(if place.is_some() { ")]" } else { "]" });
        } else {
            out.push_str(closing.pop().unwrap_or("]"));
        }
        rest = after;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_of_memory_are_placed_and_others_are_not() {
        let mut out = String::new();
        place_indices("let v = arena[rows[i] + weights[a[0u]]] + sums[j]; my_arena[k]", &mut out);
        let expected = "let v = arena[arena_at(rows[i] + weights[weights_at(a[0u])])] + sums[j]; my_arena[k]";
        assert_eq!(out, expected);
    }

    #[test]
    fn every_kernel_of_the_library_becomes_a_body_with_no_index_of_its_own() {
        for file in ["gemm", "softmax", "elementwise"] {
            let text = placed(&std::fs::read_to_string(format!("shaders/{file}.wgsl")).unwrap());
            for (memory, place) in PLACES {
                let plain = text.matches(&format!("{memory}[")).count();
                let sent = text.matches(&format!("{memory}[{place}(")).count();
                let longer = text.matches(&format!("_{memory}[")).count();
                assert_eq!(plain - longer, sent, "{file}: {memory}");
            }
        }
    }
}
