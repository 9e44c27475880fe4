//! The real OpenCode in a sandbox, with a model that is played from a script: `testkit/sandbox-main.mjs`.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde::Deserialize;

/// What the sandbox says of itself.
#[derive(Debug, Deserialize)]
pub struct Said {
    /// The executable.
    pub opencode: PathBuf,
    /// Where everything is.
    pub root: PathBuf,
    /// The environment of an OpenCode in it.
    pub env: BTreeMap<String, String>,
    /// The projects.
    pub projects: Vec<String>,
}

/// A sandbox. Dropped, all that runs in it is ended and its files are removed.
pub struct Sandbox {
    /// What it says of itself.
    pub said: Said,
    process: Child,
}

impl Sandbox {
    /// Makes one with so many projects.
    pub fn new(projects: usize) -> Self {
        let main = concat!(env!("CARGO_MANIFEST_DIR"), "/testkit/sandbox-main.mjs");
        let mut process = Command::new("node")
            .args([main, "--projects", &projects.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { said: serde_json::from_str(&line).unwrap(), process }
    }

    /// The environment, as a server is given it.
    pub fn env(&self) -> Vec<(String, String)> {
        self.said.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It ends when nobody holds its stdin.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
