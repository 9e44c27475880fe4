//! Revisions of TODO.md.
//!
//! The first text, and every so many after it, is stored whole; the others as what they changed. A whole text is
//! packed when the next one comes: the head, which is read most, is never unpacked, and packing is paid once in
//! [`Limits::span`] commits. Every text that is read is checked against its hash, and then remembered by it.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::{
    launch::project_row,
    row::{integer, json, project_id},
    todo_recent::Recent,
    todo_text::{Delta, pack, unpack},
};
use crate::{
    store::{
        Known, Revision, Snapshot, StoreError, TODO_EDITS, TODO_TEXTS, TodoCommit, TodoEdit, TodoFile, TodoStep,
        todo_hash,
    },
    task::{ProjectKey, Timestamp},
};

const HEAD: &str = "SELECT rev, hash, base FROM todo_revisions WHERE project = ?1 ORDER BY rev DESC LIMIT 1";
const REVISION: &str = "SELECT rev, hash, base FROM todo_revisions WHERE project = ?1 AND rev = ?2";
const TEXTS: &str = "SELECT rev, form, body FROM todo_revisions CROSS JOIN todo_texts ON revision = seq \
    WHERE project = ?1 AND rev BETWEEN ?2 AND ?3 ORDER BY rev";
const INSERT: &str = "INSERT INTO todo_revisions (project, rev, hash, author, operations, at, base) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const INSERT_TEXT: &str = "INSERT INTO todo_texts (revision, form, body) VALUES (?1, ?2, ?3)";
const WHOLE: &str = "SELECT revision, body FROM todo_revisions CROSS JOIN todo_texts ON revision = seq \
    WHERE project = ?1 AND rev = ?2 AND form = 'whole'";
const PACK: &str = "UPDATE todo_texts SET form = 'packed', body = ?2 WHERE revision = ?1";
const PRUNE: &str = "DELETE FROM todo_texts WHERE revision IN \
    (SELECT seq FROM todo_revisions WHERE project = ?1 AND rev BETWEEN ?2 AND ?3)";
const HISTORY: &str = "SELECT rev, hash, author, operations, at FROM todo_revisions \
    WHERE project = ?1 AND rev < ?2 ORDER BY rev DESC LIMIT ?3";
const AT: &str = "SELECT at FROM todo_revisions WHERE project = ?1 AND rev = ?2";
const WITH_HASH: &str =
    "SELECT rev FROM todo_revisions WHERE project = ?1 AND hash = ?2 AND rev > ?3 ORDER BY +rev DESC LIMIT 1";
const FILE: &str = "SELECT shown_rev, shown_hash, next_rev, next_hash FROM todo_files WHERE project = ?1 AND path = ?2";
const SET_FILE: &str = "INSERT OR REPLACE INTO todo_files (project, path, shown_rev, shown_hash, next_rev, next_hash) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const EDITS: &str = "SELECT rev, body FROM todo_edits WHERE project = ?1 ORDER BY rev";
const KEEP_EDIT: &str = "INSERT OR IGNORE INTO todo_edits (project, rev, hash, body) VALUES (?1, ?2, ?3, ?4)";
const FORGET_EDITS: &str = "DELETE FROM todo_edits WHERE project = ?1 AND rev < \
    (SELECT rev FROM todo_edits WHERE project = ?1 ORDER BY rev DESC LIMIT 1 OFFSET ?2)";
const UNSET_FILE: &str = "DELETE FROM todo_files WHERE project = ?1 AND path = ?2";

#[cfg(test)]
pub(super) const SQL: [&str; 17] = [
    HEAD,
    REVISION,
    TEXTS,
    INSERT,
    INSERT_TEXT,
    WHOLE,
    PACK,
    PRUNE,
    HISTORY,
    AT,
    WITH_HASH,
    FILE,
    SET_FILE,
    UNSET_FILE,
    EDITS,
    KEEP_EDIT,
    FORGET_EDITS,
];

/// How texts are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How many of the newest revisions keep their text.
    pub kept: u64,
    /// At most so many deltas follow a whole text: a read applies them all.
    pub span: u64,
}

pub(super) const LIMITS: Limits = Limits { kept: TODO_TEXTS, span: 64 };

/// A revision's place.
struct Place {
    rev: u64,
    hash: String,
    base: u64,
}

impl Place {
    /// Before the first revision.
    fn zero() -> Self {
        Self { rev: 0, hash: todo_hash(b""), base: 0 }
    }
}

fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    Ok(Place { rev: number(row, 0)?, hash: row.get(1)?, base: number(row, 2)? })
}

/// A counter of ours: the schema keeps it above zero.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

fn head(conn: &Connection, project: i64) -> Result<Place, StoreError> {
    let head = conn.prepare_cached(HEAD)?.query_row([project], place).optional()?;
    Ok(head.unwrap_or_else(Place::zero))
}

