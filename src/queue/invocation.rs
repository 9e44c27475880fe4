//! What is run for a task: its agent's command line with the task's words filled in. Pure; no shell reads it.

use std::path::{Path, PathBuf};

use super::place::Place;
use crate::{
    config::{Agent, Success},
    task::Task,
};

/// The variable that names the task to its agent. By it a group is known to be the task's, too.
pub const TASK_MARK: &str = "SORTIE_TASK_ID";

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    pub dir: PathBuf,
    /// Variables that are set for it.
    pub set: Vec<(String, String)>,
    /// How it is known that it has done its work.
    pub success: Success,
}

impl Invocation {
    /// That of a task's agent.
    #[must_use]
    pub fn of(agent: &Agent, task: &Task, place: &Place) -> Self {
        let prompt = prompt(agent.success, &task.spec.prompt, place.path());
        let (id, dir) = (task.id.to_string(), place.path().to_string_lossy().into_owned());
        let words = [("{prompt}", &*prompt), ("{taskId}", &*id), ("{agent}", &*task.spec.agent), ("{dir}", &*dir)];
        let mut argv = vec![agent.command.clone()];
        argv.extend(agent.args.iter().map(|argument| fill(argument, &words)));
        let mut set: Vec<_> = agent.env.iter().map(|(name, value)| (name.clone(), fill(value, &words))).collect();
        let own =
            [(TASK_MARK, id.clone()), ("SORTIE_TASK_DIR", dir.clone()), ("SORTIE_AGENT", task.spec.agent.to_string())];
        set.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let dir = match &agent.cwd {
            Some(cwd) => Path::new(task.spec.project.as_str()).join(cwd),
            None => PathBuf::from(task.spec.directory.as_str()),
        };
        Self { argv, dir, set, success: agent.success }
    }
}

/// The prompt, with how to say that the work is done where only that counts.
fn prompt(success: Success, prompt: &str, dir: &Path) -> String {
    if success == Success::Exit {
        return prompt.to_owned();
    }
    let dir = dir.display();
    format!(
        "{prompt}\n\nWhen all of this is done, write a short report into the file {dir}/.done. If it cannot be done, write \
         {{\"error\": \"why\", \"details\": \"more\"}} into {dir}/.error instead."
    )
}

/// Puts words in their places, in one pass: what is put in is not looked at again.
fn fill(text: &str, words: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let (name, word) = words.iter().find(|(name, _)| rest.starts_with(name)).copied().unwrap_or(("{", "{"));
        filled.push_str(word);
        rest = &rest[name.len()..];
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{Home, fixture},
        task::InstanceId,
    };

    #[test]
    fn words_are_put_in_once_and_nothing_is_read_by_a_shell() {
        let home = tempfile::tempdir().unwrap();
        let home = Home::open(home.path()).unwrap();
        let hostile = "$(rm -rf /) `x` {agent} \"'; \n--flag";
        let task = fixture::task(1, InstanceId::QUEUE, |spec| {
            hostile.clone_into(&mut spec.prompt);
            spec.agent = "coder".into();
        });
        let place = Place::of(&home, task.id);
        let mut agent = Agent {
            args: ["-p", "{prompt}", "{taskId}:{agent}:{dir}", "{unknown} {", "{{prompt}}"].map(str::to_owned).to_vec(),
            ..Agent::of_opencode()
        };
        agent.env.insert("PROMPT".to_owned(), "<{prompt}>".to_owned());
        let made = Invocation::of(&agent, &task, &place);
        let dir = place.path().display();
        assert_eq!(made.argv[1..3], ["-p".to_owned(), hostile.to_owned()]);
        assert_eq!(made.argv[3], format!("{}:coder:{dir}", task.id));
        assert_eq!(made.argv[4..], ["{unknown} {".to_owned(), format!("{{{hostile}}}")]);
        assert!(made.set.contains(&("PROMPT".to_owned(), format!("<{hostile}>"))));
        assert!(made.set.contains(&(TASK_MARK.to_owned(), task.id.to_string())));
        assert_eq!(made.dir, Path::new(task.spec.directory.as_str()));
    }

    #[test]
    fn an_agent_that_must_say_so_is_told_how() {
        let home = tempfile::tempdir().unwrap();
        let home = Home::open(home.path()).unwrap();
        let task = fixture::task(1, InstanceId::QUEUE, |spec| "work".clone_into(&mut spec.prompt));
        let place = Place::of(&home, task.id);
        for (success, is_told) in [(Success::Exit, false), (Success::Sentinel, true), (Success::Both, true)] {
            let agent = Agent { success, cwd: Some("below".to_owned()), ..Agent::of_opencode() };
            let made = Invocation::of(&agent, &task, &place);
            assert_eq!(made.argv[2].contains(&format!("{}/.done", place.path().display())), is_told);
            assert!(made.dir.ends_with("below"));
        }
    }
}
