-- What callers are told as it happens, and what keeps them from creating a task twice.

-- Changes of the phase shown, in the order of their commits. The newest is never removed: the next number follows it.
CREATE TABLE changes (
    n        INTEGER PRIMARY KEY,
    owner    TEXT    NOT NULL,
    task     TEXT    NOT NULL,
    phase    INTEGER NOT NULL,
    previous INTEGER,                           -- none: the task is new
    at       INTEGER NOT NULL
) STRICT;

-- How far each target of webhooks has been told.
CREATE TABLE told (
    target TEXT    PRIMARY KEY,
    n      INTEGER NOT NULL                     -- changes.n
) STRICT, WITHOUT ROWID;

-- Callers' own names for creations, kept as long as the tasks.
CREATE TABLE keys (
    owner  TEXT NOT NULL,
    key    TEXT NOT NULL,
    task   TEXT NOT NULL,
    digest BLOB NOT NULL,                       -- SHA-256 of the spec
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
