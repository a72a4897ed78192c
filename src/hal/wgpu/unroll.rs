//! Partial evaluation of kernel functions in naga's IR, so that kernel files can be written with short loops of constant
//! length over local arrays and still run out of registers.
//!
//! Three things happen to each function:
//! - `for` loops whose bounds are constants are unrolled, nested ones too; their variables become literals, and integer
//!   arithmetic, comparisons and branches on literals are folded.
//! - Local arrays that are only accessed at constant indices become one variable per element.
//! - A subgroup shuffle from a lane that became a constant becomes a broadcast.
//!
//! Why: software devices keep arrays that a loop indexes in memory (SwiftShader: 6.6 times slower), and WGSL wants a
//! constant expression as the lane of a broadcast, which a loop variable is not. Nothing changes a result: the same
//! operations happen in the same order. Loops with other bounds, and loops that are left in their middle, stay.

mod fold;
mod locals;
mod trips;

use std::collections::{HashMap, HashSet};

use naga::{
    Arena, Block, Expression, Function, GatherMode, Handle, Literal, LocalVariable, Module, Range, Span, Statement,
    SwitchCase,
};

use locals::Splits;

/// Iterations of one loop that are written out at most; longer loops stay.
const TRIPS_MAX: u32 = 64;
/// Expressions of a function beyond which no further loop is unrolled.
const EXPRESSIONS_MAX: usize = 40_000;
/// Times that arrays are split: arrays of arrays need one round per level.
const ROUNDS: usize = 3;

/// Evaluates every function of `module`.
///
/// # Errors
/// A sentence that names the function and the kind of statement or expression that kernels do not use.
pub(super) fn unroll(module: &mut Module) -> Result<(), String> {
    let handles: Vec<Handle<Function>> = module.functions.iter().map(|(h, _)| h).collect();
    for handle in handles {
        let mut function = module.functions[handle].clone();
        for round in 0..=ROUNDS {
            let splits = if round == 0 { Splits::default() } else { Splits::of(module, &function) };
            if round > 0 && splits.is_empty() {
                break;
            }
            function = Evaluator::run(module, &function, splits)
                .map_err(|e| format!("{}: {e}", function.name.as_deref().unwrap_or("a function")))?;
        }
        *module.functions.get_mut(handle) = function;
    }
    Ok(())
}

/// What a local variable of the old function is in the new one.
#[derive(Clone, Debug)]
enum Local {
    Whole(Handle<Expression>),
    Split(Vec<Handle<Expression>>),
    Dropped,
}

/// Literals that scalar variables are known to hold.
type Known = HashMap<Handle<LocalVariable>, Literal>;

/// Copies a function statement by statement and evaluates what is constant.
struct Evaluator<'a> {
    module: &'a Module,
    old: &'a Function,
    new: Function,
    /// The latest copy of each old expression.
    map: HashMap<Handle<Expression>, Handle<Expression>>,
    locals: HashMap<Handle<LocalVariable>, Local>,
    literals: HashMap<(u8, u32), Handle<Expression>>,
    known: Known,
    trackable: HashSet<Handle<LocalVariable>>,
}

impl<'a> Evaluator<'a> {
    fn run(module: &'a Module, old: &'a Function, splits: Splits) -> Result<Function, String> {
        let new = Function {
            name: old.name.clone(),
            arguments: old.arguments.clone(),
            result: old.result.clone(),
            ..Function::default()
        };
        let mut evaluator = Evaluator {
            module,
            old,
            new,
            map: HashMap::new(),
            locals: HashMap::new(),
            literals: HashMap::new(),
            known: Known::new(),
            trackable: locals::trackable(module, old),
        };
        evaluator.declare_locals(&splits)?;
        let mut body = Block::new();
        evaluator.block(&old.body, &mut body)?;
        evaluator.new.body = body;
        Ok(evaluator.new)
    }

