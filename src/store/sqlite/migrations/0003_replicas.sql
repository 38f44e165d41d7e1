-- Several servers on one store. A SQLite file has one; the tables are the same everywhere, so that stores can be moved.

CREATE TABLE replicas (
    name     TEXT    PRIMARY KEY,
    holder   TEXT    NOT NULL,                  -- its present run
    seat     TEXT    NOT NULL,                  -- its data folder
    address  TEXT,
    backends TEXT    NOT NULL,                  -- a JSON list
    until    INTEGER NOT NULL                   -- it is there until then, or away since
) STRICT, WITHOUT ROWID;

-- What only one server does at a time.
CREATE TABLE leases (
    what   TEXT    PRIMARY KEY,
    holder TEXT    NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who had the task when the job was over.
ALTER TABLE leftovers ADD COLUMN holder TEXT;
