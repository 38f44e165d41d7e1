-- Which tasks a page of a listing shows (TES contract 8.1 to 8.7).
--
-- Every filter is a list of ids, newest first, that an index holds ready. A page is their intersection. Each round
-- looks at the next few ids of every list; the one that reaches furthest back with them, which is the rarest there,
-- sets the pace, and its ids are looked up in the others. No estimate of the planner's counts: bounds and order of
-- each query name every column of its index, so that no other gives that order.

-- The next ids below a bound in one list: 0 of the owner, 1 in a phase, 2 with a tag, 3 with a tag of a value.
CREATE FUNCTION listed(kind INTEGER, whose TEXT, shown BIGINT, tag TEXT, val TEXT, below TEXT, most BIGINT)
RETURNS TEXT[] LANGUAGE plpgsql STABLE AS $$
BEGIN
    CASE kind
    WHEN 0 THEN
        RETURN ARRAY(SELECT id FROM tasks
                     WHERE (owner, id) < (whose, below) AND owner >= whose
                     ORDER BY owner DESC, id DESC LIMIT most);
    WHEN 1 THEN
        RETURN ARRAY(SELECT id FROM tasks
                     WHERE owner = whose AND (phase, id) < (shown, below) AND phase >= shown
                     ORDER BY phase DESC, id DESC LIMIT most);
    WHEN 2 THEN
        RETURN ARRAY(SELECT task FROM tags
                     WHERE owner = whose AND (key, task) < (tag, below) AND key >= tag
                     ORDER BY key DESC, task DESC LIMIT most);
    ELSE
        RETURN ARRAY(SELECT task FROM tags
                     WHERE owner = whose AND key = tag AND (value, task) < (val, below) AND value >= val
                     ORDER BY value DESC, task DESC LIMIT most);
    END CASE;
END $$;

-- Those of some ids that are in a list, too, in their order.
CREATE FUNCTION also_listed(kind INTEGER, whose TEXT, shown BIGINT, tag TEXT, val TEXT, ids TEXT[])
RETURNS TEXT[] LANGUAGE plpgsql STABLE AS $$
BEGIN
    CASE kind
    WHEN 1 THEN
        RETURN ARRAY(SELECT c FROM unnest(ids) AS c WHERE (SELECT phase FROM tasks WHERE id = c) = shown);
    WHEN 2 THEN
        RETURN ARRAY(SELECT c FROM unnest(ids) AS c WHERE (
            SELECT task FROM tags WHERE owner = whose AND (key, task) >= (tag, c) AND key <= tag
            ORDER BY key, task LIMIT 1) = c);
    ELSE
        RETURN ARRAY(SELECT c FROM unnest(ids) AS c WHERE (
            SELECT task FROM tags WHERE owner = whose AND key = tag AND (value, task) >= (val, c) AND value <= val
            ORDER BY value, task LIMIT 1) = c);
    END CASE;
END $$;

