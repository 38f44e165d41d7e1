//! What goes on beside requests and ticks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::data::WORK;
use crate::clock::Clock;
use crate::embedded;
use crate::engine::Engine;
use crate::feed::{self, Feed, Heard};
use crate::http::{self, Stopping};
use crate::logs::Logs;
use crate::roster::Roster;
use crate::store::{Store, StoreError};
use crate::webhooks::{self, Post, Target};

/// How often is looked for runtimes of former builds that no attempt uses any more.
const RUNTIME_SWEEP: Duration = Duration::from_secs(3_600);

/// How long is waited after the store did not answer.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// What requests, ticks and the rest share.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) engine: Arc<Engine>,
    pub(super) roster: Arc<Roster>,
    pub(super) logs: Arc<Logs>,
    pub(super) feed: Feed,
    pub(super) clock: Clock,
    /// The data folder.
    pub(super) data: PathBuf,
}

/// Starts all of it. It ends when the server stops, or with it: nothing here has to be finished.
pub(super) fn start(parts: Parts, targets: Vec<Target>, keep: u64, stop: &watch::Sender<bool>) {
    let stopped = || Stopping::new(stop.subscribe()).stopped();
    let Parts { store, logs, feed, clock, data, .. } = parts;

    let (sharing, shared) = (stopped(), feed.clone());
    tokio::spawn(async move { shared.run(sharing).await });
    let (trimming, trimmed) = (stopped(), store.clone());
    tokio::spawn(async move { feed::keep(&*trimmed, keep, trimming).await });
    let telling = stopped();
    let post = Post { store, clock, words: Arc::new(http::api::events::announcement) };
    tokio::spawn(async move { webhooks::run(&post, targets, telling).await });

    until(stopped(), wake_followers(feed, logs.clone()));
    until(stopped(), async move { logs.prune(jiff::Timestamp::now).await });
    until(stopped(), sweep_runtimes(data));
}

fn until(stopped: impl Future<Output = ()> + Send + 'static, work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        tokio::select! { () = stopped => {}, () = work => {} }
    });
}

/// Whoever follows a log hears what becomes of its task, whoever changed it.
async fn wake_followers(feed: Feed, logs: Arc<Logs>) {
    let mut changes = loop {
        match feed.listen(None).await {
            Ok(changes) => break changes,
            Err(error) => rest(&error).await,
        }
    };
    loop {
        match changes.next().await {
            Ok(Heard::Changes(changes)) => changes.iter().for_each(|change| logs.changed(&change.task)),
            // They also look by themselves, only later.
            Ok(Heard::Missed(_)) => {}
            Ok(Heard::End) => return,
            Err(error) => rest(&error).await,
        }
    }
}

async fn rest(error: &StoreError) {
    tracing::debug!(%error, "cannot hear of changes");
    tokio::time::sleep(AFTER_TROUBLE).await;
}

async fn sweep_runtimes(data: PathBuf) {
    let mut hourly = tokio::time::interval(RUNTIME_SWEEP);
    loop {
        hourly.tick().await;
        let data = data.clone();
        let swept = tokio::task::spawn_blocking(move || embedded::sweep(&data, &data.join(WORK))).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(%error, "cannot remove the tool runtime of a former build; it is tried again");
        }
    }
}
