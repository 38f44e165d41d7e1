//! Connections for those who read, and for single statements that need no company. A bounded number, kept.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, RecyclingMethod, Runtime};

use super::address::Address;
use super::fault::Fault;

/// A connection, ours until it is dropped; `prepare_cached` keeps statements with it.
pub(super) type Client = deadpool_postgres::Object;

/// How long a read waits for a connection that others use.
const TURN: Duration = Duration::from_secs(5);

/// What each connection is told when it is made. Bounds, so that a server that was stopped, or cut off, keeps nobody from
/// anything; a commit that was answered is on the disk; plans for one row are not worth compiling. Every query of ours has
/// an index that holds its rows in its order: a plan made while a table is small, or its statistics are old, must not
/// scan or sort it when it is large.
pub(super) const SESSION: &str = "
    SET statement_timeout = '10s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '10s';
    SET default_transaction_isolation = 'read committed';
    SET jit = off;
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_material = off;
    SET enable_sort = off;
    SET enable_incremental_sort = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Hands out connections.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    inner: deadpool_postgres::Pool,
    place: String,
}

impl Pool {
    /// So many connections at most, made when they are needed.
    pub(super) fn new(address: &Address, size: usize, connect_timeout: Duration) -> Result<Self, Fault> {
        let kept = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(address.config.clone(), address.tls.clone(), kept);
        let inner = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(TURN))
            .create_timeout(Some(connect_timeout))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| Fault::NotReached(error.to_string()))?;
        Ok(Self { inner, place: address.place.clone() })
    }

    /// A connection. Waiting for one is bounded.
    pub(super) async fn client(&self) -> Result<Client, Fault> {
        Ok(self.inner.get().await?)
    }

    /// Lets those connections go that are seen to be dead.
    pub(super) fn forget_the_dead(&self) {
        self.inner.retain(|client, _| !client.is_closed());
    }

    /// Whose connections these are: `host:port/database`.
    pub(super) fn place(&self) -> &str {
        &self.place
    }
}
