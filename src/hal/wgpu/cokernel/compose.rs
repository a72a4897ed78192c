//! Composes several kernels into one shader, whose workgroups each walk a *program*: launches of any of these kernels, of
//! any tenants, one after another with a barrier between them.
//!
//! Bindings, all in group 0 but the last: 0 the launch tables; slot `s` has weights at `1 + 4 s`, the arena at `2 + 4 s`,
//! and both again as pairs of words at `3 + 4 s` and `4 + 4 s`. Pooled kernels have one slot for everybody, and
//! every index goes through `shaders/linker/pooled_memory.wgsl`; isolated ones have a slot for each tenant's memory, and a
//! kernel is linked once for each slot that uses it. Group 1, binding 0: the programs ([`super::program`]).
//!
//! The entry point passes over all bodies again and again until its program ends. In a pass each body runs the next
//! entries of the program that are its own. Software devices run branches under masks, so a body costs time also where it
//! has nothing to do; that is why entries stand in an order that needs few passes, and why bodies are in the order of
//! their first use. Everything that decides which way a workgroup goes is read by all of its invocations from the same
//! place, so control flow is uniform where barriers stand.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use naga::{Barrier, Block, Module, ResourceBinding, Statement};

use super::super::compose::{declaration, function, parse, validate, value};
use super::super::link::{self, Functions};
use super::body::{Body, Cooperation};
use super::program::{ENTRY_WORDS, HEADER_WORDS};

/// Bindings of a slot.
pub(in crate::hal::wgpu) const SLOT_BINDINGS: u32 = 4;

const POOLED_MEMORY: &str = include_str!("../../../../shaders/linker/pooled_memory.wgsl");

/// A body and the slot whose memory it uses.
pub(super) struct Part {
    pub(super) body: Arc<Body>,
    pub(super) slot: u32,
}

/// Invocations of a workgroup that can run all `parts`: one subgroup, whose barriers cost least, where it can walk over the
/// lanes of them all. `None` where they work together in groups of different sizes.
pub(super) fn lanes<'a>(parts: impl Iterator<Item = &'a Body> + Clone, subgroup: Option<u32>) -> Option<u32> {
    let whole = |b: &&Body| match (b.cooperation, subgroup) {
        (Cooperation::None, _) => false,
        // Lanes beside a whole number of subgroups would lack their neighbours.
        (Cooperation::Subgroup, Some(size)) => !b.lanes.is_multiple_of(size),
        (Cooperation::Subgroup, None) | (Cooperation::Workgroup, _) => true,
    };
    let mut together = parts.clone().filter(whole).map(|b| b.lanes);
    let Some(lanes) = together.next() else {
        return subgroup.or_else(|| parts.map(|b| b.lanes).min());
    };
    let equal = together.all(|other| other == lanes);
    let size = subgroup.unwrap_or(1);
    let walked = |b: &Body| b.cooperation != Cooperation::Subgroup || b.lanes == lanes || lanes.is_multiple_of(size);
    (equal && parts.clone().all(walked)).then_some(lanes)
}

/// The complete module, validated. The entry point is `main`.
///
/// # Errors
/// A sentence that says why these kernels cannot be one.
///
/// A workgroup that is one subgroup has barriers of a subgroup: on software devices those cost nothing, neither in time nor in
/// compilation (lavapipe makes every other barrier a point where a coroutine is left).
pub(super) fn compose(parts: &[Part], pooled: bool, subgroup: Option<u32>) -> Result<Module, String> {
    let lanes =
        lanes(parts.iter().map(|p| &*p.body), subgroup).ok_or("their workgroups work together and differ in size")?;
    let mut module = Module::default();
    let memory = match pooled {
        true => link::append(&mut module, &parse("pooled_memory", POOLED_MEMORY)?, &Functions::new())?,
        false => Functions::new(),
    };
    let mut known = Functions::new();
    for (at, part) in parts.iter().enumerate() {
        let mut kernel = part.body.module.clone();
        for (_, global) in kernel.global_variables.iter_mut() {
            if let Some(ResourceBinding { binding, .. }) = &mut global.binding {
                *binding += part.slot * SLOT_BINDINGS;
            }
        }
        let declared: Functions =
            memory.iter().filter(|(name, _)| function(&kernel, name).is_ok()).map(|(n, h)| (n.clone(), *h)).collect();
        let functions = link::append(&mut module, &kernel, &declared)?;
        known.insert(format!("body{at}"), functions[&part.body.tile]);
    }
    if pooled {
        known.insert("set_memory".into(), memory["set_memory"]);
    }
    let driver = parse("driver", &driver(parts, lanes, pooled))?;
    link::append(&mut module, &driver, &known)?;
    naga::compact::compact(&mut module, naga::compact::KeepUnused::No);
    if subgroup == Some(lanes) {
        let functions = module.functions.iter_mut().map(|(_, function)| function);
        let entries = module.entry_points.iter_mut().map(|entry| &mut entry.function);
        functions.chain(entries).for_each(|function| of_subgroup(&mut function.body));
    }
    validate(&module)?;
    Ok(module)
}