/// Makes the texts from a whole one to that of `last`, which is returned with its number. `step` sees each: as a delta and
/// the text that it changes, or as a whole text.
fn walk(
    conn: &Connection,
    project: i64,
    base: u64,
    last: u64,
    mut step: impl FnMut(u64, &str, Option<&Delta>),
) -> Result<(u64, String), StoreError> {
    let mut statement = conn.prepare_cached(TEXTS)?;
    let mut rows = statement.query((project, integer(base), integer(last)))?;
    let (mut text, mut rev) = (String::new(), 0);
    while let Some(row) = rows.next()? {
        rev = number(row, 0)?;
        let corrupt = |reason: &str| StoreError::CorruptTodo { rev, reason: reason.to_owned() };
        let body = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        match row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)? {
            "delta" => {
                let delta: Delta = serde_json::from_slice(body).map_err(|_| corrupt("its delta is none"))?;
                step(rev, &text, Some(&delta));
                delta.apply(&mut text).ok_or_else(|| corrupt("its delta is not one of the text before it"))?;
                continue;
            }
            "packed" => text = unpack(body).map_err(|_| corrupt("its text cannot be unpacked"))?,
            _ => text = String::from_utf8(body.to_vec()).map_err(|_| corrupt("its text is not UTF-8"))?,
        }
        step(rev, &text, None);
    }
    Ok((rev, text))
}

/// The text of a revision, as it was read or written lately or from what is stored.
fn text(conn: &Connection, project: i64, place: Place, recent: &Recent) -> Result<Snapshot, StoreError> {
    if let Some(text) = recent.get(&place.hash) {
        return Ok(Snapshot { rev: place.rev, hash: place.hash, text });
    }
    let snapshot = stored_text(conn, project, place)?;
    recent.put(&snapshot.hash, &snapshot.text);
    Ok(snapshot)
}

/// The text of a revision from what is stored: the whole one before it, and the deltas from there.
fn stored_text(conn: &Connection, project: i64, place: Place) -> Result<Snapshot, StoreError> {
    let Place { rev, hash, base } = place;
    let (reached, text) = walk(conn, project, base, rev, |_, _, _| {})?;
    if reached != rev || todo_hash(text.as_bytes()) != hash {
        return Err(StoreError::CorruptTodo { rev, reason: "its text does not have its hash".to_owned() });
    }
    Ok(Snapshot { rev, hash, text: text.into() })
}

pub(super) fn read(
    conn: &Connection,
    project: &ProjectKey,
    rev: Option<u64>,
    limits: Limits,
    recent: &Recent,
) -> Result<Snapshot, StoreError> {
    // One snapshot of the database for all that is read.
    let conn = conn.unchecked_transaction()?;
    let project = project_id(&conn, project)?;
    let head = project.map_or(Ok(Place::zero()), |project| head(&conn, project))?;
    let wanted = rev.unwrap_or(head.rev);
    let is_old = wanted > 0 && wanted.saturating_add(limits.kept) <= head.rev;
    if is_old || wanted > head.rev {
        return Err(StoreError::NoSuchRevision { rev: wanted, head: head.rev });
    }
    let Some(project) = project.filter(|_| wanted > 0) else {
        return Ok(Snapshot { rev: 0, hash: todo_hash(b""), text: Arc::default() });
    };
    if wanted == head.rev {
        return text(&conn, project, head, recent);
    }
    let place = conn.prepare_cached(REVISION)?.query_row((project, integer(wanted)), place)?;
    text(&conn, project, place, recent)
}

/// Adds a revision, inside a transaction that may do more.
pub(super) fn commit(
    tx: &Transaction<'_>,
    commit: &TodoCommit,
    now: Timestamp,
    recent: &Recent,
) -> Result<Revision, StoreError> {
    commit_within(tx, commit, now, LIMITS, recent)
}

pub(super) fn commit_within(
    tx: &Transaction<'_>,
    commit: &TodoCommit,
    now: Timestamp,
    limits: Limits,
    recent: &Recent,
) -> Result<Revision, StoreError> {
    let project = project_row(tx, &commit.project)?;
    let head = head(tx, project)?;
    if commit.parent != head.rev {
        return Err(StoreError::TodoMoved { parent: commit.parent, head: head.rev });
    }
    let (parent, base) = (head.rev, head.base);
    let rev = parent + 1;
    let old = text(tx, project, head, recent)?;
    // A delta that holds half of the text would not be smaller when it is packed.
    let delta = (base > 0 && rev - base <= limits.span).then(|| Delta::between(&old.text, &commit.text));
    let delta = delta.filter(|delta| delta.inserted() <= commit.text.len() / 2);
    let hash = todo_hash(commit.text.as_bytes());
    let place = if delta.is_some() { base } else { rev };
    tx.prepare_cached(INSERT)?.execute((
        project,
        integer(rev),
        &hash,
        &commit.author,
        &commit.operations,
        now.0,
        integer(place),
    ))?;
    let seq = tx.last_insert_rowid();
    let mut insert = tx.prepare_cached(INSERT_TEXT)?;
    if let Some(delta) = delta {
        insert.execute((seq, "delta", json(&delta)?.as_bytes()))?;
    } else {
        insert.execute((seq, "whole", commit.text.as_bytes()))?;
        retire(tx, project, base)?;
        prune(tx, project, rev, limits)?;
    }
    recent.put(&hash, &commit.text);
    let (author, operations) = (commit.author.clone(), commit.operations.clone());
    Ok(Revision { rev, hash, author, parent, operations, at: now })
}

