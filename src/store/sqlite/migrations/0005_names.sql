-- Tasks by the beginning of their names, newest first, however many share it. An index of names alone has them in no
-- useful order, a walk from the newest may find the first of them at its end: so names are sorted in blocks of about a
-- thousand tasks that follow one another, and a listing looks into one block after the other. Both tables follow
-- `tasks` by themselves.

-- Each task belongs to the last block that begins at or before it. A block begins with the newest task of all: so no
-- task ever changes its block, also when a clock goes back.
CREATE TABLE blocks (
    block INTEGER PRIMARY KEY,                  -- without holes
    first TEXT    NOT NULL UNIQUE,
    spec  INTEGER NOT NULL                      -- the first task's specs.row: what the next block is counted from
) STRICT;

CREATE TABLE names (
    owner TEXT    NOT NULL,
    block INTEGER NOT NULL,
    name  TEXT    NOT NULL,
    task  TEXT    NOT NULL,
    PRIMARY KEY (owner, block, name, task)
) STRICT, WITHOUT ROWID;

INSERT INTO blocks VALUES (0, '', 0);
INSERT INTO blocks
    SELECT n / 1024, id, spec FROM (SELECT id, spec, row_number() OVER (ORDER BY id) - 1 AS n FROM tasks)
    WHERE n % 1024 = 0 AND n > 0;
INSERT INTO names
    SELECT owner, (SELECT block FROM blocks WHERE first <= id ORDER BY first DESC LIMIT 1), name, id
    FROM tasks WHERE name IS NOT NULL ORDER BY id;

CREATE TRIGGER tasks_named_added AFTER INSERT ON tasks WHEN new.name IS NOT NULL
BEGIN
    INSERT INTO blocks
        SELECT block + 1, new.id, new.spec FROM (SELECT block, spec FROM blocks ORDER BY block DESC LIMIT 1)
        WHERE abs(new.spec - spec) >= 1024 AND new.id = (SELECT max(id) FROM tasks);
    INSERT INTO names
        SELECT new.owner, block, new.name, new.id FROM blocks WHERE first <= new.id ORDER BY first DESC LIMIT 1;
END;

CREATE TRIGGER tasks_named_removed AFTER DELETE ON tasks WHEN old.name IS NOT NULL
BEGIN
    DELETE FROM names
    WHERE owner = old.owner AND name = old.name AND task = old.id
          AND block = (SELECT block FROM blocks WHERE first <= old.id ORDER BY first DESC LIMIT 1);
END;
