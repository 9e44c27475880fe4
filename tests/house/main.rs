//! The rules of the house, checked over all files of the repository. Each rule is a function over one file's path and
//! text, in `rooms.rs` (Rust) and `files.rs` (every file), beside tests that show it failing.

mod code;
mod files;
mod rooms;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the repository as (path from the root with `/`, text): those git has, and those it would take.
fn texts() -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args(["-c", "core.quotePath=false", "ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let mut names: Vec<String> = match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            String::from_utf8(output.stdout).expect("git prints UTF-8").lines().map(str::to_owned).collect()
        }
        // An unpacked source archive: no git, but also nothing that it would ignore except what a build makes.
        _ => walk(&root(), ""),
    };
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| {
            // Deleted but not yet committed, or not text.
            let text = fs::read_to_string(root().join(&name)).ok()?;
            Some((name, text))
        })
        .collect()
}

fn walk(dir: &Path, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).expect("a readable directory").flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let name = format!("{prefix}{file}");
        if entry.path().is_dir() {
            if !["target", "node_modules", "dist", ".git", ".tmp"].contains(&file.as_str()) {
                names.extend(walk(&entry.path(), &format!("{name}/")));
            }
        } else {
            names.push(name);
        }
    }
    names
}

/// Applies a rule to every file and reports all faults at once.
fn check(rule: impl Fn(&str, &str) -> Vec<String>) {
    let texts = texts();
    assert!(texts.iter().any(|(name, _)| name == "src/lib.rs"), "the list of files is incomplete");
    let faults: Vec<String> = texts.iter().flat_map(|(name, text)| rule(name, text)).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn dependencies_point_downwards() {
    check(rooms::dependencies);
}

#[test]
fn only_the_binding_knows_napi() {
    check(rooms::napi);
}

#[test]
fn the_core_is_handed_its_surroundings() {
    check(rooms::surroundings);
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    check(rooms::unsafe_code);
}

#[test]
fn every_module_says_what_it_is() {
    check(rooms::module_docs);
}

#[test]
fn files_are_short() {
    check(files::length);
}

#[test]
fn nothing_names_a_machine() {
    check(|name, text| files::machine(name, text, &root()));
}

#[test]
fn nothing_is_left_to_do() {
    check(files::leftovers);
}
