//! Which inputs a container may be given as they lie on the host, instead of a private copy (TES contract 9.9).
//!
//! A file that was kept from an earlier fetch may be mounted read-only where nothing of the task is written: not
//! below a volume, a workdir or an output, and not under another input. An input from a root that an operator has
//! opened for writing, asked for at its own path, is that root, mounted whole.

use std::path::{Path, PathBuf};

use super::host::Host;
use crate::entry::EntryKind;
use crate::pattern;
use crate::places::{is_image_root, is_within, normal};
use crate::plan::{Input, Plan, Source};
use crate::storage::location::{HostPath, Location};

/// Which inputs of a plan may be shared.
#[derive(Debug)]
pub(super) struct Sharing {
    links: Option<PathBuf>,
    shareable: Vec<bool>,
    /// Normal container paths.
    inputs: Vec<Option<String>>,
    written: Vec<String>,
    file_bind_rw: Vec<PathBuf>,
}

impl Sharing {
    /// `links` is where links to kept files are made; `None`: nothing is shared.
    pub(super) fn of(plan: &Plan, links: Option<&Path>) -> Self {
        let written: Vec<String> = written(plan).filter_map(|path| normal(&path)).collect();
        let inputs: Vec<Option<String>> = plan.inputs.iter().map(|input| normal(&input.path)).collect();
        let is_free = |index: usize, path: &str| {
            let others = inputs.iter().enumerate().filter(|(other, _)| *other != index);
            let mut others = others.filter_map(|(_, path)| path.as_deref());
            !is_image_root(path)
                && !written.iter().any(|other| is_within(path, other) || is_within(other, path))
                && !others.any(|other| is_within(path, other) || is_within(other, path))
        };
        let shareable = |(index, path): (usize, &Option<String>)| {
            let from_storage = matches!(plan.inputs[index].source, Source::Url(_));
            from_storage && path.as_deref().is_some_and(|path| is_free(index, path))
        };
        let shareable = inputs.iter().enumerate().map(shareable).collect();
        Self {
            links: links.map(Path::to_owned),
            shareable,
            inputs,
            written,
            file_bind_rw: plan.storage.file_bind_rw.iter().map(PathBuf::from).collect(),
        }
    }

    /// Where a link to a kept file may stand for an input.
    pub(super) fn link(&self, index: usize) -> Option<PathBuf> {
        let links = self.links.as_ref().filter(|_| self.shareable.get(index) == Some(&true))?;
        Some(links.join(index.to_string()))
    }

    /// The root that an input lies in, where containers may write to it, and the input is asked for at its own path.
    /// The root is mounted, and at its own path: what lies above it is out of every task's reach, so that none can
    /// put a link in the way.
    pub(super) fn in_place(&self, index: usize, path: &str, host: &Host, from: &HostPath) -> Option<String> {
        let there = from.to_read();
        if self.links.is_none() || there != Path::new(path) || there.canonicalize().ok()?.as_path() != there {
            return None;
        }
        let root = self.file_bind_rw.iter().find(|root| there.starts_with(root))?;
        let root = root.to_str().filter(|_| host.is_open(root))?;
        let others = self.inputs.iter().enumerate().filter(|(other, _)| *other != index);
        let mut others = others.filter_map(|(_, other)| other.as_deref());
        let free = |path: &str| !is_within(path, root) && !is_within(root, path);
        let is_free = self.written.iter().all(|path| free(path)) && others.all(free);
        let entry = host.find(there).ok()?;
        (is_free && entry.kind() == EntryKind::Directory).then(|| root.to_owned())
    }
}

/// Whether any input of a plan may turn out to be shared, so that containers wait for the inputs.
pub fn may_share(plan: &Plan) -> bool {
    let cached = plan.storage.cache.as_ref().is_some_and(|cache| cache.max_bytes > 0);
    let sharing = Sharing::of(plan, Some(Path::new("/")));
    let may = |(index, input): (usize, &Input)| {
        let Source::Url(url) = &input.source else { return false };
        sharing.link(index).is_some()
            && match Location::parse(url) {
                Ok(Location::Remote(_)) => cached,
                Ok(Location::Host(_)) => !sharing.file_bind_rw.is_empty(),
                Err(_) => false,
            }
    };
    plan.inputs.iter().enumerate().any(may)
}

/// Every path at or below which the task writes.
fn written(plan: &Plan) -> impl Iterator<Item = String> + '_ {
    let executors = plan.executors.iter().flat_map(|executor| {
        let streams = [&executor.workdir, &executor.stdout, &executor.stderr];
        streams.into_iter().flatten().cloned()
    });
    let outputs = plan.outputs.iter().map(|output| match output.is_pattern() {
        true => normal(&output.path).map_or_else(String::new, |path| pattern::head(&path).to_owned()),
        false => output.path.clone(),
    });
    plan.volumes.iter().cloned().chain(executors).chain(outputs)
}

#[cfg(test)]
mod tests;
