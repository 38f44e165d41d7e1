//! Databases of earlier releases, of later ones, and of others.

use super::databases::{Databases, say as tell, url};
use crate::store::StoreError;
use crate::store::conformance::samples::*;
use crate::store::postgres::Postgres;
use crate::store::postgres::migrations::MIGRATIONS;
use crate::store::{ListQuery, Store};

async fn connected(schema: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&url(schema), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// All that is in a schema, and the text of what is in its row of versions.
async fn all_of(schema: &str) -> Vec<String> {
    let names = "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = $1::text::regnamespace
                 UNION ALL SELECT oid::regprocedure::text || md5(prosrc) FROM pg_proc WHERE pronamespace = $1::text::regnamespace
                 ORDER BY 1";
    let rows = connected(schema).await.query(names, &[&schema]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn every_earlier_release_is_brought_up() {
    let databases = Databases::new();
    let new = databases.make().await;
    Postgres::open(&databases.settings(&new)).await.unwrap();
    let whole = all_of(&new).await;
    for known in 0..=MIGRATIONS.len() {
        let schema = databases.make().await;
        let client = connected(&schema).await;
        for migration in &MIGRATIONS[..known] {
            client.batch_execute(migration).await.unwrap();
        }
        if known > 0 {
            let says = format!("INSERT INTO schema (one, application, version) VALUES (1, 'tessera', {known})");
            client.batch_execute(&says).await.unwrap();
        }
        let store = Postgres::open(&databases.settings(&schema)).await.unwrap();
        let id = put_one(&store).await;
        assert_eq!(store.list(&ann(), &ListQuery { size: 9, ..ListQuery::default() }).await.unwrap().items[0].id, id);
        assert_eq!(all_of(&schema).await, whole, "from version {known}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL; cargo xtask test PostgreSQL"]
async fn a_newer_one_and_a_strangers_are_refused_untouched() {
    let databases = Databases::new();
    let later = "UPDATE schema SET version = version + 1;\nCREATE TABLE news (n BIGINT)";
    let other = "UPDATE schema SET application = 'songs'";
    let empty = "DELETE FROM schema";
    let odd = "DROP TABLE schema;\nCREATE TABLE schema (title TEXT)";
    let table =
        [(later, "newer build"), (other, "another program"), (empty, "another program"), (odd, "another program")];
    for (change, sentence) in table {
        let schema = databases.make().await;
        drop(Postgres::open(&databases.settings(&schema)).await.unwrap());
        tell(&schema, change).await;
        let before = all_of(&schema).await;
        let Err(StoreError::Corrupt(said)) = Postgres::open(&databases.settings(&schema)).await else {
            panic!("{change}: it was opened");
        };
        assert!(said.contains(sentence), "{said}");
        assert_eq!(all_of(&schema).await, before, "{change}");
    }
    let schema = databases.make().await;
    tell(&schema, "CREATE TABLE songs (title TEXT)").await;
    assert!(Postgres::open(&databases.settings(&schema)).await.is_err());
    assert_eq!(all_of(&schema).await.len(), 1);
}
