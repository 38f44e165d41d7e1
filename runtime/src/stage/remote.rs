//! Inputs from storages: one object, or everything below a directory.
//!
//! The exact key is asked for first; a listing follows only for a directory, so that no sibling is ever touched
//! (TES contract 9.5).

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use rustix::fs::Timespec;

use super::bring_in::{put, slot};
use super::cache::{Cache, Kept, Place, SMALLEST};
use super::names::as_path;
use crate::notes::Notes;
use crate::part::{PART, copy_content, create_part, failed, set_modified};
use crate::plan::Kind;
use crate::remove;
use crate::report::FaultClass;
use crate::storage::fetch::{Fetcher, Wanted};
use crate::storage::location::{Remote, Scheme};
use crate::storage::moved::One;
use crate::storage::storages::Storages;
use crate::storage::store::{Listed, Object, Page, Store};
use crate::storage::trouble::{Patience, Trouble, Why, blocking};
use crate::tree::Tree;

/// Files of one directory that are fetched at once.
const AT_ONCE: usize = 32;
/// More files than this are not an input but a mistake.
const MOST: usize = 1_000_000;

/// Brings inputs in from storages.
pub(super) struct Remotes<'a> {
    pub(super) storages: &'a Storages,
    pub(super) fetcher: Fetcher,
    pub(super) patience: Patience,
    pub(super) cache: Option<Cache>,
    pub(super) tree: &'a Tree,
    /// No file may have more bytes than this.
    pub(super) most: Option<u64>,
}

/// One input from a storage.
#[derive(Debug, Clone, Copy)]
pub(super) struct FromRemote<'a> {
    pub(super) remote: &'a Remote,
    /// Its URL, without secrets.
    pub(super) shown: &'a str,
    /// Normal container path.
    pub(super) path: &'a str,
    pub(super) kind: Option<Kind>,
    /// Temporary name.
    pub(super) part: &'a str,
    /// Where a link to a kept object may stand for the input; the container is given it read-only.
    pub(super) share: Option<&'a Path>,
}

/// What came of an input.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) notes: Notes,
    /// It is not in the tree but here, to be mounted read-only.
    pub(super) shared: Option<PathBuf>,
}

/// One object that is wanted.
#[derive(Clone, Copy)]
struct From<'a> {
    store: &'a dyn Store,
    key: &'a str,
    remote: &'a Remote,
    shown: &'a str,
    known: Option<&'a Object>,
    counted: &'a One,
}

/// Where it goes.
#[derive(Clone, Copy)]
struct To<'a> {
    /// Normal container path.
    path: &'a str,
    /// Temporary name.
    part: &'a str,
    /// See [`FromRemote::share`].
    share: Option<&'a Path>,
}

