//! How often a loop runs, where that is known: `for` loops as naga's front end writes them, a header that leaves the
//! loop, a body, and an update.

use std::collections::HashMap;

use naga::{Block, Expression, Function, Handle, Literal, Module, Statement};

use super::{Known, fold, locals};

/// True for the header's `if (condition) {} else { break; }`.
pub(super) fn is_exit(statement: &Statement) -> bool {
    match statement {
        Statement::If { accept, reject, .. } => accept.is_empty() && matches!(reject[..], [Statement::Break]),
        _ => false,
    }
}

/// Iterations of the loop, if it is canonical and runs at most `max` times from what is `known` at its entry. `fixed`
/// answers what was computed before the loop.
pub(super) fn count(
    module: &Module,
    function: &Function,
    body: &Block,
    continuing: &Block,
    known: &Known,
    fixed: impl Fn(Handle<Expression>) -> Option<Literal>,
    max: u32,
) -> Option<u32> {
    let exit = body.iter().position(|s| !matches!(s, Statement::Emit(_)))?;
    let Statement::If { condition, .. } = body[exit] else { return None };
    if !is_exit(&body[exit]) || body[exit + 1..].iter().any(|s| is_exit(s) || leaves(s)) {
        return None;
    }
    let mut known = known.clone();
    for statement in &body[exit + 1..] {
        let block = Block::from_vec(vec![statement.clone()]);
        locals::forget_stored(&function.expressions, &block, &mut known);
    }
    let mut simulation = Simulation { module, function, known, values: HashMap::new() };
    for statement in body[..exit].iter().chain(continuing.iter()) {
        simulation.mark(statement);
    }
    for trips in 0..=max {
        for statement in &body[..exit] {
            simulation.step(statement, &fixed)?;
        }
        match simulation.value(condition, &fixed)? {
            Literal::Bool(true) => {}
            Literal::Bool(false) => return Some(trips),
            _ => return None,
        }
        for statement in continuing {
            simulation.step(statement, &fixed)?;
        }
    }
    None
}

/// True for statements that end an iteration, the loop or the function.
fn leaves(statement: &Statement) -> bool {
    match statement {
        Statement::Break | Statement::Continue | Statement::Return { .. } | Statement::Kill => true,
        Statement::Block(b) => b.iter().any(leaves),
        Statement::If { accept, reject, .. } => accept.iter().chain(reject.iter()).any(leaves),
        Statement::Switch { cases, .. } => {
            cases.iter().flat_map(|c| c.body.iter()).any(|s| leaves(s) && !matches!(s, Statement::Break))
        }
        Statement::Loop { body, continuing, .. } => {
            let mut returns = false;
            for block in [body, continuing] {
                locals::visit(block, &mut |s| returns |= matches!(s, Statement::Return { .. } | Statement::Kill));
            }
            returns
        }
        _ => false,
    }
}

/// The loop's header and update, run on what is known of its variables.
struct Simulation<'a> {
    module: &'a Module,
    function: &'a Function,
    known: Known,
    /// Expressions of the header and the update, and their latest values.
    values: HashMap<Handle<Expression>, Option<Literal>>,
}

impl Simulation<'_> {
    fn mark(&mut self, statement: &Statement) {
        if let Statement::Emit(range) = statement {
            self.values.extend(range.clone().map(|handle| (handle, None)));
        }
    }

    fn value(
        &self,
        handle: Handle<Expression>,
        fixed: &impl Fn(Handle<Expression>) -> Option<Literal>,
    ) -> Option<Literal> {
        match self.values.get(&handle) {
            Some(&value) => value,
            None => fold::constant(self.module, &self.function.expressions, handle).or_else(|| fixed(handle)),
        }
    }

    /// Runs one statement; `None` for statements that the header of a counting loop does not have.
    fn step(&mut self, statement: &Statement, fixed: &impl Fn(Handle<Expression>) -> Option<Literal>) -> Option<()> {
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    let expression = &self.function.expressions[handle];
                    let value = match expression {
                        Expression::Load { pointer } => match self.function.expressions[*pointer] {
                            Expression::LocalVariable(local) => self.known.get(&local).copied(),
                            _ => None,
                        },
                        _ => fold::fold(expression, |e| self.value(e, fixed)),
                    };
                    self.values.insert(handle, value);
                }
                Some(())
            }
            Statement::Store { pointer, value } => {
                let Expression::LocalVariable(local) = self.function.expressions[*pointer] else { return None };
                match self.value(*value, fixed) {
                    Some(literal) => self.known.insert(local, literal),
                    None => self.known.remove(&local),
                };
                Some(())
            }
            _ => None,
        }
    }
}
