//! The loops that call the ticks.
//!
//! Each waits for its bell and, as a fallback, for its period. A bell that rings during a tick is heard after it, so
//! that nothing is lost between looking and waiting.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, warn};

use super::assembly::{Engine, Tick};
use super::site::Site;
use super::{absent, cancel, dispatch, observe, sweep};
use crate::store::StoreError;

/// How long a loop rests after the store failed, or after it panicked.
const REST: Duration = Duration::from_secs(1);

/// A look at a long queue that found nothing is followed by a rest of so many times what it took, at most
/// [`REST_IN_VAIN`]: where each new task rings, looks would follow one another without end.
const IN_VAIN: u32 = 8;
const REST_IN_VAIN: Duration = Duration::from_millis(50);

/// One loop.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Dispatch(usize),
    Observe(usize),
    Cancel(usize),
    Sweep(usize),
    Absent,
    /// Of the other servers.
    Calls,
}

impl Engine {
    /// Moves tasks until the shutdown resolves, and then until the ticks under way have ended. It may also be
    /// dropped at any time.
    pub async fn run(self: &Arc<Self>, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(false);
        let mut loops = JoinSet::new();
        let mut kinds = HashMap::new();
        let mut start = |loops: &mut JoinSet<()>, kind: Kind| {
            let running = run_loop(self.clone(), kind, stopping.clone());
            kinds.insert(loops.spawn(running).id(), kind);
        };
        for site in 0..self.sites.len() {
            for kind in [Kind::Dispatch(site), Kind::Observe(site), Kind::Cancel(site), Kind::Sweep(site)] {
                start(&mut loops, kind);
            }
        }
        start(&mut loops, Kind::Absent);
        if self.store.calls().is_some() {
            start(&mut loops, Kind::Calls);
        }

        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown, if !*stop.borrow() => { stop.send_replace(true); }
                ended = loops.join_next_with_id() => match ended {
                    None => return,
                    Some(Ok(_)) => {}
                    Some(Err(panicked)) => {
                        let Some(kind) = kinds.get(&panicked.id()).copied() else { continue };
                        error!(?kind, %panicked, "a loop of the engine panicked; it is started again");
                        let again = run_again(self.clone(), kind, stop.subscribe());
                        kinds.insert(loops.spawn(again).id(), kind);
                    }
                },
            }
        }
    }
}

async fn run_again(engine: Arc<Engine>, kind: Kind, stopping: watch::Receiver<bool>) {
    engine.clock.sleep(REST).await;
    run_loop(engine, kind, stopping).await;
}

async fn run_loop(engine: Arc<Engine>, kind: Kind, mut stopping: watch::Receiver<bool>) {
    if let Kind::Calls = kind {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => {}
            () = heed_calls(&engine) => {}
        }
        return;
    }
    while !*stopping.borrow() {
        let began = engine.clock.now();
        let wait = match one_tick(&engine, kind).await {
            Ok(Tick::More) => {
                tokio::task::yield_now().await;
                continue;
            }
            Ok(Tick::Done) => None,
            Ok(Tick::InVain) => {
                let took = Duration::try_from(engine.clock.now().duration_since(began)).unwrap_or_default();
                tokio::select! {
                    _ = stopping.changed() => return,
                    () = engine.clock.sleep((took * IN_VAIN).min(REST_IN_VAIN)) => {}
                }
                None
            }
            Err(error) => {
                warn!(?kind, %error, "the store failed under a tick; it is tried again");
                Some(REST)
            }
        };
        tokio::select! {
            _ = stopping.changed() => return,
            () = woken(&engine, kind, wait) => {}
        }
    }
}

async fn one_tick(engine: &Engine, kind: Kind) -> Result<Tick, StoreError> {
    let site = |n: usize| engine.sites.get(n);
    match kind {
        Kind::Dispatch(n) => match site(n) {
            Some(site) => dispatch::tick_at(engine, site).await,
            None => Ok(Tick::Done),
        },
        Kind::Observe(n) => match site(n) {
            Some(site) => observe::tick_at(engine, site).await,
            None => Ok(Tick::Done),
        },
        Kind::Cancel(n) => match site(n) {
            Some(site) => cancel::tick_at(engine, site).await,
            None => Ok(Tick::Done),
        },
        Kind::Sweep(n) => match site(n) {
            Some(site) => sweep::tick_at(engine, site).await,
            None => Ok(Tick::Done),
        },
        Kind::Absent => absent::tick(engine).await,
        Kind::Calls => Ok(Tick::Done),
    }
}

/// Wakes those who have something to do because another server said so.
async fn heed_calls(engine: &Engine) {
    let Some(mut calls) = engine.store.calls() else { return };
    let mut heard = *calls.borrow_and_update();
    while calls.changed().await.is_ok() {
        let now = *calls.borrow_and_update();
        if now.queued != heard.queued {
            engine.wake_dispatch();
        }
        if now.canceled != heard.canceled {
            engine.wake_cancel();
        }
        heard = now;
    }
}

/// Returns when somebody rang, or after the period. After a failure only time helps.
async fn woken(engine: &Engine, kind: Kind, rest: Option<Duration>) {
    if let Some(rest) = rest {
        return engine.clock.sleep(rest).await;
    }
    let poll = Duration::from_millis(engine.settings.poll_period_ms.max(1));
    let sweep = Duration::from_millis(engine.settings.sweep_period_ms.max(1));
    let (site, period) = match kind {
        Kind::Dispatch(n) | Kind::Observe(n) | Kind::Cancel(n) | Kind::Sweep(n) => (engine.sites.get(n), poll),
        Kind::Absent | Kind::Calls => (None, sweep),
    };
    let Some(site) = site else { return engine.clock.sleep(period).await };
    tokio::select! {
        () = rung(engine, kind, site) => {}
        () = engine.clock.sleep(period) => {}
    }
}

async fn rung(engine: &Engine, kind: Kind, site: &Site) {
    match kind {
        Kind::Dispatch(_) | Kind::Absent | Kind::Calls => site.bells.dispatch.rung().await,
        Kind::Cancel(_) => site.bells.cancel.rung().await,
        Kind::Sweep(_) => site.bells.sweep.rung().await,
        Kind::Observe(_) => {
            let Some(backend) = site.backend.bell() else { return site.bells.observe.rung().await };
            tokio::select! {
                () = site.bells.observe.rung() => {}
                () = backend.rung() => site.nudge(engine.clock.now()),
            }
        }
    }
}
