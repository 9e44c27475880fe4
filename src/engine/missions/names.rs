//! Names for what a mission makes.

use std::path::PathBuf;

use crate::{engine::project::Project, mission::Names, task::TaskId};

/// The longest title of a task that comes from an item, in bytes.
const TITLE: usize = 200;

/// Names from the process's clock and chance.
pub struct Fresh<'a>(pub &'a Project);

impl Names for Fresh<'_> {
    fn task(&mut self) -> TaskId {
        self.0.core.ids.task()
    }

    fn message(&mut self) -> (String, String) {
        let (message, part) = self.0.core.prompt_ids();
        (message.to_string(), part.to_string())
    }

    fn tree(&mut self) -> PathBuf {
        self.0.core.home.root().join("worktrees").join(self.0.core.ids.task().to_string())
    }
}

/// A title of one line.
pub fn title(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line[..crate::fault::floor(&line, TITLE)].trim().to_owned()
}
