//! Copies of shared functions for the constants that they are called with, so that what depends on these is folded here.
//!
//! A driver does the same, but only after it has written out a function with all its branches at every call: kernels of
//! rows, with a dozen calls each, took half again as long to compile.

use std::collections::HashMap;

use naga::{Block, Expression, Function, Handle, Literal, Module, Span, Statement};

/// A function to be copied, the arguments that are constants, and the copy once it is there.
struct Copy {
    of: Handle<Function>,
    literals: Vec<(usize, Literal)>,
    place: Option<Handle<Function>>,
}

/// Lets every call of one of `functions` with constants among its arguments call a copy that is made for them. Handles of
/// functions change.
pub(super) fn specialize(module: &mut Module, functions: &[Handle<Function>]) {
    let mut copies = Vec::new();
    for (_, caller) in module.functions.iter() {
        collect(module, caller, &caller.body, functions, &mut copies);
    }
    if copies.is_empty() {
        return;
    }
    // Callees come before callers, so copies must stand right behind their originals.
    let old = std::mem::take(&mut module.functions);
    let mut moved = HashMap::new();
    for (handle, function) in old.iter() {
        let mut function = function.clone();
        let mut body = std::mem::take(&mut function.body);
        redirect(module, &mut function, &mut body, &copies, &moved);
        function.body = body;
        moved.insert(handle, module.functions.append(function.clone(), Span::UNDEFINED));
        for (n, copy) in copies.iter_mut().enumerate().filter(|(_, copy)| copy.of == handle) {
            let copied = with_literals(&function, &copy.literals, n);
            copy.place = Some(module.functions.append(copied, Span::UNDEFINED));
        }
    }
}

fn with_literals(function: &Function, literals: &[(usize, Literal)], number: usize) -> Function {
    let mut copy = function.clone();
    copy.name = function.name.as_ref().map(|name| format!("{name}_{number}"));
    for (_, expression) in copy.expressions.iter_mut() {
        let Expression::FunctionArgument(at) = *expression else { continue };
        if let Some((_, literal)) = literals.iter().find(|(argument, _)| *argument == at as usize) {
            *expression = Expression::Literal(*literal);
        }
    }
    copy
}

/// The arguments of a call in `caller` that are constants.
fn literals_of(module: &Module, caller: &Function, arguments: &[Handle<Expression>]) -> Vec<(usize, Literal)> {
    let literal = |expression: &Expression| match *expression {
        Expression::Literal(literal) => Some(literal),
        Expression::Constant(constant) => match module.global_expressions[module.constants[constant].init] {
            Expression::Literal(literal) => Some(literal),
            _ => None,
        },
        _ => None,
    };
    let all = arguments.iter().enumerate();
    all.filter_map(|(at, &argument)| Some((at, literal(&caller.expressions[argument])?))).collect()
}

fn collect(module: &Module, caller: &Function, block: &Block, functions: &[Handle<Function>], copies: &mut Vec<Copy>) {
    for statement in block {
        match statement {
            Statement::Call { function, arguments, .. } if functions.contains(function) => {
                let literals = literals_of(module, caller, arguments);
                if !literals.is_empty() && !copies.iter().any(|c| c.of == *function && c.literals == literals) {
                    copies.push(Copy { of: *function, literals, place: None });
                }
            }
            _ => inner(statement).into_iter().for_each(|block| collect(module, caller, block, functions, copies)),
        }
    }
}

fn inner(statement: &Statement) -> Vec<&Block> {
    match statement {
        Statement::Block(block) => vec![block],
        Statement::If { accept, reject, .. } => vec![accept, reject],
        Statement::Switch { cases, .. } => cases.iter().map(|case| &case.body).collect(),
        Statement::Loop { body, continuing, .. } => vec![body, continuing],
        _ => Vec::new(),
    }
}

/// Lets the calls in `block`, a part of `caller`, go to where functions are now.
fn redirect(
    module: &Module,
    caller: &mut Function,
    block: &mut Block,
    copies: &[Copy],
    moved: &HashMap<Handle<Function>, Handle<Function>>,
) {
    for statement in block.iter_mut() {
        let mut within = |block: &mut Block| redirect(module, caller, block, copies, moved);
        match statement {
            Statement::Call { function, arguments, result } => {
                let literals = literals_of(module, caller, arguments);
                let copy = copies.iter().find(|c| c.of == *function && c.literals == literals);
                *function = copy.and_then(|copy| copy.place).unwrap_or(moved[function]);
                if let Some(result) = result {
                    *caller.expressions.get_mut(*result) = Expression::CallResult(*function);
                }
            }
            Statement::Block(block) => within(block),
            Statement::If { accept, reject, .. } => {
                within(accept);
                within(reject);
            }
            Statement::Switch { cases, .. } => cases.iter_mut().for_each(|case| within(&mut case.body)),
            Statement::Loop { body, continuing, .. } => {
                within(body);
                within(continuing);
            }
            _ => {}
        }
    }
}
