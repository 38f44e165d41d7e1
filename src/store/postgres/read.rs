//! How those who read ask: one statement a question, so that its answer is of one moment.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::pool::{Client, Pool};

/// What goes into a statement.
pub(super) type Values<'a> = [&'a (dyn ToSql + Sync)];

impl Pool {
    /// The rows that answer a statement. A connection that has died meanwhile is replaced once: reading twice harms
    /// nobody.
    pub(super) async fn rows(&self, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, Fault> {
        match self.ask(sql, values).await {
            Err(fault @ Fault::Sql(_)) if fault.is_of_the_connection() => self.ask(sql, values).await,
            answer => answer,
        }
    }

    /// The row that answers a statement, if there is one.
    pub(super) async fn row(&self, sql: &str, values: &Values<'_>) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    async fn ask(&self, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, Fault> {
        let mut asking = Asking(Some(self.client().await?));
        let Some(client) = &asking.0 else { return Ok(Vec::new()) };
        let answer = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, values).await
        };
        let answer = answer.await;
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