    fn declare_locals(&mut self, splits: &Splits) -> Result<(), String> {
        for (handle, variable) in self.old.local_variables.iter() {
            let place = if splits.dead.contains(&handle) {
                Local::Dropped
            } else if let Some(&(element, n)) = splits.arrays.get(&handle) {
                let parts = (0..n).map(|i| {
                    let init = variable.init.and_then(|init| match &self.old.expressions[init] {
                        Expression::Compose { components, .. } => Some(components[i as usize]),
                        _ => None,
                    });
                    let name = variable.name.as_ref().map(|name| format!("{name}_{i}"));
                    (LocalVariable { name, ty: element, init: None }, init)
                });
                let parts: Vec<_> = parts.collect();
                Local::Split(parts.into_iter().map(|(v, init)| self.declare(v, init)).collect::<Result<_, _>>()?)
            } else {
                let copy = LocalVariable { init: None, ..variable.clone() };
                Local::Whole(self.declare(copy, variable.init)?)
            };
            self.locals.insert(handle, place);
            if self.trackable.contains(&handle) {
                let init = variable.init.and_then(|init| fold::constant(self.module, &self.old.expressions, init));
                if let Some(literal) = init.or_else(|| locals::zero_of(self.module, variable, variable.init)) {
                    self.known.insert(handle, literal);
                }
            }
        }
        Ok(())
    }

    fn declare(
        &mut self,
        variable: LocalVariable,
        init: Option<Handle<Expression>>,
    ) -> Result<Handle<Expression>, String> {
        let init = init.map(|e| self.constant_copy(e)).transpose()?;
        let local = self.new.local_variables.append(LocalVariable { init, ..variable }, Span::UNDEFINED);
        Ok(self.append(Expression::LocalVariable(local)))
    }

