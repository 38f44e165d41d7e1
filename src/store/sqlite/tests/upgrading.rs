//! A file that an earlier release has filled.

use std::path::Path;

use rusqlite::{Connection, params};

use super::Files;
use crate::store::conformance::samples::*;
use crate::store::sqlite::Sqlite;
use crate::store::{ChangeId, Created, Key, ListQuery, Recorded, Store};
use crate::task::{Phase, TaskId};

/// The tables of version 1, and its rows of a task that waits, one that runs and one that has ended; their ids. The
/// texts are those that its release wrote.
pub(super) fn version_1(path: &Path) -> [TaskId; 3] {
    let ids = [1, 2, 3].map(|second| TaskId::new(at(second)));
    let mut connection = Connection::open(path).unwrap();
    let file = connection.transaction().unwrap();
    file.execute_batch(include_str!("../migrations/0001_tasks.sql")).unwrap();
    file.execute_batch("PRAGMA application_id = 0x54455353; PRAGMA user_version = 1").unwrap();
    file.execute("INSERT INTO store (one, installation) VALUES (1, '4f1c2b3a9d8e7f60')", []).unwrap();
    let rows = [
        ("waits", 0, 0, r#"{"queued":{"attempt":1,"claimed":false,"not_before":null,"refusals":0}}"#, &[][..]),
        (
            "runs",
            2,
            2,
            r#"{"running":{"attempt":1,"job":{"backend":"docker","handle":"h"},"seen":{"executors":0,"notes":0}}}"#,
            &[
                r#"{"submitted":{"attempt":1,"job":{"backend":"docker","handle":"h"}}}"#,
                r#"{"advanced":{"attempt":1,"started":"1970-01-12T13:46:40Z","executors":[],"notes":[],"seen":{"executors":0,"notes":0}}}"#,
            ],
        ),
        (
            "ended",
            6,
            4,
            r#""complete""#,
            &[
                r#"{"submitted":{"attempt":1,"job":{"backend":"docker","handle":"g"}}}"#,
                r#"{"ended":{"attempt":1,"result":{"verdict":"complete","started":"1970-01-12T13:46:40Z","ended":"1970-01-12T13:46:45Z","executors":[{"index":0,"exit_code":0,"started":"1970-01-12T13:46:40Z","ended":"1970-01-12T13:46:42Z","stdout":"said"}]}}}"#,
            ],
        ),
    ];
    for (id, (name, phase, stage, state, events)) in ids.iter().zip(rows) {
        let spec = format!(
            r#"{{"name":"{name}","executors":[{{"image":"alpine","command":["true"]}}],"tags":{{"of":"old"}}}}"#
        );
        file.execute("INSERT INTO specs (spec) VALUES (?1)", [spec]).unwrap();
        let version = 1 + i64::try_from(events.len()).unwrap();
        file.execute(
            "INSERT INTO tasks (id, owner, created, name, spec, phase, stage, state, version, not_before, fence, holder,
                                backend, until, cpu, ram)
             VALUES (?1, 'ann', 1000000000, ?2, last_insert_rowid(), ?3, ?4, ?5, ?6, ?7, 1, 'former', 'docker', 0, 0, 0)",
            params![id.as_str(), name, phase, stage, state, version, i64::MIN],
        )
        .unwrap();
        file.execute("INSERT INTO tags (owner, key, task, value) VALUES ('ann', 'of', ?1, 'old')", [id.as_str()])
            .unwrap();
        for (seq, body) in (2..).zip(events) {
            let event = params![id.as_str(), seq, 1_000_000_000_000_000_i64, body];
            file.execute("INSERT INTO events (task, seq, at, body) VALUES (?1, ?2, ?3, ?4)", event).unwrap();
        }
    }
    file.commit().unwrap();
    ids
}

#[tokio::test]
async fn tasks_of_version_1_go_on() {
    let files = Files::new();
    let path = files.path();
    let [waits, runs, ended] = version_1(&path);
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.installation().0, "4f1c2b3a9d8e7f60", "its jobs are found again");

    let query = ListQuery { tags: vec![("of".to_owned(), None)], size: 9, ..ListQuery::default() };
    let listed = store.list_summaries(&ann(), &query).await.unwrap().items;
    let listed: Vec<_> = listed.into_iter().map(|one| (one.id, one.phase)).collect();
    let (of_waiting, of_running) = ((waits.clone(), Phase::Queued), (runs.clone(), Phase::Running));
    assert_eq!(listed, [(ended.clone(), Phase::Complete), of_running, of_waiting]);
    let whole = store.get(&ann(), &ended).await.unwrap().unwrap();
    assert_eq!((whole.attempts.len(), whole.attempts[0].executors[0].stdout.as_str()), (1, "said"));
    assert_eq!(store.queued(at(NOW), None, 9).await.unwrap().len(), 1);
    assert_eq!(store.active(None, 9).await.unwrap().len(), 1);

    // Nothing is told of the time before; what happens from now on is.
    assert_eq!(store.changes(ChangeId::default(), 9).await.unwrap().items, []);
    let canceled = store.request_cancel(&ann(), &runs, at(NOW), true).await.unwrap();
    assert_eq!(canceled, Some(Recorded::Moved(Phase::Canceling)));
    let canceled = store.request_cancel(&ann(), &waits, at(NOW), true).await.unwrap();
    assert_eq!(canceled, Some(Recorded::Moved(Phase::Canceled)));
    let changes = store.changes(ChangeId::default(), 9).await.unwrap().items;
    let changes: Vec<_> = changes.into_iter().map(|one| (one.task, one.previous, one.phase)).collect();
    let expected = [(runs, Some(Phase::Running), Phase::Canceling), (waits, Some(Phase::Queued), Phase::Canceled)];
    assert_eq!(changes, expected);

    let (key, id) = (Key::parse("k").unwrap(), TaskId::new(at(9)));
    assert_eq!(store.create_once(&ann(), &key, &id, at(9), spec("new")).await.unwrap(), Created::New);
    let again = store.create_once(&ann(), &key, &TaskId::new(at(10)), at(10), spec("new")).await.unwrap();
    assert_eq!(again, Created::Known(id));
}
