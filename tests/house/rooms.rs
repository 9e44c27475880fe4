//! Rules for the Rust code below `src`: who may know whom, and what belongs to the faces only.

use crate::code::{line_of, only_code, without_tests, words};

/// The rooms from the lowest to the highest. A room may use those above it in this list, not its neighbours in a row.
/// A new room gets its place here before it is built.
const ORDER: &[&[&str]] = &[
    &["task"],
    &["fault", "clock"],
    &["sys", "config"],
    &["store", "opencode"],
    &["admission", "inbox"],
    &["agent", "todo", "worktree", "server_pool"],
    &["mission"],
    &["engine", "queue"],
    &["tools"],
    &["binding", "cli"],
    &["bin"],
];

/// Usable from everywhere: the catalogue of errors.
const COMMON: &[&str] = &["fault"];

/// Where the process and its machine are met; everywhere else they are handed in.
const FACES: &[&str] = &["src/binding/", "src/bin/", "src/cli/", "src/sys/"];

/// The only code that may be `unsafe`.
const UNSAFE: &[&str] = &["src/binding/", "src/sys/"];

/// What is met at the faces only, and what stands for it in the core.
const SURROUNDINGS: &[(&str, &str)] = &[
    ("println!", "return the text or write to `tracing`"),
    ("print!", "return the text or write to `tracing`"),
    ("eprintln!", "return the text or write to `tracing`"),
    ("eprint!", "return the text or write to `tracing`"),
    ("dbg!", "write to `tracing`"),
    ("std::env", "take the value as an argument"),
    (" env::", "take the value as an argument"),
    ("SystemTime::now", "take a `Clock`"),
    ("process::exit", "return an error"),
];

/// No room knows a higher one, or one beside it.
pub fn dependencies(name: &str, text: &str) -> Vec<String> {
    let Some(own) = room(name) else { return Vec::new() };
    let Some(own_level) = level(own) else {
        return vec![format!("{name}: the room `{own}` has no place in ORDER of tests/house/rooms.rs")];
    };
    let code = only_code(text);
    let mut used = used_rooms(name, &code);
    used.sort_unstable();
    used.dedup();
    used.into_iter()
        .filter(|(_, used)| *used != own && !COMMON.contains(used) && level(used) >= Some(own_level))
        .map(|(at, used)| format!("{name}:{}: `{own}` may not know `{used}`", line_of(&code, at)))
        .collect()
}

/// Only `src/binding` names napi; elsewhere it occurs as the name of the feature.
pub fn napi(name: &str, text: &str) -> Vec<String> {
    if !name.starts_with("src/") || name.starts_with("src/binding/") {
        return Vec::new();
    }
    let code = only_code(text);
    ["napi", "napi_derive", "napi_build"]
        .into_iter()
        .flat_map(|word| words(&code, word).collect::<Vec<_>>())
        .map(|at| format!("{name}:{}: only src/binding may use napi", line_of(&code, at)))
        .collect()
}

/// Nothing below the faces prints, reads the environment or asks for the time.
pub fn surroundings(name: &str, text: &str) -> Vec<String> {
    if !is_rust(name) || FACES.iter().any(|face| name.starts_with(face)) {
        return Vec::new();
    }
    let code = only_code(text);
    let code = without_tests(name, &code);
    let mut faults = Vec::new();
    for (what, instead) in SURROUNDINGS {
        for (at, _) in code.match_indices(what) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|char| char.is_alphanumeric() || char == '_') {
                faults.push(format!("{name}:{}: `{what}` below the faces; {instead}", line_of(code, at)));
            }
        }
    }
    faults
}

/// `unsafe` needs a reader who looks for it.
pub fn unsafe_code(name: &str, text: &str) -> Vec<String> {
    if !is_rust(name) || UNSAFE.iter().any(|place| name.starts_with(place)) {
        return Vec::new();
    }
    let code = only_code(text);
    words(&code, "unsafe")
        .chain(words(&code, "unsafe_code"))
        .map(|at| format!("{name}:{}: unsafe code stays in {}", line_of(&code, at), UNSAFE.join(" and ")))
        .collect()
}

/// Every file begins with what it is.
pub fn module_docs(name: &str, text: &str) -> Vec<String> {
    if !is_rust(name) || text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{name}:1: begin with `//! ` and what this module is")]
}

fn is_rust(name: &str) -> bool {
    name.starts_with("src/") && name.strip_suffix(".rs").is_some()
}

/// The room that a file belongs to; `lib.rs` belongs to none, it opens them all.
fn room(name: &str) -> Option<&str> {
    let inside = name.strip_prefix("src/")?.strip_suffix(".rs")?;
    (inside != "lib").then(|| inside.split('/').next().unwrap_or(inside))
}

