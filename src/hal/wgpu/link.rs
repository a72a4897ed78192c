//! The naga linker: appends one shader module to another.
//!
//! Whole arenas are appended in order, so expression handles inside a function stay as they are: only references to
//! module-level things (types, constants, globals, functions) change. That keeps the linker small and independent of
//! most expression kinds.

use std::collections::HashMap;

use naga::{
    AddressSpace, Arena, Block, Constant, Expression, Function, GlobalVariable, Handle, Module, Span, Statement, Type,
    TypeInner,
};

/// Functions of the target, by the name under which the appended module declares them.
pub(super) type Functions = HashMap<String, Handle<Function>>;

struct Maps {
    types: HashMap<Handle<Type>, Handle<Type>>,
    constants: HashMap<Handle<Constant>, Handle<Constant>>,
    global_expressions: HashMap<Handle<Expression>, Handle<Expression>>,
    globals: HashMap<Handle<GlobalVariable>, Handle<GlobalVariable>>,
    functions: HashMap<Handle<Function>, Handle<Function>>,
}

/// Appends `source` to `target` and answers where each function went.
///
/// A function named in `known` is a declaration: calls to it go to the known handle, whose types must be the declared
/// ones. A global with the binding of a global that the target already has becomes that one; their types must be equal.
/// Workgroup memory of the target serves again for variables of equal type: it belongs to whatever runs at the moment.
/// Entry points are appended too.
pub(super) fn append(target: &mut Module, source: &Module, known: &Functions) -> Result<Functions, String> {
    if !source.overrides.is_empty() {
        return Err("`override` declarations cannot be linked; use `const`".into());
    }
    let mut maps = Maps {
        types: HashMap::new(),
        constants: HashMap::new(),
        global_expressions: HashMap::new(),
        globals: HashMap::new(),
        functions: HashMap::new(),
    };
    for (handle, ty) in source.types.iter() {
        let ty = maps.ty(ty);
        maps.types.insert(handle, target.types.insert(ty, Span::UNDEFINED));
    }
    // `modf` and its like return predeclared structs, which are found through this table.
    for (kind, ty) in &source.special_types.predeclared_types {
        target.special_types.predeclared_types.insert(kind.clone(), maps.types[ty]);
    }
    maps.append_constants(target, source)?;
    maps.append_globals(target, source)?;
    let mut placed = Functions::new();
    for (handle, function) in source.functions.iter() {
        let name = function.name.clone().unwrap_or_default();
        let mut function = function.clone();
        maps.function(&mut function);
        let new = match known.get(&name) {
            None => target.functions.append(function, Span::UNDEFINED),
            Some(&there) if same_types(&target.functions[there], &function) => there,
            Some(_) => return Err(format!("{name} is declared with other types than it has")),
        };
        maps.functions.insert(handle, new);
        placed.insert(name, new);
    }
    if let Some(name) = known.keys().find(|name| !placed.contains_key(*name)) {
        return Err(format!("{name} is to be linked but not declared"));
    }
    for entry in &source.entry_points {
        let mut entry = entry.clone();
        maps.function(&mut entry.function);
        target.entry_points.push(entry);
    }
    Ok(placed)
}

/// Whether arguments and result have the same types.
fn same_types(one: &Function, other: &Function) -> bool {
    let types = |f: &Function| -> Vec<_> {
        f.arguments.iter().map(|a| a.ty).chain(f.result.as_ref().map(|result| result.ty)).collect()
    };
    one.arguments.len() == other.arguments.len() && types(one) == types(other)
}

impl Maps {
    /// Constants and global expressions refer to each other: constants come first with stale initialisers.
    fn append_constants(&mut self, target: &mut Module, source: &Module) -> Result<(), String> {
        for (handle, constant) in source.constants.iter() {
            let constant = Constant { ty: self.types[&constant.ty], ..constant.clone() };
            self.constants.insert(handle, target.constants.append(constant, Span::UNDEFINED));
        }
        for (handle, expression) in source.global_expressions.iter() {
            let expression = self.global_expression(expression)?;
            let new = target.global_expressions.append(expression, Span::UNDEFINED);
            self.global_expressions.insert(handle, new);
        }
        for (handle, constant) in source.constants.iter() {
            let new = self.constants[&handle];
            target.constants.get_mut(new).init = self.global_expressions[&constant.init];
        }
        Ok(())
    }

