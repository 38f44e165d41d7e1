//! What the doors open to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tessera_contract::{Backend, JobId, Severity};
use tessera_kubernetes::PlanShelf;
use tokio::sync::Mutex;

use super::background::Parts;
use super::replicas;
use crate::http::{self, Doors, Stopping};

/// How long a backend may take to say whether it can be reached, before readiness goes without its word.
const ASKED_FOR: Duration = Duration::from_secs(3);
/// How old such a word may be: whoever asks often asks us and not the engine.
const WORD_HOLDS: Duration = Duration::from_secs(2);

/// The doors to these parts.
pub(super) fn open(
    parts: &Parts,
    backends: Vec<Arc<dyn Backend>>,
    shelves: Vec<Arc<PlanShelf>>,
    stopping: Stopping,
    settings: http::Settings,
) -> Doors {
    let Parts { store, engine, roster, logs, feed, clock, .. } = parts.clone();
    let (dispatch, cancel, asked) = (engine.clone(), engine.clone(), clock.clone());
    let readiness = Arc::new(Readiness { backends, said: Mutex::new(None) });
    Doors {
        store,
        engine,
        logs,
        feed,
        wake_dispatch: Arc::new(move || dispatch.wake_dispatch()),
        wake_cancel: Arc::new(move || cancel.wake_cancel()),
        ready: Arc::new(move || {
            let (readiness, here) = (readiness.clone(), replicas::readiness(&roster, asked.now()));
            Box::pin(async move {
                let mut said = readiness.ask().await;
                said.extend(here);
                said
            })
        }),
        plans: plans(shelves),
        clock: Arc::new(move || clock.now()),
        stopping,
        settings: Arc::new(settings),
    }
}

/// All shelves as one; a token opens a plan of one of them.
pub fn plans(shelves: Vec<Arc<PlanShelf>>) -> Option<http::Plans> {
    if shelves.is_empty() {
        return None;
    }
    let shelves = Arc::new(shelves);
    Some(Arc::new(move |job, token| {
        let shelves = shelves.clone();
        Box::pin(async move {
            let Some(job) = JobId::parse(&job) else { return Ok(None) };
            let looked = tokio::task::spawn_blocking(move || {
                let found = shelves.iter().map(|shelf| shelf.get(&job, &token));
                found.reduce(|one, other| if matches!(one, Ok(Some(_))) { one } else { other }).unwrap_or(Ok(None))
            });
            looked.await.map_err(std::io::Error::other)?
        })
    }))
}

/// What each backend last said of itself.
type Said = Vec<(String, Result<(), String>)>;

struct Readiness {
    backends: Vec<Arc<dyn Backend>>,
    said: Mutex<Option<(Instant, Said)>>,
}

impl Readiness {
    async fn ask(&self) -> Said {
        // Held while asking: who comes meanwhile gets the same answer.
        let mut said = self.said.lock().await;
        if let Some((_, known)) = said.as_ref().filter(|(at, _)| at.elapsed() < WORD_HOLDS) {
            return known.clone();
        }
        let asked = join_all(self.backends.iter().map(|backend| async move {
            let found = tokio::time::timeout(ASKED_FOR, backend.check()).await;
            let problems = found.map(|found| {
                let problems = found.into_iter().filter(|finding| finding.severity == Severity::Problem);
                problems.map(|finding| format!("{}: {}", finding.subject, finding.message)).collect::<Vec<_>>()
            });
            let outcome = match problems {
                Ok(problems) if problems.is_empty() => Ok(()),
                Ok(problems) => Err(problems.join("; ")),
                Err(_) => Err(format!("did not answer within {} s", ASKED_FOR.as_secs())),
            };
            (format!("backend {}", backend.profile().name), outcome)
        }))
        .await;
        *said = Some((Instant::now(), asked.clone()));
        asked
    }
}