/// A commit that is made while the head cannot move.
pub(super) fn edit(
    tx: &Transaction<'_>,
    project: &ProjectKey,
    taken: Option<TodoEdit<'_>>,
    edit: &mut dyn FnMut(&Snapshot) -> Option<TodoCommit>,
    now: Timestamp,
    recent: &Recent,
) -> Result<Option<Revision>, StoreError> {
    let row = project_row(tx, project)?;
    let head = text(tx, row, head(tx, row)?, recent)?;
    let revision = edit(&head).map(|made| commit(tx, &made, now, recent)).transpose()?;
    if let Some(TodoEdit { path, hash, text }) = taken {
        let (rev, own) = revision.as_ref().map_or((head.rev, &head.hash), |revision| (revision.rev, &revision.hash));
        let shown = Some(Known { rev, hash: hash.to_owned() });
        set_file(tx, project, path, &TodoFile { shown, next: None })?;
        if own != hash {
            keep_edit(tx, row, rev, hash, text)?;
        }
    }
    Ok(revision)
}

fn keep_edit(conn: &Connection, project: i64, rev: u64, hash: &str, text: &str) -> Result<(), StoreError> {
    let packed = packed(text.as_bytes())?;
    conn.prepare_cached(KEEP_EDIT)?.execute((project, integer(rev), hash, packed))?;
    conn.prepare_cached(FORGET_EDITS)?.execute((project, TODO_EDITS - 1))?;
    Ok(())
}

pub(super) fn edits(conn: &Connection, project: &ProjectKey) -> Result<Vec<(u64, String)>, StoreError> {
    let Some(project) = project_id(conn, project)? else { return Ok(Vec::new()) };
    let mut statement = conn.prepare_cached(EDITS)?;
    let mut rows = statement.query([project])?;
    let mut edits = Vec::new();
    while let Some(row) = rows.next()? {
        let (rev, body): (_, Vec<u8>) = (number(row, 0)?, row.get(1)?);
        let corrupt = |_| StoreError::CorruptTodo { rev, reason: "the edit that it took in cannot be unpacked".into() };
        edits.push((rev, unpack(&body).map_err(corrupt)?));
    }
    Ok(edits)
}

fn packed(text: &[u8]) -> Result<Vec<u8>, StoreError> {
    pack(text).map_err(|error| StoreError::Internal(error.to_string()))
}

/// Packs a whole text that is no longer the base of the head.
fn retire(conn: &Connection, project: i64, rev: u64) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(WHOLE)?;
    let whole =
        statement.query_row((project, integer(rev)), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    let Some((seq, body)) = whole.optional()? else { return Ok(()) };
    conn.prepare_cached(PACK)?.execute((seq, packed(&body)?))?;
    Ok(())
}

/// Removes the texts that nobody may ask for any more. Whole spans only: a kept text needs those that lead to it.
fn prune(conn: &Connection, project: i64, head: u64, limits: Limits) -> Result<(), StoreError> {
    let Some(oldest) = head.checked_sub(limits.kept).map(|last| last + 1) else { return Ok(()) };
    let mut statement = conn.prepare_cached(REVISION)?;
    let Some(oldest) = statement.query_row((project, integer(oldest)), place).optional()? else { return Ok(()) };
    // What is older was removed by earlier calls: two spans and the commits since then cover the rest.
    let from = oldest.base.saturating_sub(3 * (limits.span + 1));
    conn.prepare_cached(PRUNE)?.execute((project, integer(from), integer(oldest.base) - 1))?;
    Ok(())
}

