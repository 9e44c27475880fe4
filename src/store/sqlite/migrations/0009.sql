-- The queue on the command line: lists that cost what they show, however much is stored.

-- When a person cleared an ended task away: it is listed no more.
ALTER TABLE tasks ADD COLUMN archived_at INTEGER CHECK (archived_at IS NULL OR ended_at IS NOT NULL);

-- The rows of one state in the order of their launch.
CREATE INDEX tasks_shown ON tasks (project, state) WHERE archived_at IS NULL;

-- How many tasks a project has in each state, those that were cleared away apart as `archived`.
CREATE TABLE totals (
    project INTEGER NOT NULL REFERENCES projects (id),
    state   TEXT NOT NULL,
    count   INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (project, state)
) STRICT, WITHOUT ROWID;

INSERT INTO totals (project, state, count) SELECT project, state, count(*) FROM tasks GROUP BY project, state;

CREATE TRIGGER totals_insert AFTER INSERT ON tasks
BEGIN
    INSERT INTO totals (project, state, count) VALUES (NEW.project, NEW.state, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER totals_update AFTER UPDATE OF state, archived_at ON tasks
    WHEN OLD.state <> NEW.state OR (OLD.archived_at IS NULL) <> (NEW.archived_at IS NULL)
BEGIN
    UPDATE totals SET count = count - 1
        WHERE project = OLD.project AND state = iif(OLD.archived_at IS NULL, OLD.state, 'archived');
    INSERT INTO totals (project, state, count)
        VALUES (NEW.project, iif(NEW.archived_at IS NULL, NEW.state, 'archived'), 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
END;

-- With triggers on it, an insert of a task looks for rows that refer to it already.
CREATE INDEX prompts_task ON prompts (task);
