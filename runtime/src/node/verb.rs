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
use super::disk::Disk;
use super::drive::Node;
use super::engine::Engine;
use super::journal::Journal;
use super::lock::Lock;
use super::settings::{NodeSettings, SETTINGS_VERSION};
use super::stop::{self, Stop};
use crate::course::ending::{End, out_of_time};
use crate::layout::Layout;
use crate::plan::Plan;
use crate::report::Outcome;
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        // Listen before signing: whoever reads the name may send the signal at once.
        let terminate = signal(SignalKind::terminate())?;
        lock.sign()?;
        if attempt.has(attempt::REPORT)? {
            return Ok(());
        }
        attend(attempt, terminate).await
    });
    // A transfer that was broken off may hang in a call of the kernel.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn attend(attempt: Attempt, mut terminate: Signal) -> io::Result<()> {
    let adopted = attempt.has(attempt::STEPS)?;
    let (plan, settings) = documents(&attempt)?;
    let journal = Journal::open(&attempt, &plan.job, settings.bell.clone())?;
    let layout = match Layout::of(&plan) {
        Ok(layout) => layout,
        Err(error) => {
            let message = format!("the task's paths cannot be laid out: {error}");
            journal.note(message.clone());
            report(&attempt, &journal, &settings, End::rejected(message, false)).await;
            return attempt::create_private(&attempt.file(attempt::CLEAN)).map(drop);
        }
    };
    let node = Arc::new(open(attempt, plan, settings, layout, journal, adopted)?);
    let end = tokio::select! {
        biased;
        stop = stop::asked(&node, &mut terminate) => match stop {
            Stop::Leave => return Ok(()),
            Stop::Cancel => {
                node.halt().await;
                End { outcome: Outcome::Canceled, outputs: Vec::new() }
            }
            Stop::Walltime => {
                node.halt().await;
                out_of_time(&node.plan.limits, &node.journal)
            }
        },
        end = node.work() => end,
    };
    let complete = end.outcome == Outcome::Complete;
    report(&node.attempt, &node.journal, &node.settings, end).await;
    // From here on the server may read the report; the engine's part of the work is still taken down.
    let own_gone = node.removed().await;
    node.abandon_makers();
    node.engine.settled().await;
    if (own_gone && complete && !node.adopted) || node.remove_all().await {
        attempt::create_private(Path::new(attempt::CLEAN))?;
    }
    Ok(())
}

fn documents(attempt: &Attempt) -> io::Result<(Plan, NodeSettings)> {
    let invalid = |e: String| io::Error::new(io::ErrorKind::InvalidData, e);
    let plan = Plan::read(&std::fs::read(attempt.file(attempt::PLAN))?).map_err(|e| invalid(e.to_string()))?;
    let settings: NodeSettings =
        attempt.read(attempt::SETTINGS)?.ok_or_else(|| invalid("node.json is missing".into()))?;
    if settings.version > SETTINGS_VERSION {
        let version = settings.version;
        return Err(invalid(format!("node.json has version {version}, written by a newer build")));
    }
    Ok((plan, settings))
}

pub(super) fn open(
    attempt: Attempt,
    plan: Plan,
    settings: NodeSettings,
    layout: Layout,
    journal: Journal,
    adopted: bool,
) -> io::Result<Node> {
    let mut engine = settings.engine.clone();
    if adopted {
        // The engine may have been replaced since the server asked for its version.
        engine.api = None;
    }
    std::fs::create_dir_all(attempt.tree())?;
    Ok(Node {
        tree: Tree::open(&attempt.tree())?,
        engine: Engine::at(engine),
        journal,
        disk: Disk::default(),
        clock_starts: Notify::new(),
        removals: Mutex::new(JoinSet::new()),
        makers: Mutex::new(Vec::new()),
        layout,
        adopted,
        attempt,
        plan,
        settings,
    })
}

/// Writes the report, however long it takes: without it the work would be done again for nothing.
async fn report(attempt: &Attempt, journal: &Journal, settings: &NodeSettings, end: End) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let facts = [("backend", settings.backend.clone()), ("node", host.trim().to_owned())];
    let report = journal.report(end.outcome, end.outputs, facts);
    let mut pause = Duration::from_millis(100);
    while let Err(error) = attempt.replace(attempt::REPORT, &report, Keep::Durably) {
        eprintln!("the report cannot be written yet: {error}");
        if matches!(attempt.dir().try_exists(), Ok(false)) {
            // Someone removed the directory under us: there is nobody to report to.
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    journal.ring();
}
