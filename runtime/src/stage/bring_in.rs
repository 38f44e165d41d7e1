//! Inputs into the tree (TES contract 9).

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use rustix::fs::Mode;

use super::cache::Cache;
use super::host::Host;
use super::remote::{Came, FromRemote, Remotes};
use super::sharing::Sharing;
use crate::copy::{Copy, Which};
use crate::entry::EntryKind;
use crate::notes::Notes;
use crate::part::{PART, create_part, take_name};
use crate::places::{is_within, normal, parent};
use crate::plan::{Input, Kind, Plan, Source};
use crate::report::Fault;
use crate::storage::fetch::Fetcher;
use crate::storage::location::{HostPath, Location, redacted};
use crate::storage::moved::One;
use crate::storage::storages::Storages;
use crate::storage::trouble::{Patience, Stop, StopOnDrop, Trouble, blocking};
use crate::tree::{Slot, Tree};

/// How many inputs are fetched at once. The requests for all of them together are bounded elsewhere.
const AT_ONCE: usize = 16;

/// What was brought in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// Sentences for the task's system log.
    pub notes: Vec<String>,
    /// Inputs that are not in the tree, but are mounted from where they are.
    pub mounts: Vec<Shared>,
}

/// An input that a container is given as it lies on this host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shared {
    /// Absolute container path.
    pub container: String,
    /// Where it is on this host.
    pub host: String,
    /// Only for directories that an operator has opened for writing (TES contract 9.9).
    #[serde(default)]
    pub writable: bool,
}

/// Brings all inputs into the tree. Dropping the future stops it, and doing it again after a crash is harmless.
/// `links` is a directory outside of the tree for inputs that containers may share; without it everything is copied.
pub async fn bring_in(plan: &Plan, tree: &Tree, links: Option<&Path>) -> Result<Brought, Fault> {
    let patience = Patience::DOWNLOAD;
    bring_in_from(plan, tree, links, patience, &Storages::new(&plan.storage, patience)).await
}

/// The same with a patience and storages of one's own.
pub async fn bring_in_from(
    plan: &Plan,
    tree: &Tree,
    links: Option<&Path>,
    patience: Patience,
    storages: &Storages,
) -> Result<Brought, Fault> {
    let stop = StopOnDrop::default();
    let sharing = Sharing::of(plan, links);
    let bringing = Bringing {
        host: Arc::new(Host::new(&plan.storage, plan.limits.container_user.as_deref())),
        remotes: Remotes {
            storages,
            fetcher: Fetcher::new(patience),
            patience,
            cache: Cache::open(plan.storage.cache.as_ref()),
            tree,
            most: plan.limits.disk_bytes,
        },
        sharing: &sharing,
        tree,
        stop: &stop,
    };
    storages.moved().expect(u64::try_from(plan.inputs.len()).unwrap_or(u64::MAX));
    let mut notes = Notes::default();
    let mut mounts = Vec::new();
    for wave in waves(&plan.inputs) {
        let fetched = stream::iter(wave)
            .map(|(index, input)| bringing.input(index, input))
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>();
        for (more, shared) in fetched.await.map_err(|trouble| trouble.into_fault(false))? {
            notes.append(more);
            mounts.extend(shared.filter(|shared| !mounts.contains(shared)));
        }
    }
    Ok(Brought { notes: notes.into_lines(), mounts })
}

/// The inputs in order, those together that do not overlap: where they do, the later one wins.
fn waves(inputs: &[Input]) -> Vec<Vec<(usize, &Input)>> {
    let mut waves = Vec::new();
    let mut wave = Vec::new();
    let mut taken = BTreeSet::new();
    for (index, input) in inputs.iter().enumerate() {
        let path = normal(&input.path).unwrap_or_default();
        if overlaps(&taken, &path) {
            waves.push(std::mem::take(&mut wave));
            taken.clear();
        }
        wave.push((index, input));
        taken.insert(path);
    }
    waves.push(wave);
    waves
}

fn overlaps(taken: &BTreeSet<String>, path: &str) -> bool {
    let mut above = path;
    while above != "/" {
        if taken.contains(above) {
            return true;
        }
        above = parent(above);
    }
    let below = format!("{path}/");
    let next = taken.range(below..).next();
    next.is_some_and(|next| is_within(next, path))
}

struct Bringing<'a> {
    host: Arc<Host>,
    remotes: Remotes<'a>,
    sharing: &'a Sharing,
    tree: &'a Tree,
    stop: &'a StopOnDrop,
}

