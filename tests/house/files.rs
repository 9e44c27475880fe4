//! Rules for every file of the repository.

use std::path::Path;

/// Longer files hold more than one concept.
const MAX_LINES: usize = 500;

/// Sources are short; what tools generate is as long as they make it.
pub fn length(name: &str, text: &str) -> Vec<String> {
    let is_source = [".rs", ".ts", ".tsx", ".mjs", ".js"].iter().any(|ending| name.ends_with(ending));
    let lines = text.lines().count();
    if !is_source || is_generated(name) || lines <= MAX_LINES {
        return Vec::new();
    }
    vec![format!("{name}: {lines} lines; more than {MAX_LINES} hold more than one concept")]
}

/// Nothing is tied to the machine it was written on: no home or work directory, no host of a package registry.
pub fn machine(name: &str, text: &str, root: &Path) -> Vec<String> {
    // The names are put together here so that this file passes itself.
    let homes = [["/ro", "ot/"], ["/Us", "ers/"], ["/wo", "rk/"], ["/work", "space/"], [":\\Us", "ers\\"]];
    let hosts =
        [["registry.np", "mjs.org"], ["registry.yarn", "pkg.com"], ["artifact", "ory"], ["index.crates", ".io"]];
    let own = root.to_string_lossy().into_owned();
    let mut patterns: Vec<String> = homes.iter().chain(&hosts).map(|parts| parts.concat()).collect();
    // A checkout directly below the root has too common a name to look for.
    if root.components().count() > 2 {
        patterns.push(own);
    }
    let mut faults = Vec::new();
    for (line, content) in text.lines().enumerate() {
        for pattern in &patterns {
            let found = content.match_indices(pattern.as_str()).any(|(at, _)| !continues(&content[..at], pattern));
            if found {
                faults.push(format!("{name}:{}: names a machine: {pattern}", line + 1));
            }
        }
    }
    faults
}

/// What is not done is an issue, not a remark. (`TODO.md` is the name of a file that Sortie knows.)
pub fn leftovers(name: &str, text: &str) -> Vec<String> {
    if is_generated(name) {
        return Vec::new();
    }
    let marks = [["TO", "DO:"], ["TO", "DO("], ["FIX", "ME"], ["XX", "X:"], ["to", "do!("], ["unimpl", "emented!("]];
    let mut faults = Vec::new();
    for (line, content) in text.lines().enumerate() {
        for mark in marks.iter().map(|parts| parts.concat()) {
            if content.match_indices(&mark).any(|(at, _)| !continues(&content[..at], &mark)) {
                faults.push(format!("{name}:{}: {mark} was left behind", line + 1));
            }
        }
    }
    faults
}

fn is_generated(name: &str) -> bool {
    ["index.js", "index.d.ts", "Cargo.lock", "package-lock.json"].contains(&name)
}

/// Whether what stands before makes the found text a part of something longer, such as `a/root/` or `$HOME/root/`.
fn continues(before: &str, found: &str) -> bool {
    let last = before.chars().next_back();
    let in_word = last.is_some_and(|char| char.is_alphanumeric() || char == '_');
    let in_path = found.starts_with('/') && last.is_some_and(|char| "-./}>)*".contains(char));
    (in_word && !found.starts_with(':')) || in_path
}

#[test]
fn a_long_file_is_found() {
    let long = "x\n".repeat(MAX_LINES + 1);
    assert_eq!(length("src/a.rs", &long).len(), 1);
    assert_eq!(length("index.js", &long), [""; 0]);
    assert_eq!(length("docs/a.md", &long), [""; 0]);
    assert_eq!(length("src/a.rs", &"x\n".repeat(MAX_LINES)), [""; 0]);
}

#[test]
fn a_machine_is_found() {
    let root = Path::new("/srv/checkouts/sortie");
    let (home, mac) = (["/ro", "ot/.config"].concat(), ["/Us", "ers/ada/x"].concat());
    let (windows, host) = (["C:\\Us", "ers\\ada"].concat(), ["https://registry.np", "mjs.org/x"].concat());
    for text in [home.as_str(), &mac, &windows, &host, "cd /srv/checkouts/sortie && make"] {
        assert_eq!(machine("a.md", text, root).len(), 1, "{text}");
    }
    for text in [["src/ro", "ot/x"].concat(), ["${dir}/wo", "rk/x"].concat(), "/tmp/x".to_owned()] {
        assert_eq!(machine("a.md", &text, root), [""; 0], "{text}");
    }
}

#[test]
fn a_leftover_is_found() {
    for text in [["// TO", "DO: later"].concat(), ["// FIX", "ME"].concat(), ["to", "do!()"].concat()] {
        assert_eq!(leftovers("a.rs", &text).len(), 1, "{text}");
    }
    for text in ["write to TODO.md", "# TODO", "the TODO list"] {
        assert_eq!(leftovers("a.md", text), [""; 0], "{text}");
    }
}
