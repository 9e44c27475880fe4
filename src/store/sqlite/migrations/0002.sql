-- The revisions of each project's TODO.md.

-- One row for every commit, for ever. Revisions count from 1 without a gap: the parent of each is the one before it,
-- and revision 0 is the empty file.
CREATE TABLE todo_revisions (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    project    INTEGER NOT NULL REFERENCES projects (id),
    rev        INTEGER NOT NULL CHECK (rev > 0),
    -- SHA-256 of the whole text, in hexadecimal digits.
    hash       TEXT NOT NULL CHECK (length(hash) = 64),
    author     TEXT NOT NULL,
    -- What was done, as JSON.
    operations TEXT NOT NULL,
    at         INTEGER NOT NULL,
    -- The revision whose text is kept whole and from which the deltas lead to this one.
    base       INTEGER NOT NULL CHECK (base > 0 AND base <= rev),
    UNIQUE (project, rev)
) STRICT;

CREATE INDEX todo_revisions_hash ON todo_revisions (project, hash);

CREATE TRIGGER todo_revisions_update BEFORE UPDATE ON todo_revisions
BEGIN
    SELECT RAISE (ABORT, 'a revision does not change');
END;

CREATE TRIGGER todo_revisions_delete BEFORE DELETE ON todo_revisions
BEGIN
    SELECT RAISE (ABORT, 'a revision stays');
END;

-- The texts of the newest revisions. `whole` is the text, `packed` the same under gzip, `delta` what to change in the
-- text before it.
CREATE TABLE todo_texts (
    revision INTEGER PRIMARY KEY REFERENCES todo_revisions (seq),
    form     TEXT NOT NULL CHECK (form IN ('whole', 'packed', 'delta')),
    body     BLOB NOT NULL
) STRICT;

-- What a project's file is known to hold: the text that was shown or imported last, and the one that is about to be
-- shown, which a crash may have left in the file or not.
CREATE TABLE todo_files (
    project    INTEGER NOT NULL REFERENCES projects (id),
    path       TEXT NOT NULL,
    shown_rev  INTEGER,
    shown_hash TEXT CHECK ((shown_hash IS NULL) = (shown_rev IS NULL)),
    next_rev   INTEGER,
    next_hash  TEXT CHECK ((next_hash IS NULL) = (next_rev IS NULL)),
    PRIMARY KEY (project, path)
) STRICT, WITHOUT ROWID;