impl Remotes<'_> {
    /// Brings one input in.
    pub(super) async fn bring(&self, input: FromRemote<'_>) -> Result<Came, Trouble> {
        let remote = input.remote;
        let (store, key) = self.storages.open(remote)?;
        let lists = store.abilities().lists;
        if input.kind == Some(Kind::Directory) || key.ends_with('/') && lists {
            let notes = self.directory(&*store, &key, remote, input).await?;
            return Ok(Came { notes, shared: None });
        }
        let counted = self.storages.moved().one();
        let from = From { store: &*store, key: &key, remote, shown: input.shown, known: None, counted: &counted };
        match self.file(from, To { path: input.path, part: input.part, share: input.share }).await {
            // Called a file, or nothing, and a directory (TES contract 9.4).
            Err(trouble) if lists && matches!(trouble.why, Why::Absent | Why::Directory) && !key.is_empty() => {
                let what = format!("`{}`", input.shown);
                let first = self.patience.retry(|| store.list(&key, None)).await;
                match first {
                    Ok(page) if !page.entries.is_empty() || trouble.why == Why::Directory => {
                        let notes = self.directory(&*store, &key, remote, input).await?;
                        Ok(Came { notes, shared: None })
                    }
                    Ok(_) => Err(trouble),
                    Err(other) if other.why == Why::Absent => Err(trouble),
                    Err(other) => Err(Trouble { message: format!("{what}: {}", other.message), ..other }),
                }
            }
            brought => brought.map(|shared| Came { shared, ..Came::default() }),
        }
    }

    /// Brings one object in and counts it; answers where it is when it is not in the tree.
    async fn file(&self, from: From<'_>, to: To<'_>) -> Result<Option<PathBuf>, Trouble> {
        let (shared, size) = self.file_with_size(from, to).await?;
        from.counted.done(size);
        Ok(shared)
    }

    async fn file_with_size(&self, from: From<'_>, to: To<'_>) -> Result<(Option<PathBuf>, u64), Trouble> {
        let place = self.cache.as_ref().filter(|cache| keeps(from, cache)).map(|cache| cache.place(from.remote));
        let Some((cache, place)) = self.cache.as_ref().zip(place) else {
            return Ok((None, self.put_in_tree(from, to).await?));
        };
        let _turn = place.turn().await;
        if let Some(came) = self.kept(&place, from, to).await? {
            return Ok(came);
        }
        let most = self.most.map_or(cache.most(), |most| most.min(cache.most()));
        let fetched = match cache.begin() {
            Ok(begun) => match self.fetch(from, &begun.file, Some(most)).await {
                Ok(object) => Ok((begun, object)),
                Err(trouble) => Err(Some(trouble)),
            },
            Err(_) => Err(None),
        };
        let (begun, object) = match fetched {
            Ok(fetched) => fetched,
            Err(Some(trouble))
                if trouble.class == FaultClass::Unavailable || matches!(trouble.why, Why::Absent | Why::Directory) =>
            {
                return Err(trouble);
            }
            // The cache may be too small or its disk full: that is no reason to fail.
            Err(_) => {
                return Ok((None, self.put_in_tree(from, to).await?));
            }
        };
        let size = begun.file.metadata().map_or(0, |found| found.len());
        let (spot, proved) = (Spot::new(self.tree, to), from.remote.expected.clone());
        let settle = move || {
            let kept = place.keep(&begun, &object, &proved);
            // Someone else may have made room at its expense already.
            match kept.and_then(|kept| spot.hand_out(&kept).ok()) {
                Some(handed) => Ok(handed),
                None => spot.copy_in(&begun.file, object.modified).map(|()| None),
            }
        };
        Ok((blocking(settle).await?, size))
    }

    /// Brings an object in that was kept, if the storage says that it is still the same. The outer `None`: it was not.
    async fn kept(&self, place: &Place, from: From<'_>, to: To<'_>) -> Result<Option<(Option<PathBuf>, u64)>, Trouble> {
        // Only what was kept before is worth asking about; the first time, one request is enough.
        let Some(kept) = place.last() else { return Ok(None) };
        if !kept.proves(&from.remote.expected) {
            return Ok(None);
        }
        // Also what a listing has told of is asked about: who may list may not be one who may read. And who may read
        // may not be one who may ask, as with signed URLs: it is fetched like any other.
        let Ok(Some(now)) = from.store.stat(from.key).await else { return Ok(None) };
        if !kept.is(&now) {
            return Ok(None);
        }
        let spot = Spot::new(self.tree, to);
        // Removed meanwhile: it is fetched again.
        let handed = blocking(move || Ok(spot.hand_out(&kept).ok())).await?;
        Ok(handed.map(|shared| (shared, now.size.unwrap_or(0))))
    }

    /// Answers how many bytes it has.
    async fn put_in_tree(&self, from: From<'_>, to: To<'_>) -> Result<u64, Trouble> {
        let (tree, at, name) = (self.tree.clone(), to.path.to_owned(), to.part.to_owned());
        let make = move || {
            let slot = slot(&tree, &at)?;
            let file = create_part(&slot.directory, &name);
            let file = file.map_err(|error| Trouble::writing(format!("cannot bring in `{at}`"), &error))?;
            Ok((slot, file))
        };
        let (slot, file) = blocking(make).await?;
        let fetched = self.fetch(from, &file, self.most).await;
        let (at, name) = (to.path.to_owned(), to.part.to_owned());
        blocking(move || {
            let done = fetched.and_then(|object| {
                let put = || -> std::io::Result<()> {
                    object.modified.map_or(Ok(()), |modified| set_modified(&file, timespec(modified)))?;
                    put(&slot, &name, &file)
                };
                put().map_err(|error| Trouble::writing(format!("cannot bring in `{at}`"), &error))?;
                Ok(file.metadata().map_or(0, |found| found.len()))
            });
            if done.is_err() {
                // A full disk is not to stay full of something that is of no use.
                let _left = remove::child(slot.directory.as_fd(), name.as_ref());
            }
            done
        })
        .await
    }

    async fn fetch(&self, from: From<'_>, file: &File, most: Option<u64>) -> Result<Object, Trouble> {
        let wanted = Wanted {
            store: from.store,
            key: from.key,
            shown: from.shown,
            expected: &from.remote.expected,
            known: from.known,
            most,
            counted: Some(from.counted),
        };
        match self.fetcher.fetch(wanted, file).await {
            // It was there when it was listed.
            Err(trouble) if trouble.why == Why::Absent && from.known.is_some() => {
                Err(Trouble::unavailable(trouble.message))
            }
            // Another version than the one that was listed is as good.
            Err(trouble) if trouble.why == Why::Changed && from.known.is_some() => {
                file.set_len(0).map_err(|error| Trouble::writing("cannot begin again", &error))?;
                from.counted.begins_again();
                self.fetcher.fetch(Wanted { known: None, ..wanted }, file).await
            }
            fetched => fetched,
        }
    }

    /// Everything below a key.
    async fn directory(
        &self,
        store: &dyn Store,
        key: &str,
        remote: &Remote,
        input: FromRemote<'_>,
    ) -> Result<Notes, Trouble> {
        let mut notes = Notes::default();
        let (tree, path) = (self.tree.clone(), input.path.to_owned());
        let made = blocking(move || {
            let made = tree.make_directory(Path::new(&path)).map(drop);
            made.map_err(|error| Trouble::writing(format!("cannot bring in `{path}`"), &error))
        });
        made.await?;
        let mut files = 0;
        let moved = self.storages.moved();
        moved.is_several();
        let mut next: Option<String> = None;
        loop {
            let page = self.patience.retry(|| store.list(key, next.as_deref())).await?;
            let Page { entries, next: more } = page;
            files += entries.len();
            if files > MOST {
                let message = format!("`{}` holds more than {MOST} files", input.shown);
                return Err(Trouble::rejected(message));
            }
            for listed in entries.iter().filter(|listed| !is_passed_over(listed)) {
                moved.expect(1);
                if let Some(size) = listed.object.size {
                    moved.expect_size(size);
                }
            }
            let brought = stream::iter(entries.iter().enumerate())
                .map(|(index, listed)| self.listed(store, remote, input, listed, index))
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<()>>();
            brought.await?;
            match more {
                Some(more) if next.as_ref() != Some(&more) => next = Some(more),
                Some(_) => return Err(Trouble::unavailable(format!("the listing of `{}` does not end", input.shown))),
                None => break,
            }
        }
        if files == 0 {
            notes.add(format!("the input directory `{}` is empty", input.shown));
        }
        Ok(notes)
    }

    async fn listed(
        &self,
        store: &dyn Store,
        remote: &Remote,
        input: FromRemote<'_>,
        listed: &Listed,
        index: usize,
    ) -> Result<(), Trouble> {
        if is_being_written(listed) {
            return Ok(());
        }
        let below = as_path(&listed.name).ok_or_else(|| {
            let message = format!("`{}` below `{}` cannot be the name of a file", listed.name, input.shown);
            Trouble::rejected(message)
        })?;
        let path = format!("{}/{below}", input.path);
        if listed.object.directory {
            let (tree, path) = (self.tree.clone(), path);
            return blocking(move || {
                let made = tree.make_directory(Path::new(&path)).map(drop);
                made.map_err(|error| Trouble::writing(format!("cannot bring in `{path}`"), &error))
            })
            .await;
        }
        let remote = remote.below(&listed.name);
        // What lies below what may be used may itself be forbidden.
        self.storages.refuse(&remote)?;
        let shown = format!("{}/{}", input.shown.trim_end_matches('/'), listed.name);
        let key = remote.key.clone();
        let counted = self.storages.moved().one_sized(listed.object.size);
        let known = Some(&listed.object);
        let from = From { store, key: &key, remote: &remote, shown: &shown, known, counted: &counted };
        let part = format!("{}-{index}", input.part);
        self.file(from, To { path: &path, part: &part, share: None }).await.map(drop)
    }
}

