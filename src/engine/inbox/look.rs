//! Looking for prompts: the net under the events. A prompt that was asked while nobody listened waits in the host's list.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::entry::{Request, Word};
use crate::{
    engine::project::Project,
    opencode::ClientError,
    store::{Answered, instance},
};

/// How often the lists of directories are read in which a task has been silent for as long.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long the host may take for its lists.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks for the project's prompts until it is let go. With nothing running it sleeps.
pub async fn run(project: Arc<Project>) {
    loop {
        tokio::select! {
            () = project.stop.cancelled() => return,
            () = project.inbox.missed.notified() => {}
            () = silence(&project) => {}
        }
        tokio::select! {
            () = project.stop.cancelled() => return,
            () = look(&project) => {}
        }
    }
}

/// Waits until a running task is silent. What waits for an answer is; so is a model that takes its time.
async fn silence(project: &Project) {
    loop {
        while project.running().is_empty() {
            project.inbox.began.notified().await;
        }
        tokio::time::sleep(INTERVAL).await;
        if project.running().values().any(|running| running.live.silent_for() >= INTERVAL) {
            return;
        }
    }
}

/// Compares what is known with the host's lists.
async fn look(project: &Arc<Project>) {
    let running = project.running();
    let directories: BTreeSet<String> = running
        .values()
        .map(|running| running.directory.to_string())
        .chain(project.inbox.waiting().iter().map(|entry| entry.directory.clone()))
        .collect();
    for directory in directories {
        // One that was asked or answered meanwhile is not judged by an older list.
        let before = project.inbox.waiting();
        let listed = match tokio::time::timeout(LIMIT, list(project, &directory)).await {
            Ok(Ok(listed)) => listed,
            Ok(Err(error)) => {
                tracing::debug!(%error, "prompts could not be listed");
                continue;
            }
            Err(_) => continue,
        };
        for entry in before.iter().filter(|entry| entry.directory == directory) {
            if !listed.iter().any(|request| request.id() == entry.request.id()) {
                entry.hear(Word::Vanished);
            }
        }
        for request in listed {
            project.inbox.asked(request, &directory, true);
        }
    }
}

async fn list(project: &Project, directory: &str) -> Result<Vec<Request>, ClientError> {
    let client = project.client();
    let permissions = client.permissions(directory).await?.into_iter().map(|it| Request::Permission(Box::new(it)));
    let questions = client.questions(directory).await?.into_iter().map(|it| Request::Question(Box::new(it)));
    Ok(permissions.chain(questions).collect())
}

/// Closes the records of prompts whose process is dead: with it, they are gone.
pub async fn close_those_of_the_dead(project: &Arc<Project>) {
    let (key, core) = (project.key.clone(), Arc::clone(&project.core));
    let mine: Vec<_> = project.inbox.waiting().iter().map(|entry| entry.request.id().to_owned()).collect();
    let closed = project
        .store(move |store| {
            for row in store.prompts(&key, None)? {
                let home = row.prompt.home;
                // What this process had before it let go of the project is gone as well.
                let waits = if home == core.instance {
                    mine.contains(&row.prompt.request)
                } else {
                    instance::is_alive(&core.home, home)
                };
                if !waits {
                    let by = "its process has ended".to_owned();
                    let answered = Answered { answer: "gone".to_owned(), by, at: core.clock.now() };
                    store.close_prompt(row.number, &answered)?;
                }
            }
            Ok(())
        })
        .await;
    if let Err(error) = closed {
        tracing::warn!(%error, "the prompts of the dead were not closed");
    }
}