-- The ids of all tasks whose names begin with a prefix, newest first, if they are no more than so many.
CREATE FUNCTION few_named(whose TEXT, prefix TEXT, low TEXT, high TEXT, few BIGINT)
RETURNS TEXT[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    ids TEXT[];
BEGIN
    -- There is no text above all others.
    IF high IS NULL THEN
        ids := ARRAY(SELECT id FROM tasks WHERE owner = whose AND named >= low ORDER BY named, id LIMIT few + 1);
    ELSE
        ids := ARRAY(SELECT id FROM tasks WHERE owner = whose AND named >= low AND named < high
                     ORDER BY named, id LIMIT few + 1);
    END IF;
    IF cardinality(ids) > few THEN
        RETURN NULL;
    END IF;
    -- The index holds the beginnings of long names.
    IF prefix <> low THEN
        ids := ARRAY(SELECT c FROM unnest(ids) AS c WHERE (SELECT starts_with(name, prefix) FROM tasks WHERE id = c));
    END IF;
    RETURN ARRAY(SELECT c FROM unnest(ids) AS c ORDER BY c COLLATE "C" DESC);
END $$;

-- The tasks of an owner whose names begin with a prefix, when nothing else is asked of them.
CREATE FUNCTION page_named(
    whose TEXT, prefix TEXT, low TEXT, high TEXT, below TEXT, most BIGINT, few BIGINT
) RETURNS TEXT[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    ids TEXT[];
BEGIN
    -- Very few are found soonest by their names.
    ids := few_named(whose, prefix, low, high, few / 16);
    IF ids IS NOT NULL THEN
        RETURN ARRAY(SELECT c FROM unnest(ids) AS c WHERE c COLLATE "C" < below LIMIT most);
    END IF;
    -- Of many, enough are among the newest.
    ids := ARRAY(SELECT id FROM (SELECT owner, id, name FROM tasks
                                 WHERE (owner, id) < (whose, below) AND owner >= whose
                                 ORDER BY owner DESC, id DESC LIMIT few / 4) AS newest
                 WHERE starts_with(name, prefix) LIMIT most);
    IF cardinality(ids) >= most THEN
        RETURN ids;
    END IF;
    ids := few_named(whose, prefix, low, high, few);
    IF ids IS NULL THEN
        RETURN ARRAY(SELECT id FROM tasks
                     WHERE (owner, id) < (whose, below) AND owner >= whose AND starts_with(name, prefix)
                     ORDER BY owner DESC, id DESC LIMIT most);
    END IF;
    RETURN ARRAY(SELECT c FROM unnest(ids) AS c WHERE c COLLATE "C" < below LIMIT most);
END $$;

-- The ids of a page and one more, newest first; `shown` and `prefix` may be missing. `few`: how many names are sorted;
-- `stride`: how many ids a list is first asked for.
CREATE FUNCTION page(
    whose TEXT, below TEXT, most BIGINT, shown BIGINT, keys TEXT[], vals TEXT[],
    prefix TEXT, low TEXT, high TEXT, few BIGINT, stride BIGINT
) RETURNS TEXT[] LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_incremental_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    kinds INTEGER[] := ARRAY(SELECT CASE WHEN v IS NULL THEN 2 ELSE 3 END FROM unnest(vals) AS v);
    named TEXT[];                       -- a list of its own, when they are few
    at INTEGER := 1;                    -- where it goes on
    found TEXT[] := '{}';
    bound TEXT := below;
    ids TEXT[];
    best TEXT[];
    pace INTEGER;
    lowest TEXT;
    last TEXT;
    batch BIGINT := least(stride, greatest(most, 16));
BEGIN
    IF shown IS NOT NULL THEN
        kinds := kinds || 1;
    END IF;
    IF cardinality(kinds) = 0 THEN
        IF prefix IS NULL THEN
            RETURN listed(0, whose, NULL, NULL, NULL, below, most);
        END IF;
        RETURN page_named(whose, prefix, low, high, below, most, few * 4);
    END IF;
    IF prefix IS NULL AND cardinality(kinds) = 1 THEN
        RETURN listed(kinds[1], whose, shown, keys[1], vals[1], below, most);
    END IF;
    IF prefix IS NOT NULL THEN
        named := few_named(whose, prefix, low, high, few);
        IF named IS NOT NULL THEN
            kinds := kinds || 4;
        END IF;
    END IF;
    LOOP
        -- Nothing above the lowest of the lists' next ids is in all of them.
        FOR i IN 1 .. cardinality(kinds) LOOP
            IF kinds[i] = 4 THEN
                WHILE at <= cardinality(named) AND named[at] COLLATE "C" >= bound LOOP
                    at := at + 1;
                END LOOP;
                ids := named[at:at];
            ELSE
                ids := listed(kinds[i], whose, shown, keys[i], vals[i], bound, 1);
            END IF;
            IF cardinality(ids) = 0 THEN
                RETURN found;
            END IF;
            -- A blank sorts between an id and every id above it.
            bound := ids[1] || ' ';
        END LOOP;
        best := NULL;
        FOR i IN 1 .. cardinality(kinds) LOOP
            IF kinds[i] = 4 THEN
                WHILE at <= cardinality(named) AND named[at] COLLATE "C" >= bound LOOP
                    at := at + 1;
                END LOOP;
                ids := named[at:(at + batch - 1)::integer];
            ELSE
                ids := listed(kinds[i], whose, shown, keys[i], vals[i], bound, batch);
            END IF;
            -- An empty text sorts before every id: this list has come to its end.
            last := CASE WHEN cardinality(ids) < batch THEN '' ELSE ids[batch] END;
            IF best IS NULL OR last COLLATE "C" < lowest OR last = lowest AND cardinality(ids) < cardinality(best) THEN
                best := ids;
                pace := i;
                lowest := last;
            END IF;
            EXIT WHEN lowest = '';
        END LOOP;
        FOR i IN 1 .. cardinality(kinds) LOOP
            IF i <> pace AND kinds[i] <> 4 THEN
                best := also_listed(kinds[i], whose, shown, keys[i], vals[i], best);
            END IF;
        END LOOP;
        IF prefix IS NOT NULL AND kinds[pace] <> 4 THEN
            best := ARRAY(SELECT c FROM unnest(best) AS c WHERE (SELECT starts_with(name, prefix) FROM tasks WHERE id = c));
        END IF;
        found := found || best;
        IF lowest = '' OR cardinality(found) >= most THEN
            RETURN found[1:most];
        END IF;
        bound := lowest;
        IF cardinality(best) * 4 < batch THEN
            batch := least(batch * 2, 8192);
        END IF;
    END LOOP;
END $$;

-- How many of these tasks fit into memory together: always one, and no more than so many bytes of specs.
CREATE FUNCTION fitting(ids TEXT[], bytes BIGINT) RETURNS BIGINT LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    total BIGINT := 0;
    position BIGINT;
    size BIGINT;
BEGIN
    FOR position, size IN
        SELECT w.n, octet_length(specs.spec) FROM unnest(ids) WITH ORDINALITY AS w (id, n)
        JOIN tasks ON tasks.id = w.id JOIN specs ON specs.row = tasks.spec
    LOOP
        total := total + size;
        IF total > bytes AND position > 1 THEN
            RETURN position - 1;
        END IF;
    END LOOP;
    RETURN cardinality(ids);
END $$;

-- Fails where the disk is full, which a write that finds room in its page does not notice: this many numbers do not fit
-- into so little memory, and go to a file for a moment.
CREATE FUNCTION room() RETURNS BIGINT LANGUAGE plpgsql SET work_mem = '64kB' AS $$
BEGIN
    RETURN (SELECT count(*) FROM generate_series(1, 10000));
END $$;
