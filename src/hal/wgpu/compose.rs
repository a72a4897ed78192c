//! Composes a kernel into a complete shader: configured file, functions that it shares, its chain of fragments, constant loops unrolled, and a
//! generated entry point that reads the launch's parameters and walks the tiles.
//!
//! Bindings, all in group 0: 0 the launch table (words), 1 the weights (read), 2 the arena (read and write); 3 and 4 are
//! the weights and the arena again, for kernels that see them as elements of another type. The immediate data is
//! [`Job`]: where the parameters are in the table and which tiles to walk.

use bytemuck::{Pod, Zeroable};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{Function, Handle, Module, ScalarKind, Type, TypeInner};
use std::collections::HashMap;

use super::chain;
use super::link::{self, Functions};
use super::{specialize, unroll};
use crate::hal::{Chain, Fragment, KernelSpec};

/// The immediate data of a dispatch; the generated entry point declares the same four words.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Job {
    /// Index of the launch's first parameter word in the table.
    pub base: u32,
    /// First tile.
    pub first: u32,
    /// One past the last tile.
    pub end: u32,
    /// The stride of the walk.
    pub workers: u32,
}

/// A complete shader module for `spec`, validated. The entry point is `main`.
///
/// # Errors
/// A sentence that says what the kernel file lacks, or what naga found.
pub fn compose(spec: &KernelSpec) -> Result<Module, String> {
    let mut module = linked(spec, &spec.configured()?)?;
    let tile = format!("{}_tile", spec.name);
    let (op, fields) = operation(&module, &tile)?;
    let driver = parse("driver", &driver(&op, &fields, &tile, spec.lanes))?;
    let handle = function(&module, &tile)?;
    link::append(&mut module, &driver, &HashMap::from([(tile, handle)]))?;
    naga::compact::compact(&mut module, naga::compact::KeepUnused::No);
    validate(&module)?;
    Ok(module)
}

/// The kernel whose configured file is `text`, with everything that it calls and its constant loops unrolled; no entry
/// point.
///
/// # Errors
/// As [`compose`].
pub(super) fn linked(spec: &KernelSpec, text: &str) -> Result<Module, String> {
    let kernel = parse(spec.name, text)?;
    let mut module = Module::default();
    let mut linked = Functions::new();
    let mut known = link_files(&mut module, spec.functions, &mut linked)?;
    let shared: Vec<Handle<Function>> = known.values().copied().collect();
    if let Some(chain) = &spec.chain {
        known.insert("chain".into(), link_chain(&mut module, &kernel, chain, &mut linked)?);
    }
    link::append(&mut module, &kernel, &known)?;
    specialize::specialize(&mut module, &shared);
    unroll::unroll(&mut module)?;
    Ok(module)
}

/// The function called `name`.
pub(super) fn function(module: &Module, name: &str) -> Result<Handle<Function>, String> {
    let found = module.functions.iter().find(|(_, function)| function.name.as_deref() == Some(name));
    found.map(|(handle, _)| handle).ok_or(format!("there is no function {name}"))
}

/// Name and fields of the parameter struct that the tile function takes.
pub(super) fn operation(module: &Module, tile: &str) -> Result<(String, Vec<Field>), String> {
    let function = &module.functions[function(module, tile)?];
    let op = function.arguments.first().ok_or(format!("{tile} takes (op, tile, lane)"))?;
    let name = module.types[op.ty].name.clone();
    let name = name.ok_or(format!("the first parameter of {tile} must be a struct"))?;
    Ok((name, parameters(module, op.ty)?))
}

/// Sizes of the module's types.
pub(super) fn layouts(module: &Module) -> Result<naga::proc::Layouter, String> {
    let mut layouts = naga::proc::Layouter::default();
    layouts.update(module.to_ctx()).map_err(|e| e.to_string())?;
    Ok(layouts)
}

/// Checks a module with all that our devices offer.
///
/// # Errors
/// What naga found, with its causes.
pub fn validate(module: &Module) -> Result<naga::valid::ModuleInfo, String> {
    let capabilities =
        Capabilities::IMMEDIATES | Capabilities::SHADER_INT64 | Capabilities::SUBGROUP | Capabilities::SUBGROUP_BARRIER;
    Validator::new(ValidationFlags::all(), capabilities).validate(module).map_err(|e| e.emit_to_string(""))
}

pub(super) fn parse(name: &str, text: &str) -> Result<Module, String> {
    naga::front::wgsl::parse_str(text).map_err(|e| format!("{name}.wgsl: {}", e.emit_to_string(text)))
}

/// Links one-function files with what they call, each only once; `linked` has those that are there. Answers where `files`
/// went.
fn link_files(module: &mut Module, files: &[Fragment], linked: &mut Functions) -> Result<Functions, String> {
    let mut placed = Functions::new();
    for file in files {
        let called = link_files(module, file.functions, linked)?;
        if !linked.contains_key(file.name) {
            let functions = link::append(module, &parse(file.name, file.source)?, &called)?;
            let function = functions.get(file.name).ok_or(format!("{0}.wgsl has no function {0}", file.name))?;
            linked.insert(file.name.into(), *function);
        }
        placed.insert(file.name.into(), linked[file.name]);
    }
    Ok(placed)
}

