//! Whether the database agrees with itself.

use super::{SqliteStore, todo};
use crate::store::StoreError;

/// What must not be found, each with its query.
const FINDINGS: [(&str, &str); 7] = [
    (
        "the revision of a task is not that of its last journal row",
        "SELECT id FROM tasks WHERE rev IS NOT (SELECT max(rev) FROM journal WHERE task = tasks.seq)",
    ),
    (
        "the journal of a task has a gap",
        "SELECT id FROM tasks WHERE rev + 1 <> (SELECT count(*) FROM journal WHERE task = tasks.seq)",
    ),
    (
        "the state of a task is not that of its last journal row",
        "SELECT id FROM tasks JOIN journal ON journal.task = tasks.seq AND journal.rev = tasks.rev \
         WHERE (tasks.state, tasks.fence) <> (journal.to_state, journal.fence)",
    ),
    (
        "a change does not start where the one before ended",
        "SELECT tasks.id FROM journal AS later JOIN tasks ON tasks.seq = later.task \
         LEFT JOIN journal AS earlier ON earlier.task = later.task AND earlier.rev = later.rev - 1 \
         WHERE later.from_state IS NOT earlier.to_state OR later.fence < earlier.fence",
    ),
    (
        "a task waits for one that ended badly",
        "SELECT tasks.id FROM tasks JOIN dependencies ON dependencies.task = tasks.seq \
         JOIN tasks AS awaited ON awaited.seq = dependencies.dependency \
         WHERE tasks.ended_at IS NULL AND awaited.state IN ('failed', 'cancelled')",
    ),
    (
        "the newest text of TODO.md is gone",
        "SELECT projects.key FROM projects WHERE EXISTS (SELECT 1 FROM todo_revisions WHERE project = projects.id) \
         AND NOT EXISTS (SELECT 1 FROM todo_texts WHERE revision = \
         (SELECT seq FROM todo_revisions WHERE project = projects.id ORDER BY rev DESC LIMIT 1))",
    ),
    (
        "a revision of TODO.md is missing",
        "SELECT projects.key FROM projects JOIN todo_revisions ON project = id \
         GROUP BY project HAVING count(*) <> max(rev)",
    ),
];

impl SqliteStore {
    /// Checks the file's structure, its references, and that the journal tells the same story as the tasks. Reads
    /// everything: for a diagnosis, not for every day. Returns what is wrong, in words.
    ///
    /// # Errors
    /// [`StoreError`] when the check itself cannot be done.
    pub fn check(&mut self) -> Result<Vec<String>, StoreError> {
        self.read(|conn| {
            // One snapshot for all questions.
            let conn = conn.unchecked_transaction()?;
            let mut statement = conn.prepare("PRAGMA integrity_check")?;
            let mut findings: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            findings.retain(|line| line != "ok");
            let mut statement = conn.prepare("PRAGMA foreign_key_check")?;
            let broken = statement.query_map([], |row| row.get::<_, String>(0))?;
            for table in broken {
                findings.push(format!("a row of {} refers to nothing", table?));
            }
            for (finding, sql) in FINDINGS {
                let mut statement = conn.prepare(sql)?;
                for id in statement.query_map([], |row| row.get::<_, String>(0))? {
                    findings.push(format!("{finding}: {}", id?));
                }
            }
            findings.extend(todo::check(&conn)?);
            Ok(findings)
        })
    }
}
