//! The network between a server and its database, in the hands of the test: a TCP proxy that can delay, cut and heal.
//!
//! Cut means that nothing arrives and nobody is told, as when a cable is pulled: connections stay open and silent.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    /// Each piece that arrives is passed on after so long.
    Whole(Duration),
    Cut,
}

/// A proxy that runs until it is dropped.
pub struct Proxy {
    port: u16,
    network: Arc<watch::Sender<Network>>,
    accepting: AbortHandle,
}

impl Proxy {
    /// In front of a port of loopback.
    pub async fn new(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Arc::new(watch::Sender::new(Network::Whole(Duration::ZERO)));
        let state = Arc::clone(&network);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { continue };
                let network = state.subscribe();
                tokio::spawn(async move {
                    // A connection that is asked for over a cut network is not made before it heals.
                    whole(&mut network.clone()).await;
                    let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                    let ((near_out, near_in), (far_out, far_in)) = (near.into_split(), far.into_split());
                    tokio::join!(pass(near_out, far_in, network.clone()), pass(far_out, near_in, network));
                });
            }
        });
        Self { port, network, accepting: accepting.abort_handle() }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing arrives any more.
    pub fn cut(&self) {
        self.network.send_replace(Network::Cut);
    }

    /// Everything arrives, each piece so late.
    pub fn delay(&self, by: Duration) {
        self.network.send_replace(Network::Whole(by));
    }

    /// Everything arrives at once.
    pub fn heal(&self) {
        self.delay(Duration::ZERO);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Waits for a network that is not cut, and answers how late it is.
async fn whole(network: &mut watch::Receiver<Network>) -> Duration {
    match network.wait_for(|state| *state != Network::Cut).await.map(|state| *state) {
        Ok(Network::Whole(delay)) => delay,
        // The test is over.
        Ok(Network::Cut) | Err(_) => Duration::ZERO,
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut network: watch::Receiver<Network>) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut piece).await.unwrap_or(0);
        let delay = whole(&mut network).await;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
            // It may have been cut under way.
            whole(&mut network).await;
        }
        if length == 0 {
            to.shutdown().await.ok();
            return;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
