//! Where `OpenCode` is.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    fault::{Code, Fault},
    sys::process::{self, Command, Status},
};

/// How long npm may take to say where it installs.
const NPM: Duration = Duration::from_secs(20);

/// How many directories a message names.
const NAMED: usize = 12;

/// Where to look: what the environment says.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `OPENCODE_PATH`: the executable.
    pub opencode_path: Option<PathBuf>,
    /// The directories of `PATH`, in their order.
    pub path: Vec<PathBuf>,
}

/// The executable: what `OPENCODE_PATH` names, else the first in `PATH`, else the one in npm's global prefix.
///
/// A directory of `PATH` that is not absolute is left out: what it names depends on where one stands.
///
/// # Errors
/// [`Code::OpencodeMissing`] with everything that was tried. That `OPENCODE_PATH` names no program is an error also
/// where another one could be found: the user wants that one.
pub async fn find_opencode(places: &Places) -> Result<PathBuf, Fault> {
    let windows = cfg!(windows);
    match in_environment(places, windows)? {
        Ok(program) => Ok(program),
        Err(mut tried) => match in_npm_prefix(places, windows).await {
            Ok(program) => Ok(program),
            Err(why) => {
                tried.push(why);
                Err(missing(&tried))
            }
        },
    }
}

fn missing(tried: &[String]) -> Fault {
    Fault::new(Code::OpencodeMissing, format!("no `opencode` was found; tried: {}", tried.join("; ")))
}

/// What the environment names, or what was tried.
fn in_environment(places: &Places, windows: bool) -> Result<Result<PathBuf, Vec<String>>, Fault> {
    let mut tried = Vec::new();
    match places.opencode_path.as_deref().filter(|path| !path.as_os_str().is_empty()) {
        Some(path) if process::is_program(path) => {
            return std::path::absolute(path)
                .map(Ok)
                .map_err(|error| missing(&[format!("OPENCODE_PATH `{}`: {error}", path.display())]));
        }
        Some(path) => {
            let what = if path.exists() { "no program" } else { "not there" };
            return Err(missing(&[format!("OPENCODE_PATH `{}`, which is {what}", path.display())]));
        }
        None => tried.push("OPENCODE_PATH, which is not set".to_owned()),
    }
    if let Some(program) = in_path(&places.path, &names("opencode", windows)) {
        return Ok(Ok(program));
    }
    tried.push(format!("PATH ({})", named(&places.path)));
    Ok(Err(tried))
}

impl Places {
    /// The first file of `PATH` that has a program's name.
    #[must_use]
    pub fn file(&self, program: &str) -> Option<PathBuf> {
        first(self.path.iter(), &names(program, cfg!(windows)), Path::is_file)
    }
}

/// The names that a program has as a file.
fn names(program: &str, windows: bool) -> Vec<String> {
    if windows {
        [".exe", ".cmd", ".bat"].map(|end| format!("{program}{end}")).to_vec()
    } else {
        vec![program.to_owned()]
    }
}

fn first<'a>(
    path: impl Iterator<Item = &'a PathBuf>,
    names: &[String],
    fits: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    path.flat_map(|directory| names.iter().map(|name| directory.join(name))).find(|file| fits(file))
}

fn in_path(path: &[PathBuf], names: &[String]) -> Option<PathBuf> {
    let absolute = path.iter().filter(|directory| directory.is_absolute());
    first(absolute, names, process::is_program)
}

fn named(path: &[PathBuf]) -> String {
    let mut names: Vec<_> = path.iter().take(NAMED).map(|directory| directory.display().to_string()).collect();
    match path.len() {
        0 => return "empty".to_owned(),
        many if many > NAMED => names.push(format!("and {} more", many - NAMED)),
        _ => {}
    }
    names.join(", ")
}

