//! How paths get into containers. The plan decides, never an adapter.
//!
//! All executors see one tree, in which everything lies at its container path. A directory that no image owns is
//! mounted from it. Inside `/`, `/etc`, `/usr`, `/opt`, … a mount would hide what the image has there, so
//!
//! | there | is |
//! |---|---|
//! | an input file | mounted as a single file |
//! | an input directory, a volume | mounted exactly |
//! | an input at the very root of such a place | laid in before the command |
//! | an output | laid in before the command, harvested after it |
//! | a stream file | written in the tree, laid in for the executors after it |
//! | a workdir | made; what the command changed in it is harvested for the executors after it |
//!
//! Paths are compared by component (TES contract 11.2).

use std::collections::BTreeSet;

use crate::pattern;
use crate::places::{is_image_owned, is_image_root, is_kernel, is_reserved, normal, parent};
use crate::plan::{Executor, Input, Kind, Output, Plan, Source};
use crate::step::{Harvest, STEP_VERSION, StepFile};

/// Where everything of a plan lies: what is mounted, what the tree must hold beforehand, what the wrapper copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What every executor's container mounts from the tree; none lies inside another. `/tmp` or something that
    /// covers it is always among them.
    pub mounts: Vec<Mount>,
    /// Absolute container paths of the directories the tree must hold before inputs are brought in, parents first.
    pub directories: Vec<String>,
    lay_in: Vec<String>,
    offer: Vec<String>,
    harvest: Vec<Harvest>,
}

/// One bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path in the container.
    pub container: String,
    /// The same place in the tree, relative to its root.
    pub tree: String,
    /// A directory, there from the beginning. Otherwise an input: there once inputs are in, and usually a file.
    pub directory: bool,
}

/// Why a plan cannot be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Not an absolute path without `..`.
    #[error("`{0}` is not an absolute path without `..`")]
    NotAbsolute(String),
    /// The root of the container.
    #[error("`/` itself cannot be an input, output or volume")]
    Root,
    /// Below `/.tessera`.
    #[error("`{0}` lies in `/.tessera`, which is reserved")]
    Reserved(String),
    /// In a file system of the kernel.
    #[error("`{0}` lies in `/dev`, `/proc` or `/sys`, which belong to the kernel")]
    Kernel(String),
}

impl Layout {
    /// Lays a plan out.
    pub fn of(plan: &Plan) -> Result<Self, LayoutError> {
        let mut draft = Draft::default();
        draft.mount("/tmp");
        for volume in &plan.volumes {
            draft.mount(&declared(volume)?);
        }
        for input in &plan.inputs {
            draft.input(input)?;
        }
        for executor in &plan.executors {
            draft.executor(executor, plan.executors.len() > 1)?;
        }
        for output in &plan.outputs {
            draft.output(output)?;
        }
        Ok(draft.finish())
    }

    /// What the wrapper of one executor is told. `index` is one of the plan's executors.
    pub fn step_file(&self, plan: &Plan, index: usize) -> StepFile {
        let executor = &plan.executors[index];
        let path = |path: &Option<String>| path.as_deref().and_then(normal);
        let (stdout, stderr) = (path(&executor.stdout), path(&executor.stderr));
        // What this step writes itself would come from an earlier one.
        let not_own = |path: &&String| Some(*path) != stdout.as_ref() && Some(*path) != stderr.as_ref();
        StepFile {
            version: STEP_VERSION,
            step: u32::try_from(index).unwrap_or(u32::MAX),
            command: executor.command.clone(),
            env: executor.env.clone(),
            workdir: path(&executor.workdir),
            stdin: path(&executor.stdin),
            mounted: self.mounts.iter().map(|mount| mount.container.clone()).collect(),
            lay_in: self.lay_in.iter().filter(not_own).cloned().collect(),
            offer: self.offer.iter().filter(not_own).cloned().collect(),
            harvest: self.harvest.clone(),
            stdout,
            stderr,
            log_cap_bytes: plan.policy.log_cap_bytes,
            stop_grace_ms: plan.policy.stop_grace_ms,
            in_turn: false,
        }
    }
}

/// A container path that an input, an output or a volume may have.
fn declared(path: &str) -> Result<String, LayoutError> {
    let normal = allowed(path)?;
    if normal == "/" {
        return Err(LayoutError::Root);
    }
    if is_kernel(&normal) {
        return Err(LayoutError::Kernel(normal));
    }
    Ok(normal)
}

/// A container path that a command may name.
fn allowed(path: &str) -> Result<String, LayoutError> {
    let normal = normal(path).ok_or_else(|| LayoutError::NotAbsolute(path.to_owned()))?;
    if is_reserved(&normal) {
        return Err(LayoutError::Reserved(normal));
    }
    Ok(normal)
}

