//! From an address to a store.

use tessera_contract::InstallationId;
use tokio_postgres::Client;

use super::Postgres;
use super::address::{Address, Settings};
use super::fault::Fault;
use super::migrations::migrate;
use super::pool::{Pool, SESSION};
use super::writer::Writer;
use crate::store::{Calls, StoreError};

/// Connections that are no reader's: one writes, one listens.
const OURS: usize = 2;

impl Postgres {
    /// Opens the store in a database, and makes its tables if there are none.
    pub async fn open(settings: &Settings) -> Result<Self, StoreError> {
        let address = Address::read(settings)?;
        let told = |fault: Fault| fault.told(&address.place);
        let mut client = connect(&address).await.map_err(told)?;
        let lock = migrate(&mut client).await.map_err(told)?;
        let installation = installation(&client).await.map_err(told)?;
        let readers = settings.connections.saturating_sub(OURS).max(1);
        let pool = Pool::new(&address, readers, settings.connect_timeout).map_err(told)?;
        let (bell, calls) = (tokio::sync::watch::channel(()).1, tokio::sync::watch::channel(Calls::default()).1);
        Ok(Self { writer: Writer, pool, installation, lock, bell, calls })
    }
}

/// A connection of its own, driven until it is dropped.
pub(super) async fn connect(address: &Address) -> Result<Client, Fault> {
    let (client, connection) = address.config.connect(address.tls.clone()).await?;
    // Its end is seen by whoever asks on it.
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    client.batch_execute(SESSION).await?;
    Ok(client)
}

async fn installation(client: &Client) -> Result<InstallationId, Fault> {
    let random = ulid::Ulid::generate().random() & u128::from(u64::MAX);
    client
        .execute(
            "INSERT INTO store (one, installation) VALUES (1, $1) ON CONFLICT DO NOTHING",
            &[&format!("{random:016x}")],
        )
        .await?;
    Ok(InstallationId(client.query_one("SELECT installation FROM store", &[]).await?.get(0)))
}
