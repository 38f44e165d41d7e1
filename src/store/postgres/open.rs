//! From an address to a store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tessera_contract::InstallationId;
use tokio::sync::watch;
use tokio_postgres::Client;
use tracing::warn;

use super::Postgres;
use super::address::{Address, Settings};
use super::fault::Fault;
use super::listener::Listener;
use super::migrations::migrate;
use super::pool::{Pool, SESSION};
use super::states::States;
use super::writer::{Desk, Writer};
use crate::store::{Calls, StoreError};

/// Connections that are no reader's: one writes, one listens.
const OURS: usize = 2;

/// Between looks for a database that does not answer yet.
const PAUSE: Duration = Duration::from_secs(1);

impl Postgres {
    /// Opens the store in a database, and makes its tables if there are none. A database that does not answer yet, as
    /// when both start together, is waited for.
    pub async fn open(settings: &Settings) -> Result<Self, StoreError> {
        let address = Arc::new(Address::read(settings)?);
        let told = |fault: Fault| fault.told(&address.place);
        let mut client = first(&address, settings.start_timeout).await.map_err(told)?;
        let lock = migrate(&mut client).await.map_err(told)?;
        let installation = installation(&client).await.map_err(told)?;
        let readers = settings.connections.saturating_sub(OURS).max(1);
        let pool = Pool::new(&address, readers, settings.connect_timeout).map_err(told)?;
        let (ring, bell) = watch::channel(());
        let (call, calls) = watch::channel(Calls::default());
        let desk = Desk {
            address,
            lock,
            channel: format!("tessera_{}", installation.0),
            voice: ulid::Ulid::generate().to_string(),
        };
        Listener::start(desk.clone(), ring.clone(), call).await;
        let writer = Writer::start(desk, ring);
        Ok(Self { writer, states: States::start(pool.clone()), pool, installation, lock, bell, calls })
    }
}

/// The first connection. What an operator must mend is said at once; what passes is waited for.
async fn first(address: &Address, patience: Duration) -> Result<Client, Fault> {
    let began = Instant::now();
    loop {
        match connect(address).await {
            Err(fault) if fault.passes() && began.elapsed() < patience => {
                warn!("{}; tried again for {} s", fault.told(&address.place), (patience - began.elapsed()).as_secs());
                tokio::time::sleep(PAUSE).await;
            }
            other => return other,
        }
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