/// The one that `npm install -g` has put there, or why there is none.
async fn in_npm_prefix(places: &Places, windows: bool) -> Result<PathBuf, String> {
    let Some(npm) = in_path(&places.path, &names("npm", windows)) else {
        return Err("npm's prefix: there is no `npm` in PATH".to_owned());
    };
    let Some(dir) = npm.parent() else { return Err("npm's prefix".to_owned()) };
    let command = Command {
        argv: vec![npm.to_string_lossy().into_owned(), "prefix".to_owned(), "-g".to_owned()],
        dir: dir.to_owned(),
        set: Vec::new(),
        unset: Vec::new(),
        timeout: NPM,
        keep: 64 * 1024,
    };
    let split = process::run_split(&command, &CancellationToken::new()).await;
    let failed = |why: &str| Err(format!("`npm prefix -g`, which {why}"));
    match &split.status {
        Status::Exited(0) => {}
        Status::TimedOut => return failed("took too long"),
        Status::NotStarted(fault) => return failed(&format!("could not be started: {}", fault.message)),
        _ => return failed("failed"),
    }
    let printed = split.stdout.text();
    // npm may tell of an update before.
    match printed.lines().map(str::trim).rfind(|line| Path::new(line).is_absolute()) {
        Some(prefix) => {
            let file = in_prefix(Path::new(prefix), windows);
            if process::is_program(&file) {
                Ok(file)
            } else {
                Err(format!("npm's prefix: `{}` is not there", file.display()))
            }
        }
        None => failed("named no directory"),
    }
}

fn in_prefix(prefix: &Path, windows: bool) -> PathBuf {
    if windows { prefix.join("opencode.cmd") } else { prefix.join("bin").join("opencode") }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn put(path: &Path, text: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn the_variable_wins_then_the_path_then_npm() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut places = Places { opencode_path: None, path: vec![at("empty"), at("a"), at("b")] };
        // npm's own words before the answer are passed over.
        put(&at("b/npm"), &format!("#!/bin/sh\necho npm notice\necho {}\n", at("prefix").display()), 0o755);
        let fault = find_opencode(&places).await.unwrap_err();
        assert_eq!(fault.code, Code::OpencodeMissing);
        for part in ["OPENCODE_PATH, which is not set", "PATH (", "/a, ", "prefix/bin/opencode` is not there"] {
            assert!(fault.message.contains(part), "{part}: {fault}");
        }

        put(&at("prefix/bin/opencode"), "", 0o755);
        assert_eq!(find_opencode(&places).await.unwrap(), at("prefix/bin/opencode"));
        // What is not executable, or a directory, is no program.
        put(&at("a/opencode"), "", 0o644);
        fs::create_dir_all(at("empty/opencode")).unwrap();
        assert_eq!(find_opencode(&places).await.unwrap(), at("prefix/bin/opencode"));
        put(&at("b/opencode"), "", 0o755);
        assert_eq!(find_opencode(&places).await.unwrap(), at("b/opencode"));
        put(&at("mine"), "", 0o755);
        places.opencode_path = Some(at("mine"));
        assert_eq!(find_opencode(&places).await.unwrap(), at("mine"));
        // A wrong wish is not silently replaced.
        for (wrong, what) in [(at("nowhere"), "not there"), (at("a/opencode"), "no program")] {
            places.opencode_path = Some(wrong);
            let fault = find_opencode(&places).await.unwrap_err();
            assert!(fault.message.ends_with(what), "{fault}");
        }
        places.opencode_path = Some(PathBuf::new());
        assert_eq!(find_opencode(&places).await.unwrap(), at("b/opencode"));
    }

    #[tokio::test]
    async fn a_broken_npm_is_told_and_a_relative_path_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let npm = dir.path().join("npm");
        let places = Places { opencode_path: None, path: vec!["src".into(), dir.path().to_owned()] };
        for (script, words) in [
            ("#!/bin/sh\nexit 3\n", "`npm prefix -g`, which failed"),
            ("#!/bin/sh\necho relative\n", "which named no directory"),
            ("#!/nowhere/sh\n", "which could not be started"),
        ] {
            put(&npm, script, 0o755);
            let fault = find_opencode(&places).await.unwrap_err();
            assert!(fault.message.contains(words), "{fault}");
        }
        fs::remove_file(npm).unwrap();
        let fault = find_opencode(&places).await.unwrap_err();
        assert!(fault.message.contains("there is no `npm` in PATH"), "{fault}");
        assert_eq!(in_path(&["src/../src".into()], &["lib.rs".to_owned()]), None);
    }

    #[test]
    fn windows_has_other_names() {
        assert_eq!(names("opencode", true), ["opencode.exe", "opencode.cmd", "opencode.bat"]);
        assert!(in_prefix(Path::new("p"), true).ends_with("p/opencode.cmd"));
    }

    #[test]
    fn a_long_path_is_named_in_part() {
        let path: Vec<_> = (0..20).map(|n| PathBuf::from(format!("/d{n}"))).collect();
        assert!(named(&path).ends_with("/d11, and 8 more"));
        assert_eq!(named(&[]), "empty");
    }
}
