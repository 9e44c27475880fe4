//! What was used, and where tasks come from.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::{
    launch,
    row::{integer, json_list, load},
};
use crate::{
    store::{Account, Born, Brood, Charge, Lineage, StoreError},
    task::{Spent, TaskId, Timestamp},
};

/// More than anything can be, and so little that the sums of half a million of them are numbers of `SQLite`'s.
const MOST: Spent = Spent { tokens: 1 << 44, cost: 1 << 44, millis: 1 << 44, tool_calls: 1 << 44, tasks: 1 << 44 };

const TASK: &str = "SELECT seq, project, mission FROM tasks WHERE id = ?1";
const CHARGED: &str = "SELECT tokens, cost, millis, tool_calls, tasks FROM charges WHERE task = ?1 AND item = ?2";
const CHARGE: &str = "INSERT OR REPLACE INTO charges (task, item, tokens, cost, millis, tool_calls, tasks) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const ADD: &str = "INSERT INTO spending (scope, name, tokens, cost, millis, tool_calls, tasks) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens, \
    cost = cost + excluded.cost, millis = millis + excluded.millis, \
    tool_calls = tool_calls + excluded.tool_calls, tasks = tasks + excluded.tasks";
const SETTLE: &str = "DELETE FROM charges WHERE task IN ( \
    SELECT seq FROM tasks WHERE id IN (SELECT value FROM json_each(?1)) AND ended_at IS NOT NULL)";
const SPENT: &str = "SELECT tokens, cost, millis, tool_calls, tasks FROM spending WHERE scope = ?1 AND name = ?2";
const PROJECT_SPENT: &str = "SELECT tokens, cost, millis, tool_calls, tasks FROM spending \
    WHERE scope = 'project' AND name = (SELECT CAST(id AS TEXT) FROM projects WHERE key = ?1)";

/// A task and all below it, as the table `tree`.
macro_rules! tree {
    () => {
        "WITH RECURSIVE tree (seq) AS (SELECT seq FROM tasks WHERE id = ?1 \
         UNION ALL SELECT lineage.task FROM tree CROSS JOIN lineage ON lineage.parent = tree.seq) "
    };
}
const TREE_SPENT: &str = concat!(
    tree!(),
    "SELECT coalesce(sum(tokens), 0), coalesce(sum(cost), 0), coalesce(sum(millis), 0), \
     coalesce(sum(tool_calls), 0), coalesce(sum(spending.tasks), 0) \
     FROM tree CROSS JOIN spending ON scope = 'task' AND name = CAST(tree.seq AS TEXT)"
);
const BELOW: &str = concat!(
    tree!(),
    "SELECT id FROM tree CROSS JOIN tasks ON tasks.seq = tree.seq WHERE ended_at IS NULL AND id <> ?1 ORDER BY tasks.seq"
);
const TREE_SIZE: &str = concat!(tree!(), "SELECT count(*) FROM tree");
const ABOVE: &str = "WITH RECURSIVE above (seq, far) AS ( \
        SELECT lineage.parent, 1 FROM tasks CROSS JOIN lineage ON lineage.task = tasks.seq \
        WHERE tasks.id = ?1 AND lineage.parent IS NOT NULL \
        UNION ALL SELECT lineage.parent, far + 1 FROM above CROSS JOIN lineage ON lineage.task = above.seq \
        WHERE lineage.parent IS NOT NULL) \
    SELECT id FROM above CROSS JOIN tasks ON tasks.seq = above.seq ORDER BY far";
const BROOD: &str = "SELECT count(*), coalesce(sum(created_at > ?2), 0) \
    FROM lineage CROSS JOIN tasks ON tasks.seq = lineage.task WHERE root = ?1";
const SAME: &str = "SELECT id FROM lineage CROSS JOIN tasks ON tasks.seq = lineage.task \
    WHERE root = ?1 AND fingerprint = ?2 AND ended_at IS NULL LIMIT 1";
const BEAR: &str =
    "INSERT INTO lineage (task, root, parent, fingerprint) SELECT seq, ?2, ?3, ?4 FROM tasks WHERE id = ?1";
const SETTINGS: &str = "SELECT name, value FROM settings WHERE name >= ?1 AND name < ?1 || char(1114111)";
const FIRST: &str = "INSERT OR IGNORE INTO settings (name, value) VALUES (?1, ?2)";

#[cfg(test)]
pub(super) const SQL: [&str; 16] = [
    TASK,
    CHARGED,
    CHARGE,
    ADD,
    SETTLE,
    SPENT,
    PROJECT_SPENT,
    TREE_SPENT,
    BELOW,
    TREE_SIZE,
    ABOVE,
    BROOD,
    SAME,
    BEAR,
    SETTINGS,
    FIRST,
];

fn spent_in(row: &Row<'_>) -> rusqlite::Result<Spent> {
    let number = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
    Ok(Spent { tokens: number(0)?, cost: number(1)?, millis: number(2)?, tool_calls: number(3)?, tasks: number(4)? })
}