    /// A constant expression outside any block, for initial values.
    fn constant_copy(&mut self, old: Handle<Expression>) -> Result<Handle<Expression>, String> {
        let mut expression = self.old.expressions[old].clone();
        match &mut expression {
            Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_) => {}
            Expression::Compose { components, .. } => {
                for component in components {
                    *component = self.constant_copy(*component)?;
                }
            }
            Expression::Splat { value, .. } => *value = self.constant_copy(*value)?,
            other => return Err(format!("an initial value of this form: {other:?}")),
        }
        Ok(self.append(expression))
    }

    fn append(&mut self, expression: Expression) -> Handle<Expression> {
        self.new.expressions.append(expression, Span::UNDEFINED)
    }

    /// Appends an expression and emits it at the end of `out`.
    fn emit(&mut self, expression: Expression, out: &mut Block) -> Handle<Expression> {
        let handle = self.append(expression);
        let joins = match out.last() {
            Some(Statement::Emit(range)) => {
                range.first_and_last().filter(|(_, last)| last.index() + 1 == handle.index())
            }
            _ => None,
        };
        let first = joins.map_or(handle, |(first, _)| first);
        if joins.is_some() {
            out.cull(out.len() - 1..);
        }
        out.push(Statement::Emit(Range::new_from_bounds(first, handle)), Span::UNDEFINED);
        handle
    }

    fn literal(&mut self, literal: Literal) -> Handle<Expression> {
        let Some(key) = fold::key(literal) else { return self.append(Expression::Literal(literal)) };
        if let Some(&handle) = self.literals.get(&key) {
            return handle;
        }
        let handle = self.append(Expression::Literal(literal));
        self.literals.insert(key, handle);
        handle
    }

    /// The literal that a new expression is.
    fn literal_of(&self, new: Handle<Expression>) -> Option<Literal> {
        fold::constant(self.module, &self.new.expressions, new)
    }

    /// The copy of an old expression; those that need no emission are copied on demand.
    fn value(&mut self, old: Handle<Expression>) -> Result<Handle<Expression>, String> {
        if let Some(&new) = self.map.get(&old) {
            return Ok(new);
        }
        let new = match &self.old.expressions[old] {
            Expression::Literal(literal) => self.literal(*literal),
            Expression::LocalVariable(local) => match &self.locals[local] {
                Local::Whole(new) => *new,
                _ => return Err("a variable that is gone is used".into()),
            },
            expression if expression.needs_pre_emit() => self.append(expression.clone()),
            other => return Err(format!("used before it is computed: {other:?}")),
        };
        self.map.insert(old, new);
        Ok(new)
    }

    fn local_behind(&self, pointer: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        match self.old.expressions[pointer] {
            Expression::LocalVariable(local) => Some(local),
            _ => None,
        }
    }

    /// Copies `block` to the end of `out`; true when its end cannot be reached.
    fn block(&mut self, block: &Block, out: &mut Block) -> Result<bool, String> {
        for statement in block {
            if self.statement(statement, out)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn nested(&mut self, block: &Block) -> Result<Block, String> {
        let mut out = Block::new();
        self.block(block, &mut out)?;
        Ok(out)
    }

    /// Copies one statement; true when what follows it cannot be reached.
    fn statement(&mut self, statement: &Statement, out: &mut Block) -> Result<bool, String> {
        let plain = |statement, out: &mut Block| out.push(statement, Span::UNDEFINED);
        match statement {
            Statement::Emit(range) => {
                for old in range.clone() {
                    let new = self.expression(old, out)?;
                    self.map.insert(old, new);
                }
            }
            Statement::Block(block) => return self.block(block, out),
            Statement::If { condition, accept, reject } => return self.branch(*condition, accept, reject, out),
            Statement::Switch { selector, cases } => {
                let selector = self.value(*selector)?;
                let before = self.known.clone();
                let mut new_cases = Vec::new();
                for case in cases {
                    self.known = if case.fall_through { Known::new() } else { before.clone() };
                    locals::forget_stored(&self.old.expressions, &case.body, &mut self.known);
                    new_cases.push(SwitchCase { body: self.nested(&case.body)?, ..case.clone() });
                }
                self.known = before;
                for case in cases {
                    locals::forget_stored(&self.old.expressions, &case.body, &mut self.known);
                }
                plain(Statement::Switch { selector, cases: new_cases }, out);
            }
            Statement::Loop { body, continuing, break_if } => match self.trips(body, continuing, *break_if) {
                Some(n) => {
                    for _ in 0..n {
                        // The header's condition is known to hold: only its values are computed.
                        for statement in body.iter().filter(|s| !trips::is_exit(s)) {
                            if self.statement(statement, out)? {
                                return Ok(true);
                            }
                        }
                        self.block(continuing, out)?;
                    }
                }
                None => self.keep_loop(body, continuing, *break_if, out)?,
            },
            Statement::Break => {
                plain(Statement::Break, out);
                return Ok(true);
            }
            Statement::Continue => {
                plain(Statement::Continue, out);
                return Ok(true);
            }
            Statement::Return { value } => {
                let value = value.map(|v| self.value(v)).transpose()?;
                plain(Statement::Return { value }, out);
                return Ok(true);
            }
            Statement::ControlBarrier(flags) => plain(Statement::ControlBarrier(*flags), out),
            Statement::MemoryBarrier(flags) => plain(Statement::MemoryBarrier(*flags), out),
            Statement::Store { pointer, value } => self.store(*pointer, *value, out)?,
            Statement::Call { function, arguments, result } => {
                let arguments = arguments.iter().map(|&a| self.value(a)).collect::<Result<_, _>>()?;
                let result = result.map(|r| self.result(r));
                plain(Statement::Call { function: *function, arguments, result }, out);
            }
            Statement::Atomic { pointer, fun, value, result } => {
                let mut fun = *fun;
                if let naga::AtomicFunction::Exchange { compare: Some(compare) } = &mut fun {
                    *compare = self.value(*compare)?;
                }
                let (pointer, value) = (self.value(*pointer)?, self.value(*value)?);
                let result = result.map(|r| self.result(r));
                plain(Statement::Atomic { pointer, fun, value, result }, out);
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                let pointer = self.value(*pointer)?;
                let result = self.result(*result);
                plain(Statement::WorkGroupUniformLoad { pointer, result }, out);
            }
            Statement::SubgroupBallot { result, predicate } => {
                let predicate = predicate.map(|p| self.value(p)).transpose()?;
                let result = self.result(*result);
                plain(Statement::SubgroupBallot { result, predicate }, out);
            }
            Statement::SubgroupGather { mode, argument, result } => {
                let mode = self.gather_mode(*mode)?;
                let argument = self.value(*argument)?;
                let result = self.result(*result);
                plain(Statement::SubgroupGather { mode, argument, result }, out);
            }
            Statement::SubgroupCollectiveOperation { op, collective_op, argument, result } => {
                let argument = self.value(*argument)?;
                let (op, collective_op, result) = (*op, *collective_op, self.result(*result));
                plain(Statement::SubgroupCollectiveOperation { op, collective_op, argument, result }, out);
            }
            other => return Err(format!("kernels do not use this statement: {other:?}")),
        }
        Ok(false)
    }

    /// A new result of a statement; each statement has its own.
    fn result(&mut self, old: Handle<Expression>) -> Handle<Expression> {
        let new = self.append(self.old.expressions[old].clone());
        self.map.insert(old, new);
        new
    }

    fn gather_mode(&mut self, mode: GatherMode) -> Result<GatherMode, String> {
        Ok(match mode {
            GatherMode::Shuffle(lane) => {
                let lane = self.value(lane)?;
                match self.literal_of(lane) {
                    Some(_) => GatherMode::Broadcast(lane),
                    None => GatherMode::Shuffle(lane),
                }
            }
            GatherMode::Broadcast(lane) => GatherMode::Broadcast(self.value(lane)?),
            GatherMode::ShuffleDown(by) => GatherMode::ShuffleDown(self.value(by)?),
            GatherMode::ShuffleUp(by) => GatherMode::ShuffleUp(self.value(by)?),
            GatherMode::ShuffleXor(mask) => GatherMode::ShuffleXor(self.value(mask)?),
            GatherMode::QuadBroadcast(lane) => GatherMode::QuadBroadcast(self.value(lane)?),
            GatherMode::BroadcastFirst | GatherMode::QuadSwap(_) => mode,
        })
    }

    fn branch(
        &mut self,
        condition: Handle<Expression>,
        accept: &Block,
        reject: &Block,
        out: &mut Block,
    ) -> Result<bool, String> {
        let condition = self.value(condition)?;
        if let Some(Literal::Bool(taken)) = self.literal_of(condition) {
            return self.block(if taken { accept } else { reject }, out);
        }
        let before = self.known.clone();
        let new_accept = self.nested(accept)?;
        self.known = before.clone();
        let new_reject = self.nested(reject)?;
        self.known = before;
        locals::forget_stored(&self.old.expressions, accept, &mut self.known);
        locals::forget_stored(&self.old.expressions, reject, &mut self.known);
        out.push(Statement::If { condition, accept: new_accept, reject: new_reject }, Span::UNDEFINED);
        Ok(false)
    }

    fn trips(&self, body: &Block, continuing: &Block, break_if: Option<Handle<Expression>>) -> Option<u32> {
        if break_if.is_some() || self.new.expressions.len() > EXPRESSIONS_MAX {
            return None;
        }
        let fixed = |old: Handle<Expression>| self.map.get(&old).and_then(|&new| self.literal_of(new));
        trips::count(self.module, self.old, body, continuing, &self.known, fixed, TRIPS_MAX)
    }

    fn keep_loop(
        &mut self,
        body: &Block,
        continuing: &Block,
        break_if: Option<Handle<Expression>>,
        out: &mut Block,
    ) -> Result<(), String> {
        for block in [body, continuing] {
            locals::forget_stored(&self.old.expressions, block, &mut self.known);
        }
        let at_entry = self.known.clone();
        let new_body = self.nested(body)?;
        // `continue` jumps here from anywhere in the body.
        self.known = at_entry.clone();
        let new_continuing = self.nested(continuing)?;
        let break_if = break_if.map(|e| self.value(e)).transpose()?;
        self.known = at_entry;
        out.push(Statement::Loop { body: new_body, continuing: new_continuing, break_if }, Span::UNDEFINED);
        Ok(())
    }

    fn store(&mut self, pointer: Handle<Expression>, value: Handle<Expression>, out: &mut Block) -> Result<(), String> {
        let local = self.local_behind(pointer);
        let value = self.value(value)?;
        if let Some(local) = local.filter(|l| self.trackable.contains(l)) {
            match self.literal_of(value) {
                Some(literal) => self.known.insert(local, literal),
                None => self.known.remove(&local),
            };
        }
        match local.map(|l| self.locals[&l].clone()) {
            Some(Local::Dropped) => {}
            Some(Local::Split(parts)) => {
                for (i, pointer) in (0..).zip(parts) {
                    let value = self.component(value, i, out);
                    out.push(Statement::Store { pointer, value }, Span::UNDEFINED);
                }
            }
            _ => {
                let pointer = self.value(pointer)?;
                out.push(Statement::Store { pointer, value }, Span::UNDEFINED);
            }
        }
        Ok(())
    }

    /// Element `index` of a new array value.
    fn component(&mut self, array: Handle<Expression>, index: u32, out: &mut Block) -> Handle<Expression> {
        match &self.new.expressions[array] {
            Expression::Compose { components, .. } => components[index as usize],
            &Expression::ZeroValue(ty) => match self.module.types[ty].inner {
                naga::TypeInner::Array { base, .. } => self.append(Expression::ZeroValue(base)),
                _ => self.emit(Expression::AccessIndex { base: array, index }, out),
            },
            _ => self.emit(Expression::AccessIndex { base: array, index }, out),
        }
    }

    /// Evaluates an old expression here: a literal, an earlier expression, or a new one that is emitted.
    fn expression(&mut self, old: Handle<Expression>, out: &mut Block) -> Result<Handle<Expression>, String> {
        let mut expression = self.old.expressions[old].clone();
        match &mut expression {
            Expression::Load { pointer } => {
                if let Some(local) = self.local_behind(*pointer) {
                    if let Some(&literal) = self.known.get(&local) {
                        return Ok(self.literal(literal));
                    }
                    if let Local::Split(parts) = self.locals[&local].clone() {
                        let ty = self.old.local_variables[local].ty;
                        let components =
                            parts.into_iter().map(|pointer| self.emit(Expression::Load { pointer }, out)).collect();
                        return Ok(self.emit(Expression::Compose { ty, components }, out));
                    }
                }
                *pointer = self.value(*pointer)?;
            }
            Expression::AccessIndex { base, index } => {
                if let Some(local) = self.local_behind(*base)
                    && let Local::Split(parts) = &self.locals[&local]
                {
                    return Ok(parts[*index as usize]);
                }
                *base = self.value(*base)?;
            }
            Expression::Access { base, index } => {
                *base = self.value(*base)?;
                *index = self.value(*index)?;
                let constant = match self.literal_of(*index) {
                    Some(Literal::U32(i)) => Some(i),
                    Some(Literal::I32(i)) => u32::try_from(i).ok(),
                    _ => None,
                };
                if let Some(index) = constant {
                    expression = Expression::AccessIndex { base: *base, index };
                }
            }
            Expression::Compose { components, .. } => {
                for component in components {
                    *component = self.value(*component)?;
                }
            }
            Expression::Splat { value: e, .. }
            | Expression::Swizzle { vector: e, .. }
            | Expression::Unary { expr: e, .. }
            | Expression::Relational { argument: e, .. }
            | Expression::As { expr: e, .. }
            | Expression::ArrayLength(e) => *e = self.value(*e)?,
            Expression::Binary { left, right, .. } => {
                *left = self.value(*left)?;
                *right = self.value(*right)?;
            }
            Expression::Select { condition, accept, reject } => {
                *condition = self.value(*condition)?;
                *accept = self.value(*accept)?;
                *reject = self.value(*reject)?;
            }
            Expression::Math { arg, arg1, arg2, arg3, .. } => {
                *arg = self.value(*arg)?;
                for arg in [arg1, arg2, arg3].into_iter().flatten() {
                    *arg = self.value(*arg)?;
                }
            }
            other => return Err(format!("kernels do not use this expression: {other:?}")),
        }
        if let Some(same) = self.simplified(&expression) {
            return Ok(same);
        }
        Ok(self.emit(expression, out))
    }

    /// What an expression over new operands is equal to, if that exists already or is a literal.
    fn simplified(&mut self, expression: &Expression) -> Option<Handle<Expression>> {
        if let &Expression::AccessIndex { base, index } = expression {
            return match &self.new.expressions[base] {
                Expression::Compose { ty, components } => {
                    let n = match self.module.types[*ty].inner {
                        naga::TypeInner::Vector { size, .. } => size as usize,
                        _ => components.len(),
                    };
                    (n == components.len()).then(|| components.get(index as usize).copied()).flatten()
                }
                Expression::Splat { value, .. } => Some(*value),
                _ => None,
            };
        }
        let literal = fold::fold(expression, |e| self.literal_of(e));
        if let Some(literal) = literal {
            return Some(self.literal(literal));
        }
        fold::identity(expression, |e| self.literal_of(e))
    }
}

/// Only for the modules below: an arena of a function.
type Expressions = Arena<Expression>;
