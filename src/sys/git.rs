//! git, by its command line, so that it neither asks, nor pages, nor reads what surrounds this process.

use std::{path::Path, time::Duration};

use super::process::Command;

/// Variables that would point git at another repository, or change what it reads and writes: they are there when this
/// process was started by a hook of git.
const AMBIENT: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ATTR_SOURCE",
    "GIT_COMMON_DIR",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TRACE",
    "GIT_TRACE2",
    "GIT_WORK_TREE",
    "LANGUAGE",
];

/// Variables set for git.
const SET: &[(&str, &str)] = &[
    // The words of its messages are those that we know.
    ("LC_ALL", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS", ""),
    ("GIT_EDITOR", "true"),
    ("GIT_PAGER", "cat"),
    // Looking takes no lock that the user's own git would then wait for.
    ("GIT_OPTIONAL_LOCKS", "0"),
];

/// Configuration that holds against the user's.
const CONFIG: &[&str] = &[
    // Would start a daemon, or a program that the repository names.
    "core.fsmonitor=false",
    // A user's hooks are for the user's own commands.
    "core.hooksPath=/dev/null",
    // Nothing goes on in the background after a command.
    "gc.auto=0",
    "maintenance.auto=false",
    // Would refuse to read files with mixed line ends.
    "core.safecrlf=false",
    // Submodules are not ours to fill or to move.
    "submodule.recurse=false",
    "color.ui=false",
];

/// How long git may take: a checkout of a large repository on a slow disk.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Bytes kept of each of its streams: enough for messages and names.
const KEEP: usize = 8 * 1024 * 1024;

/// The command `git <arguments>` in a directory.
#[must_use]
pub fn git<S: Into<String>>(arguments: impl IntoIterator<Item = S>, dir: &Path) -> Command {
    let mut argv = vec!["git".to_owned(), "--no-pager".to_owned()];
    argv.extend(CONFIG.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
    argv.extend(arguments.into_iter().map(Into::into));
    Command {
        argv,
        dir: dir.to_owned(),
        set: SET.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        unset: AMBIENT.iter().map(|name| (*name).to_owned()).collect(),
        timeout: TIMEOUT,
        keep: KEEP,
    }
}
