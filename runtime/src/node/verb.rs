//! The process: detach, prove that nobody else works on the attempt, work, report, take down.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::attempt::{self, Attempt, Keep};
use super::drive::{End, Node};
use super::engine::Engine;
use super::journal::Journal;
use super::lock::Lock;
use super::settings::{NodeSettings, SETTINGS_VERSION};
use super::stop::{self, Stop};
use crate::layout::Layout;
use crate::plan::Plan;
use crate::report::{Fault, FaultClass, Outcome};
use crate::tree::Tree;

/// Works on the attempt in `dir` until it is over. Errors go to standard error, which is the node's log.
pub fn main(dir: &Path) -> ExitCode {
    match run(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node of {}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &Path) -> io::Result<()> {
    // Fails when we lead a session already, which is just as good.
    let _ = rustix::process::setsid();
    let dir = dir.canonicalize()?;
    // What is written last is written beneath the current directory: it may have been given another name.
    std::env::set_current_dir(&dir)?;
    let attempt = Attempt::at(&dir);
    let Some(mut lock) = Lock::inherit_or_take(&attempt.file(attempt::LOCK))? else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Listen before signing: whoever reads the name may send the signal at once.
        let terminate = signal(SignalKind::terminate())?;
        lock.sign()?;
        if attempt.has(attempt::REPORT)? {
            return Ok(());
        }
        attend(attempt, terminate).await
    })
}

async fn attend(attempt: Attempt, mut terminate: Signal) -> io::Result<()> {
    let adopted = attempt.has(attempt::STEPS)?;
    let (node, layout) = open(attempt, adopted)?;
    let node = match layout {
        Ok(layout) => Arc::new(Node { layout, ..node }),
        Err(message) => {
            let outcome = Outcome::Failed(Fault {
                class: FaultClass::Rejected,
                message,
                user_code_started: false,
            });
            report(
                &node,
                End {
                    outcome,
                    outputs: Vec::new(),
                },
            )
            .await;
            return Ok(());
        }
    };
    let end = tokio::select! {
        biased;
        stop = stop::asked(&node, &mut terminate) => match stop {
            Stop::Leave => return Ok(()),
            Stop::Cancel => {
                node.halt().await;
                End { outcome: Outcome::Canceled, outputs: Vec::new() }
            }
            Stop::Walltime => {
                let limit = Duration::from_millis(node.plan.limits.walltime_ms.unwrap_or_default());
                node.halt().await;
                let message = format!("the walltime of {} s is over; what still ran was stopped", limit.as_secs_f64());
                node.journal.note(message.clone());
                let fault = Fault { class: FaultClass::Rejected, message, user_code_started: true };
                End { outcome: Outcome::Failed(fault), outputs: Vec::new() }
            }
        },
        end = node.work() => end,
    };
    let complete = end.outcome == Outcome::Complete;
    report(&node, end).await;
    // From here on the server may read the report; the engine's part of the work is still taken down.
    let own_gone = node.removed().await;
    node.abandon_makers();
    node.engine.settled().await;
    if (own_gone && complete && !adopted) || node.remove_all().await {
        attempt::create_private(Path::new(attempt::CLEAN))?;
    }
    Ok(())
}

/// Reads what the attempt's directory says. The layout is left to the caller: a plan that cannot be laid out is
/// an end of the attempt, not of the node.
fn open(attempt: Attempt, adopted: bool) -> io::Result<(Node, Result<Layout, String>)> {
    let invalid = |e: String| io::Error::new(io::ErrorKind::InvalidData, e);
    let plan = Plan::read(&std::fs::read(attempt.file(attempt::PLAN))?)
        .map_err(|e| invalid(e.to_string()))?;
    let settings: NodeSettings = attempt
        .read(attempt::SETTINGS)?
        .ok_or_else(|| invalid("node.json is missing".into()))?;
    if settings.version > SETTINGS_VERSION {
        return Err(invalid(format!(
            "node.json has version {}, written by a newer build",
            settings.version
        )));
    }
    let mut engine = settings.engine.clone();
    if adopted {
        // The engine may have been replaced since the server asked for its version.
        engine.api = None;
    }
    std::fs::create_dir_all(attempt.tree())?;
    let layout = Layout::of(&plan).map_err(|e| format!("the task's paths cannot be laid out: {e}"));
    let node = Node {
        tree: Tree::open(&attempt.tree())?,
        engine: Engine::at(engine),
        journal: Journal::open(&attempt, &plan.job, settings.bell.clone())?,
        clock_starts: Notify::new(),
        removals: Mutex::new(JoinSet::new()),
        makers: Mutex::new(Vec::new()),
        layout: Layout {
            mounts: Vec::new(),
            directories: Vec::new(),
        },
        attempt,
        plan,
        settings,
    };
    Ok((node, layout))
}

/// Writes the report, however long it takes: without it the work would be done again for nothing.
async fn report(node: &Node, end: End) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let facts = [
        ("backend", node.settings.backend.clone()),
        ("node", host.trim().to_owned()),
    ];
    let report = node.journal.report(end.outcome, end.outputs, facts);
    let mut pause = Duration::from_millis(100);
    while let Err(error) = node
        .attempt
        .replace(attempt::REPORT, &report, Keep::Durably)
    {
        eprintln!("the report cannot be written yet: {error}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    node.journal.ring();
}
