//! A project with agents, and the real binary in it.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long a condition is waited for.
const LIMIT: Duration = Duration::from_secs(30);

/// The agents: each is a line that the system's shell runs, as the program that the user has configured.
const AGENTS: &[(&str, &str, &str)] = &[
    ("good", "echo working on \"$1\"; echo did \"$1\"", "exit"),
    ("bad", "echo about to fail; echo oh no >&2; exit 3", "exit"),
    ("flaky", "test -e \"$SORTIE_TASK_DIR/tried\" && exit 0; : > \"$SORTIE_TASK_DIR/tried\"; exit 1", "exit"),
    ("slow", "echo begun; exec sleep 600", "exit"),
    ("reports", "echo noise; echo 'three files written' > \"$SORTIE_TASK_DIR/.done\"", "sentinel"),
    ("mute", "exit 0", "sentinel"),
    ("errs", "echo '{\"error\": \"no disk\", \"details\": \"at /x\"}' > \"$SORTIE_TASK_DIR/.error\"", "exit"),
    ("gives-up", ": > \"$SORTIE_TASK_DIR/.cancelled\"", "exit"),
];

/// A project of its own, with a home of its own.
pub struct Rig {
    dir: tempfile::TempDir,
}

/// What a command did.
pub struct Did {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Rig {
    pub fn new() -> Self {
        let rig = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(rig.project().join("below")).unwrap();
        fs::create_dir(rig.project().join(".git")).unwrap();
        fs::write(rig.project().join("prompt.txt"), "from a file").unwrap();
        let agents: serde_json::Map<String, Value> = AGENTS
            .iter()
            .map(|(name, line, success)| {
                let args = ["-c", line, "agent", "{prompt}"];
                ((*name).to_owned(), serde_json::json!({ "command": "sh", "args": args, "success": success }))
            })
            .collect();
        rig.configure(&serde_json::json!({ "agents": agents }).to_string());
        rig
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.project().join("sortie.jsonc"), text).unwrap();
    }

    pub fn root(&self) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap()
    }

    pub fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// The command, in this project and without anything of this machine's user.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sortie"));
        command.args(arguments).current_dir(self.project()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name != "PATH" && name != "LLVM_PROFILE_FILE" {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", self.root())
            .env("SORTIE_HOME", self.home())
            .env("XDG_CONFIG_HOME", self.root().join("config"));
        command
    }

    pub fn sortie<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Did {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Did { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
    }

    /// The answer of a command for programs.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let did = self.sortie(&[arguments, &["--json"]].concat());
        serde_json::from_str(&did.out).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}{}", did.out, did.err))
    }

    /// The ids of all tasks, in the order of their launch.
    pub fn ids(&self) -> Vec<String> {
        let of = |more: &[&str]| {
            let answer = self.json(&[&["status", "--limit", "1000"], more].concat());
            answer["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
        };
        let mut ids: Vec<String> = of(&[]);
        ids.extend::<Vec<String>>(of(&["--archived"]));
        ids.sort();
        ids
    }

    /// Waits until a task is in a state; running means that its agent's process is known.
    pub fn until(&self, id: &str, state: &str) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let task = self.json(&["status", id])["tasks"][0].clone();
            if task["state"] == state && (state != "running" || task["pid"].is_u64()) {
                return;
            }
            assert!(Instant::now() < deadline, "{id} does not become {state}: {task}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until nobody works the queue.
    pub fn until_idle(&self) {
        let deadline = Instant::now() + LIMIT;
        while self.json(&["status"])["workers"] != 0 {
            assert!(Instant::now() < deadline, "somebody still works the queue");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A text without what differs from run to run: directories, ids, times, numbers of processes, widths of columns.
    pub fn steady(&self, text: &str) -> String {
        let text = text.replace(self.root().to_str().unwrap(), "$DIR");
        let mut steady = String::new();
        for line in text.lines() {
            let mut before = "";
            let words: Vec<String> = line
                .split_whitespace()
                .map(|word| {
                    let shown = same(word, before);
                    before = word;
                    shown
                })
                .collect();
            steady.push_str(words.join(" ").trim_end());
            steady.push('\n');
        }
        steady
    }
}

/// A word without what differs from run to run.
fn same(word: &str, before: &str) -> String {
    let bare = word.trim_matches(|character: char| matches!(character, ',' | ':' | '`' | '"' | '.' | ')' | '('));
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = bare.strip_prefix("tsk_").is_some_and(|rest| rest.len() == 32 && hex(rest))
        || (bare.len() >= 4 && bare.starts_with('0') && hex(bare));
    let is_time = bare.strip_suffix('s').is_some_and(number);
    let is_instant = bare.len() >= 20 && bare.starts_with("20") && bare.ends_with('Z') && bare.contains('T');
    let is_process = matches!(before, "process" | "(process") && number(bare);
    let instead = match () {
        () if is_id => "ID",
        () if is_time => "TIME",
        () if is_instant => "AT",
        () if is_process => "N",
        () => return replace_ids(word),
    };
    word.replacen(bare, instead, 1)
}

/// A path may name a task's directory.
fn replace_ids(word: &str) -> String {
    match word.find("tsk_") {
        Some(at) if word.len() >= at + 36 => format!("{}ID{}", &word[..at], &word[at + 36..]),
        _ => word.to_owned(),
    }
}

/// Compares with what is kept, or keeps it anew with `SORTIE_BLESS=1`.
pub fn kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(name);
    if std::env::var_os("SORTIE_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if kept != text {
        let other = kept.lines().zip(text.lines()).position(|(one, two)| one != two);
        let at = other.unwrap_or(kept.lines().count().min(text.lines().count()));
        let near = |text: &str| text.lines().skip(at.saturating_sub(8)).take(16).collect::<Vec<_>>().join("\n");
        panic!("{name} differs from line {}.\nkept:\n{}\n\nnow:\n{}", at + 1, near(&kept), near(text));
    }
}

/// The transcript of commands: each line is what is typed after `sortie`, `@1` the first task that was launched.
/// `until @1 running` and `idle` wait.
pub fn transcript(rig: &Rig, script: &str) -> String {
    let mut text = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix('#') {
            let _ = writeln!(text, "#{title}");
            continue;
        }
        let words: Vec<String> = words(line);
        let known = if line.contains('@') { rig.ids() } else { Vec::new() };
        let words: Vec<String> = words
            .into_iter()
            .map(|word| match word.strip_prefix('@').and_then(|number| number.parse::<usize>().ok()) {
                Some(number) => known[number - 1].clone(),
                None => word,
            })
            .collect();
        match words[0].as_str() {
            "until" => rig.until(&words[1], &words[2]),
            "idle" => rig.until_idle(),
            _ => {
                let did = rig.sortie(&words);
                let _ = write!(text, "$ sortie {line}\n{}", rig.steady(&did.out));
                for line in rig.steady(&did.err).lines() {
                    let _ = writeln!(text, "! {line}");
                }
                let _ = write!(text, "-> {}\n\n", did.code);
            }
        }
    }
    text
}

/// The words of a line; `'…'` is one word, and `\0`, `\e`, `\n` in it are those characters.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for character in line.chars() {
        match character {
            '\'' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => {
                word.push(character);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words.iter().map(|word| word.replace("\\e", "\u{1b}").replace("\\n", "\n")).collect()
}
