//! Running programs: loud, quiet or into a log, and never outliving a signal.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a waiting loop looks.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on Ctrl-C and SIGTERM end what is being waited for, and what was started is stopped in order.
pub(crate) fn stop_on_signals() -> Result<()> {
    let flag = STOP.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag)).context("cannot listen for signals")?;
    }
    Ok(())
}

/// Somebody pressed Ctrl-C.
pub(crate) fn stopped() -> bool {
    STOP.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// A program with its arguments, run in the repository.
pub(crate) fn program<S: AsRef<str>>(argv: &[S]) -> Command {
    let (name, rest) = argv.split_first().map_or(("true", argv), |(name, rest)| (name.as_ref(), rest));
    let mut command = Command::new(name);
    command.args(rest.iter().map(AsRef::as_ref)).current_dir(crate::house::root());
    // `cargo run` says who we are; some build scripts would take it for a change and build again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "CARGO" || text.starts_with("CARGO_MANIFEST_") || text.starts_with("CARGO_PKG_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs it in the open; an error when it fails.
pub(crate) fn loud(command: &mut Command) -> Result<()> {
    let status = wait(started(command)?)?;
    judge(command, status)
}

/// Runs it with everything it says going to a file.
pub(crate) fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::options().create(true).append(true).open(log).with_context(|| format!("{}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = wait(started(command)?)?;
    judge(command, status)
}

/// Runs it and answers what it printed; what it said on standard error is in the error.
pub(crate) fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!("`{}` failed ({}):\n{}", shown(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether it runs and succeeds; nothing is shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Until `ready` answers something; bounded, and ended by a signal.
pub(crate) fn until<T>(what: &str, within: Duration, mut ready: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = ready()? {
            return Ok(found);
        }
        if stopped() {
            bail!("stopped while waiting for {what}");
        }
        if Instant::now() >= deadline {
            bail!("waited {} s for {what}, in vain", within.as_secs());
        }
        thread::sleep(GLANCE);
    }
}

/// SIGTERM to one process of ours, SIGKILL when it does not listen.
pub(crate) fn end(child: &mut Child, patience: Duration) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(GLANCE);
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn started(command: &mut Command) -> Result<Child> {
    command.spawn().with_context(|| cannot_start(command))
}

fn wait(mut child: Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stopped() {
            // A Ctrl-C has reached the child as well: let it end by itself before it is asked to.
            end(&mut child, Duration::from_secs(10));
        }
        thread::sleep(GLANCE);
    }
}

fn judge(command: &Command, status: ExitStatus) -> Result<()> {
    if stopped() {
        bail!("stopped");
    }
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", shown(command))
}

/// The command line as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| {
        let word = word.to_string_lossy();
        if word.is_empty() || word.contains([' ', '"', '{', '\n']) { format!("'{word}'") } else { word.into_owned() }
    }));
    words.join(" ")
}
