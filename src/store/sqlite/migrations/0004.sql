-- What agents below tasks asked of the user, and what was answered by whom.
CREATE TABLE prompts (
    -- The number by which people name it: never given twice.
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    project     INTEGER NOT NULL REFERENCES projects (id),
    -- The host's id.
    request     TEXT NOT NULL,
    task        INTEGER NOT NULL REFERENCES tasks (seq),
    session     TEXT NOT NULL,
    directory   TEXT NOT NULL,
    -- The instance in whose process it waits.
    home        TEXT NOT NULL,
    what        TEXT NOT NULL,
    asked_at    INTEGER NOT NULL,
    answered_at INTEGER,
    answer      TEXT CHECK ((answer IS NULL) = (answered_at IS NULL)),
    answered_by TEXT CHECK ((answered_by IS NULL) = (answered_at IS NULL)),
    UNIQUE (project, request)
) STRICT;

CREATE INDEX prompts_waiting ON prompts (project) WHERE answered_at IS NULL;
CREATE INDEX prompts_answered ON prompts (project) WHERE answered_at IS NOT NULL;

CREATE TRIGGER prompts_answered_once BEFORE UPDATE ON prompts
    WHEN OLD.answered_at IS NOT NULL
BEGIN
    SELECT RAISE (ABORT, 'an answered prompt does not change');
END;
