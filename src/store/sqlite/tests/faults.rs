//! Locked, full, read-only: a clear error, no neighbour harmed, and no restart needed.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use futures::future::join_all;
use futures::{FutureExt, poll};
use rusqlite::Connection;

use super::Files;
use crate::store::conformance::samples::*;
use crate::store::sqlite::Sqlite;
use crate::store::{ListQuery, Standing, Store, StoreError};
use crate::task::spec::Input;
use crate::task::{Phase, TaskId, TaskSpec};

fn open(path: &Path) -> Sqlite {
    Sqlite::open_waiting(path, Duration::ZERO).unwrap()
}

async fn create(store: &Sqlite, id: &TaskId, spec: TaskSpec) -> Result<(), StoreError> {
    store.create(&ann(), id, at(1), spec).await
}

fn sentence<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable(sentence)) => sentence,
        other => panic!("{other:?} is no outage"),
    }
}

fn large(bytes: usize) -> TaskSpec {
    let input = Input { content: Some("x".repeat(bytes)), path: "/in".to_owned(), ..Input::default() };
    TaskSpec { inputs: vec![input], ..spec("large") }
}

/// Keeps the writer busy until the answer is dropped, so that what is sent meanwhile arrives together.
async fn hold(store: &Sqlite) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let mut entered = Some(entered);
    let holding = store.writer.write(move |_| {
        if let Some(entered) = entered.take() {
            entered.send(()).unwrap();
        }
        let _released = released.recv();
        Ok(())
    });
    assert!(poll!(std::pin::pin!(holding)).is_pending());
    inside.await.unwrap();
    release
}

/// Sends all of these writes while the writer is held, and answers them in order.
async fn together<T>(store: &Sqlite, writes: Vec<impl Future<Output = T>>) -> Vec<T> {
    let release = hold(store).await;
    let mut writes: Vec<_> = writes.into_iter().map(|write| Box::pin(write.fuse())).collect();
    for write in &mut writes {
        assert!(poll!(write).is_pending());
    }
    drop(release);
    join_all(writes).await
}

#[tokio::test]
async fn what_arrives_together_is_committed_together() {
    let files = Files::new();
    let store = open(&files.path());
    // A savepoint can be let go only in the transaction that made it.
    let writes = ["SAVEPOINT mark", "RELEASE mark"].map(|sql| store.writer.write(|c| Ok(c.execute_batch(sql)?)));
    assert_eq!(together(&store, writes.into()).await, [Ok(()), Ok(())]);
}

#[tokio::test]
async fn a_failing_write_fails_no_neighbour() {
    let files = Files::new();
    let store = open(&files.path());
    let twice = put_one(&store).await;
    let ids = [TaskId::new(at(1)), twice, TaskId::new(at(1))];
    let writes = ids.iter().map(|id| create(&store, id, spec("new"))).collect();
    let answers = together(&store, writes).await;
    assert_eq!((&answers[0], &answers[2]), (&Ok(()), &Ok(())));
    assert!(sentence(answers[1].clone()).contains("already"));
    let query = ListQuery { size: 9, ..ListQuery::default() };
    assert_eq!(store.list(&ann(), &query).await.unwrap().items.len(), 3);
    assert_eq!(store.get(&ann(), &ids[1]).await.unwrap().unwrap().spec, spec("one"), "the first one stands");
}

#[tokio::test]
async fn a_locked_database_is_read_and_written_again_when_it_is_free() {
    let files = Files::new();
    let path = files.path();
    let store = open(&path);
    let id = put_one(&store).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let answer = sentence(create(&store, &TaskId::new(at(2)), spec("two")).await);
    assert!(answer.contains("locked by another program"), "{answer}");
    assert!(sentence(store.check().await).contains("locked"));
    assert!(sentence(store.request_cancel(&ann(), &id, at(NOW), true).await).contains("locked"));
    assert!(store.get(&ann(), &id).await.unwrap().is_some(), "readers wait for nobody");
    other.execute_batch("ROLLBACK").unwrap();
    store.check().await.unwrap();
    create(&store, &TaskId::new(at(2)), spec("two")).await.unwrap();
}

