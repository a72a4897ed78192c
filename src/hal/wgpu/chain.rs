//! Builds a `chain` function in naga's IR: the composition of one-function files that follows a convolution's sum or
//! makes up an elementwise kernel.

use naga::{Expression, Function, FunctionResult, Handle, Module, ScalarKind, Span, Statement, Type, TypeInner};

use super::link::Functions;
use crate::hal::{Chain, ChainArg};

/// The function that replaces `template` (`fn chain(x: array<f32, N>, s: array<f32, M>) -> f32`), whose types are
/// already those of `module`; `fragments` are the linked one-function files.
pub(super) fn build(
    module: &Module,
    template: &Function,
    chain: &Chain,
    fragments: &Functions,
) -> Result<Function, String> {
    let float = template.result.as_ref().ok_or("`chain` must return f32")?.ty;
    let mut function = Function {
        name: template.name.clone(),
        arguments: template.arguments.clone(),
        result: Some(FunctionResult { ty: float, binding: None }),
        ..Function::default()
    };
    let lengths = [array_length(module, template, 0)?, array_length(module, template, 1)?];
    let mut builder = Builder { module, function: &mut function, lengths };
    let sources = [builder.argument(0), builder.argument(1)];
    let mut results: Vec<Handle<Expression>> = Vec::new();
    for step in &chain.steps {
        let callee = fragments[step.fragment.name];
        let parameters = &module.functions[callee].arguments;
        if parameters.len() != step.args.len() {
            return Err(format!(
                "{} takes {} arguments, {} are given",
                step.fragment.name,
                parameters.len(),
                step.args.len()
            ));
        }
        let mut arguments = Vec::new();
        for (arg, parameter) in step.args.iter().zip(parameters) {
            let word = match *arg {
                ChainArg::Input(i) => builder.element(sources, 0, i)?,
                ChainArg::Scalar(i) => builder.element(sources, 1, i)?,
                ChainArg::Step(i) => *results.get(usize::from(i)).ok_or("a step uses a later step")?,
            };
            arguments.push(builder.reinterpreted(word, parameter.ty)?);
        }
        let result = builder.call(callee, arguments)?;
        results.push(builder.reinterpreted(result, float)?);
    }
    let value = match results.last() {
        Some(&value) => value,
        None => builder.element(sources, 0, 0)?,
    };
    function.body.push(Statement::Return { value: Some(value) }, Span::UNDEFINED);
    Ok(function)
}

fn array_length(module: &Module, template: &Function, at: usize) -> Result<u32, String> {
    let argument = template.arguments.get(at).ok_or("`chain` takes two arrays")?;
    match module.types[argument.ty].inner {
        TypeInner::Array { size: naga::ArraySize::Constant(n), .. } => Ok(n.get()),
        _ => Err("`chain` takes two arrays of constant length".into()),
    }
}

struct Builder<'a> {
    module: &'a Module,
    function: &'a mut Function,
    lengths: [u32; 2],
}

impl Builder<'_> {
    fn argument(&mut self, at: u32) -> Handle<Expression> {
        self.function.expressions.append(Expression::FunctionArgument(at), Span::UNDEFINED)
    }

    fn emit(&mut self, expression: Expression) -> Handle<Expression> {
        let before = self.function.expressions.len();
        let handle = self.function.expressions.append(expression, Span::UNDEFINED);
        let range = self.function.expressions.range_from(before);
        self.function.body.push(Statement::Emit(range), Span::UNDEFINED);
        handle
    }

    fn element(
        &mut self,
        sources: [Handle<Expression>; 2],
        source: usize,
        index: u8,
    ) -> Result<Handle<Expression>, String> {
        let index = u32::from(index);
        if index >= self.lengths[source] {
            return Err(format!("a chain uses argument {index}, the kernel passes {}", self.lengths[source]));
        }
        Ok(self.emit(Expression::AccessIndex { base: sources[source], index }))
    }

    fn scalar_kind(&self, ty: Handle<Type>) -> Result<ScalarKind, String> {
        match self.module.types[ty].inner {
            TypeInner::Scalar(scalar) if scalar.width == 4 => Ok(scalar.kind),
            ref other => Err(format!("fragments take 32-bit scalars, not {other:?}")),
        }
    }

    /// `word` with its bits read as `ty`.
    fn reinterpreted(&mut self, word: Handle<Expression>, ty: Handle<Type>) -> Result<Handle<Expression>, String> {
        let kind = self.scalar_kind(ty)?;
        if self.kind_of(word)? == kind {
            return Ok(word);
        }
        Ok(self.emit(Expression::As { expr: word, kind, convert: None }))
    }

    fn kind_of(&self, expression: Handle<Expression>) -> Result<ScalarKind, String> {
        match self.function.expressions[expression] {
            Expression::CallResult(f) => {
                let result = self.module.functions[f].result.as_ref();
                self.scalar_kind(result.ok_or("a fragment must return a value")?.ty)
            }
            Expression::As { kind, .. } => Ok(kind),
            _ => Ok(ScalarKind::Float),
        }
    }

    fn call(
        &mut self,
        callee: Handle<Function>,
        arguments: Vec<Handle<Expression>>,
    ) -> Result<Handle<Expression>, String> {
        let result = self.function.expressions.append(Expression::CallResult(callee), Span::UNDEFINED);
        self.function.body.push(Statement::Call { function: callee, arguments, result: Some(result) }, Span::UNDEFINED);
        Ok(result)
    }
}
