//! What is known about a function's local variables: which hold traceable scalars, which arrays can be split, which are
//! never read.

use std::collections::{HashMap, HashSet};

use naga::{
    ArraySize, Block, Expression, Function, Handle, Literal, LocalVariable, Module, ScalarKind, Statement, Type,
    TypeInner,
};

use super::{Expressions, Known};

/// Elements of the largest array that becomes single variables.
const ELEMENTS_MAX: u32 = 256;

/// Variables that a copy of the function does without.
#[derive(Debug, Default)]
pub(super) struct Splits {
    /// Arrays whose every access is at a constant index: their element type and length.
    pub(super) arrays: HashMap<Handle<LocalVariable>, (Handle<Type>, u32)>,
    /// Variables that are only stored to.
    pub(super) dead: HashSet<Handle<LocalVariable>>,
}

impl Splits {
    pub(super) fn is_empty(&self) -> bool {
        self.arrays.is_empty() && self.dead.is_empty()
    }

    pub(super) fn of(module: &Module, function: &Function) -> Splits {
        let uses = Uses::of(function);
        let mut splits = Splits::default();
        for (handle, variable) in function.local_variables.iter() {
            if !uses.read.contains(&handle) && !uses.escapes.contains(&handle) {
                splits.dead.insert(handle);
                continue;
            }
            let TypeInner::Array { base, size: ArraySize::Constant(n), .. } = module.types[variable.ty].inner else {
                continue;
            };
            let initial = variable.init.map(|init| &function.expressions[init]);
            let plain = matches!(initial, None | Some(Expression::Compose { .. } | Expression::ZeroValue(_)));
            if plain && n.get() <= ELEMENTS_MAX && !uses.escapes.contains(&handle) {
                splits.arrays.insert(handle, (base, n.get()));
            }
        }
        splits
    }
}

/// How variables are used.
#[derive(Default)]
struct Uses {
    /// Loaded, whole or in part.
    read: HashSet<Handle<LocalVariable>>,
    /// Accessed at an index that is not constant, or by a pointer that leaves the function.
    escapes: HashSet<Handle<LocalVariable>>,
    /// Accessed in part.
    parts: HashSet<Handle<LocalVariable>>,
}

impl Uses {
    fn of(function: &Function) -> Uses {
        let mut uses = Uses::default();
        let local = |e: Handle<Expression>| match function.expressions[e] {
            Expression::LocalVariable(local) => Some(local),
            _ => None,
        };
        for (_, expression) in function.expressions.iter() {
            match *expression {
                Expression::Load { pointer } => uses.read.extend(local(pointer)),
                Expression::AccessIndex { base, .. } => {
                    // A part may be loaded from; whether it is does not matter here.
                    uses.read.extend(local(base));
                    uses.parts.extend(local(base));
                }
                Expression::Access { base, .. } => uses.escapes.extend(local(base)),
                _ => {}
            }
        }
        visit(&function.body, &mut |statement| match statement {
            Statement::Call { arguments, .. } => uses.escapes.extend(arguments.iter().filter_map(|&a| local(a))),
            Statement::Atomic { pointer, .. } | Statement::WorkGroupUniformLoad { pointer, .. } => {
                uses.escapes.extend(local(*pointer));
            }
            _ => {}
        });
        uses
    }
}

/// Scalar variables of 32-bit integers and truth values that are only loaded and stored by name.
pub(super) fn trackable(module: &Module, function: &Function) -> HashSet<Handle<LocalVariable>> {
    let uses = Uses::of(function);
    function
        .local_variables
        .iter()
        .filter(|(_, v)| zero(&module.types[v.ty].inner).is_some())
        .map(|(handle, _)| handle)
        .filter(|handle| !uses.escapes.contains(handle) && !uses.parts.contains(handle))
        .collect()
}

/// What a variable without an initial value holds.
pub(super) fn zero_of(module: &Module, variable: &LocalVariable, init: Option<Handle<Expression>>) -> Option<Literal> {
    if init.is_some() { None } else { zero(&module.types[variable.ty].inner) }
}

/// Zero of a scalar type that is traced.
pub(super) fn zero(inner: &TypeInner) -> Option<Literal> {
    let TypeInner::Scalar(scalar) = inner else { return None };
    match (scalar.kind, scalar.width) {
        (ScalarKind::Uint, 4) => Some(Literal::U32(0)),
        (ScalarKind::Sint, 4) => Some(Literal::I32(0)),
        (ScalarKind::Bool, _) => Some(Literal::Bool(false)),
        _ => None,
    }
}

/// Removes from `known` what `block` may store to.
pub(super) fn forget_stored(expressions: &Expressions, block: &Block, known: &mut Known) {
    visit(block, &mut |statement| {
        if let Statement::Store { pointer, .. } = statement
            && let Expression::LocalVariable(local) = expressions[*pointer]
        {
            known.remove(&local);
        }
    });
}

/// Calls `f` for every statement of `block` and of the blocks inside.
pub(super) fn visit(block: &Block, f: &mut impl FnMut(&Statement)) {
    for statement in block {
        f(statement);
        match statement {
            Statement::Block(b) => visit(b, f),
            Statement::If { accept, reject, .. } => {
                visit(accept, f);
                visit(reject, f);
            }
            Statement::Switch { cases, .. } => cases.iter().for_each(|c| visit(&c.body, f)),
            Statement::Loop { body, continuing, .. } => {
                visit(body, f);
                visit(continuing, f);
            }
            _ => {}
        }
    }
}
