-- Who may start: each lane of the queue (one agent on one model) is found without reading what waits behind it.

-- The model that it is expected to use, as `provider/model`; empty when that is not known before it runs.
ALTER TABLE tasks ADD COLUMN model TEXT NOT NULL DEFAULT '';
-- When it was launched, less the head start of its priority, in milliseconds.
ALTER TABLE tasks ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
-- How many of its dependencies are not complete.
ALTER TABLE tasks ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0 CHECK (blocked >= 0);

UPDATE tasks SET
    place = created_at - priority * 300000,
    blocked = (SELECT count(*) FROM dependencies CROSS JOIN tasks AS awaited ON awaited.seq = dependencies.dependency
        WHERE dependencies.task = tasks.seq AND awaited.state <> 'complete')
    WHERE ended_at IS NULL;

DROP INDEX tasks_queue;
CREATE INDEX tasks_ready ON tasks (project, home, agent, model, place) WHERE state = 'pending' AND blocked = 0;
CREATE INDEX tasks_running ON tasks (project, agent, model, home) WHERE state = 'running';

-- What is known of a model's provider, for all processes: whether it asks for patience, fails, and how much it bears.
CREATE TABLE providers (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
