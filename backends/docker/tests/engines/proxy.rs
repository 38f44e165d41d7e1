//! A way to the engine that can be closed and opened again, as if the engine had been restarted.

use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

pub(crate) struct Proxy {
    engine: PathBuf,
    path: PathBuf,
    task: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn before(host: &str, folder: &Path) -> Self {
        let mut proxy =
            Self { engine: host.trim_start_matches("unix://").into(), path: folder.join("engine.sock"), task: None };
        proxy.listen();
        proxy
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Nothing listens any more, and what was being said is cut off.
    pub(crate) async fn close(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
        std::fs::remove_file(&self.path).unwrap();
    }

    pub(crate) async fn open(&mut self) {
        self.listen();
    }

    fn listen(&mut self) {
        let listener = UnixListener::bind(&self.path).unwrap();
        let engine = self.engine.clone();
        self.task = Some(tokio::spawn(async move {
            let mut talks = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let engine = engine.clone();
                talks.spawn(async move {
                    if let Ok(mut server) = UnixStream::connect(engine).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        }));
    }
}
