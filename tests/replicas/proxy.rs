//! The network between a server and its database, which a test cuts.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long each way takes: what happens between two commits is to have its time.
const WAY: Duration = Duration::from_millis(5);

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It arrives.
    Whole,
    /// It is held back, on both ways, and arrives when the network is whole again.
    Dark,
    /// Connections are broken off, and new ones too.
    Broken,
}

/// One way to the database.
pub struct Proxy {
    pub port: u16,
    network: watch::Sender<Network>,
}

impl Proxy {
    /// Listens on a port of its own, for as long as the test runs.
    pub async fn to(address: (String, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (network, seen) = watch::channel(Network::Whole);
        let address = Arc::new(address);
        tokio::spawn(async move {
            loop {
                let Ok((caller, _)) = listener.accept().await else { continue };
                tokio::spawn(carry(caller, address.clone(), seen.clone()));
            }
        });
        Self { port, network }
    }

    pub fn becomes(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn carry(caller: TcpStream, address: Arc<(String, u16)>, mut seen: watch::Receiver<Network>) {
    if !arrives(&mut seen).await {
        return;
    }
    let Ok(called) = TcpStream::connect((address.0.as_str(), address.1)).await else { return };
    caller.set_nodelay(true).ok();
    called.set_nodelay(true).ok();
    let (from_caller, to_caller) = caller.into_split();
    let (from_called, to_called) = called.into_split();
    // Either end of it ends both.
    tokio::select! {
        () = one_way(from_caller, to_called, seen.clone()) => {}
        () = one_way(from_called, to_caller, seen) => {}
    }
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut seen: watch::Receiver<Network>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let mut broken = seen.clone();
        let read = tokio::select! {
            read = from.read(&mut bytes) => read.unwrap_or(0),
            _ = broken.wait_for(|network| *network == Network::Broken) => return,
        };
        tokio::time::sleep(WAY).await;
        if read == 0 || !arrives(&mut seen).await || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Waits while it is held back; false when it never arrives.
async fn arrives(seen: &mut watch::Receiver<Network>) -> bool {
    seen.wait_for(|network| *network != Network::Dark).await.is_ok_and(|network| *network == Network::Whole)
}