/// Makes all barriers a subgroup's that order the same memory as before.
fn of_subgroup(block: &mut Block) {
    for statement in block.iter_mut() {
        match statement {
            Statement::ControlBarrier(flags) => *flags |= Barrier::SUB_GROUP,
            Statement::Block(block) => of_subgroup(block),
            Statement::If { accept, reject, .. } => {
                of_subgroup(accept);
                of_subgroup(reject);
            }
            Statement::Switch { cases, .. } => {
                cases.iter_mut().for_each(|case| of_subgroup(&mut case.body));
            }
            Statement::Loop { body, continuing, .. } => {
                of_subgroup(body);
                of_subgroup(continuing);
            }
            _ => {}
        }
    }
}

/// The entry point in WGSL, with empty declarations of the tile functions.
fn driver(parts: &[Part], lanes: u32, pooled: bool) -> String {
    let mut text = String::from(
        "struct Job { base: u32, first: u32, end: u32, workers: u32, }\n\
         @group(0) @binding(0) var<storage, read> words: array<u32>;\n\
         @group(1) @binding(0) var<storage, read> programs: array<u32>;\n\
         var<immediate> job: Job;\n",
    );
    let structs: BTreeMap<&str, String> =
        parts.iter().map(|p| (p.body.op.as_str(), declaration(&p.body.op, &p.body.fields))).collect();
    text.extend(structs.into_values());
    if pooled {
        text.push_str("fn set_memory(a: u32, b: u32, c: u32, d: u32) {}\n");
    }
    for (at, part) in parts.iter().enumerate() {
        let _ = writeln!(text, "fn body{at}(op: {}, tile: u32, lane: u32) {{}}", part.body.op);
    }
    let _ = write!(
        text,
        "@compute @workgroup_size({lanes})\n\
         fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{\n\
           let header = job.base + {HEADER_WORDS}u * group.x;\n\
           var at = job.base + programs[header];\n\
           let end = job.base + programs[header + 1u];\n\
           let worker = programs[header + 2u];\n\
           while (at < end) {{\n"
    );
    for (at, part) in parts.iter().enumerate() {
        let Body { op, fields, lanes: own, .. } = &*part.body;
        let set_memory = match pooled {
            true => "set_memory(programs[at + 5u], programs[at + 6u], programs[at + 7u], programs[at + 8u]);\n",
            false => "",
        };
        let call = match *own == lanes {
            true => format!("body{at}(op, tile, lane);"),
            false => format!("for (var l = lane; l < {own}u; l += {lanes}u) {{ body{at}(op, tile, l); }}"),
        };
        let _ = write!(
            text,
            "while (at < end) {{\n\
               if (programs[at] != {at}u) {{ break; }}\n\
               {set_memory}\
               let base = programs[at + 1u];\n\
               let op = {};\n\
               for (var tile = programs[at + 2u] + worker; tile < programs[at + 3u]; tile += programs[at + 4u]) {{\n\
                 {call}\n\
               }}\n\
               at += {ENTRY_WORDS}u;\n\
               storageBarrier();\n\
             }}\n",
            value(op, fields, "base")
        );
    }
    text.push_str("}\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(lanes: u32, cooperation: Cooperation) -> Body {
        let (tile, op) = (String::new(), String::new());
        let (module, fields) = (Module::default(), Vec::new());
        Body { module, tile, op, fields, lanes, cooperation, pairs: false, workgroup_bytes: 0 }
    }

    #[test]
    fn a_workgroup_is_one_subgroup_unless_a_kernel_needs_all_its_lanes() {
        use Cooperation::{None as Not, Subgroup, Workgroup};
        let of_four = Some(4);
        for (bodies, subgroups, expected) in [
            (vec![(64, Not), (8, Not)], None, Some(8)),
            (vec![(64, Not), (8, Not)], of_four, Some(4)),
            (vec![(64, Not), (8, Subgroup)], of_four, Some(4)),
            (vec![(64, Not), (8, Subgroup)], None, Some(8)),
            (vec![(16, Subgroup), (8, Subgroup)], None, None),
            (vec![(64, Not), (6, Subgroup)], of_four, Some(6)),
            (vec![(6, Subgroup), (8, Subgroup)], of_four, None),
            (vec![(64, Not), (16, Subgroup), (8, Workgroup)], of_four, Some(8)),
            (vec![(16, Workgroup), (8, Workgroup)], of_four, None),
        ] {
            let made: Vec<Body> = bodies.iter().map(|(lanes, cooperation)| body(*lanes, *cooperation)).collect();
            assert_eq!(lanes(made.iter(), subgroups), expected, "{bodies:?}");
        }
    }
}
