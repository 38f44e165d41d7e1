//! The programs behind the storages of `tests/engines/storage`, which knows how to get them. Some are Go modules that
//! are compiled for minutes, once.

use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};

use crate::command::{logged, program, said};
use crate::house;

const SCRIPT: &str = "tests/engines/storage";

/// Goes on in the background.
pub(crate) struct Installing(JoinHandle<Result<()>>);

/// Begins to install what is missing, behind everything else that wants the processor.
pub(crate) fn install() -> Installing {
    Installing(thread::spawn(|| {
        let log = house::folder("logs")?.join("install-storages.log");
        let done = logged(&mut program(&["nice", "-n", "10", SCRIPT, "tools"]), &log);
        done.with_context(|| format!("the storages cannot be installed; see {}", log.display()))
    }))
}

impl Installing {
    /// Waits for the end of it.
    pub(crate) fn join(self) -> Result<()> {
        self.0.join().unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
    }
}

/// Where the S3 server lies, built now if it is not yet.
pub(crate) fn gateway() -> Result<String> {
    Ok(said(&mut program(&[SCRIPT, "program", "versitygw"]))?.trim().to_owned())
}

/// What is measured next to ours: variables that say where s5cmd and rclone are.
pub(crate) fn contenders() -> Result<Vec<(String, String)>> {
    let log = house::folder("logs")?.join("install-contenders.log");
    logged(&mut program(&[SCRIPT, "contenders"]), &log)
        .with_context(|| format!("what we compare with cannot be installed; see {}", log.display()))?;
    let answer = said(&mut program(&[SCRIPT, "contenders"]))?;
    let variables = answer.lines().filter_map(|line| line.split_once('='));
    Ok(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