    fn append_globals(&mut self, target: &mut Module, source: &Module) -> Result<(), String> {
        let mut free: Vec<Handle<GlobalVariable>> = target
            .global_variables
            .iter()
            .filter(|(_, known)| known.space == AddressSpace::WorkGroup)
            .map(|(handle, _)| handle)
            .collect();
        for (handle, variable) in source.global_variables.iter() {
            let ty = self.types[&variable.ty];
            if variable.space == AddressSpace::WorkGroup
                && let Some(at) = free.iter().position(|&known| target.global_variables[known].ty == ty)
            {
                self.globals.insert(handle, free.remove(at));
                continue;
            }
            let shared = target
                .global_variables
                .iter()
                .find(|(_, known)| known.binding.is_some() && known.binding == variable.binding);
            let new = match shared {
                Some((known, there)) if there.ty == ty => known,
                Some((_, there)) => {
                    return Err(format!(
                        "{:?} and {:?} have one binding but different types",
                        variable.name, there.name
                    ));
                }
                None => {
                    let init = variable.init.map(|e| self.global_expressions[&e]);
                    let variable = GlobalVariable { ty, init, ..variable.clone() };
                    target.global_variables.append(variable, Span::UNDEFINED)
                }
            };
            self.globals.insert(handle, new);
        }
        Ok(())
    }

    fn ty(&self, ty: &Type) -> Type {
        let mut ty = ty.clone();
        match &mut ty.inner {
            TypeInner::Pointer { base, .. } | TypeInner::Array { base, .. } | TypeInner::BindingArray { base, .. } => {
                *base = self.types[base];
            }
            TypeInner::Struct { members, .. } => {
                members.iter_mut().for_each(|m| m.ty = self.types[&m.ty]);
            }
            _ => {}
        }
        ty
    }

    fn global_expression(&self, expression: &Expression) -> Result<Expression, String> {
        let mut expression = expression.clone();
        match &mut expression {
            Expression::Literal(_) => {}
            Expression::Constant(c) => *c = self.constants[c],
            Expression::ZeroValue(ty) => *ty = self.types[ty],
            Expression::Compose { ty, components } => {
                *ty = self.types[ty];
                components.iter_mut().for_each(|c| *c = self.global_expressions[c]);
            }
            Expression::Splat { value, .. } => *value = self.global_expressions[value],
            other => return Err(format!("a constant of this form cannot be linked: {other:?}")),
        }
        Ok(expression)
    }

    fn function(&self, function: &mut Function) {
        function.arguments.iter_mut().for_each(|a| a.ty = self.types[&a.ty]);
        function.result.iter_mut().for_each(|r| r.ty = self.types[&r.ty]);
        function.local_variables.iter_mut().for_each(|(_, v)| v.ty = self.types[&v.ty]);
        // Diagnostic filters are a front-end matter and live in an arena that is not copied.
        function.diagnostic_filter_leaf = None;
        self.expressions(&mut function.expressions);
        self.block(&mut function.body);
    }

    fn expressions(&self, expressions: &mut Arena<Expression>) {
        for (_, expression) in expressions.iter_mut() {
            match expression {
                Expression::Constant(c) => *c = self.constants[c],
                Expression::GlobalVariable(g) => *g = self.globals[g],
                Expression::CallResult(f) => *f = self.functions[f],
                Expression::ZeroValue(ty)
                | Expression::Compose { ty, .. }
                | Expression::AtomicResult { ty, .. }
                | Expression::WorkGroupUniformLoadResult { ty }
                | Expression::SubgroupOperationResult { ty } => *ty = self.types[ty],
                _ => {}
            }
        }
    }

    fn block(&self, block: &mut Block) {
        for (statement, _) in block.span_iter_mut() {
            match statement {
                Statement::Call { function, .. } => *function = self.functions[function],
                Statement::Block(b) => self.block(b),
                Statement::If { accept, reject, .. } => {
                    self.block(accept);
                    self.block(reject);
                }
                Statement::Switch { cases, .. } => {
                    cases.iter_mut().for_each(|c| self.block(&mut c.body));
                }
                Statement::Loop { body, continuing, .. } => {
                    self.block(body);
                    self.block(continuing);
                }
                _ => {}
            }
        }
    }
}
