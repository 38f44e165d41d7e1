-- Tasks and what happened to them.
-- Moments are nanoseconds since 1970 in UTC; documents are JSON in the stored forms of `task`.

CREATE TABLE store (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    installation TEXT    NOT NULL,
    checked      INTEGER NOT NULL DEFAULT 0     -- written by readiness checks, to see that it can be
) STRICT;

-- What was asked for: written once, read seldom, of any size. Apart from `tasks`, so that a task on its way
-- rewrites a few hundred bytes and never its inputs' contents.
CREATE TABLE specs (
    row  INTEGER PRIMARY KEY,
    spec TEXT    NOT NULL
) STRICT;

CREATE TABLE tasks (
    id         TEXT    PRIMARY KEY,
    owner      TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    name       TEXT,
    spec       INTEGER NOT NULL,                -- specs.row
    phase      INTEGER NOT NULL,                -- what is shown
    stage      INTEGER NOT NULL,                -- 0 waits, 1 is claimed, 2 is outside, 3 is canceling, 4 has ended
    state      TEXT    NOT NULL,
    version    INTEGER NOT NULL,                -- rises with each write
    not_before INTEGER NOT NULL,
    wanted     TEXT,                            -- the backend asked for
    ask_cpu    INTEGER,                         -- thousandths of a core asked for
    ask_ram    INTEGER,                         -- bytes asked for
    fence      INTEGER NOT NULL,                -- rises with each claim
    holder     TEXT,                            -- who claimed it last
    backend    TEXT,                            -- the backend it is claimed for
    until      INTEGER NOT NULL,                -- when the claim expires
    cpu        INTEGER NOT NULL,                -- what it is counted with there
    ram        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Each ends in the id, which sorts by time: a listing is a walk, never a sort.
CREATE INDEX tasks_of_owner ON tasks (owner);
CREATE INDEX tasks_in_phase ON tasks (owner, phase);
CREATE INDEX tasks_named ON tasks (owner, name) WHERE name IS NOT NULL;

-- Small for ever: tasks that have ended are in neither.
CREATE INDEX tasks_waiting ON tasks (id) WHERE stage IN (0, 1);
CREATE INDEX tasks_active ON tasks (id) WHERE stage IN (1, 2, 3);
CREATE INDEX tasks_canceling ON tasks (id) WHERE stage = 3;

-- The key serves "has this key", the index "has this value".
CREATE TABLE tags (
    owner TEXT NOT NULL,
    key   TEXT NOT NULL,
    task  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_with_value ON tags (owner, key, value, task);

-- Appended, never changed.
CREATE TABLE events (
    task TEXT    NOT NULL,
    seq  INTEGER NOT NULL,                      -- the task's version that it made
    at   INTEGER NOT NULL,
    body TEXT    NOT NULL,
    PRIMARY KEY (task, seq)
) STRICT, WITHOUT ROWID;

-- Jobs that are over and whose leavings have not been removed.
CREATE TABLE leftovers (
    task    TEXT NOT NULL,
    backend TEXT NOT NULL,
    handle  TEXT NOT NULL,
    PRIMARY KEY (task, backend, handle)
) STRICT, WITHOUT ROWID;