/// Links the chain's fragments and its function, so that the kernel's own `chain` is only a declaration.
fn link_chain(
    module: &mut Module,
    kernel: &Module,
    chain: &Chain,
    linked: &mut Functions,
) -> Result<Handle<Function>, String> {
    let files: Vec<Fragment> = chain.steps.iter().map(|step| step.fragment).collect();
    let fragments = link_files(module, &files, linked)?;
    let (_, template) = kernel
        .functions
        .iter()
        .find(|(_, f)| f.name.as_deref() == Some("chain"))
        .ok_or("the kernel has no function `chain` to replace")?;
    // A module of the template alone brings its types into the target.
    let mut template = template.clone();
    let mut types = HashMap::new();
    for (handle, ty) in kernel.types.iter() {
        if let TypeInner::Scalar(_) | TypeInner::Array { .. } = ty.inner {
            types.insert(handle, adopt(module, kernel, handle));
        }
    }
    for argument in &mut template.arguments {
        argument.ty = types[&argument.ty];
    }
    if let Some(result) = &mut template.result {
        result.ty = types[&result.ty];
    }
    let function = chain::build(module, &template, chain, &fragments)?;
    Ok(module.functions.append(function, naga::Span::UNDEFINED))
}

/// The same scalar or array type in `module`.
fn adopt(module: &mut Module, kernel: &Module, handle: Handle<Type>) -> Handle<Type> {
    let mut ty = kernel.types[handle].clone();
    if let TypeInner::Array { base, .. } = &mut ty.inner {
        if matches!(kernel.types[*base].inner, TypeInner::Scalar(_)) {
            *base = adopt(module, kernel, *base);
        } else {
            // Arrays of other things are no chain arguments.
            return handle;
        }
    }
    module.types.insert(ty, naga::Span::UNDEFINED)
}

/// The declaration of a parameter struct in WGSL.
pub(super) fn declaration(name: &str, fields: &[Field]) -> String {
    let fields: String = fields.iter().map(|f| format!(" {}: {},", f.name, f.wgsl_type())).collect();
    format!("struct {name} {{{fields} }}\n")
}

/// A parameter struct in WGSL whose words begin at `words[base]`.
pub(super) fn value(name: &str, fields: &[Field], base: &str) -> String {
    let mut at = 0;
    let values: Vec<String> = fields
        .iter()
        .map(|field| {
            let value = field.wgsl_value(base, at);
            at += field.words();
            value
        })
        .collect();
    format!("{name}({})", values.join(", "))
}

/// The entry point in WGSL, with an empty declaration for the tile function.
fn driver(op: &str, fields: &[Field], tile: &str, lanes: u32) -> String {
    format!(
        "{}struct Job {{ base: u32, first: u32, end: u32, workers: u32, }}\n\
         @group(0) @binding(0) var<storage, read> words: array<u32>;\n\
         var<immediate> job: Job;\n\
         fn {tile}(op: {op}, tile: u32, lane: u32) {{}}\n\
         @compute @workgroup_size({lanes})\n\
         fn main(@builtin(workgroup_id) worker: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{\n\
           let op = {};\n\
           for (var tile = job.first + worker.x; tile < job.end; tile += job.workers) {{\n\
             {tile}(op, tile, lane);\n\
           }}\n\
         }}\n",
        declaration(op, fields),
        value(op, fields, "job.base")
    )
}

/// One field of a parameter struct: a 32-bit scalar or a short array of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// `u32`, `i32` or `f32`.
    pub scalar: &'static str,
    /// Length of the array, or `None` for a scalar.
    pub length: Option<u32>,
}

impl Field {
    /// Words that it takes in the launch table.
    pub fn words(&self) -> u32 {
        self.length.unwrap_or(1)
    }

    fn wgsl_type(&self) -> String {
        match self.length {
            None => self.scalar.into(),
            Some(n) => format!("array<{}, {n}>", self.scalar),
        }
    }

    fn wgsl_value(&self, base: &str, at: u32) -> String {
        let word = |i: u32| match self.scalar {
            "u32" => format!("words[{base} + {i}u]"),
            other => format!("bitcast<{other}>(words[{base} + {i}u])"),
        };
        match self.length {
            None => word(at),
            Some(n) => {
                let all: Vec<String> = (at..at + n).map(word).collect();
                format!("{}({})", self.wgsl_type(), all.join(", "))
            }
        }
    }
}

/// The fields of a kernel's parameter struct, for the driver and for the test that compares them with the host's.
///
/// # Errors
/// A sentence that names the field of a type that launches cannot carry.
pub fn parameters(kernel: &Module, ty: Handle<Type>) -> Result<Vec<Field>, String> {
    let TypeInner::Struct { members, .. } = &kernel.types[ty].inner else {
        return Err("the first parameter of a tile function must be a struct".into());
    };
    let scalar = |ty: Handle<Type>| match kernel.types[ty].inner {
        TypeInner::Scalar(s) if s.width == 4 => match s.kind {
            ScalarKind::Uint => Some("u32"),
            ScalarKind::Sint => Some("i32"),
            ScalarKind::Float => Some("f32"),
            _ => None,
        },
        _ => None,
    };
    members
        .iter()
        .map(|member| {
            let name = member.name.clone().unwrap_or_default();
            let (base, length) = match kernel.types[member.ty].inner {
                TypeInner::Array { base, size: naga::ArraySize::Constant(n), .. } => (base, Some(n.get())),
                _ => (member.ty, None),
            };
            let scalar = scalar(base).ok_or(format!("field {name}: 32-bit scalars and arrays of them only"))?;
            Ok(Field { name, scalar, length })
        })
        .collect()
}

/// The parameter fields that the WGSL file `source` declares for `NAME_tile`.
///
/// # Errors
/// As [`parameters`], or what the parser found.
pub fn declared_parameters(name: &str, source: &str) -> Result<Vec<Field>, String> {
    let module = parse(name, source)?;
    let tile = format!("{name}_tile");
    let (_, function) = module
        .functions
        .iter()
        .find(|(_, f)| f.name.as_deref() == Some(&tile))
        .ok_or(format!("{name}.wgsl has no function {tile}"))?;
    let op = function.arguments.first().ok_or(format!("{tile} takes (op, tile, lane)"))?;
    parameters(&module, op.ty)
}
