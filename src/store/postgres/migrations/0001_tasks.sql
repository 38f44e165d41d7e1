-- Tasks and what happened to them. The same tables as in SQLite, so that stores can be moved.
-- Moments are nanoseconds since 1970 in UTC; documents are JSON in the stored forms of `task`.
-- Texts are compared byte by byte, whatever the language of the database. PostgreSQL stores no NUL: owners, names,
-- keys, tags, targets, holders and backends are written as `columns::text` does, which keeps order and prefixes.

CREATE TABLE schema (
    one         BIGINT PRIMARY KEY CHECK (one = 1),
    application TEXT   NOT NULL,               -- whose tables these are
    version     BIGINT NOT NULL                -- the last migration that was applied
);

CREATE TABLE store (
    one          BIGINT PRIMARY KEY CHECK (one = 1),
    installation TEXT   NOT NULL,
    checked      BIGINT NOT NULL DEFAULT 0      -- written by readiness checks, to see that it can be
) WITH (fillfactor = 50);

-- What was asked for: written once, read seldom, of any size. Apart from `tasks`, so that a task on its way
-- rewrites a few hundred bytes and never its inputs' contents.
CREATE SEQUENCE specs_row CACHE 64;
CREATE TABLE specs (
    row  BIGINT PRIMARY KEY,
    spec TEXT   NOT NULL
);

CREATE TABLE tasks (
    id         TEXT   COLLATE "C" PRIMARY KEY,
    owner      TEXT   COLLATE "C" NOT NULL,
    created    BIGINT NOT NULL,
    name       TEXT   COLLATE "C",
    -- An entry of an index holds 2,700 bytes: of a name, so many characters as surely fit.
    named      TEXT   COLLATE "C" GENERATED ALWAYS AS (left(name, 200)) STORED,
    spec       BIGINT NOT NULL,                 -- specs.row
    phase      BIGINT NOT NULL,                 -- what is shown
    stage      BIGINT NOT NULL,                 -- 0 waits, 1 is claimed, 2 is outside, 3 is canceling, 4 has ended
    state      TEXT   NOT NULL,
    version    BIGINT NOT NULL,                 -- rises with each write
    not_before BIGINT NOT NULL,
    wanted     TEXT   COLLATE "C",              -- the backend asked for
    ask_cpu    BIGINT,                          -- thousandths of a core asked for
    ask_ram    BIGINT,                          -- bytes asked for
    fence      BIGINT NOT NULL,                 -- rises with each claim and each change of hands
    holder     TEXT   COLLATE "C",              -- who has it, or had it last
    backend    TEXT   COLLATE "C",              -- the backend it is claimed for
    until      BIGINT NOT NULL,                 -- when the claim expires
    cpu        BIGINT NOT NULL,                 -- what it is counted with there
    ram        BIGINT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- Each ends in the id, which sorts by time: a listing is a walk, never a sort.
CREATE INDEX tasks_of_owner ON tasks (owner, id);
CREATE INDEX tasks_in_phase ON tasks (owner, phase, id);
CREATE INDEX tasks_named ON tasks (owner, named, id) WHERE named IS NOT NULL;

-- Small for ever: tasks that have ended are in neither. The stage makes them the only ones in the order of (id, stage), so
-- that no plan made for an empty table walks the primary key instead.
CREATE INDEX tasks_waiting ON tasks (id, stage) WHERE stage IN (0, 1);
CREATE INDEX tasks_active ON tasks (id, stage) WHERE stage IN (1, 2, 3);
CREATE INDEX tasks_canceling ON tasks (id, stage) WHERE stage = 3;

-- The key serves "has this key", the index "has this value". Written by `columns::tag`: of a long text the beginning and
-- a digest.
CREATE TABLE tags (
    owner TEXT COLLATE "C" NOT NULL,
    key   TEXT COLLATE "C" NOT NULL,
    task  TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (owner, key, task)
);
CREATE INDEX tags_with_value ON tags (owner, key, value, task);

-- Appended, never changed.
CREATE TABLE events (
    task TEXT   COLLATE "C" NOT NULL,
    seq  BIGINT NOT NULL,                       -- the task's version that it made
    at   BIGINT NOT NULL,
    body TEXT   NOT NULL,
    PRIMARY KEY (task, seq)
);

-- Jobs that are over and whose leavings have not been removed. A handle may be longer than an index takes.
CREATE TABLE leftovers (
    task    TEXT COLLATE "C" NOT NULL,
    backend TEXT COLLATE "C" NOT NULL,
    handle  TEXT COLLATE "C" NOT NULL,
    holder  TEXT COLLATE "C"                    -- who had the task when the job was over
);
CREATE INDEX leftovers_of_task ON leftovers (task);

-- Changes of the phase shown, in the order of their commits. The newest is never removed: the next number follows it.
CREATE TABLE changes (
    n        BIGINT PRIMARY KEY,
    owner    TEXT   COLLATE "C" NOT NULL,
    task     TEXT   COLLATE "C" NOT NULL,
    phase    BIGINT NOT NULL,
    previous BIGINT,                            -- none: the task is new
    at       BIGINT NOT NULL
);

-- How far each target of webhooks has been told.
CREATE TABLE told (
    target TEXT   COLLATE "C" PRIMARY KEY,
    n      BIGINT NOT NULL                      -- changes.n
) WITH (fillfactor = 50);

-- Callers' own names for creations, kept as long as the tasks.
CREATE TABLE keys (
    owner  TEXT  COLLATE "C" NOT NULL,
    key    TEXT  COLLATE "C" NOT NULL,
    task   TEXT  COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,                      -- SHA-256 of the spec
    PRIMARY KEY (owner, key)
);

-- The servers that have ever said that they are here.
CREATE TABLE replicas (
    name     TEXT   COLLATE "C" PRIMARY KEY,
    holder   TEXT   COLLATE "C" NOT NULL,       -- its present run
    seat     TEXT   COLLATE "C" NOT NULL,       -- its data folder
    address  TEXT,
    backends TEXT   NOT NULL,                   -- a JSON list
    until    BIGINT NOT NULL                    -- it is there until then, or away since
) WITH (fillfactor = 50);

-- What only one server does at a time.
CREATE TABLE leases (
    what   TEXT   COLLATE "C" PRIMARY KEY,
    holder TEXT   COLLATE "C" NOT NULL,
    until  BIGINT NOT NULL
) WITH (fillfactor = 50);
