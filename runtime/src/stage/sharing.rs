//! Which inputs a container may be given as they lie on the host, instead of a private copy (TES contract 9.9).
//!
//! A file that was kept from an earlier fetch may be mounted read-only where nothing of the task is written: not
//! below a volume, a workdir or an output, and not under another input. A directory below a root that an operator
//! has opened for writing is mounted itself, since that is what it was opened for.

use std::path::{Path, PathBuf};

use super::host::Host;
use crate::pattern;
use crate::places::{is_image_root, is_within, normal};
use crate::plan::{Input, Plan, Source};
use crate::storage::location::{HostPath, Location};

/// Which inputs of a plan may be shared.
#[derive(Debug)]
pub(super) struct Sharing {
    links: Option<PathBuf>,
    shareable: Vec<bool>,
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
        let canonical = |root: &String| Path::new(root).canonicalize().ok();
        Self {
            links: links.map(Path::to_owned),
            shareable: inputs.iter().enumerate().map(shareable).collect(),
            file_bind_rw: plan.storage.file_bind_rw.iter().filter_map(canonical).collect(),
        }
    }

    /// Where a link to a kept file may stand for an input.
    pub(super) fn link(&self, index: usize) -> Option<PathBuf> {
        let links = self.links.as_ref().filter(|_| self.shareable.get(index) == Some(&true))?;
        Some(links.join(index.to_string()))
    }

    /// The directory of this host that an input is, where containers may write to it.
    pub(super) fn in_place(&self, index: usize, host: &Host, from: &HostPath) -> Option<String> {
        if self.links.is_none() || self.file_bind_rw.is_empty() || self.shareable.get(index) != Some(&true) {
            return None;
        }
        let there = from.to_read().canonicalize().ok()?;
        let opened = self.file_bind_rw.iter().any(|root| there.starts_with(root));
        // What tasks may use at all is looked at like any other path.
        let entry = opened.then(|| host.find(from.to_read()).ok()).flatten()?;
        (entry.kind() == crate::entry::EntryKind::Directory).then(|| there.to_str().map(str::to_owned)).flatten()
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
