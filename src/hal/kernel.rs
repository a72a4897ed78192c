//! A kernel as the HAL sees it: a descriptor. What the kernel computes is the business of the layer above.
//!
//! A kernel file is valid WGSL as it stands. It declares a parameter struct, a tile function
//! `NAME_tile(op: Struct, tile: u32, lane: u32)`, `const`s that select a configuration, and perhaps a function `chain`
//! that the linker replaces by a composition of one-function files ([`Chain`]). Functions that several files need have files
//! of their own too: a file that calls one declares it, with any body, and the linker puts the other in its place.

use std::fmt::Write;

/// A one-function WGSL file, valid as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// The function's name.
    pub name: &'static str,
    /// The file.
    pub source: &'static str,
    /// Files of the functions that this one declares and leaves to the linker.
    pub functions: &'static [Fragment],
}

/// Where an argument of a chain step comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainArg {
    /// Element `i` of the chain's tensor arguments.
    Input(u8),
    /// Element `i` of the chain's scalar arguments (one value for the whole launch).
    Scalar(u8),
    /// The result of an earlier step.
    Step(u8),
}

/// One call in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChainStep {
    /// The function to call, of one to three scalars.
    pub fragment: Fragment,
    /// Its arguments, in order. Words are reinterpreted as the parameter's type.
    pub args: Vec<ChainArg>,
}

/// A composition of fragments; its value is that of the last step, or of input 0 where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chain {
    /// The calls in order.
    pub steps: Vec<ChainStep>,
}

/// Everything that determines a kernel's code: equal specs are one pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelSpec {
    /// File and function prefix: `gemm` for `shaders/gemm.wgsl` with `gemm_tile`.
    pub name: &'static str,
    /// The file's text.
    pub source: &'static str,
    /// Files of the functions that it declares and leaves to the linker.
    pub functions: &'static [Fragment],
    /// Values for named `const NAME: u32` declarations.
    pub consts: Vec<(&'static str, u32)>,
    /// Invocations of a workgroup: the value of `const LANES`.
    pub lanes: u32,
    /// What replaces the file's `chain` function; `None` keeps it.
    pub chain: Option<Chain>,
}

impl KernelSpec {
    /// A short text that tells configurations of one kernel apart, for tables and errors.
    pub fn label(&self) -> String {
        let mut text = format!("{}<{}", self.name, self.lanes);
        for (name, value) in &self.consts {
            let _ = write!(text, " {name}={value}");
        }
        for step in self.chain.iter().flat_map(|c| &c.steps) {
            let _ = write!(text, " {}", step.fragment.name);
        }
        text.push('>');
        text
    }

    /// The file with its constants set: `const NAME: u32 = …;` lines get the configuration's values.
    ///
    /// Done in the text, before parsing, because the front end folds constants into array lengths and expressions.
    ///
    /// # Errors
    /// The name of a constant that the file does not declare.
    pub fn configured(&self) -> Result<String, String> {
        let mut text = String::with_capacity(self.source.len());
        let lanes = [("LANES", self.lanes)];
        let mut missing: Vec<&str> = self.consts.iter().chain(&lanes).map(|c| c.0).collect();
        for line in self.source.lines() {
            let set = self.consts.iter().chain(&lanes).find(|(name, _)| {
                line.strip_prefix("const ")
                    .and_then(|rest| rest.strip_prefix(name))
                    .is_some_and(|rest| rest.starts_with(": u32 ="))
            });
            match set {
                Some((name, value)) => {
                    missing.retain(|m| m != name);
                    let _ = writeln!(text, "const {name}: u32 = {value}u;");
                }
                None => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        match missing.first() {
            None => Ok(text),
            Some(name) => Err(format!("{}.wgsl declares no `const {name}: u32`", self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(consts: Vec<(&'static str, u32)>) -> KernelSpec {
        KernelSpec {
            name: "k",
            source: "const LANES: u32 = 64u;\nconst RM: u32 = 4u; // rows\nfn f() {}\n",
            functions: &[],
            consts,
            lanes: 8,
            chain: None,
        }
    }

    #[test]
    fn constants_are_set_in_the_text() {
        let text = spec(vec![("RM", 2)]).configured().unwrap();
        assert_eq!(text, "const LANES: u32 = 8u;\nconst RM: u32 = 2u;\nfn f() {}\n");
    }

    #[test]
    fn a_constant_that_the_file_lacks_is_an_error() {
        assert!(spec(vec![("R", 2)]).configured().unwrap_err().contains("const R:"));
    }
}