pub(super) fn history(
    conn: &Connection,
    project: &ProjectKey,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Revision>, StoreError> {
    let Some(project) = project_id(conn, project)? else { return Ok(Vec::new()) };
    let mut statement = conn.prepare_cached(HISTORY)?;
    let mut rows = statement.query((project, before.map_or(i64::MAX, integer), limit))?;
    let mut revisions = Vec::new();
    while let Some(row) = rows.next()? {
        let rev = number(row, 0)?;
        revisions.push(Revision {
            rev,
            hash: row.get(1)?,
            author: row.get(2)?,
            parent: rev.saturating_sub(1),
            operations: row.get(3)?,
            at: Timestamp(row.get(4)?),
        });
    }
    Ok(revisions)
}

/// The oldest kept revision that was the head at `since` or later; 0 before the first.
fn head_at(conn: &Connection, project: i64, since: Timestamp, head: u64, limits: Limits) -> Result<u64, StoreError> {
    let mut statement = conn.prepare_cached(AT)?;
    // The newest that was there at `since` was the head then. Instants ascend with the revisions, unless the machine's
    // clock was set back; then the answer is another revision, which is as good as a guess can be.
    let (mut low, mut high) = ((head + 1).saturating_sub(limits.kept), head);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let at: i64 = statement.query_row((project, integer(middle)), |row| row.get(0))?;
        if at <= since.0 {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

pub(super) fn scan(
    conn: &Connection,
    project: &ProjectKey,
    since: Timestamp,
    limits: Limits,
    visit: &mut dyn FnMut(u64, TodoStep<'_>),
) -> Result<(), StoreError> {
    let conn = conn.unchecked_transaction()?;
    let Some(project) = project_id(&conn, project)? else { return Ok(()) };
    let head = head(&conn, project)?.rev;
    let first = head_at(&conn, project, since, head, limits)?.max(1);
    let place = conn.prepare_cached(REVISION)?.query_row((project, integer(first)), place).optional()?;
    let Some(Place { base, .. }) = place else { return Ok(()) };
    walk(&conn, project, base, head, |rev, text, delta| match delta {
        Some(delta) if rev > first => visit(rev, TodoStep::Changed(&delta.lines(text))),
        Some(delta) if rev == first => {
            let mut first = text.to_owned();
            if delta.apply(&mut first).is_some() {
                visit(rev, TodoStep::Whole(&first));
            }
        }
        None if rev >= first => visit(rev, TodoStep::Whole(text)),
        _ => {}
    })?;
    Ok(())
}

pub(super) fn with_hash(
    conn: &Connection,
    project: &ProjectKey,
    hash: &str,
    limits: Limits,
) -> Result<Option<u64>, StoreError> {
    let conn = conn.unchecked_transaction()?;
    let Some(project) = project_id(&conn, project)? else { return Ok(None) };
    let gone = head(&conn, project)?.rev.saturating_sub(limits.kept);
    Ok(conn.prepare_cached(WITH_HASH)?.query_row((project, hash, integer(gone)), |row| number(row, 0)).optional()?)
}

/// Reads every kept text. Returns what is wrong, in words.
pub(super) fn check(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement =
        conn.prepare("SELECT project, rev, hash, base FROM todo_revisions JOIN todo_texts ON revision = seq")?;
    let mut rows = statement.query([])?;
    let mut findings = Vec::new();
    while let Some(row) = rows.next()? {
        let place = Place { rev: number(row, 1)?, hash: row.get(2)?, base: number(row, 3)? };
        match stored_text(conn, row.get(0)?, place) {
            Ok(_) => {}
            Err(error @ StoreError::CorruptTodo { .. }) => findings.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}

pub(super) fn file(conn: &Connection, project: &ProjectKey, path: &str) -> Result<TodoFile, StoreError> {
    let Some(project) = project_id(conn, project)? else { return Ok(TodoFile::default()) };
    let known = |row: &Row<'_>, column: usize| -> rusqlite::Result<Option<Known>> {
        let (rev, hash): (Option<i64>, Option<String>) = (row.get(column)?, row.get(column + 1)?);
        Ok(rev.zip(hash).map(|(rev, hash)| Known { rev: rev.unsigned_abs(), hash }))
    };
    let read = |row: &Row<'_>| Ok(TodoFile { shown: known(row, 0)?, next: known(row, 2)? });
    Ok(conn.prepare_cached(FILE)?.query_row((project, path), read).optional()?.unwrap_or_default())
}

pub(super) fn set_file(
    tx: &Transaction<'_>,
    project: &ProjectKey,
    path: &str,
    file: &TodoFile,
) -> Result<(), StoreError> {
    let project = project_row(tx, project)?;
    if *file == TodoFile::default() {
        tx.prepare_cached(UNSET_FILE)?.execute((project, path))?;
        return Ok(());
    }
    let rev = |known: &Option<Known>| known.as_ref().map(|known| integer(known.rev));
    let hash = |known: &Option<Known>| known.as_ref().map(|known| known.hash.clone());
    let TodoFile { shown, next } = file;
    tx.prepare_cached(SET_FILE)?.execute((project, path, rev(shown), hash(shown), rev(next), hash(next)))?;
    Ok(())
}
