-- The first schema. A migration is never edited after its release: changes are new files.

CREATE TABLE projects (
    id  INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE
) STRICT;

-- A task as it is now. `body` holds the state's data; the columns are what queries need.
-- Instants are milliseconds since the Unix epoch.
CREATE TABLE tasks (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    project          INTEGER NOT NULL REFERENCES projects (id),
    parent_session   TEXT NOT NULL,
    parent_directory TEXT NOT NULL,
    key              TEXT,
    agent            TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    state            TEXT NOT NULL
        CHECK (state IN ('pending', 'running', 'paused', 'complete', 'failed', 'cancelled')),
    not_before       INTEGER CHECK (not_before IS NULL OR state = 'pending'),
    home             TEXT NOT NULL,
    -- A running task is owned by its home: only the home claims, and only a task that stands is adopted.
    owner            TEXT CHECK ((owner IS NOT NULL) = (state = 'running') AND (owner IS NULL OR owner = home)),
    fence            INTEGER NOT NULL,
    rev              INTEGER NOT NULL,
    attempt          INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    ended_at         INTEGER CHECK ((ended_at IS NOT NULL) = (state IN ('complete', 'failed', 'cancelled'))),
    -- The report that holds it: open or sent. An open task is in none.
    report           INTEGER REFERENCES reports (id) CHECK (report IS NULL OR ended_at IS NOT NULL),
    body             TEXT NOT NULL
) STRICT;

CREATE INDEX tasks_project ON tasks (project);
CREATE INDEX tasks_state ON tasks (project, state);
CREATE INDEX tasks_key ON tasks (project, key) WHERE key IS NOT NULL;
CREATE INDEX tasks_parent ON tasks (parent_session);
CREATE INDEX tasks_queue ON tasks (project, home, priority DESC) WHERE state = 'pending';
CREATE INDEX tasks_due ON tasks (project, home, not_before) WHERE state = 'pending' AND not_before IS NOT NULL;
-- Open, or ended and not told: what an instance is responsible for.
CREATE INDEX tasks_live ON tasks (project, home, parent_session) WHERE report IS NULL;
CREATE INDEX tasks_report ON tasks (report) WHERE report IS NOT NULL;

CREATE TRIGGER tasks_ended BEFORE UPDATE OF state, body ON tasks
    WHEN OLD.ended_at IS NOT NULL
BEGIN
    SELECT RAISE (ABORT, 'an ended task does not change');
END;

-- What was asked, written once. Beside the row, because a change writes the whole row and prompts may be long.
CREATE TABLE specs (
    task INTEGER PRIMARY KEY REFERENCES tasks (seq),
    spec TEXT NOT NULL
) STRICT;

-- Every session that a task ran in; one session may serve several tasks in turn.
CREATE TABLE task_sessions (
    task    INTEGER NOT NULL REFERENCES tasks (seq),
    session TEXT NOT NULL,
    PRIMARY KEY (task, session)
) STRICT, WITHOUT ROWID;

CREATE INDEX task_sessions_session ON task_sessions (session);

CREATE TABLE dependencies (
    task       INTEGER NOT NULL REFERENCES tasks (seq),
    dependency INTEGER NOT NULL REFERENCES tasks (seq),
    PRIMARY KEY (task, dependency)
) STRICT, WITHOUT ROWID;

CREATE INDEX dependencies_dependency ON dependencies (dependency);

-- One row for every change of a task, written with it. The unique pair makes a lost or doubled change impossible.
CREATE TABLE journal (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    task       INTEGER NOT NULL REFERENCES tasks (seq),
    rev        INTEGER NOT NULL,
    project    INTEGER NOT NULL REFERENCES projects (id),
    at         INTEGER NOT NULL,
    change     TEXT NOT NULL,
    from_state TEXT,
    to_state   TEXT NOT NULL,
    fence      INTEGER NOT NULL,
    detail     TEXT NOT NULL,
    UNIQUE (task, rev)
) STRICT;

CREATE INDEX journal_project ON journal (project);

CREATE TRIGGER journal_update BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE (ABORT, 'the journal is append-only');
END;

CREATE TRIGGER journal_delete BEFORE DELETE ON journal
BEGIN
    SELECT RAISE (ABORT, 'the journal is append-only');
END;

CREATE TABLE results (
    task  INTEGER PRIMARY KEY REFERENCES tasks (seq),
    text  TEXT NOT NULL,
    usage TEXT NOT NULL
) STRICT;

-- Ended tasks on their way to their parent. Open until settled: `sent` is 1 for told, 0 for withdrawn.
CREATE TABLE reports (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    project          INTEGER NOT NULL REFERENCES projects (id),
    home             TEXT NOT NULL,
    parent_session   TEXT NOT NULL,
    parent_directory TEXT NOT NULL,
    via              TEXT NOT NULL CHECK (via IN ('message', 'tool')),
    message          TEXT NOT NULL,
    -- The text part of a message, or the call of a tool.
    item             TEXT NOT NULL,
    opened_at        INTEGER NOT NULL,
    settled_at       INTEGER,
    sent             INTEGER CHECK ((sent IS NULL) = (settled_at IS NULL))
) STRICT;

CREATE INDEX reports_open ON reports (project, home) WHERE settled_at IS NULL;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
