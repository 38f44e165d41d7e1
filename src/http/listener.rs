//! Connections: taken in, kept alive, and ended in order.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

/// How long a client may take to send a request's head; also how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long what was sent may go unacknowledged, or a client may leave no room for more, before its connection ends:
/// a stream has no other end when its client has fallen silent.
const UNTAKEN: Duration = Duration::from_secs(120);
/// How long is waited when the system has no more descriptors to give: others may be closed meanwhile.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Serves until `stop` returns; then takes nobody in any more, and gives requests under way at most `grace`.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>, grace: Duration) {
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server.http2().timer(TokioTimer::new());
    let under_way = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    refused(&error).await;
                    continue;
                }
            },
        };
        let service =
            router.clone().map_request(|request: axum::http::Request<hyper::body::Incoming>| request.map(Body::new));
        let connection =
            server.serve_connection(TokioIo::new(prompt(stream)), TowerToHyperService::new(service)).into_owned();
        let connection = under_way.watch(connection);
        // How a connection ends is the client's affair: it was reset, or said no HTTP.
        tokio::spawn(async move { connection.await.ok() });
    }
    drop(listener);
    if tokio::time::timeout(grace, under_way.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off");
    }
}

/// Answers are small and shall leave at once, and nobody waits for ever for a client that is gone.
fn prompt(stream: TcpStream) -> TcpStream {
    // A connection that is gone already cannot be made prompt, and shows it at its first read.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNTAKEN));
    stream
}

async fn refused(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "cannot take a connection");
        tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
    }
}
