//! Reading the files, and what is wrong with them.

use std::{
    io,
    path::{Path, PathBuf},
};

use jsonc_parser::ParseOptions;
use serde::Deserialize;

use super::{Agent, Config, File, MOST_ARGUMENTS, Queue, Servers};
use crate::fault::{Code, Fault};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Where a configuration may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A `sortie.jsonc`.
    Own(PathBuf),
    /// The `agent-config.json` of older orchestrators: agents only, and what else it holds is not ours.
    Older(PathBuf),
}

impl Source {
    /// The places of a user and a project, the weakest first.
    #[must_use]
    pub fn of(user: Option<&Path>, project: &Path) -> Vec<Self> {
        let own = [project.join("sortie.jsonc"), project.join(".opencode").join("sortie.jsonc")];
        let user = user.map(|directory| Self::Own(directory.join("sortie.jsonc")));
        let older = Self::Older(project.join(".opencode").join("agent-config.json"));
        user.into_iter().chain([older]).chain(own.map(Self::Own)).collect()
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(path) | Self::Older(path) => path,
        }
    }
}

/// The file of older orchestrators.
#[derive(Deserialize)]
struct Older {
    agents: std::collections::BTreeMap<String, OlderAgent>,
}

#[derive(Deserialize)]
struct OlderAgent {
    command: String,
    #[serde(default)]
    args: Vec<String>,
    description: Option<String>,
}

impl From<Older> for File {
    fn from(older: Older) -> Self {
        let agent = |agent: OlderAgent| Agent {
            command: agent.command,
            args: agent.args,
            description: agent.description,
            ..Agent::of_opencode()
        };
        Self { agents: older.agents.into_iter().map(|(name, one)| (name, agent(one))).collect(), ..Self::default() }
    }
}

/// What holds, with the files that were there.
///
/// # Errors
/// [`Code::BadConfig`] names the file and the field.
pub fn load(sources: &[Source]) -> Result<(Config, Vec<PathBuf>), Fault> {
    let (mut config, mut found) = (Config::default(), Vec::new());
    for source in sources {
        let Some(text) = text(source.path())? else { continue };
        let file = match source {
            Source::Own(path) => parse::<File>(path, &text)?,
            Source::Older(path) => parse::<Older>(path, &text)?.into(),
        };
        check(source.path(), &file)?;
        merge(&mut config, file);
        found.push(source.path().to_owned());
    }
    Ok((config, found))
}

fn text(path: &Path) -> Result<Option<String>, Fault> {
    let fail = |why: String| Fault::new(Code::BadConfig, format!("{}: {why}", path.display()));
    match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(fail(error.to_string())),
        Ok(metadata) if metadata.len() > LONGEST => Err(fail(format!("longer than {LONGEST} bytes"))),
        Ok(_) => std::fs::read_to_string(path).map(Some).map_err(|error| fail(error.to_string())),
    }
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T, Fault> {
    let fail = |why: String| Fault::new(Code::BadConfig, format!("{}: {why}", path.display()));
    let options = ParseOptions::default();
    let value: Option<serde_json::Value> =
        jsonc_parser::parse_to_serde_value(text, &options).map_err(|error| fail(error.to_string()))?;
    let value = value.unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new()));
    // Read from a list, the first value would be taken for the first field.
    if !value.is_object() {
        return Err(fail("expected an object: { … }".to_owned()));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let place = error.path().to_string();
        fail(if place == "." { error.into_inner().to_string() } else { format!("`{place}`: {}", error.inner()) })
    })
}

fn check(path: &Path, file: &File) -> Result<(), Fault> {
    let fail =
        |field: &str, why: &str| Err(Fault::new(Code::BadConfig, format!("{}: `{field}`: {why}", path.display())));
    for (name, agent) in &file.agents {
        let field = |rest: &str| format!("agents.{name}{rest}");
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return fail(&field(""), "an agent needs a name of one line");
        }
        if agent.command.trim().is_empty() {
            return fail(&field(".command"), "it names no program");
        }
        if agent.args.len() > MOST_ARGUMENTS {
            return fail(&field(".args"), &format!("more than {MOST_ARGUMENTS} arguments"));
        }
        if let Some(wrong) = agent.env.keys().find(|key| key.is_empty() || key.contains(['=', '\0'])) {
            return fail(&field(".env"), &format!("`{wrong}` is no name of a variable"));
        }
        let texts = agent.args.iter().chain(agent.env.values()).chain([&agent.command]);
        if texts.into_iter().any(|text| text.contains('\0')) {
            return fail(&field(""), "a NUL character cannot be handed to a program");
        }
    }
    if file.servers.max.is_some_and(|max| max.get() > 5) {
        return fail("servers.max", "at most 5 servers are started");
    }
    if let Some(ports) = &file.servers.ports
        && super::port_range(ports).is_none()
    {
        return fail("servers.ports", "expected two ports such as \"4096-4100\"");
    }
    Ok(())
}

