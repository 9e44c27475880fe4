//! Prompts and their answers.

use rusqlite::{Connection, Row, Transaction};

use super::{SqliteStore, launch::project_row};
use crate::{
    store::{ANSWERED_PROMPTS, Answered, NewPrompt, PromptRow, Prompts, StoreError},
    task::{ProjectKey, Timestamp},
};

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT prompts.seq, request, (SELECT id FROM tasks WHERE tasks.seq = prompts.task), session, directory, \
             home, what, asked_at, answer, answered_by, answered_at FROM prompts WHERE ",
            $where
        )
    };
}

const WAITING: &str =
    select!("project = (SELECT id FROM projects WHERE key = ?1) AND answered_at IS NULL ORDER BY seq");
const ANSWERED: &str = select!(
    "project = (SELECT id FROM projects WHERE key = ?1) AND answered_at IS NOT NULL ORDER BY seq DESC LIMIT ?2"
);
const BY_REQUEST: &str = select!("project = (SELECT id FROM projects WHERE key = ?1) AND request = ?2");
const BY_NUMBER: &str = select!("+project = (SELECT id FROM projects WHERE key = ?1) AND seq = ?2");
const INSERT: &str = "INSERT INTO prompts (project, request, task, session, directory, home, what, asked_at) \
    SELECT ?1, ?2, seq, ?4, ?5, ?6, ?7, ?8 FROM tasks WHERE id = ?3";
const CLOSE: &str = "UPDATE prompts SET answer = ?2, answered_by = ?3, answered_at = ?4 \
    WHERE seq = ?1 AND answered_at IS NULL";
const FORGET: &str = "DELETE FROM prompts WHERE answered_at IS NOT NULL \
    AND project = (SELECT project FROM prompts WHERE seq = ?1) AND seq <= (SELECT seq FROM prompts \
        WHERE project = (SELECT project FROM prompts WHERE seq = ?1) AND answered_at IS NOT NULL \
        ORDER BY seq DESC LIMIT 1 OFFSET ?2)";

#[cfg(test)]
pub(super) const SQL: [&str; 7] = [WAITING, ANSWERED, BY_REQUEST, BY_NUMBER, INSERT, CLOSE, FORGET];

impl Prompts for SqliteStore {
    fn ask_prompt(&mut self, prompt: &NewPrompt, now: Timestamp) -> Result<PromptRow, StoreError> {
        self.write(|tx| ask(tx, prompt, now))
    }

    fn close_prompt(&mut self, number: i64, answered: &Answered) -> Result<bool, StoreError> {
        self.write(|tx| close(tx, number, answered))
    }

    fn prompts(&mut self, project: &ProjectKey, answered: Option<u32>) -> Result<Vec<PromptRow>, StoreError> {
        self.read(|conn| {
            let mut rows = match answered {
                None => rows(conn, project, WAITING, (project.as_str(),)),
                Some(newest) => rows(conn, project, ANSWERED, (project.as_str(), newest)),
            }?;
            if answered.is_some() {
                rows.reverse();
            }
            Ok(rows)
        })
    }

    fn prompt(&mut self, project: &ProjectKey, number: i64) -> Result<Option<PromptRow>, StoreError> {
        self.read(|conn| Ok(rows(conn, project, BY_NUMBER, (project.as_str(), number))?.pop()))
    }
}

fn ask(tx: &Transaction<'_>, prompt: &NewPrompt, now: Timestamp) -> Result<PromptRow, StoreError> {
    let NewPrompt { project, request, task, session, directory, home, what } = prompt;
    let known = rows(tx, project, BY_REQUEST, (project.as_str(), request))?.pop();
    if let Some(known) = known {
        return Ok(known);
    }
    let row = project_row(tx, project)?;
    let values = (row, request, task.to_string(), session, directory, home.to_string(), what, now.0);
    if tx.prepare_cached(INSERT)?.execute(values)? != 1 {
        return Err(StoreError::NoSuchTask(*task));
    }
    Ok(PromptRow { number: tx.last_insert_rowid(), prompt: prompt.clone(), asked_at: now, answered: None })
}

fn close(tx: &Transaction<'_>, number: i64, answered: &Answered) -> Result<bool, StoreError> {
    let Answered { answer, by, at } = answered;
    if tx.prepare_cached(CLOSE)?.execute((number, answer, by, at.0))? != 1 {
        return Ok(false);
    }
    tx.prepare_cached(FORGET)?.execute((number, ANSWERED_PROMPTS))?;
    Ok(true)
}

fn rows(
    conn: &Connection,
    project: &ProjectKey,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<PromptRow>, StoreError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(decode(project, row)?);
    }
    Ok(found)
}

fn decode(project: &ProjectKey, row: &Row<'_>) -> Result<PromptRow, StoreError> {
    let (task, home): (String, String) = (row.get(2)?, row.get(5)?);
    let corrupt =
        |what: &str| StoreError::CorruptTask { task: task.clone(), reason: format!("its prompt: {what} is no id") };
    let answered: Option<(String, String, i64)> = row
        .get::<_, Option<i64>>(10)?
        .map(|at| Ok::<_, rusqlite::Error>((row.get(8)?, row.get(9)?, at)))
        .transpose()?;
    Ok(PromptRow {
        number: row.get(0)?,
        prompt: NewPrompt {
            project: project.clone(),
            request: row.get(1)?,
            task: task.parse().map_err(|_| corrupt("the task"))?,
            session: row.get(3)?,
            directory: row.get(4)?,
            home: home.parse().map_err(|_| corrupt("the home"))?,
            what: row.get(6)?,
        },
        asked_at: Timestamp(row.get(7)?),
        answered: answered.map(|(answer, by, at)| Answered { answer, by, at: Timestamp(at) }),
    })
}