#[tokio::test]
async fn a_full_database_takes_what_fits_and_goes_on_when_there_is_room() {
    let files = Files::new();
    let store = open(&files.path());
    put_one(&store).await;
    let pages = async |more: i64| {
        let limit = move |c: &Connection| {
            let pages: i64 = c.pragma_query_value(None, "page_count", |row| row.get(0))?;
            let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
            c.pragma_update_and_check(None, "max_page_count", pages + more, set)?;
            Ok(())
        };
        store.writer.write(limit).await.unwrap();
    };
    pages(4).await;
    let ids = [TaskId::new(at(2)), TaskId::new(at(3)), TaskId::new(at(4))];
    let writes = ids.iter().zip([0, 1 << 20, 0]).map(|(id, bytes)| create(&store, id, large(bytes))).collect();
    let answers = together(&store, writes).await;
    assert_eq!((&answers[0], &answers[2]), (&Ok(()), &Ok(())));
    let answer = sentence(answers[1].clone());
    assert!(answer.contains("is full; make room"), "{answer}");
    store.check().await.unwrap();
    assert!(store.get(&ann(), &ids[1]).await.unwrap().is_none(), "nothing of it stayed");
    pages(4_000).await;
    create(&store, &ids[1], large(1 << 20)).await.unwrap();
}

/// A file system of one megabyte, gone with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        match rustix::mount::mount("tmpfs", folder.path(), "tmpfs", flags, c"size=1m") {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                println!("not run: a small disk cannot be mounted here: {error}");
                None
            }
        }
    }

    fn read_only(&self, on: bool) {
        let flags = if on { rustix::mount::MountFlags::RDONLY } else { rustix::mount::MountFlags::empty() };
        rustix::mount::mount_remount(self.0.path(), flags, c"size=1m").unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_fails_a_commit_and_nothing_acknowledged_is_lost() {
    let Some(disk) = SmallDisk::mounted() else { return };
    let path = disk.0.path().join("tasks.db");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 200_000]).unwrap();
    let store = open(&path);
    let mut acknowledged = Vec::new();
    let refused = loop {
        let id = TaskId::new(at(2));
        match create(&store, &id, large(2_000)).await {
            Ok(()) => acknowledged.push(id),
            Err(error) => break sentence::<()>(Err(error)),
        }
    };
    assert!(refused.contains("full"), "{refused}");
    assert!(acknowledged.len() > 10);
    // What is smaller than a task may have fitted once more.
    while store.check().await.is_ok() {}
    let writes = (0..3).map(|_| store.check()).collect();
    for answer in together(&store, writes).await {
        assert!(sentence(answer).contains("full"), "a commit that fails fails for all who wait for it");
    }
    assert_eq!(store.get(&ann(), &acknowledged[0]).await.unwrap().unwrap().spec, large(2_000), "it is still read");
    std::fs::remove_file(ballast).unwrap();
    store.check().await.unwrap();
    let again = TaskId::new(at(3));
    create(&store, &again, large(2_000)).await.unwrap();
    drop(store);

    disk.read_only(true);
    let refused = sentence(Sqlite::open(&path));
    assert!(refused.contains("tasks.db") && refused.contains("writable"), "{refused}");
    disk.read_only(false);
    let store = open(&path);
    for id in acknowledged.iter().chain([&again]) {
        assert!(store.summary(&ann(), id).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_no_wall_and_never_without_a_task() {
    let files = Files::new();
    let path = files.path();
    let store = open(&path);
    let mut ids = Vec::new();
    for second in 1..=5 {
        let id = TaskId::new(at(second));
        create(&store, &id, spec("waits")).await.unwrap();
        ids.push(id);
    }
    let spoil = |id: &TaskId| {
        let connection = Connection::open(&path).unwrap();
        connection.execute("UPDATE tasks SET state = '{}' WHERE id = ?1", [id.as_str()]).unwrap();
    };
    spoil(&ids[0]);
    spoil(&ids[2]);
    // A full page, although it begins with one that cannot be read: a short one would be taken for the end.
    let found = store.queued(at(9), None, 2).await.unwrap();
    assert_eq!(found.into_iter().map(|one| one.task).collect::<Vec<_>>(), [ids[1].clone(), ids[3].clone()]);
    let found = store.queued(at(9), None, 9).await.unwrap();
    assert_eq!(found.len(), 3);
    bring(&store, &ann(), &ids[3], Phase::Running).await;
    bring(&store, &ann(), &ids[4], Phase::Running).await;
    spoil(&ids[3]);
    let found = store.active(None, 1).await.unwrap();
    assert_eq!(found.into_iter().map(|one| one.task).collect::<Vec<_>>(), [ids[4].clone()]);
    let standing = store.standing(&[ids[3].clone(), TaskId::new(at(1)), ids[4].clone()]).await.unwrap();
    assert!(matches!(standing.as_slice(), [Standing::Unreadable, Standing::Unknown, Standing::At(_)]), "{standing:?}");
}
