-- Missions: what `/task` asked for and how far it is. `body` is the mission as its room knows it.
CREATE TABLE missions (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    project    INTEGER NOT NULL REFERENCES projects (id),
    -- Its name in TODO.md.
    tag        TEXT NOT NULL,
    session    TEXT NOT NULL,
    home       TEXT NOT NULL,
    over       INTEGER NOT NULL CHECK (over IN (0, 1)),
    rev        INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    body       TEXT NOT NULL,
    UNIQUE (project, tag)
) STRICT;

CREATE INDEX missions_live ON missions (project, home) WHERE over = 0;
CREATE INDEX missions_session ON missions (session);

CREATE TRIGGER missions_over BEFORE UPDATE OF over, body ON missions
    WHEN OLD.over = 1
BEGIN
    SELECT RAISE (ABORT, 'a mission that is over does not change');
END;

-- One row for every step of a mission, written with it.
CREATE TABLE mission_journal (
    mission INTEGER NOT NULL REFERENCES missions (seq),
    rev     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    step    TEXT NOT NULL,
    PRIMARY KEY (mission, rev)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER mission_journal_update BEFORE UPDATE ON mission_journal
BEGIN
    SELECT RAISE (ABORT, 'the journal is append-only');
END;

CREATE TRIGGER mission_journal_delete BEFORE DELETE ON mission_journal
BEGIN
    SELECT RAISE (ABORT, 'the journal is append-only');
END;

-- The mission that a task works for: that hears of its end, and no report holds it.
ALTER TABLE tasks ADD COLUMN mission TEXT;

DROP INDEX tasks_live;
-- Open, or ended and still to be told to the parent: what an instance is responsible for.
CREATE INDEX tasks_live ON tasks (project, home, parent_session)
    WHERE report IS NULL AND (mission IS NULL OR ended_at IS NULL);