/// Someone is writing it.
fn is_being_written(listed: &Listed) -> bool {
    listed.name.split('/').any(|name| name.starts_with(PART))
}

/// No file of the input.
fn is_passed_over(listed: &Listed) -> bool {
    listed.object.directory || is_being_written(listed)
}

/// Whether an object is worth keeping, and its storage tells versions and rights so well that it may be.
fn keeps(from: From<'_>, cache: &Cache) -> bool {
    let fits = |size: u64| (SMALLEST..=cache.most()).contains(&size);
    let size = from.known.and_then(|known| known.size);
    let scheme = match from.remote.scheme {
        Scheme::Http | Scheme::Https | Scheme::S3 | Scheme::Gs | Scheme::Azblob => true,
        // Their versions are a size and a time, or they answer questions about files that one may not read.
        Scheme::Ftp | Scheme::Ftps | Scheme::Sftp | Scheme::Webdav | Scheme::Webdavs | Scheme::Drs => false,
    };
    scheme && size.is_none_or(fits)
}

/// The same on another thread.
struct Spot {
    tree: Tree,
    path: String,
    part: String,
    share: Option<PathBuf>,
}

impl Spot {
    fn new(tree: &Tree, to: To<'_>) -> Self {
        let share = to.share.map(Path::to_owned);
        Self { tree: tree.clone(), path: to.path.to_owned(), part: to.part.to_owned(), share }
    }

