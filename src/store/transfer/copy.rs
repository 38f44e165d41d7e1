//! The way from one store to another.

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::names::Names;
use super::row::{Row, Sum};
use super::tables::{TABLES, Table};
use crate::store::StoreError;

/// A store that is read, as it was at one moment.
#[async_trait]
pub trait Source: Send {
    /// Sends all rows of a table, in any order, in bounded batches.
    async fn read(&mut self, table: &'static Table, batches: mpsc::Sender<Vec<Row>>) -> Result<(), StoreError>;

    /// How many tags there are.
    async fn tags(&mut self) -> Result<u64, StoreError>;
}

/// An empty store that is written, and read again before that is made to last.
#[async_trait]
pub trait Target: Source {
    /// Writes rows of a table, and what this store derives from them.
    async fn write(&mut self, table: &'static Table, rows: Vec<Row>) -> Result<(), StoreError>;

    /// Makes all of it last. Until then there is nothing.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// What was moved of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The table.
    pub table: &'static str,
    /// Its rows; the same was found in the target.
    pub sum: Sum,
}

/// Copies everything, compares it, and makes it last. `told` hears after each batch of which table how many rows have been
/// written.
pub async fn copy(
    source: &mut dyn Source,
    mut target: Box<dyn Target>,
    names: &Names,
    mut told: impl FnMut(&'static str, u64),
) -> Result<Vec<Moved>, StoreError> {
    let mut moved = Vec::new();
    for table in TABLES {
        let (sender, mut batches) = mpsc::channel::<Vec<Row>>(1);
        let mut sum = Sum::default();
        let writing = async {
            while let Some(mut rows) = batches.recv().await {
                for row in &mut rows {
                    names.rename(table, row)?;
                    sum.add(row);
                }
                target.write(table, rows).await?;
                told(table.name, sum.rows);
            }
            Ok(())
        };
        tokio::try_join!(source.read(table, sender), writing)?;
        moved.push(Moved { table: table.name, sum });
    }
    for (table, moved) in TABLES.iter().zip(&moved) {
        let arrived = sum(&mut *target, table).await?;
        if arrived != moved.sum {
            return Err(differs(table.name, &moved.sum, &arrived));
        }
    }
    let (sent, arrived) = (source.tags().await?, target.tags().await?);
    if sent != arrived {
        return Err(StoreError::Corrupt(format!(
            "the tags of the source are not those that its tasks were created with: {sent} are found by, {arrived} were \
             asked for; nothing was moved"
        )));
    }
    target.commit().await?;
    Ok(moved)
}

/// The sum of a table as it stands somewhere.
async fn sum(of: &mut dyn Target, table: &'static Table) -> Result<Sum, StoreError> {
    let (sender, mut batches) = mpsc::channel::<Vec<Row>>(1);
    let mut sum = Sum::default();
    let adding = async {
        while let Some(rows) = batches.recv().await {
            rows.iter().for_each(|row| sum.add(row));
        }
        Ok(())
    };
    tokio::try_join!(of.read(table, sender), adding)?;
    Ok(sum)
}

fn differs(table: &str, sent: &Sum, arrived: &Sum) -> StoreError {
    StoreError::Corrupt(format!(
        "what arrived is not what was sent: of `{table}` {} rows with the digest {} became {} with {}; nothing was moved",
        sent.rows,
        sent.digest(),
        arrived.rows,
        arrived.digest()
    ))
}
