//! Outputs to their URLs (TES contract 10).

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::collect::{Collected, Item, To, collect};
use super::host::{Host, Written};
use crate::entry::Entry;
use crate::part::PART;
use crate::plan::Plan;
use crate::report::{DeliveredFile, Fault};
use crate::storage::location::{Remote, redacted};
use crate::storage::source::Source;
use crate::storage::storages::Storages;
use crate::storage::trouble::{Patience, StopOnDrop, Trouble, blocking};
use crate::tree::Tree;

/// How many small files are delivered at once.
const AT_ONCE: usize = 32;
/// A file from this size on counts as several: it has requests side by side of its own.
const LARGE: u64 = 16 << 20;
const LARGE_COUNTS: u32 = 8;

/// What a delivery came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Files that lie durably at their URLs.
    pub files: Vec<DeliveredFile>,
    /// Sentences for the task's system log.
    pub notes: Vec<String>,
    /// The first thing that went wrong and counts.
    pub fault: Option<Fault>,
}

/// Delivers all outputs; one that fails does not keep the others back. After a failed executor whatever exists is
/// delivered, and nothing that goes wrong is a fault (TES contract 10.3). Dropping the future stops it.
pub async fn deliver(plan: &Plan, tree: &Tree, after_failure: bool) -> Delivered {
    let patience = Patience::UPLOAD;
    deliver_to(plan, tree, after_failure, patience, &Storages::new(&plan.storage, patience)).await
}

/// The same with a patience and storages of one's own.
pub async fn deliver_to(
    plan: &Plan,
    tree: &Tree,
    after_failure: bool,
    patience: Patience,
    storages: &Storages,
) -> Delivered {
    let stop = StopOnDrop::default();
    let collected = {
        let (plan, tree) = (plan.clone(), tree.clone());
        blocking(move || Ok(collect(&plan, &tree))).await
    };
    let Collected { items, mut notes, mut troubles } =
        collected.unwrap_or_else(|trouble| Collected { troubles: vec![trouble], ..Collected::default() });
    let delivering = Delivering {
        host: Arc::new(Host::new(&plan.storage, plan.limits.container_user.as_deref())),
        storages,
        patience,
        turns: Semaphore::new(AT_ONCE),
        tree,
        job: &plan.job,
        stop: &stop,
    };
    storages.moved().expect(items.iter().filter(|item| item.file).count() as u64);
    let mut files = Vec::new();
    for wave in waves(items) {
        let sent: Vec<_> =
            stream::iter(wave).map(|(index, item)| delivering.item(index, item)).buffered(AT_ONCE).collect().await;
        for outcome in sent {
            match outcome {
                Ok(file) => files.extend(file),
                Err(trouble) => troubles.push(trouble),
            }
        }
    }
    let mut troubles = troubles.into_iter();
    let fault = match after_failure {
        true => None,
        false => troubles.next().map(|trouble| trouble.into_fault(true)),
    };
    for trouble in troubles {
        notes.add(trouble.message);
    }
    Delivered { files, notes: notes.into_lines(), fault }
}

/// The items in order, with a number each, those together that have different targets: where two have the same,
/// the later one wins (TES contract 10.4).
fn waves(items: Vec<Item>) -> Vec<Vec<(usize, Item)>> {
    let mut waves = Vec::new();
    let mut wave = Vec::new();
    let mut targets = HashSet::new();
    for (index, item) in items.into_iter().enumerate() {
        if targets.contains(&item.target.to) {
            waves.push(std::mem::take(&mut wave));
            targets.clear();
        }
        targets.insert(item.target.to.clone());
        wave.push((index, item));
    }
    waves.push(wave);
    waves
}

struct Delivering<'a> {
    host: Arc<Host>,
    storages: &'a Storages,
    patience: Patience,
    turns: Semaphore,
    tree: &'a Tree,
    job: &'a str,
    stop: &'a StopOnDrop,
}

impl Delivering<'_> {
    async fn item(&self, index: usize, item: Item) -> Result<Option<DeliveredFile>, Trouble> {
        let written = self.send(index, &item).await.map_err(|trouble| {
            trouble.about(&format!("output `{}`", item.path.display()), "for", &redacted(&item.target.url))
        });
        Ok(written?.map(|written| DeliveredFile {
            url: item.target.url,
            path: item.path.to_string_lossy().into_owned(),
            size_bytes: written.size_bytes,
            sha256: written.sha256,
        }))
    }

    async fn send(&self, index: usize, item: &Item) -> Result<Option<Written>, Trouble> {
        match (&item.target.to, item.file) {
            (To::Remote(remote), false) => {
                let (store, key) = self.storages.open(remote)?;
                self.patience.retry(|| store.make_directory(&key)).await?;
                Ok(None)
            }
            (To::Remote(remote), true) => self.to_remote(&item.path, remote).await.map(Some),
            (To::Host(path), false) => {
                let (host, path) = (Arc::clone(&self.host), path.clone());
                blocking(move || host.make_directory(&path)).await?;
                Ok(None)
            }
            (To::Host(path), true) => {
                let part = format!("{PART}-{}-{index}", self.job);
                self.to_host(&item.path, path, &part).await.map(Some)
            }
        }
    }

    async fn to_remote(&self, from: &Path, remote: &Remote) -> Result<Written, Trouble> {
        let (store, key) = self.storages.open(remote)?;
        if key.is_empty() {
            return Err(Trouble::rejected("the URL names no file"));
        }
        let (tree, path) = (self.tree.clone(), from.to_owned());
        let open = move || {
            let file = source(&tree, &path)?.open_file();
            file.and_then(Source::new).map_err(|error| Trouble::reading("cannot read it", &error))
        };
        let source = blocking(open).await?;
        let counted = self.storages.moved().one();
        counted.sized(source.size());
        let counts = if source.size() < LARGE { 1 } else { LARGE_COUNTS };
        let turn = self.turns.acquire_many(counts).await;
        let _turn = turn.map_err(|_| Trouble::unavailable("staging was cut short"))?;
        let progress = source.progress();
        self.storages.moved().watch(Arc::clone(&progress));
        let sent = store.write(&key, &source).await;
        self.storages.moved().unwatch(&progress);
        sent?;
        counted.done(source.size());
        Ok(Written { size_bytes: source.size(), sha256: source.sha256().await? })
    }

    async fn to_host(&self, from: &Path, to: &Path, part: &str) -> Result<Written, Trouble> {
        let counted = self.storages.moved().one();
        let mut failed = 0;
        loop {
            let (host, tree, stop) = (Arc::clone(&self.host), self.tree.clone(), self.stop.flag());
            let (from, to, part) = (from.to_owned(), to.to_owned(), part.to_owned());
            let write = move || host.write(&source(&tree, &from)?, &to, &part, &stop);
            match blocking(write).await {
                Ok(written) => {
                    counted.done(written.size_bytes);
                    return Ok(written);
                }
                Err(trouble) => {
                    failed += 1;
                    if self.patience.wait(failed, &trouble).await.is_none() {
                        return Err(trouble);
                    }
                }
            }
        }
    }
}

fn source(tree: &Tree, path: &Path) -> Result<Entry, Trouble> {
    let reading = |error: io::Error| Trouble::reading("cannot read it", &error);
    let found = tree.find(path).map_err(reading)?;
    found.ok_or_else(|| reading(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests;
