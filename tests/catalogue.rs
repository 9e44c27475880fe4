//! Every code of the catalogue is reached by a test, and the plugin's own words for what it must say without the addon
//! are those of the catalogue.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{fs, path::Path};

use sortie::fault::Code;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The texts of all tests below a directory: of Rust sources only what stands after the mark of their tests.
fn tests(directory: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests(&path, texts);
            continue;
        }
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        let is_text =
            path.extension().is_some_and(|extension| extension == "rs" || extension == "mjs" || extension == "txt");
        // This file and the catalogue itself name every code, or none.
        if !is_text || name == "tests/catalogue.rs" || name.starts_with("src/fault/") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        if !name.starts_with("src/") || name.contains("test") {
            texts.push(text);
        } else if let Some(at) = text.find("#[cfg(test)]") {
            texts.push(text[at..].to_owned());
        }
    }
}

/// Whether a test names a code: as `Code::Name` or as its stable name.
fn names(text: &str, code: Code) -> bool {
    let variant = format!("Code::{code:?}");
    let ends = |rest: &str| !rest.starts_with(|char: char| char.is_alphanumeric() || char == '-');
    let name = code.as_str();
    text.match_indices(&variant).any(|(at, found)| ends(&text[at + found.len()..]))
        || text.match_indices(name).any(|(at, _)| {
            let before = &text[..at];
            let starts = if name.contains('-') {
                !before.ends_with(|char: char| char.is_alphanumeric() || char == '-')
            } else {
                // A word of the language: only where it can be nothing else.
                before.ends_with("sortie error ") || before.ends_with('"')
            };
            starts && ends(&text[at + name.len()..])
        })
}

#[test]
fn every_code_is_reached_by_a_test() {
    let mut texts = Vec::new();
    for directory in ["src", "tests", "__test__"] {
        tests(&root().join(directory), &mut texts);
    }
    let missing: Vec<_> = Code::ALL
        .iter()
        .filter(|code| !texts.iter().any(|text| names(text, **code)))
        .map(|code| code.as_str())
        .collect();
    assert!(missing.is_empty(), "no test reaches {}", missing.join(", "));
}

#[test]
fn a_longer_name_is_not_taken_for_a_shorter_one() {
    assert!(names("Code::HostMissing)", Code::HostMissing) && names("/error host-missing: /", Code::HostMissing));
    assert!(names("\"cycle\"", Code::Cycle) && !names("a cycle of", Code::Cycle));
    assert!(!names("Code::HostMissingToo", Code::HostMissing) && !names("no-host-missing", Code::HostMissing));
}

/// The plugin must say these when the addon, and the catalogue in it, cannot be had.
#[test]
fn the_plugins_own_words_are_those_of_the_catalogue() {
    let plugin = fs::read_to_string(root().join("plugin/server.ts")).unwrap().replace("\\`", "`");
    for code in [Code::AddonMissing, Code::AddonPlatform, Code::LoadedTwice] {
        let line = plugin.lines().find(|line| line.contains(&format!("sortie error {}: ", code.as_str())));
        let line = line.unwrap_or_else(|| panic!("the plugin never says {}", code.as_str()));
        assert!(line.contains(&format!(". {}`", code.remedy())), "{line}\nis not: {}", code.remedy());
    }
    assert_eq!(plugin.matches("sortie error ").count(), 3, "a message of the plugin's own is not compared");
}
