//! A server: put together, started and stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use rustix::process::Resource;
use tessera_contract::Backend;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::background::{self, Parts};
use super::data::{self, LOGS, WORK};
use super::seat::Seat;
use super::{backends, doors, replicas, settings};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::storage::Places;
use crate::engine::Engine;
use crate::feed::Feed;
use crate::http::{self, Stopping};
use crate::logs::Logs;
use crate::roster::Roster;
use crate::store::Store;
use crate::store::sqlite::Sqlite;
use crate::webhooks::Target;

/// A server, put together and bound to its port.
pub struct Server {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    parts: Parts,
    /// Nobody else uses the data folder as long as this is here.
    seat: Option<Seat>,
    targets: Vec<Target>,
    stop: watch::Sender<bool>,
    terminate: Signal,
    interrupt: Signal,
}

impl Server {
    /// Opens everything, in the order in which it can fail: what an operator must mend is said before a request is
    /// taken. An engine of a backend that does not answer is no error here.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        // Listen to signals before anything can be worth an orderly end.
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        take_all_descriptors();
        let data = data::open(&config)?;
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(config.store.below(&data))?);
        let listener = TcpListener::bind(config.server.listen).await.with_context(|| {
            format!("cannot listen on {}; choose another address with --listen", config.server.listen)
        })?;
        let address = listener.local_addr()?;

        let place = replicas::Place::take(&config.replica, &data, &*store).await?;
        let among = place.as_ref().map(|place| place.name.as_str());
        let opened = backends::open(&config, &data, &data.join(WORK), store.installation(), among).await?;
        let backends = opened.backends;
        let places = config.storage.places(&data).map_err(|reason| anyhow!(reason))?;
        let http = settings::doors(&config, &places, &backends)?;
        let targets = config.events.webhooks.iter().map(settings::target).collect::<anyhow::Result<_>>()?;
        let clock = Clock::system();
        let (roster, seat) = replicas::join(place, &config.replica, &*store, &backends, &clock).await?;
        let parts = Self::parts(&config, store, roster, clock, &backends, data, places)?;
        let (stop, stopping) = watch::channel(false);
        let router = http::router(doors::open(&parts, backends, opened.plans, Stopping::new(stopping), http));
        Ok(Self { config, listener, address, router, parts, seat, targets, stop, terminate, interrupt })
    }

    fn parts(
        config: &Config,
        store: Arc<dyn Store>,
        roster: Arc<Roster>,
        clock: Clock,
        backends: &[Arc<dyn Backend>],
        data: PathBuf,
        places: Places,
    ) -> anyhow::Result<Parts> {
        let logs = Logs::open(store.clone(), backends, &data.join(LOGS), settings::logs(&config.logs));
        let logs = logs.with_context(|| format!("cannot use the folder of the logs in `{}`", data.display()))?;
        let settings = settings::engine(config, places);
        let engine = Engine::among(
            roster.clone(),
            store.clone(),
            backends.to_vec(),
            clock.clone(),
            settings,
            Some(logs.clone()),
        );
        let feed = Feed::new(store.clone());
        Ok(Parts { store, engine, roster, logs, feed, clock, data })
    }

    /// Where it listens; port 0 has become a real one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGTERM or SIGINT. Then nobody new is let in, requests and ticks under way get the grace of the
    /// configuration, and running jobs go on: the next server finds them.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { config, listener, address, router, parts, seat, targets, stop, mut terminate, mut interrupt } = self;
        let grace = Duration::from_millis(config.server.shutdown_grace_ms);
        tracing::info!(%address, data = %parts.data.display(), "serving");
        let moving = tokio::spawn({
            let (engine, stopped) = (parts.engine.clone(), Stopping::new(stop.subscribe()).stopped());
            async move { engine.run(stopped).await }
        });
        let presence = replicas::Presence::keep(&parts);
        background::start(parts, targets, config.events.keep, &stop);
        let asked = async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("asked to stop; running jobs go on");
            stop.send_replace(true);
        };
        http::listener::serve(listener, router, asked, grace).await;
        if tokio::time::timeout(grace, moving).await.is_err() {
            tracing::warn!("the engine did not rest in time; the next server goes on where it stood");
        }
        presence.end(grace).await;
        drop(seat);
        Ok(())
    }
}

/// Each follower of a log or of events is a connection: the custom of 1,024 descriptors would soon be too few.
fn take_all_descriptors() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the number of connections that may be open at once");
    }
}
