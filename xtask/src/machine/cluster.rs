//! The real Kubernetes of `tests/cluster`, which knows how to get it; or one that somebody names.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::{env, fs};

use anyhow::{Context, Result, anyhow};

use crate::command::{logged, program, said, succeeds};
use crate::house;
use crate::machine::engine;

const SCRIPT: &str = "tests/cluster/run";

/// Names a cluster of the user's own: nothing is started, and the images have to be there.
const GIVEN: &str = "TESSERA_TEST_KUBECONFIG";

/// What the suites run in it. The last is what our own containers are.
const IMAGES: &[&str] = &["busybox", "scratch", "user", "entrypoint", "nopath", "volume", "runtime"];

/// Goes on in the background.
pub(crate) struct Installing(JoinHandle<Result<()>>);

/// Begins to build it, behind everything else that wants the processor; its packages are there already. A quarter of
/// an hour on a fresh machine.
pub(crate) fn install() -> Installing {
    Installing(thread::spawn(|| {
        if given().is_some() {
            return Ok(());
        }
        let log = house::folder("logs")?.join("install-cluster.log");
        let done = logged(&mut program(&["nice", "-n", "10", SCRIPT, "tools"]), &log);
        done.with_context(|| format!("the cluster cannot be built; see {}", log.display()))
    }))
}

impl Installing {
    /// Waits for the end of it.
    pub(crate) fn join(self) -> Result<()> {
        self.0.join().unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
    }
}

/// The cluster, up; down when dropped, unless it is the user's.
pub(crate) struct Cluster {
    /// Nothing when it is the user's.
    folder: Option<PathBuf>,
    /// For whoever uses it: KUBECONFIG, a PATH with kubectl and helm, where pods find this machine, the audit log.
    pub(crate) variables: Vec<(String, String)>,
    keep: bool,
}

impl Cluster {
    /// An empty one, in a folder of the command's own.
    pub(crate) fn up(command: &str) -> Result<Self> {
        if let Some(kubeconfig) = given() {
            println!(
                "  the cluster of {kubeconfig}; its nodes must have tessera-test/NAME:1 for {}",
                IMAGES.join(", ")
            );
            return Ok(Self { folder: None, variables: vec![("KUBECONFIG".to_owned(), kubeconfig)], keep: true });
        }
        let cluster = Self::at(command)?;
        let folder = house::folder(&format!("cluster/{command}"))?;
        // Left over from a run that was killed: stop that one first. Its logs were there to be read until now.
        succeeds(program(&[SCRIPT, "down"]).arg(&folder));
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        cluster.started()
    }

    /// The one of this command as it is: started when it does not run, mended when something has died.
    pub(crate) fn mended(command: &str) -> Result<Self> {
        Self::at(command)?.started()
    }

    /// The one of this command, which runs.
    pub(crate) fn running(command: &str) -> Result<Self> {
        let mut cluster = Self::at(command)?;
        cluster.variables = variables(&said(&mut cluster.script("env"))?);
        cluster.keep = true;
        Ok(cluster)
    }

    /// Ends the one of this command, and forgets what was in it.
    pub(crate) fn down(command: &str) -> Result<()> {
        let mut cluster = Self::at(command)?;
        cluster.keep = true;
        said(&mut cluster.script("down"))?;
        cluster.folder.iter().try_for_each(|folder| fs::remove_dir_all(folder).map_err(Into::into))
    }

    /// Builds the images of the suites in Docker, and gives them to the cluster; those named as well.
    pub(crate) fn import(&self, more: &[&str]) -> Result<()> {
        if self.folder.is_none() {
            return Ok(());
        }
        let runtime = house::runtime().context("there is no static runtime yet; building the server makes it")?;
        engine::images_with(&[IMAGES, more].concat(), &runtime)?;
        let mut command = self.script("import");
        command.args(IMAGES.iter().chain(more).map(|name| format!("tessera-test/{name}:1")));
        said(&mut command).map(drop)
    }

    /// What gives it further images, whose names follow; nothing for the user's.
    pub(crate) fn importer(&self) -> Option<String> {
        let folder = self.folder.as_ref()?;
        Some(format!("{} import {}", house::root().join(SCRIPT).display(), folder.display()))
    }

    /// Leaves it running when this is dropped.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }

    fn at(command: &str) -> Result<Self> {
        let folder = house::folder(&format!("cluster/{command}"))?;
        Ok(Self { folder: Some(folder), variables: Vec::new(), keep: false })
    }

    fn started(mut self) -> Result<Self> {
        // Dropped on an error, so that half a cluster goes down again.
        self.variables = variables(&said(&mut self.script("up")).context("cannot start the cluster")?);
        Ok(self)
    }

    fn script(&self, verb: &str) -> std::process::Command {
        let mut command = program(&[SCRIPT, verb]);
        command.args(&self.folder);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.keep && !succeeds(&mut self.script("down")) {
            eprintln!("xtask: the cluster does not go down; look at {:?}", self.folder);
        }
    }
}

fn given() -> Option<String> {
    env::var(GIVEN).ok().filter(|path| !path.is_empty())
}

fn variables(said: &str) -> Vec<(String, String)> {
    let pairs = said.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
