//! Arithmetic on literals: 32-bit integers and truth values only, so that no rounding is involved.

use naga::{BinaryOperator as B, Expression, Handle, Literal, MathFunction, Module, ScalarKind, UnaryOperator};

use super::Expressions;

/// Identifies literals of the kinds that are shared.
pub(super) fn key(literal: Literal) -> Option<(u8, u32)> {
    match literal {
        Literal::U32(v) => Some((0, v)),
        Literal::I32(v) => Some((1, v as u32)),
        Literal::Bool(v) => Some((2, u32::from(v))),
        Literal::F32(v) => Some((3, v.to_bits())),
        _ => None,
    }
}

/// The integer or truth value that an expression without operands is.
pub(super) fn constant(module: &Module, expressions: &Expressions, handle: Handle<Expression>) -> Option<Literal> {
    let of_type = |ty| super::locals::zero(&module.types[ty].inner);
    let literal = match expressions[handle] {
        Expression::Literal(literal) => literal,
        Expression::ZeroValue(ty) => of_type(ty)?,
        Expression::Constant(c) => match module.global_expressions[module.constants[c].init] {
            Expression::Literal(literal) => literal,
            Expression::ZeroValue(ty) => of_type(ty)?,
            _ => return None,
        },
        _ => return None,
    };
    matches!(literal, Literal::U32(_) | Literal::I32(_) | Literal::Bool(_)).then_some(literal)
}

/// The value of an expression whose operands are literals.
pub(super) fn fold(
    expression: &Expression,
    literal: impl Fn(Handle<Expression>) -> Option<Literal>,
) -> Option<Literal> {
    match *expression {
        Expression::Binary { op, left, right } => match (literal(left)?, literal(right)?) {
            (Literal::U32(l), Literal::U32(r)) => unsigned(op, l, r),
            (Literal::I32(l), Literal::U32(r)) => match op {
                B::ShiftLeft => Some(Literal::I32(l.wrapping_shl(r))),
                B::ShiftRight => Some(Literal::I32(l.wrapping_shr(r))),
                _ => None,
            },
            (Literal::I32(l), Literal::I32(r)) => signed(op, l, r),
            (Literal::Bool(l), Literal::Bool(r)) => truth(op, l, r),
            _ => None,
        },
        Expression::Unary { op, expr } => match (op, literal(expr)?) {
            (UnaryOperator::LogicalNot, Literal::Bool(v)) => Some(Literal::Bool(!v)),
            (UnaryOperator::BitwiseNot, Literal::U32(v)) => Some(Literal::U32(!v)),
            (UnaryOperator::Negate, Literal::I32(v)) => Some(Literal::I32(v.wrapping_neg())),
            _ => None,
        },
        Expression::Math { fun, arg, arg1: Some(arg1), arg2: None, .. } => match (fun, literal(arg)?, literal(arg1)?) {
            (MathFunction::Min, Literal::U32(l), Literal::U32(r)) => Some(Literal::U32(l.min(r))),
            (MathFunction::Max, Literal::U32(l), Literal::U32(r)) => Some(Literal::U32(l.max(r))),
            (MathFunction::Min, Literal::I32(l), Literal::I32(r)) => Some(Literal::I32(l.min(r))),
            (MathFunction::Max, Literal::I32(l), Literal::I32(r)) => Some(Literal::I32(l.max(r))),
            _ => None,
        },
        Expression::As { expr, kind, convert: Some(4) } => match (literal(expr)?, kind) {
            (Literal::U32(v), ScalarKind::Sint) => Some(Literal::I32(v as i32)),
            (Literal::I32(v), ScalarKind::Uint) => Some(Literal::U32(v as u32)),
            (Literal::Bool(v), ScalarKind::Uint) => Some(Literal::U32(u32::from(v))),
            (Literal::Bool(v), ScalarKind::Sint) => Some(Literal::I32(i32::from(v))),
            _ => None,
        },
        Expression::Select { condition, accept, reject } => match literal(condition)? {
            Literal::Bool(true) => literal(accept),
            Literal::Bool(false) => literal(reject),
            _ => None,
        },
        _ => None,
    }
}

/// The operand that an expression is equal to: `x + 0`, `x * 1`, `true && x`.
pub(super) fn identity(
    expression: &Expression,
    literal: impl Fn(Handle<Expression>) -> Option<Literal>,
) -> Option<Handle<Expression>> {
    let is = |e, wanted: u32| match literal(e) {
        Some(Literal::U32(v)) => v == wanted,
        Some(Literal::I32(v)) => v as u32 == wanted,
        _ => false,
    };
    match *expression {
        Expression::Binary { op: B::Add, left, right } if is(left, 0) => Some(right),
        Expression::Binary { op: B::Add | B::Subtract, left, right } if is(right, 0) => Some(left),
        Expression::Binary { op: B::Multiply, left, right } if is(left, 1) => Some(right),
        Expression::Binary { op: B::Multiply | B::Divide, left, right } if is(right, 1) => Some(left),
        Expression::Select { condition, accept, reject } => match literal(condition) {
            Some(Literal::Bool(true)) => Some(accept),
            Some(Literal::Bool(false)) => Some(reject),
            _ => None,
        },
        _ => None,
    }
}

fn unsigned(op: B, l: u32, r: u32) -> Option<Literal> {
    let value = match op {
        B::Add => l.wrapping_add(r),
        B::Subtract => l.wrapping_sub(r),
        B::Multiply => l.wrapping_mul(r),
        B::Divide => l.checked_div(r)?,
        B::Modulo => l.checked_rem(r)?,
        B::And => l & r,
        B::InclusiveOr => l | r,
        B::ExclusiveOr => l ^ r,
        B::ShiftLeft => l.wrapping_shl(r),
        B::ShiftRight => l.wrapping_shr(r),
        _ => return compare(op, l, r),
    };
    Some(Literal::U32(value))
}

fn signed(op: B, l: i32, r: i32) -> Option<Literal> {
    let value = match op {
        B::Add => l.wrapping_add(r),
        B::Subtract => l.wrapping_sub(r),
        B::Multiply => l.wrapping_mul(r),
        B::Divide => l.checked_div(r)?,
        B::Modulo => l.checked_rem(r)?,
        B::And => l & r,
        B::InclusiveOr => l | r,
        B::ExclusiveOr => l ^ r,
        _ => return compare(op, l, r),
    };
    Some(Literal::I32(value))
}

fn truth(op: B, l: bool, r: bool) -> Option<Literal> {
    Some(Literal::Bool(match op {
        B::LogicalAnd | B::And => l && r,
        B::LogicalOr | B::InclusiveOr => l || r,
        B::Equal => l == r,
        B::NotEqual | B::ExclusiveOr => l != r,
        _ => return None,
    }))
}

fn compare<T: Ord>(op: B, l: T, r: T) -> Option<Literal> {
    Some(Literal::Bool(match op {
        B::Equal => l == r,
        B::NotEqual => l != r,
        B::Less => l < r,
        B::LessEqual => l <= r,
        B::Greater => l > r,
        B::GreaterEqual => l >= r,
        _ => return None,
    }))
}
