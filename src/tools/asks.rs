//! What a tool call needs the user's permission for, by OpenCode's own rules. The plugin asks for it before the call.
//!
//! Every tool by its name; and a command, in the background or not, as OpenCode's `bash` tool asks for it: so whoever
//! may not run something there may not run it here.

use std::path::{Component, Path, PathBuf};

use super::{
    background::{Wanted, wanted},
    background_args::Start,
    words,
};
use crate::fault::{self, Code};

/// A permission to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Which one.
    pub permission: String,
    /// For what. Each is held against the rules as it is.
    pub patterns: Vec<String>,
    /// What is allowed as well when the user says "always".
    pub always: Vec<String>,
    /// What people are shown beside it, where the host shows it.
    pub metadata: Vec<(&'static str, String)>,
}

/// Programs whose arguments are files that they touch: those that OpenCode's `bash` tool looks at as well.
const FILES: &[&str] = &["rm", "cp", "mv", "mkdir", "touch", "chmod", "chown", "cat"];

/// What a call must be allowed, in the order in which it is asked. Of arguments that the tool refuses only the tool
/// itself is asked for: nothing will be done.
#[must_use]
pub fn asks(tool: &str, arguments: &str, root: &Path, directory: &str) -> Vec<Ask> {
    let all = || vec!["*".to_owned()];
    let own = Ask { permission: tool.to_owned(), patterns: all(), always: all(), metadata: Vec::new() };
    if tool != "sortie_command_start" {
        return vec![own];
    }
    let start = fault::object::<Start>(arguments, Code::BadArguments).and_then(|start| wanted(directory, &start));
    let Ok(wanted) = start else { return vec![own] };
    let outside = outside(&wanted, root, Path::new(directory));
    let line = words::line(&wanted.words);
    let metadata = vec![("command", line.clone())];
    // A pattern that is always allowed is a rule, in which these mean any text.
    let always = if line.contains(['*', '?']) { Vec::new() } else { vec![line.clone()] };
    let bash = Ask { permission: "bash".to_owned(), patterns: vec![line], always, metadata };
    std::iter::once(own).chain(outside.iter().map(|directory| external(directory))).chain([bash]).collect()
}

fn external(directory: &Path) -> Ask {
    let shown = directory.to_string_lossy().into_owned();
    let pattern = directory.join("*").to_string_lossy().replace('\\', "/");
    let always = if shown.contains(['*', '?']) { Vec::new() } else { vec![pattern.clone()] };
    Ask {
        permission: "external_directory".to_owned(),
        patterns: vec![pattern],
        always,
        metadata: vec![("filepath", shown.clone()), ("parentDir", shown)],
    }
}

/// The directories outside that a command works in or on.
fn outside(wanted: &Wanted, root: &Path, directory: &Path) -> Vec<PathBuf> {
    let canonical = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (root, own) = (canonical(root), canonical(directory));
    // A task in a worktree of its own has no part in the checkout that it was made from.
    let is_inside = |path: &Path| path.starts_with(&own) || (own.starts_with(&root) && path.starts_with(&root));
    let program = wanted.words.first().map_or("", String::as_str);
    let files = if FILES.contains(&program) { &wanted.words[1..] } else { &[] };
    let touched = files.iter().filter(|word| !word.starts_with('-')).map(|word| {
        let path = resolved(&wanted.directory.join(word));
        if path.is_dir() { path } else { path.parent().map(Path::to_owned).unwrap_or(path) }
    });
    let mut found: Vec<PathBuf> = Vec::new();
    for path in std::iter::once(wanted.directory.clone()).chain(touched) {
        if !is_inside(&path) && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// Where a path leads: through links as far as it is there, the rest by its words.
fn resolved(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
        if let Ok(real) = std::fs::canonicalize(&plain) {
            plain = real;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn asked(root: &Path, directory: &Path, arguments: &serde_json::Value) -> Vec<(String, Vec<String>, Vec<String>)> {
        let asks = asks("sortie_command_start", &arguments.to_string(), root, directory.to_str().unwrap());
        asks.into_iter().map(|ask| (ask.permission, ask.patterns, ask.always)).collect()
    }

    fn ask(permission: &str, pattern: &str) -> (String, Vec<String>, Vec<String>) {
        (permission.to_owned(), vec![pattern.to_owned()], vec![pattern.to_owned()])
    }

    #[test]
    fn every_tool_is_asked_for_by_its_name_and_a_command_as_bash_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let own = ask("sortie_command_start", "*");
        let of = |arguments: serde_json::Value| asked(&root, &root, &arguments);
        assert_eq!(of(json!({ "command": "npm  run \"dev\"" })), [own.clone(), ask("bash", "npm run dev")]);
        // A program whose name holds a blank is not what a rule for its first word means.
        assert_eq!(of(json!({ "command": "'git status' x" })), [own.clone(), ask("bash", "'git status' x")]);
        let wild = of(json!({ "command": "find . -name '*.rs'" }));
        assert_eq!(wild[1], ("bash".to_owned(), vec!["find . -name '*.rs'".to_owned()], Vec::new()));
        // What the tool refuses is not done, and not asked for.
        for refused in [json!({ "command": "a && b" }), json!({ "command": "a", "x": 1 }), json!(["a"]), json!({})] {
            assert_eq!(of(refused), std::slice::from_ref(&own));
        }
        let other = asks("sortie_command", "{}", &root, "/");
        assert_eq!((other.len(), other[0].permission.as_str()), (1, "sortie_command"));
    }

    #[cfg(unix)]
    #[test]
    fn what_lies_outside_is_asked_for_by_its_directory_through_any_link() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let (root, sub, other) = (base.join("project"), base.join("project/sub"), base.join("other"));
        for directory in [&sub, &other.join("deep")] {
            fs::create_dir_all(directory).unwrap();
        }
        std::os::unix::fs::symlink(&other, root.join("link")).unwrap();
        let outside = |from: &Path, arguments: serde_json::Value| {
            let asked = asked(&root, from, &arguments).into_iter();
            asked.filter(|ask| ask.0 == "external_directory").map(|ask| ask.1[0].clone()).collect::<Vec<_>>()
        };
        let (others, deep) = (format!("{}/*", other.display()), format!("{}/deep/*", other.display()));
        assert!(outside(&root, json!({ "command": "ls", "directory": "sub" })).is_empty());
        assert!(outside(&sub, json!({ "command": "ls", "directory": ".." })).is_empty());
        assert_eq!(outside(&root, json!({ "command": "ls", "directory": "../other" })), [others.as_str()]);
        assert_eq!(outside(&root, json!({ "command": "ls", "directory": "link" })), [others.as_str()]);
        assert_eq!(outside(&root, json!({ "command": "rm -rf link/deep x ../other/y" })), [deep.as_str(), &others]);
        assert_eq!(outside(&root, json!({ "command": "touch sub/../../other/new" })), [others.as_str()]);
        assert!(outside(&root, json!({ "command": "rm sub/x -r ./y" })).is_empty());
        // A worktree elsewhere is inside by itself, and the checkout is not.
        let elsewhere = outside(&other, json!({ "command": "ls" }));
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
        assert_eq!(outside(&other, json!({ "command": "ls", "directory": root })), [format!("{}/*", root.display())]);
    }
}
