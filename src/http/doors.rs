//! What every handler shares.

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;

use super::peers::Peers;
use super::settings::Settings;
use crate::engine::Engine;
use crate::feed::Feed;
use crate::logs::Logs;
use crate::store::Store;

/// Called when there is something new to do; returns at once.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Asks every part but the store whether it is ready; an error says why not.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<(String, Result<(), String>)>> + Send + Sync>;

/// Finds the plan of a job (its id) for whoever knows that attempt's token; `None` for everybody else.
pub type Plans = Arc<dyn Fn(String, String) -> BoxFuture<'static, io::Result<Option<Vec<u8>>>> + Send + Sync>;

/// Tells what goes on for long that the server stops.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Stops when the other end says `true`, and when it is gone.
    pub fn new(said: watch::Receiver<bool>) -> Self {
        Self(said)
    }

    /// Returns when the server stops.
    pub async fn stopped(mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// What the doors open to. Cheap to clone.
#[derive(Clone)]
pub struct Doors {
    /// Remembers tasks.
    pub store: Arc<dyn Store>,
    /// Knows why a task waits.
    pub engine: Arc<Engine>,
    /// Tells what happens.
    pub feed: Feed,
    /// What tasks print.
    pub logs: Arc<Logs>,
    /// Called after a task was stored.
    pub wake_dispatch: Wake,
    /// Called after a cancel was recorded.
    pub wake_cancel: Wake,
    /// Asks the backends; the store is asked by the door itself.
    pub ready: Readiness,
    /// Finds plans that jobs fetch; absent where no backend has any.
    pub plans: Option<Plans>,
    /// The other servers on the store.
    pub peers: Arc<Peers>,
    /// What time it is.
    pub clock: Clock,
    /// When whatever goes on for long has to end.
    pub stopping: Stopping,
    /// What the operator decided.
    pub settings: Arc<Settings>,
}
