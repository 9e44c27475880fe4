//! The log: one file in Sortie's home. A plugin must not write to the host's terminal.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
    sync::Mutex,
};

use tracing::Level;

/// A log that has grown to this many bytes is kept once as `sortie.log.1` when the next process begins.
const ROTATE_AT: u64 = 5 * 1024 * 1024;

/// Begins to log into `directory`. Only the first call in a process does anything.
pub fn begin(directory: &Path, level: Level) {
    match open(directory) {
        Ok(file) => {
            // Fails when a log is set already: then it goes on there.
            let _ = tracing_subscriber::fmt()
                .with_writer(Mutex::new(file))
                .with_ansi(false)
                .with_max_level(level)
                .try_init();
        }
        // Without a log everything else still works; the host is told of what matters by toasts and answers.
        Err(error) => drop(error),
    }
}

fn open(directory: &Path) -> io::Result<File> {
    let path = directory.join("sortie.log");
    if fs::metadata(&path).is_ok_and(|found| found.len() > ROTATE_AT) {
        fs::rename(&path, directory.join("sortie.log.1"))?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
