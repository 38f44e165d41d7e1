//! How those ask who are not the writer: one statement a question, so that its answer is of one moment.
//!
//! Each is bounded in time, whatever the network does, and asked once more when its connection has died meanwhile: what
//! is asked here may be asked twice.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::migrations::LOCKS;
use super::pool::{Client, Pool};

/// How long an answer is waited for. A little more than the server gives a statement: its own word says more.
const PATIENCE: Duration = Duration::from_secs(12);

/// What goes into a statement.
pub(super) type Values<'a> = [&'a (dyn ToSql + Sync)];

impl Pool {
    /// The rows that answer a statement.
    pub(super) async fn rows(&self, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, Fault> {
        self.twice(None, sql, values).await
    }

    /// The same under the store's lock, in a transaction.
    pub(super) async fn locked(&self, lock: i32, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, Fault> {
        self.twice(Some(lock), sql, values).await
    }

    async fn twice(&self, lock: Option<i32>, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, Fault> {
        match self.ask(lock, sql, values).await {
            // As many may have died as there are; the next is a new one.
            Err(fault @ Fault::Sql(_)) if fault.is_of_the_connection() => {
                self.forget_the_dead();
                self.ask(lock, sql, values).await
            }
            answer => answer,
        }
    }

    /// The row that answers a statement, if there is one.
    pub(super) async fn row(&self, sql: &str, values: &Values<'_>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    async fn ask(&self, lock: Option<i32>, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, Fault> {
        let mut asking = Asking(Some(self.client().await?));
        let Some(client) = &mut asking.0 else { return Ok(Vec::new()) };
        let answer = async {
            let statement = client.prepare_cached(sql).await?;
            let Some(lock) = lock else { return client.query(&statement, values).await };
            let locking = client.prepare_cached(super::LOCK).await?;
            let transaction = client.transaction().await?;
            transaction.query(&locking, &[&LOCKS, &lock]).await?;
            let rows = transaction.query(&statement, values).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        let late =
            || Fault::NotReached("it did not answer in time; see that it runs, and what keeps it busy".to_owned());
        // Who is late keeps its connection from the others.
        let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| late())?;
        if let Some(client) = asking.0.take()
            && client.is_closed()
        {
            drop(Client::take(client));
        }
        Ok(answer?)
    }
}

/// A connection that is asked. Who stops waiting for the answer, leaves it to nobody: the next would wait behind it.
struct Asking(Option<Client>);

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}
