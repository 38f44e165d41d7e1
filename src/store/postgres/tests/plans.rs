//! No query of the engine or of a listing scans a table or sorts what it reads, whatever is known of the tables.

use tokio_postgres::{Client, NoTls};

use super::databases::{Databases, url};
use crate::store::postgres::pool::SESSION;
use crate::store::postgres::{
    Postgres, claim, create, feed, listing, queue, record, replicas, retention, states, tasks, trail,
};

/// A database with our tables, and a session like those of the store.
async fn session(databases: &Databases) -> Client {
    let database = databases.make().await;
    drop(Postgres::open(&databases.settings(&database)).await.unwrap());
    let (client, connection) = tokio_postgres::connect(&url(&database), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(SESSION).await.unwrap();
    client
}

/// PostgreSQL's own account of how it would run a statement, whatever its values.
async fn plan(client: &Client, query: &str, values: usize) -> String {
    let values = vec!["NULL"; values].join(", ");
    let execute = if values.is_empty() { "asked".to_owned() } else { format!("asked({values})") };
    client.batch_execute(&format!("PREPARE asked AS {query}")).await.unwrap();
    let rows = client.query(&format!("EXPLAIN EXECUTE {execute}"), &[]).await.unwrap();
    client.batch_execute("DEALLOCATE asked").await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn rule_7_3_and_8_8_every_read_goes_by_an_index_and_in_its_order() {
    let databases = Databases::new();
    // Empty tables of which nothing is known: the worst that a planner can be told.
    let client = session(&databases).await;
    let table = [
        ("states", states::STATES, 2, "tasks_pkey"),
        ("task", tasks::TASK, 2, "events_pkey"),
        ("of anybody", tasks::OF_ANYBODY, 1, "specs_pkey"),
        ("page of summaries", listing::SUMMARIES, 11, "tasks_pkey"),
        ("page of tasks", listing::TASKS, 12, "specs_pkey"),
        ("queued", queue::QUEUED, 3, "tasks_waiting"),
        ("queueing", queue::QUEUEING, 3, "tasks_waiting"),
        ("ahead", queue::AHEAD, 4, "tasks_waiting"),
        ("load", queue::LOAD, 0, "tasks_active"),
        ("active", queue::ACTIVE, 2, "tasks_active"),
        ("canceling", queue::IN_CANCELING, 2, "tasks_canceling"),
        ("standing", queue::STANDING, 1, "tasks_pkey"),
        ("leftovers", queue::LEFTOVERS, 1, "leftovers_of_task"),
        ("keeper", queue::KEEPER, 1, "tasks_pkey"),
        ("changes", feed::AFTER, 2, "changes_pkey"),
        ("kept", feed::KEPT, 0, "changes_pkey"),
        ("told", feed::TOLD, 1, "told_pkey"),
        ("who has a key", create::KEYS, 2, "keys_pkey"),
        ("standing, to write", record::STANDING, 1, "tasks_pkey"),
        ("said", record::SAID, 2, "events_pkey"),
        ("wanted", claim::WANTED, 1, "specs_pkey"),
        ("servers", replicas::PRESENT, 0, "replicas_pkey"),
        ("a server", replicas::ENLIST, 7, "replicas_pkey"),
        ("what a former run claimed", replicas::RELEASE, 2, "tasks_active"),
        ("leave", replicas::LEAVE, 3, "replicas_pkey"),
        ("take over", replicas::TAKE_OVER, 3, "tasks_pkey"),
        ("next owners", retention::OWNERS, 2, "tasks_in_phase"),
        ("oldest", retention::OLDEST, 3, "tasks_of_owner"),
        ("what was asked for", retention::SPECS, 1, "specs_pkey"),
        ("remove", retention::REMOVE, 5, "tags_pkey"),
        ("forget", trail::FORGET, 3, "leftovers_of_task"),
        ("trim", trail::TRIM, 2, "changes_pkey"),
    ];
    for (what, query, values, index) in table {
        let plan = plan(&client, query, values).await;
        assert!(
            plan.contains(&format!("using {index} ")) || plan.contains(&format!("Backward using {index} ")),
            "{what}:\n{plan}"
        );
        assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{what}:\n{plan}");
    }
}

/// What it writes is sorted; what it reads is looked up, row by row, whatever is known of the tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn every_write_finds_its_rows_by_their_keys() {
    let databases = Databases::new();
    let client = session(&databases).await;
    let table = [
        ("create", create::CREATE, 16),
        ("move", record::MOVE, 21),
        ("claim", claim::CLAIM, 11),
        ("take over", replicas::TAKE_OVER, 3),
        ("oldest", retention::OLDEST, 3),
        ("beyond", retention::BEYOND, 2),
        ("remove", retention::REMOVE, 5),
        ("next owners", retention::OWNERS, 2),
    ];
    for (what, query, values) in table {
        let plan = plan(&client, query, values).await;
        assert!(!plan.contains("Seq Scan") && !plan.contains("Materialize"), "{what}:\n{plan}");
        let lines: Vec<&str> = plan.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("Scan using")) {
            // Those who are outside are few: their index is read whole.
            let is_bounded = line.contains("tasks_active") || lines[at + 1].contains("Index Cond");
            assert!(is_bounded, "{what} walks an index:\n{plan}");
            assert!(!lines[at + 1].ends_with("Index Cond: (owner = $1)"), "{what} walks all of an owner:\n{plan}");
        }
    }
}