fn merge(config: &mut Config, file: File) {
    let File { schema: _, agents, queue, servers } = file;
    config.agents.retain(|known, _| !agents.keys().any(|name| name.eq_ignore_ascii_case(known)));
    config.agents.extend(agents);
    let before = &config.queue;
    config.queue = Queue {
        parallel: queue.parallel.or(before.parallel),
        slots: queue.slots.or(before.slots),
        project: queue.project.or(before.project),
        timeout: queue.timeout.or(before.timeout),
        max_retries: queue.max_retries.or(before.max_retries),
        auto_retry: queue.auto_retry.or(before.auto_retry),
        log_size: queue.log_size.or(before.log_size),
    };
    let before = config.servers.clone();
    config.servers = Servers {
        max: servers.max.or(before.max),
        ports: servers.ports.or(before.ports),
        isolated: servers.isolated.or(before.isolated),
        url: servers.url.or(before.url),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Success;

    fn loaded(files: &[(&str, &str)]) -> Result<Config, String> {
        let home = tempfile::tempdir().unwrap();
        let (user, project) = (home.path().join("user"), home.path().join("project"));
        for (name, text) in files {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        match load(&Source::of(Some(&user), &project)) {
            Ok((config, found)) => {
                assert_eq!(found.len(), files.len());
                Ok(config)
            }
            Err(fault) => {
                assert_eq!(fault.code, Code::BadConfig);
                Err(fault.message.rsplit_once(".json").unwrap().1.trim_start_matches(['c', ':', ' ']).to_owned())
            }
        }
    }

    #[test]
    fn without_a_file_every_agent_is_opencodes() {
        let config = loaded(&[]).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.agent("coder"), Agent::of_opencode());
    }

    #[test]
    fn the_project_wins_over_the_older_file_and_that_over_the_user() {
        let config = loaded(&[
            ("user/sortie.jsonc", r#"{"agents": {"a": {"command": "ua"}, "b": {"command": "ub"}, "c": {"command": "uc", "args": ["x"]}},
                "queue": {"parallel": 7, "timeout": 5}}"#),
            ("project/.opencode/agent-config.json", r#"{"version": 2, "agents": {
                "b": {"command": "ob", "args": ["run", "{prompt}"], "description": "older", "color": "red"}, "c": {"command": "oc"}}}"#),
            ("project/sortie.jsonc", r#"{ // comments are welcome
                "agents": {"C": {"command": "pc", "success": "both", "slots": 2}}, "queue": {"timeout": 9},}"#),
        ])
        .unwrap();
        assert_eq!(config.agents.keys().collect::<Vec<_>>(), ["C", "a", "b"]);
        let commands: Vec<_> = ["a", "b", "c"].iter().map(|name| config.agent(name).command).collect();
        assert_eq!(commands, ["ua", "ob", "pc"]);
        assert_eq!(config.agent("b").args, ["run", "{prompt}"]);
        let c = config.agent("c");
        assert_eq!((c.args.len(), c.success, c.slots.map(NonZero::get)), (0, Success::Both, Some(2)));
        assert_eq!((config.queue.parallel.unwrap().get(), config.queue.timeout.unwrap().get()), (7, 9));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("{", "Unterminated object"),
            (r#"{"agent": {}}"#, "`agent`: unknown field `agent`"),
            (r#"{"agents": {"a": {"args": []}}}"#, "`agents.a`: missing field `command`"),
            (r#"{"agents": {"a": {"command": " "}}}"#, "`agents.a.command`: it names no program"),
            (
                r#"{"agents": {"a": {"command": "x", "success": "maybe"}}}"#,
                "`agents.a.success`: unknown variant `maybe`",
            ),
            (r#"{"agents": {"a": {"command": "x", "env": {"A=B": "1"}}}}"#, "`agents.a.env`: `A=B` is no name"),
            (r#"{"agents": {"a": {"command": "x\u0000"}}}"#, "`agents.a`: a NUL character"),
            (r#"{"agents": {"": {"command": "x"}}}"#, "`agents.`: an agent needs a name"),
            (r#"{"queue": {"parallel": 0}}"#, "`queue.parallel`: invalid value"),
            (r#"{"servers": {"max": 6}}"#, "`servers.max`: at most 5"),
            (r#"{"servers": {"ports": "4100-4096"}}"#, "`servers.ports`: expected two ports"),
        ] {
            let error = loaded(&[("project/sortie.jsonc", text)]).unwrap_err();
            assert!(error.starts_with(says), "{text}: {error}");
        }
    }

    use std::num::NonZero;
}