    /// Gives a kept object to a task: a link to be mounted read-only, or a copy in the tree.
    fn hand_out(&self, kept: &Kept) -> Result<Option<PathBuf>, Trouble> {
        // On another disk there are no links to it.
        if let Some(share) = &self.share
            && kept.link(share).is_ok()
        {
            return Ok(Some(share.clone()));
        }
        let file = kept.open().map_err(|error| Trouble::reading("cannot read a kept input", &error))?;
        self.copy_in(&file, kept.modified()).map(|()| None)
    }

    fn copy_in(&self, from: &File, modified: Option<Timestamp>) -> Result<(), Trouble> {
        use std::io::{Seek, SeekFrom};
        let slot = slot(&self.tree, &self.path)?;
        let writing = |error: std::io::Error| Trouble::writing(format!("cannot bring in `{}`", self.path), &error);
        let reading = |error: std::io::Error| Trouble::reading(format!("cannot bring in `{}`", self.path), &error);
        let mut from = from.try_clone().map_err(reading)?;
        from.seek(SeekFrom::Start(0)).map_err(reading)?;
        let size = from.metadata().map_err(reading)?.len();
        let mut file = create_part(&slot.directory, &self.part).map_err(writing)?;
        let copied = copy_content(&mut from, &mut file, size, &|| false);
        let finish = || -> std::io::Result<()> {
            modified.map_or(Ok(()), |modified| set_modified(&file, timespec(modified)))?;
            put(&slot, &self.part, &file)
        };
        let copied = copied.map_err(|side| failed(side, reading, writing)).and_then(|()| finish().map_err(writing));
        if copied.is_err() {
            // A full disk is not to stay full of something that is of no use.
            let _left = remove::child(slot.directory.as_fd(), self.part.as_ref());
        }
        copied
    }
}

fn timespec(at: Timestamp) -> Timespec {
    Timespec { tv_sec: at.as_second(), tv_nsec: at.subsec_nanosecond().max(0).into() }
}

#[cfg(test)]
mod tests;
