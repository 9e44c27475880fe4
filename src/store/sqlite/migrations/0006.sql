-- The last texts of each project's file that were taken in and are not what the revision holds that took them in: they
-- are no revision, but whoever saves next may have one of them in a buffer. The text is under gzip.
CREATE TABLE todo_edits (
    project INTEGER NOT NULL REFERENCES projects (id),
    -- The revision that took it in.
    rev     INTEGER NOT NULL,
    hash    TEXT NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (project, rev, hash)
) STRICT, WITHOUT ROWID;
