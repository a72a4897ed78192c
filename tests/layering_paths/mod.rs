//! Finds the paths in a Rust file that name modules of its own crate.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A path of the crate that is named somewhere.
#[derive(Debug)]
pub struct Reference {
    /// The module that names it, below the crate.
    pub from: Vec<String>,
    /// What it names, below the crate; empty for the root itself.
    pub target: Vec<String>,
    /// Where.
    pub line: usize,
}

/// All such paths of a file at `module`.
///
/// # Errors
/// Text that does not parse, or that takes other files in (`#[path]`, `include!`), which would hide paths.
pub fn references(module: &[String], text: &str) -> Result<Vec<Reference>, String> {
    let file = syn::parse_file(text).map_err(|e| e.to_string())?;
    let mut finder = Finder { module: module.to_vec(), found: Vec::new(), hidden: None };
    finder.visit_file(&file);
    match finder.hidden {
        None => Ok(finder.found),
        Some(what) => Err(what),
    }
}

struct Finder {
    module: Vec<String>,
    found: Vec<Reference>,
    hidden: Option<String>,
}

impl Finder {
    /// Resolves a path that begins with `crate`, `self` or `super`; others are local names or other crates.
    fn name(&mut self, segments: &[String], line: usize) {
        let mut rest = segments;
        let mut target = match rest.first().map(String::as_str) {
            Some("crate") => {
                rest = &rest[1..];
                Vec::new()
            }
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        while let Some(first @ ("self" | "super")) = rest.first().map(String::as_str) {
            if first == "super" {
                target.pop();
            }
            rest = &rest[1..];
        }
        target.extend(rest.iter().cloned());
        self.found.push(Reference { from: self.module.clone(), target, line });
    }

    fn use_tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        let line = tree.span().start().line;
        let with = |prefix: &[String], name: &syn::Ident| {
            // `a::{self}` names `a`; at the beginning of a path `self` is the module.
            let is_self = name == "self" && !prefix.is_empty();
            let mut path = prefix.to_vec();
            path.extend((!is_self).then(|| name.to_string()));
            path
        };
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.use_tree(&path.tree, prefix);
                prefix.pop();
            }
            syn::UseTree::Name(name) => self.name(&with(prefix, &name.ident), line),
            syn::UseTree::Rename(rename) => self.name(&with(prefix, &rename.ident), line),
            syn::UseTree::Glob(_) => self.name(prefix, line),
            syn::UseTree::Group(group) => {
                for item in &group.items {
                    self.use_tree(item, prefix);
                }
            }
        }
    }

    /// Paths in tokens: runs of `name::name::…` that begin with `crate`, `self` or `super`.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            match &trees[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let line = first.span().start().line;
                    let mut path = vec![first.to_string()];
                    while is_colon(trees.get(at + 1)) && is_colon(trees.get(at + 2)) {
                        match trees.get(at + 3) {
                            Some(TokenTree::Ident(next)) => path.push(next.to_string()),
                            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                                self.token_group(&path, group.stream());
                                break;
                            }
                            _ => break,
                        }
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.name(&path, line);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// `crate::{a, b::c}` in tokens.
    fn token_group(&mut self, prefix: &[String], tokens: TokenStream) {
        let mut path = prefix.to_vec();
        for tree in tokens {
            match tree {
                TokenTree::Ident(name) => {
                    path.push(name.to_string());
                    let line = name.span().start().line;
                    self.name(&path.clone(), line);
                }
                TokenTree::Punct(p) if p.as_char() == ',' => path.truncate(prefix.len()),
                TokenTree::Group(group) => self.token_group(&path.clone(), group.stream()),
                _ => {}
            }
        }
    }
}

fn is_colon(tree: Option<&TokenTree>) -> bool {
    matches!(tree, Some(TokenTree::Punct(p)) if p.as_char() == ':')
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        // A lone `self` or `crate` is the receiver of a method or part of `pub(crate)`.
        if path.leading_colon.is_none() && segments.len() > 1 {
            self.name(&segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if call.path.is_ident("include") {
            self.hidden = Some("include! takes a file that is not checked here".into());
        }
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("path") {
            self.hidden = Some("#[path] takes a file that is not checked here".into());
        }
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }
}
