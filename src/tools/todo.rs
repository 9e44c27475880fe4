//! `sortie_todo`: what its arguments ask for, done and told.

use super::{
    todo_args::{self, Context, Todo, Verb},
    todo_text,
};
use crate::{
    engine::{ops::Caller, service::Attachment},
    fault::{Code, Fault},
    mission::Note,
    todo::{Change, Document, Item, ItemId, Operation, board::Committed},
};

/// How many revisions one answer tells of.
const REVISIONS: u32 = 50;

/// How many revisions are looked through for those of one item.
const SEARCHED: u32 = 2_000;

/// Answers a call.
///
/// # Errors
/// The fault to show to the model.
pub async fn call(to: &Attachment, caller: &Caller, args: Todo) -> Result<String, Fault> {
    let mission = to.mission_of(&caller.session).await?;
    let tag = mission.as_ref().map(|(tag, _)| tag.as_str());
    let by = tag.map_or_else(|| caller.session.to_string(), |tag| format!("{tag} {}", caller.session));
    match todo_args::operations(args, Context { mission: tag, by: &by })? {
        Verb::Read { view, id, rev } => {
            let snapshot = match rev {
                Some(rev) => to.todo_snapshot(rev).await?,
                None => to.todo_head().await?,
            };
            let document = Document::of(snapshot.text);
            match id {
                Some(id) => Ok(todo_text::item(&document, snapshot.rev, find(&document, &id)?)),
                None => Ok(todo_text::read(&document, snapshot.rev, view, None)),
            }
        }
        Verb::Change { mut operations, rev } => {
            name_heading(to, &mut operations, mission.as_ref()).await?;
            change(to, &by, rev, operations).await
        }
        Verb::Note(text) => {
            let (decision, text) = match text.split_once(':') {
                Some((word, rest)) if word.trim().eq_ignore_ascii_case("decision") => (true, rest),
                Some((word, rest)) if word.trim().eq_ignore_ascii_case("finding") => (false, rest),
                _ => (true, text.as_str()),
            };
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            to.remember(&caller.session, Note { decision, text }).await?;
            Ok("noted for all agents of the mission".to_owned())
        }
        Verb::History { id, before } => history(to, id, before).await,
    }
}

fn find<'a>(document: &'a Document, id: &ItemId) -> Result<&'a Item, Fault> {
    document.get(id).ok_or_else(|| crate::todo::TodoError::NoItem(id.clone()).into())
}

/// The first items of a mission get a heading that says what it is about.
async fn name_heading(
    to: &Attachment,
    operations: &mut [Operation],
    mission: Option<&(String, String)>,
) -> Result<(), Fault> {
    let Some((tag, goal)) = mission else { return Ok(()) };
    let bare = |operation: &Operation| matches!(operation, Operation::Add { mission: Some(_), group: None, .. });
    if !operations.iter().any(bare) {
        return Ok(());
    }
    let document = Document::of(to.todo_head().await?.text);
    if document.items().iter().any(|item| item.mission.as_deref() == Some(tag)) {
        return Ok(());
    }
    for operation in operations {
        if let Operation::Add { mission: Some(_), group, .. } = operation {
            group.get_or_insert_with(|| goal.clone());
        }
    }
    Ok(())
}

/// Changes the file. A conflict is tried once more on what is there now, unless that would undo what others did.
async fn change(to: &Attachment, by: &str, rev: Option<u64>, operations: Vec<Operation>) -> Result<String, Fault> {
    let committed = match to.todo_commit(by, rev, operations.clone()).await {
        Err(conflict) if conflict.code == Code::TodoConflict => {
            let (Some(rev), head) = (rev, to.todo_head().await?) else { return Err(conflict) };
            let (base, now) = (Document::of(to.todo_snapshot(rev).await?.text), Document::of(head.text));
            if !operations.iter().all(|operation| leaves_the_rest(operation, &base, &now)) {
                return Err(conflict);
            }
            to.todo_commit(by, None, operations).await?
        }
        done => done?,
    };
    let Committed { revision, before, document, touched } = &committed;
    Ok(todo_text::changed(revision.rev, before, document, touched))
}

/// Whether an update touches nothing of what others changed of its item.
fn leaves_the_rest(operation: &Operation, base: &Document, now: &Document) -> bool {
    let Operation::Update { id, change } = operation else { return false };
    let (Some(base), Some(now)) = (base.get(id), now.get(id)) else { return false };
    let Change { status, title, agent, files, after, size, race, note: _ } = &**change;
    [
        (status.is_some(), base.status != now.status),
        (title.is_some(), base.title != now.title),
        (agent.is_some(), base.agent != now.agent),
        (files.is_some(), base.files != now.files),
        (after.is_some(), base.after != now.after),
        (size.is_some(), base.size != now.size),
        (race.is_some(), base.race != now.race),
    ]
    .into_iter()
    .all(|(ours, theirs)| !(ours && theirs))
}

/// Who changed the file, or one item of it.
async fn history(to: &Attachment, id: Option<ItemId>, before: Option<u64>) -> Result<String, Fault> {
    let limit = if id.is_some() { SEARCHED } else { REVISIONS };
    let revisions = to.todo_history(before, limit).await?;
    let read = |json: &str| serde_json::from_str::<Vec<Operation>>(json).unwrap_or_default();
    let all: Vec<_> = revisions.iter().map(|revision| (revision, read(&revision.operations))).collect();
    let concerns = |operations: &[Operation]| {
        id.as_ref().is_none_or(|id| operations.iter().any(|operation| operation.concerns(id)))
    };
    let told: Vec<_> = all
        .iter()
        .filter(|(_, operations)| concerns(operations))
        .take(REVISIONS as usize)
        .map(|(revision, operations)| todo_text::Revision {
            rev: revision.rev,
            author: &revision.author,
            age: to.now().since(revision.at),
            operations,
        })
        .collect();
    Ok(todo_text::history(&told))
}