fn level(room: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&room))
}

/// Every room named from the crate's root, as (byte, room): `crate::x`, `crate::{x, y::z}`, and `super::` chains that
/// reach the root.
fn used_rooms<'a>(name: &str, code: &'a str) -> Vec<(usize, &'a str)> {
    let mut used = Vec::new();
    for at in words(code, "crate") {
        if let Some(rest) = path_after(&code[at + "crate".len()..]) {
            used.extend(heads(rest).into_iter().map(|head| (at, head)));
        }
    }
    let depth = name.trim_end_matches("/mod.rs").matches('/').count();
    for at in words(code, "super") {
        let (mut rest, mut steps) = (&code[at..], 0);
        while let Some(next) = rest.trim_start().strip_prefix("super").and_then(path_after) {
            (rest, steps) = (next, steps + 1);
        }
        if steps >= depth {
            used.extend(heads(rest).into_iter().filter(|head| level(head).is_some()).map(|head| (at, head)));
        }
    }
    used
}

fn path_after(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix("::")
}

/// The first names of a path, or of every path in a group of them.
fn heads(path: &str) -> Vec<&str> {
    let path = path.trim_start();
    let Some(group) = path.strip_prefix('{') else { return first_name(path).into_iter().collect() };
    let mut names = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.extend(first_name(group[start..at].trim_start()));
                start = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

/// A module's name; a type or a macro of the root is none.
fn first_name(path: &str) -> Option<&str> {
    let end = path.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(path.len());
    let name = &path[..end];
    (name.starts_with(|char: char| char.is_lowercase()) && name != "self").then_some(name)
}

#[test]
fn an_upward_dependency_is_found() {
    for text in [
        "use crate::engine::Engine;",
        "use crate::{task::Task, engine::{A, B}};",
        "use crate::{\n    task::Task,\n    engine,\n};",
        "fn f() { crate::engine::run() }",
        "use super::super::engine::Engine;",
        "use crate::opencode::Client;",
    ] {
        assert_eq!(dependencies("src/store/sqlite.rs", text).len(), 1, "{text}");
    }
    assert_eq!(dependencies("src/store/mod.rs", "use super::engine::Engine;").len(), 1);
    assert_eq!(dependencies("src/attic/mod.rs", "").len(), 1, "a room without a place");
    for text in [
        "use crate::{task::{Task, TaskId}, fault::Fault, clock::Clock};",
        "//! see [`crate::engine`]\n// crate::engine\nconst A: &str = \"crate::engine\";",
        "use super::engine::Local;",
        "use crate::store::Store;",
    ] {
        assert_eq!(dependencies("src/store/sqlite.rs", text), [""; 0], "{text}");
    }
    assert_eq!(dependencies("src/task/mod.rs", "use crate::clock::Clock;").len(), 1, "the domain has no clock");
}

#[test]
fn napi_outside_the_binding_is_found() {
    assert_eq!(napi("src/engine/mod.rs", "use napi::Result;").len(), 1);
    assert_eq!(napi("src/engine/mod.rs", "#[napi_derive::napi]\nfn f() {}").len(), 2);
    assert_eq!(napi("src/lib.rs", "#[cfg(feature = \"napi\")]\npub mod binding; // napi"), [""; 0]);
    assert_eq!(napi("src/binding/mod.rs", "use napi::Result;"), [""; 0]);
}

#[test]
fn surroundings_in_the_core_are_found() {
    for (text, count) in [
        ("println!(\"x\")", 1),
        ("use std::env;", 1),
        ("use std::{env, fs};\nlet home = env::var(\"HOME\");", 1),
        ("std::time::SystemTime::now()", 1),
        ("SystemTime::now()", 1),
        ("env!(\"CARGO_PKG_VERSION\")", 0),
        ("fn eprint() {}", 0),
        ("#[cfg(test)]\nmod tests { fn f() { println!() } }", 0),
    ] {
        assert_eq!(surroundings("src/engine/mod.rs", text).len(), count, "{text}");
    }
    assert_eq!(surroundings("src/sys/mod.rs", "SystemTime::now()"), [""; 0]);
}

#[test]
fn unsafe_code_elsewhere_is_found() {
    assert_eq!(unsafe_code("src/store/mod.rs", "unsafe { x() }").len(), 1);
    assert_eq!(unsafe_code("src/store/mod.rs", "#![allow(unsafe_code)]").len(), 1);
    assert_eq!(unsafe_code("src/sys/mod.rs", "unsafe { x() }"), [""; 0]);
}

#[test]
fn a_module_without_a_word_is_found() {
    assert_eq!(module_docs("src/a.rs", "use b;").len(), 1);
    assert_eq!(module_docs("src/a.rs", "//! A.\n"), [""; 0]);
}
