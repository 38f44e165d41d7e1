//! A few connections, used again and again: a protocol with one transfer a connection.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::trouble::Trouble;
use super::connect::Door;
use super::connection::Connection;

/// Connections at once: many servers allow no more for one address.
const MOST: usize = 4;
/// A connection that was idle for longer is asked first whether it lives.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// The connections of one storage.
pub(super) struct Pool {
    pub(super) door: Door,
    free: Mutex<Vec<(Instant, Connection)>>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("door", &self.door).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(door: Door) -> Self {
        Self { door, free: Mutex::default(), places: Arc::new(Semaphore::new(MOST)) }
    }

    /// A connection of one's own. It is given back when this is dropped, unless it broke.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Lease, Trouble> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Trouble::unavailable(format!("`{}` was closed", self.door.base)))?;
        loop {
            let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match free {
                Some((since, mut idle)) if since.elapsed() > FRESH_FOR => match idle.lives().await {
                    true => idle,
                    false => continue,
                },
                Some((_, fresh)) => fresh,
                None => self.door.enter().await?,
            };
            return Ok(Lease { connection: Some(connection), pool: Arc::clone(self), _place: place });
        }
    }
}

/// A connection in use.
pub(super) struct Lease {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("a lease holds its connection until it is dropped"),
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("a lease holds its connection until it is dropped"),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|connection| !connection.broken) {
            let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.push((Instant::now(), connection));
        }
    }
}