pub(super) fn charge(tx: &Transaction<'_>, charges: &[Charge], now: Timestamp) -> Result<(), StoreError> {
    let today = now.day().to_string();
    for Charge { task, item, spent } in charges {
        let found = tx.prepare_cached(TASK)?.query_row([task.to_string()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
        });
        let Some((seq, project, mission)) = found.optional()? else { continue };
        let spent = spent.with(&MOST, u64::min);
        let before = tx.prepare_cached(CHARGED)?.query_row((seq, item), spent_in).optional()?.unwrap_or_default();
        // What was seen of an item may have gaps, so that it looks like less than it did before.
        let after = before.with(&spent, u64::max);
        if after == before {
            continue;
        }
        let Spent { tokens, cost, millis, tool_calls, tasks } = after;
        let counts = [tokens, cost, millis, tool_calls, tasks].map(integer);
        let [tokens, cost, millis, tool_calls, tasks] = counts;
        tx.prepare_cached(CHARGE)?.execute((seq, item, tokens, cost, millis, tool_calls, tasks))?;
        let more = after.with(&before, u64::saturating_sub);
        let [tokens, cost, millis, tool_calls, tasks] =
            [more.tokens, more.cost, more.millis, more.tool_calls, more.tasks].map(integer);
        let scopes = [
            ("task", Some(seq.to_string())),
            ("mission", mission),
            ("project", Some(project.to_string())),
            ("day", Some(today.clone())),
        ];
        for (scope, name) in scopes {
            if let Some(name) = name {
                tx.prepare_cached(ADD)?.execute((scope, name, tokens, cost, millis, tool_calls, tasks))?;
            }
        }
    }
    Ok(())
}

pub(super) fn settle(tx: &Transaction<'_>, tasks: &[TaskId]) -> Result<(), StoreError> {
    tx.prepare_cached(SETTLE)?.execute([json_list(tasks)?])?;
    Ok(())
}

pub(super) fn spent(conn: &Connection, account: &Account) -> Result<Spent, StoreError> {
    let spent = match account {
        Account::Task(task) => conn.prepare_cached(TREE_SPENT)?.query_row([task.to_string()], spent_in).optional()?,
        Account::Project(key) => conn.prepare_cached(PROJECT_SPENT)?.query_row([key.as_str()], spent_in).optional()?,
        Account::Mission(id) => {
            conn.prepare_cached(SPENT)?.query_row(("mission", id.to_string()), spent_in).optional()?
        }
        Account::Day(at) => {
            conn.prepare_cached(SPENT)?.query_row(("day", at.day().to_string()), spent_in).optional()?
        }
    };
    Ok(spent.unwrap_or_default())
}

pub(super) fn tree_size(conn: &Connection, task: TaskId) -> Result<u64, StoreError> {
    let size: i64 = conn.prepare_cached(TREE_SIZE)?.query_row([task.to_string()], |row| row.get(0))?;
    Ok(size.unsigned_abs())
}

pub(super) fn kin(conn: &Connection, task: TaskId) -> Result<(Vec<TaskId>, Vec<TaskId>), StoreError> {
    let ids = |sql| {
        let mut statement = conn.prepare_cached(sql)?;
        let rows = statement.query_map([task.to_string()], |row| row.get::<_, String>(0))?;
        let parsed = rows.map(|id| {
            let id = id?;
            id.parse().map_err(|error| StoreError::CorruptTask { task: id.clone(), reason: format!("{error}") })
        });
        parsed.collect::<Result<Vec<TaskId>, StoreError>>()
    };
    Ok((ids(ABOVE)?, ids(BELOW)?))
}

pub(super) fn launch_below(
    tx: &Transaction<'_>,
    lineage: &Lineage,
    born: &[Born],
    since: Timestamp,
    admit: &mut dyn FnMut(&Brood) -> bool,
) -> Result<bool, StoreError> {
    let Lineage { root, parent } = lineage;
    let (all, lately): (i64, i64) =
        tx.prepare_cached(BROOD)?.query_row((root, since.0), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut brood = Brood { all: all.unsigned_abs(), lately: lately.unsigned_abs(), ..Brood::default() };
    for Born { fingerprint, .. } in born {
        let same = tx.prepare_cached(SAME)?.query_row((root, fingerprint), |row| row.get::<_, String>(0)).optional()?;
        if let Some(same) = same.and_then(|id| id.parse().ok()) {
            brood.open.insert(fingerprint.clone(), same);
        }
    }
    if !admit(&brood) {
        return Ok(false);
    }
    let parent = parent.map(|parent| Ok::<_, StoreError>(load(tx, parent)?.seq)).transpose()?;
    let tasks: Vec<_> = born.iter().map(|born| born.task.clone()).collect();
    launch::launch(tx, &tasks)?;
    for Born { task, fingerprint } in born {
        tx.prepare_cached(BEAR)?.execute((task.id.to_string(), root, parent, fingerprint))?;
    }
    Ok(true)
}

pub(super) fn settings(conn: &Connection, beginning: &str) -> Result<Vec<(String, String)>, StoreError> {
    let mut statement = conn.prepare_cached(SETTINGS)?;
    let rows = statement.query_map([beginning], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn first_setting(conn: &Connection, name: &str, value: &str) -> Result<bool, StoreError> {
    Ok(conn.prepare_cached(FIRST)?.execute((name, value))? == 1)
}