impl Bringing<'_> {
    fn one(&self) -> One {
        self.remotes.storages.moved().one()
    }

    async fn input(&self, index: usize, input: &Input) -> Result<(Notes, Option<Shared>), Trouble> {
        let part = format!("{PART}-{index}");
        let path = normal(&input.path)
            .ok_or_else(|| Trouble::rejected(format!("the input path `{}` is not absolute", input.path)))?;
        let url = match &input.source {
            Source::Content(text) => {
                let (tree, text) = (self.tree.clone(), text.clone());
                let (counted, size) = (self.one(), text.len() as u64);
                blocking(move || content(&tree, &path, &text, &part)).await?;
                counted.done(size);
                return Ok((Notes::default(), None));
            }
            Source::Url(url) => url,
        };
        match Location::parse(url)? {
            Location::Host(from) => {
                let host = Arc::clone(&self.host);
                let counted = self.one();
                if let Some(there) = self.sharing.in_place(index, &path, &host, &from) {
                    counted.done(0);
                    return Ok((
                        Notes::default(),
                        Some(Shared { container: there.clone(), host: there, writable: true }),
                    ));
                }
                let input = FromHost {
                    host,
                    from,
                    tree: self.tree.clone(),
                    path,
                    kind: input.kind,
                    shown: redacted(url),
                    part,
                    stop: self.stop.flag(),
                };
                let (notes, size) = blocking(move || input.copy()).await?;
                counted.done(size);
                Ok((notes, None))
            }
            Location::Remote(remote) => {
                let (shown, share) = (redacted(url), self.sharing.link(index));
                let wanted = FromRemote {
                    remote: &remote,
                    shown: &shown,
                    path: &path,
                    kind: input.kind,
                    part: &part,
                    share: share.as_deref(),
                };
                let came = self.remotes.bring(wanted).await;
                let Came { notes, shared } =
                    came.map_err(|trouble| trouble.about(&format!("input `{path}`"), "from", &shown))?;
                let host = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
                let shared = shared.map(|there| Shared { container: path, host: host(there), writable: false });
                Ok((notes, shared))
            }
        }
    }
}

pub(super) fn slot(tree: &Tree, path: &str) -> Result<Slot, Trouble> {
    tree.slot(Path::new(path)).map_err(|error| Trouble::writing(format!("cannot bring in `{path}`"), &error))
}

/// A file whose text came with the task.
fn content(tree: &Tree, path: &str, text: &str, part: &str) -> Result<(), Trouble> {
    let slot = slot(tree, path)?;
    let write = || -> io::Result<()> {
        let mut file = create_part(&slot.directory, part)?;
        file.write_all(text.as_bytes())?;
        put(&slot, part, &file)
    };
    write().map_err(|error| Trouble::writing(format!("cannot bring in `{path}`"), &error))
}

/// Gives a complete file its name. Where a source has no modes everyone may do everything with it.
pub(super) fn put(slot: &Slot, part: &str, file: &std::fs::File) -> io::Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(0o777))?;
    take_name(&slot.directory, part, &slot.name)
}

struct FromHost {
    host: Arc<Host>,
    from: HostPath,
    tree: Tree,
    path: String,
    kind: Option<Kind>,
    shown: String,
    part: String,
    stop: Stop,
}

impl FromHost {
    /// Answers how many bytes a single file has; those of a directory are not counted.
    fn copy(self) -> Result<(Notes, u64), Trouble> {
        let (shown, from) = (&self.shown, self.from.to_read());
        let entry = self
            .host
            .find(from)
            .map_err(|trouble| Trouble { message: format!("input `{shown}`: {}", trouble.message), ..trouble })?;
        let mut notes = Notes::default();
        match (entry.kind(), self.kind) {
            (EntryKind::File, Some(Kind::Directory)) => {
                let message = format!("input `{shown}` is a file, not a directory");
                return Err(Trouble::rejected(message));
            }
            (EntryKind::File, _) => {}
            // Also when it was called a file (TES contract 9.4).
            (EntryKind::Directory, _) => {
                if entry.names().is_ok_and(|names| names.is_empty()) {
                    notes.add(format!("the input directory `{shown}` is empty"));
                }
            }
            (EntryKind::Link | EntryKind::Special, _) => {
                let message = format!("input `{shown}` is neither a file nor a directory");
                return Err(Trouble::rejected(message));
            }
        }
        let slot = slot(&self.tree, &self.path)?;
        let copy = Copy {
            from: &*self.host,
            which: Which::All,
            // Someone is writing it.
            skip: &|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PART.as_bytes())),
            part: &self.part,
            lenient: false,
            stop: &|| self.stop.asked(),
            notes: &mut notes,
            put: &mut |_| {},
        };
        let copied = copy.copy(&entry, from, &slot, Path::new(&self.path));
        copied.map_err(|error| Trouble::copying(&format!("cannot bring in `{shown}`"), &error))?;
        Ok((notes, if entry.kind() == EntryKind::File { entry.size() } else { 0 }))
    }
}

#[cfg(test)]
mod tests;