/// What is collected while a plan is read. Sets are ordered, so a directory comes before what lies in it.
#[derive(Default)]
struct Draft {
    mounted: BTreeSet<String>,
    mounted_files: BTreeSet<String>,
    directories: BTreeSet<String>,
    output_directories: BTreeSet<String>,
    lay_in: BTreeSet<String>,
    offer: BTreeSet<String>,
    harvest: BTreeSet<Harvest>,
}

impl Draft {
    fn mount(&mut self, directory: &str) {
        self.mounted.insert(directory.to_owned());
        self.directories.insert(directory.to_owned());
    }

    fn input(&mut self, input: &Input) -> Result<(), LayoutError> {
        let path = declared(&input.path)?;
        let directory = match input.source {
            Source::Content(_) => false,
            Source::Url(_) => input.kind == Some(Kind::Directory),
        };
        if is_image_root(&path) {
            self.lay_in.insert(path);
        } else if directory {
            self.mount(&path);
        } else if is_image_owned(parent(&path)) {
            self.directories.insert(parent(&path).to_owned());
            self.mounted_files.insert(path);
        } else {
            self.mount(parent(&path));
        }
        Ok(())
    }

    fn executor(&mut self, executor: &Executor, others: bool) -> Result<(), LayoutError> {
        if let Some(workdir) = &executor.workdir {
            let path = allowed(workdir)?;
            if !is_image_owned(&path) && !is_kernel(&path) {
                self.mount(&path);
            } else if others && path != "/" && !is_kernel(&path) {
                self.offer.insert(path.clone());
                self.harvest.insert(Harvest::Changes(path));
            }
        }
        if let Some(stdin) = &executor.stdin {
            allowed(stdin)?;
        }
        for stream in [&executor.stdout, &executor.stderr].into_iter().flatten() {
            let path = allowed(stream)?;
            // `/dev/null` and its like are opened where they are.
            if is_kernel(&path) {
                continue;
            }
            if is_image_owned(parent(&path)) {
                self.directories.insert(parent(&path).to_owned());
                self.offer.insert(path);
            } else {
                self.mount(parent(&path));
            }
        }
        Ok(())
    }

    fn output(&mut self, output: &Output) -> Result<(), LayoutError> {
        let path = declared(&output.path)?;
        if output.is_pattern() {
            let head = pattern::head(&path).to_owned();
            if is_image_owned(&head) {
                self.directories.insert(head.clone());
                self.lay_in.insert(head);
                self.harvest.insert(Harvest::Matches(path));
            } else {
                self.mount(&head);
            }
        } else if output.kind == Some(Kind::Directory) {
            self.output_directories.insert(path);
        } else if is_image_owned(parent(&path)) {
            self.lay_in.insert(path.clone());
            self.harvest.insert(Harvest::Whole(path));
        } else {
            self.mount(parent(&path));
        }
        Ok(())
    }

    fn finish(mut self) -> Layout {
        // Last, because an output directory is made only when nothing else covers its parent (TES contract
        // 11.5); in order, so that the outer one of two covers the inner.
        for path in std::mem::take(&mut self.output_directories) {
            let parent = parent(&path).to_owned();
            if covers(&self.mounted, &parent) {
                self.directories.insert(parent);
            } else if is_image_owned(&path) {
                self.directories.insert(path.clone());
                self.lay_in.insert(path.clone());
                self.harvest.insert(Harvest::Whole(path));
            } else {
                self.mount(&path);
            }
        }

        // In order, so that an outer one is there before what lies in it.
        let wanted: BTreeSet<String> = self.mounted.union(&self.mounted_files).cloned().collect();
        let mut mounted = BTreeSet::new();
        for path in wanted {
            if !covers(&mounted, &path) {
                mounted.insert(path);
            }
        }
        let mounts = (mounted.iter())
            .map(|path| Mount {
                container: path.clone(),
                tree: path[1..].to_owned(),
                directory: self.mounted.contains(path),
            })
            .collect();

        let outside = |path: &String| !covers(&mounted, path);
        let lay_in: Vec<String> = self.lay_in.into_iter().filter(outside).collect();
        let offer = (self.offer.into_iter()).filter(|path| outside(path) && !lay_in.contains(path)).collect();
        let harvest = (self.harvest.into_iter())
            .filter(|harvest| match harvest {
                Harvest::Whole(path) | Harvest::Changes(path) | Harvest::Matches(path) => outside(path),
            })
            .collect();
        self.directories.remove("/");
        Layout { mounts, directories: self.directories.into_iter().collect(), lay_in, offer, harvest }
    }
}

/// Whether a path is one of these or lies below one.
fn covers(outer: &BTreeSet<String>, path: &str) -> bool {
    let mut at = path;
    loop {
        if outer.contains(at) {
            return true;
        }
        if at == "/" {
            return false;
        }
        at = parent(at);
    }
}

#[cfg(test)]
mod tests;
