-- What ended and is still to be told, found without reading what is open: every end asks for it.
CREATE INDEX tasks_untold ON tasks (project, home, parent_session)
    WHERE report IS NULL AND mission IS NULL AND ended_at IS NOT NULL;
