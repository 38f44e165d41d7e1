//! No query of the engine or of a listing scans a table or sorts what it reads.

use rusqlite::Connection;

use crate::store::sqlite::migrations::migrate;
use crate::store::sqlite::{lists, names, queue, retention, tasks};

/// SQLite's own account of how it would run a query.
fn plan(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
    let steps = statement.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>();
    steps.unwrap()
}

#[test]
fn rule_7_3_and_8_8_every_read_goes_by_an_index_and_in_its_order() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection).unwrap();
    let table = [
        ("all of an owner", lists::OF_OWNER, "USING COVERING INDEX tasks_of_owner (owner=? AND id<?)"),
        ("phase", lists::IN_PHASE, "USING COVERING INDEX tasks_in_phase (owner=? AND phase=? AND id<?)"),
        ("tag, any value", lists::TAGGED, "USING PRIMARY KEY (owner=? AND key=? AND task<?)"),
        (
            "tag and value",
            lists::TAGGED_WITH,
            "USING COVERING INDEX tags_with_value (owner=? AND key=? AND value=? AND task<?)",
        ),
        ("name prefix", names::NAMED, "INDEX tasks_named (owner=? AND name>? AND name<?)"),
        (
            "name prefix, of many",
            names::NAMED_IN_BLOCKS,
            "names USING PRIMARY KEY (owner=? AND block=? AND name>? AND name<?)",
        ),
        (
            "name prefix, of many",
            names::NAMED_IN_BLOCKS,
            "blocks USING COVERING INDEX sqlite_autoindex_blocks_1 (first<?)",
        ),
        ("block", names::BLOCK_WITH_NAMED, "names USING PRIMARY KEY (owner=? AND block=? AND name>? AND name<?)"),
        ("block", names::BLOCK_WITH_NAMED, "blocks USING COVERING INDEX sqlite_autoindex_blocks_1 (first<?)"),
        (
            "names of a block",
            names::NAMED_IN_BLOCK,
            "names USING PRIMARY KEY (owner=? AND block=? AND name>? AND name<?)",
        ),
        ("name", names::NAME, "USING PRIMARY KEY (id=?)"),
        ("summary", tasks::SUMMARY, "USING PRIMARY KEY (id=?)"),
        ("summaries", tasks::SUMMARIES, "SEARCH tasks USING PRIMARY KEY (id=?)"),
        ("task", tasks::TASK, "SEARCH tasks USING PRIMARY KEY (id=?)"),
        ("task", tasks::TASK, "SEARCH specs USING INTEGER PRIMARY KEY (rowid=?)"),
        ("events of a task", tasks::EVENTS_OF_ONE, "SEARCH events USING PRIMARY KEY (task=?)"),
        ("tasks", tasks::TASKS, "SEARCH specs USING INTEGER PRIMARY KEY (rowid=?)"),
        ("tasks", tasks::TASKS, "SEARCH tasks USING PRIMARY KEY (id=?)"),
        ("owner", tasks::OWNER, "USING PRIMARY KEY (id=?)"),
        ("events", tasks::EVENTS, "SEARCH events USING PRIMARY KEY (task=?)"),
        ("queued", queue::QUEUED, "USING INDEX tasks_waiting (id>?)"),
        ("queueing", queue::QUEUEING, "USING INDEX tasks_waiting (id>?)"),
        ("ahead", queue::AHEAD, "USING INDEX tasks_waiting (id>? AND id<?)"),
        ("active", queue::ACTIVE, "USING INDEX tasks_active (id>?)"),
        ("canceling", queue::IN_CANCELING, "USING INDEX tasks_canceling (id>?)"),
        ("first owner", retention::FIRST_OWNER, "SEARCH tasks USING COVERING INDEX tasks_of_owner"),
        ("next owner", retention::NEXT_OWNER, "USING COVERING INDEX tasks_of_owner (owner>?)"),
        ("beyond", retention::BEYOND, "USING COVERING INDEX tasks_in_phase (owner=? AND phase=?)"),
        ("oldest", retention::OLDEST, "USING INDEX tasks_of_owner (owner=? AND id>?)"),
        ("oldest", retention::OLDEST, "SEARCH events USING PRIMARY KEY (task=?)"),
        ("standing", queue::STANDING, "USING PRIMARY KEY (id=?)"),
    ];
    for (what, query, expected) in table {
        let steps = plan(&connection, query);
        assert!(steps.iter().any(|step| step.contains(expected)), "{what}: {steps:#?}");
        for step in &steps {
            let scans = step.starts_with("SCAN") && !step.contains("wanted VIRTUAL TABLE");
            assert!(!scans && !step.contains("TEMP B-TREE"), "{what}: {steps:#?}");
        }
    }
}

/// These read all of something that is small by its nature: what is outside, what is left behind.
#[test]
fn whole_reads_are_of_small_indexes() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection).unwrap();
    assert_eq!(plan(&connection, queue::LOAD), ["SCAN tasks USING INDEX tasks_active"]);
    assert_eq!(plan(&connection, queue::LEFTOVERS), ["SCAN leftovers"]);
}
