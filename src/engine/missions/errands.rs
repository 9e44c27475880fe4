//! What a mission needs done outside the store: checks, worktrees, a look at the files. Each runs beside the loop and
//! wakes it when it has ended.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    engine::project::Project,
    mission::{Errand, Mission},
    store::todo_hash,
    sys::{
        git,
        process::{self, Command, Status},
    },
    worktree,
};

/// Bytes kept of one check's output.
const KEPT: usize = 16 * 1024;

/// How long a look at the files may take.
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// Bytes of a difference that count for a fingerprint.
const LOOK_KEPT: usize = 4 << 20;

/// Begins an errand, unless it was begun before.
pub fn begin(project: &Arc<Project>, mission: &Mission, errand: Errand) {
    if !project.missions.begin(mission.id, &errand) {
        return;
    }
    let (project, id) = (Arc::clone(project), mission.id);
    let stop = project.stop.clone();
    let running = Arc::clone(&project);
    project.tracker.spawn(async move {
        let came = tokio::select! {
            came = run(&running, &errand) => came,
            () = stop.cancelled() => return,
        };
        if let Err(why) = &came {
            tracing::info!(mission = %id, ?errand, why, "an errand came back with bad news");
        }
        running.missions.end(id, errand, came);
    });
}

/// Removes a worktree of a mission that is over.
pub fn drop_tree(project: &Arc<Project>, path: PathBuf) {
    let root = project.key.clone();
    project.tracker.spawn(async move {
        if let Err(error) = worktree::remove(Path::new(root.as_str()), &path).await {
            tracing::warn!(path = %path.display(), %error, "a worktree was not removed");
        }
    });
}

async fn run(project: &Project, errand: &Errand) -> Result<String, String> {
    let root = Path::new(project.key.as_str());
    let words = |error: worktree::WorktreeError| error.to_string();
    match errand {
        Errand::Make(path) => worktree::make(root, path).await.map(|tree| tree.base).map_err(words),
        Errand::Land(path, base) => {
            let tree = worktree::Worktree { path: path.clone(), base: base.clone() };
            let changes = worktree::diff(&tree).await.map_err(words)?;
            worktree::apply(root, &changes).await.map_err(words)?;
            Ok(String::new())
        }
        Errand::Drop(path) => worktree::remove(root, path).await.map(|()| String::new()).map_err(words),
        Errand::Check(_) => checks(project, root).await,
        Errand::Look(_) => Ok(fingerprint(project, root).await),
    }
}

/// Runs the checks one after the other, until one fails.
async fn checks(project: &Project, root: &Path) -> Result<String, String> {
    let settings = &project.options.mission;
    let mut said = String::new();
    for argv in &settings.checks {
        let command = Command {
            argv: argv.clone(),
            dir: root.to_owned(),
            set: Vec::new(),
            unset: Vec::new(),
            timeout: settings.check_limit(),
            keep: KEPT,
        };
        let finished = process::run(&command, &project.stop).await;
        let status = match &finished.status {
            Status::Exited(code) => format!("exit code {code}"),
            Status::Signalled(signal) => format!("ended by signal {signal}"),
            Status::TimedOut => format!("not done after {} s", settings.check_timeout),
            Status::Cancelled => "cancelled".to_owned(),
            Status::NotStarted(fault) => fault.to_string(),
        };
        let _ = writeln!(said, "$ {} ({status})", argv.join(" "));
        if !finished.status.is_success() {
            said.push_str(finished.output.trim_end());
            return Err(said);
        }
    }
    Ok(said)
}

/// What the project's files look like. Without git it is always the same: then other things show progress.
async fn fingerprint(project: &Project, root: &Path) -> String {
    let mut text = String::new();
    for arguments in [["diff", "HEAD", "--no-ext-diff"].as_slice(), &["status", "--porcelain=v2", "-z"]] {
        let command = Command { timeout: LOOK_LIMIT, keep: LOOK_KEPT, ..git::git(arguments.iter().copied(), root) };
        text.push_str(&process::run(&command, &project.stop).await.output);
    }
    todo_hash(text.as_bytes())
}
