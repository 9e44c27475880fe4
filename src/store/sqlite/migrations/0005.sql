-- What tasks use, and where they come from.

-- What a running task has used, item by item: an answer of the model by its message, a run by its fence. The same item
-- again changes nothing, so that a crash counts nothing twice. They go when the task has ended; the sums stay.
CREATE TABLE charges (
    task       INTEGER NOT NULL REFERENCES tasks (seq),
    item       TEXT NOT NULL,
    tokens     INTEGER NOT NULL,
    cost       INTEGER NOT NULL,
    millis     INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    tasks      INTEGER NOT NULL,
    PRIMARY KEY (task, item)
) STRICT, WITHOUT ROWID;

-- The sums of all charges ever made, by whose they are: a task's, a mission's, a project's, and a day's of everybody's.
-- Cost is in millionths of a US dollar; a day is counted from the Unix epoch, in UTC.
CREATE TABLE spending (
    scope      TEXT NOT NULL CHECK (scope IN ('task', 'mission', 'project', 'day')),
    name       TEXT NOT NULL,
    tokens     INTEGER NOT NULL,
    cost       INTEGER NOT NULL,
    millis     INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    tasks      INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

-- Tasks that sessions launched: the person's session at the top, the task in whose session it happened, and what makes
-- two tasks the same work.
CREATE TABLE lineage (
    task        INTEGER PRIMARY KEY REFERENCES tasks (seq),
    root        TEXT NOT NULL,
    parent      INTEGER REFERENCES tasks (seq),
    fingerprint TEXT NOT NULL
) STRICT;

CREATE INDEX lineage_root ON lineage (root, fingerprint);
CREATE INDEX lineage_parent ON lineage (parent) WHERE parent IS NOT NULL;
