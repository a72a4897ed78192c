//! The documents stay true: every file that they name exists, and so does every command.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let mut all = vec![root().join("README.md")];
    let docs = fs::read_dir(root().join("docs")).expect("docs is there");
    all.extend(docs.map(|e| e.expect("listed").path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    all
}

/// Files that a text names: in backticks, from the root, and as link targets, from the document's folder.
fn named(text: &str, folder: &Path) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for code in text.split('`').skip(1).step_by(2) {
        let path = code.split([' ', ':', '#']).next().unwrap_or_default();
        let place = ["src/", "shaders/", "docs/", "tests/", "examples/", "app/", "benches/", ".ci/"];
        let pattern = path.contains("NAME");
        if (place.iter().any(|p| path.starts_with(p)) || path == "clippy.toml") && !pattern {
            files.push((path.into(), root().join(path)));
        }
    }
    for link in text.split("](").skip(1) {
        let target = link.split([')', '#']).next().unwrap_or_default();
        if !target.starts_with("http") && !target.is_empty() {
            files.push((target.into(), folder.join(target)));
        }
    }
    files
}

#[test]
fn every_file_that_a_document_names_exists() {
    let mut n = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("it is text");
        let folder = document.parent().expect("it has a folder");
        for (name, path) in named(&text, folder) {
            assert!(path.exists(), "{}: {name} does not exist", document.display());
            n += 1;
        }
    }
    assert!(n > 60, "{n} names were found");
}

#[test]
fn every_command_of_the_readme_exists_and_every_command_is_in_it() {
    let text = fs::read_to_string(root().join("README.md")).expect("it is text");
    let commands = fs::read_to_string(root().join("src/cli/mod.rs")).expect("it is text");
    let list = commands.split("enum Command {").nth(1).and_then(|rest| rest.split('}').next()).expect("the commands");
    let names: Vec<String> = list.split(',').filter_map(|v| Some(v.split('(').next()?.trim().to_lowercase())).collect();
    for name in names.iter().filter(|name| !name.is_empty()) {
        assert!(text.contains(&format!("| `cotenant {name}")), "README.md has no row for {name}");
    }
    for row in text.split("| `cotenant ").skip(1) {
        let name = row.split([' ', '`']).next().unwrap_or_default();
        assert!(names.iter().any(|n| n == name), "README.md names cotenant {name}");
    }
}

#[test]
fn a_missing_file_would_be_found() {
    let names = named("`src/no/such.rs` and [a page](missing.md) and `cargo run`", &root());
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|(_, path)| !path.exists()));
}
