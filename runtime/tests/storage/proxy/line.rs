//! A line to a server that speaks anything: bytes pass until a fault says otherwise.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// It ends once the server has said that many bytes.
    AfterReceived(u64),
    /// It ends once the caller has said that many bytes.
    AfterSent(u64),
    /// After that many bytes the server is not heard any more, and nobody hangs up.
    SilentAfter(u64),
}

/// Listens on a port of its own until it is dropped.
pub struct Line {
    address: SocketAddr,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

struct State {
    server: SocketAddr,
    /// What happens, and to how many more connections.
    breaks: Mutex<Option<(Break, u64)>>,
    connections: Mutex<usize>,
}

impl Line {
    /// Stands in front of the server at this `HOST:PORT`.
    pub async fn before(server: &str) -> Self {
        let server = server.parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State { server, breaks: Mutex::default(), connections: Mutex::default() });
        let listening = tokio::spawn(listen(listener, Arc::clone(&state)));
        Self { address, state, listening }
    }

    /// Where it listens, `HOST:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The next so many connections break like this, and the ones after them do not.
    pub fn breaks(&self, how: Break, connections: u64) {
        *self.state.breaks.lock().unwrap_or_else(PoisonError::into_inner) = Some((how, connections));
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl State {
    fn connected(&self) -> Option<Break> {
        *self.connections.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let mut breaks = self.breaks.lock().unwrap_or_else(PoisonError::into_inner);
        let (how, left) = breaks.as_mut().filter(|(_, left)| *left > 0)?;
        *left -= 1;
        Some(*how)
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let how = state.connected();
        let server = state.server;
        connections.spawn(async move {
            // A connection that broke is no concern of the others; its caller has noticed.
            let _ = connection(stream, server, how).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(caller: TcpStream, server: SocketAddr, how: Option<Break>) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    caller.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_caller, to_caller), (from_server, to_server)) = (caller.into_split(), server.into_split());
    let (sent, received) = match how {
        Some(Break::AfterSent(bytes)) => (bytes, u64::MAX),
        Some(Break::AfterReceived(bytes) | Break::SilentAfter(bytes)) => (u64::MAX, bytes),
        None => (u64::MAX, u64::MAX),
    };
    let silent = matches!(how, Some(Break::SilentAfter(_)));
    let up = pass(from_caller, to_server, sent, false);
    let down = pass(from_server, to_caller, received, silent);
    // Both halves are dropped, and so both connections, when one direction breaks.
    tokio::try_join!(up, down)?;
    Ok(())
}

/// Passes on that many bytes and then breaks; fewer, and the end of them, when the sender ends before.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, bytes: u64, silent: bool) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut left = bytes;
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            if silent && left == 0 {
                // Not even that is told; it lasts as long as the line.
                std::future::pending::<()>().await;
            }
            return to.shutdown().await;
        }
        let passed = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        to.write_all(&buffer[..passed]).await?;
        left -= passed as u64;
        if left == 0 && !silent {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}