/// Every combination of filters, on tables whose statistics were never taken: what is read is bounded by the page, not by
/// the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn rule_8_8_a_page_reads_no_more_than_it_needs() {
    const TASKS: i64 = 20_000;
    let databases = Databases::new();
    let mut client = session(&databases).await;
    let fill = format!(
        "ALTER TABLE tasks SET (autovacuum_enabled = off);
         ALTER TABLE tags SET (autovacuum_enabled = off);
         INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, fence, until, cpu, ram)
         SELECT lpad(n::text, 26, '0'), 'ann', n, CASE WHEN n % 1000 = 1 THEN 'rare' ELSE 'often' END, n,
                CASE WHEN n % 1000 = 2 THEN 8 ELSE 6 END, 4, '', 1, 0, 0, 0, 0, 0 FROM generate_series(1, {TASKS}) n;
         INSERT INTO tags SELECT 'ann', 'all', lpad(n::text, 26, '0'), (n % 1000)::text FROM generate_series(1, {TASKS}) n;
         INSERT INTO tags SELECT 'ann', 'few', lpad(n::text, 26, '0'), 'x' FROM generate_series(3, {TASKS}, 1000) n"
    );
    client.batch_execute(&fill).await.unwrap();
    let phases = [None, Some(6_i64), Some(8), Some(9)];
    let tags: [(&[&str], &[Option<&str>]); 5] =
        [(&[], &[]), (&["all"], &[None]), (&["all"], &[Some("7")]), (&["few"], &[None]), (&["none"], &[None])];
    let names = [None, Some(("often", "oftep")), Some(("rare", "rarf")), Some(("no", "np"))];
    for phase in phases {
        for (keys, values) in tags {
            for name in names {
                let transaction = client.transaction().await.unwrap();
                let (prefix, high) = (name.map(|(low, _)| low), name.map(|(_, high)| high));
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                    [&"ann", &"~", &phase, &keys, &values, &prefix, &high];
                let asked = "SELECT cardinality(page($1, $2, 11, $3, $4, $5, $6, $6, $7, 100, 256))::bigint";
                // What was counted before is not yet handed on.
                let read = "SELECT sum(seq_scan)::bigint, sum(idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables";
                let before = transaction.query_one(read, &[]).await.unwrap();
                let found: i64 = transaction.query_one(asked, &values).await.unwrap().get(0);
                let after = transaction.query_one(read, &[]).await.unwrap();
                let counted = |column: usize| after.get::<_, i64>(column) - before.get::<_, i64>(column);
                let rows = counted(1);
                assert_eq!(counted(0), 0, "{phase:?} {keys:?} {name:?}");
                assert!(rows < 2_500, "{phase:?} {keys:?} {name:?}: {rows} rows were read for {found}");
                transaction.rollback().await.unwrap();
            }
        }
    }
}
