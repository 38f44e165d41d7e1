//! Scratch server.
use std::sync::Arc;
use tessera::http::*;
use tessera::store::sqlite::Sqlite;
#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let store = Arc::new(Sqlite::open(format!("{dir}/t.db")).unwrap());
    let mut settings = Settings::default();
    if let Ok(root) = std::env::var("ROOT_DIR") {
        settings.files.roots = vec![root];
    }
    if std::env::var("BACKEND").is_ok() {
        settings.backends = vec![BackendFacts {
            name: "local".into(),
            parameters: vec!["walltime".into(), "network".into()],
            stops_within: std::time::Duration::from_secs(2),
        }];
    }
    if let Ok(token) = std::env::var("TOKEN") {
        settings.access = Access::Required(Credentials {
            tokens: vec![Token { name: "ci".into(), token: Secret::new(&token) }],
            users: vec![],
        });
    }
    let doors = Doors {
        store,
        wake_dispatch: Arc::new(|| {}),
        wake_cancel: Arc::new(|| {}),
        ready: Arc::new(|| Box::pin(async { vec![] })),
        clock: Arc::new(jiff::Timestamp::now),
        settings: Arc::new(settings),
    };
    let listener = tokio::net::TcpListener::bind(std::env::args().nth(2).unwrap()).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, router(doors)).await.unwrap();
}
