//! `tessera storage get`.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use futures::stream::StreamExt;
use tessera_runtime::storage::checksum::{Checksum, Hasher};
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::storage::store::{Object, Span};
use tessera_runtime::storage::trouble::{Patience, Trouble, Why};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::place::Place;
use super::transfer::{self, Meter};
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::ConfigFlags;

/// Read a file from a URL to this machine
///
/// It gets its name when it is complete and its checksum, where the storage has one, is right.
#[derive(Debug, Args)]
pub struct Get {
    /// The file
    url: String,

    /// Where to: a file, or a directory that there is [default: the file's own name, here]
    file: Option<PathBuf>,

    /// Read all files below a directory
    #[arg(long, short)]
    recursive: bool,

    #[command(flatten)]
    config: ConfigFlags,
}

impl Get {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let (storages, place) = Place::open(&self.url, &self.config)?;
        let meter = Meter::default();
        let moved = match self.recursive {
            true => {
                let to = self.file.clone().unwrap_or_default();
                let files = below(&storages, &place, &to, &meter).await?;
                let meter = &meter;
                let moves = files.iter().map(|(from, to)| fetch(from, to, None, meter));
                transfer::all(moves, meter, printer).await?
            }
            false => {
                let to = self.target(&place)?;
                transfer::all([one(&place, &to, &meter)], &meter, printer).await?
            }
        };
        moved.tell(printer)
    }

    fn target(&self, place: &Place) -> Result<PathBuf, Failure> {
        let own = place.key.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let own = own.rsplit('/').next().filter(|name| safe(name).is_some());
        let named = || {
            let nameless = || Failure::usage(format!("`{}` names no file; say where to", place.shown));
            own.map(PathBuf::from).ok_or_else(nameless)
        };
        match &self.file {
            Some(file) if file.is_dir() => Ok(file.join(named()?)),
            Some(file) => Ok(file.clone()),
            None => named(),
        }
    }
}

/// A name of a listing as a path that stays below a directory.
fn safe(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let plain = !name.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| path.to_owned())
}

async fn below(storages: &Storages, place: &Place, to: &Path, meter: &Meter) -> Result<Vec<(Place, PathBuf)>, Failure> {
    if !place.store.abilities().lists {
        return Err(Failure::usage(format!("`{}` lies in a storage that has no listings", place.shown)));
    }
    let mut files = Vec::new();
    let mut any = false;
    let mut next = None;
    loop {
        let page = place.page(next.as_deref()).await?;
        for entry in page.entries {
            any = true;
            let unsafe_ = || {
                let message = format!("`{}` below `{}` cannot be the name of a file here", entry.name, place.shown);
                Failure::from(Trouble::rejected(message))
            };
            // A key that ends in a slash is a directory made by hand.
            let is_directory = entry.object.directory || entry.name.ends_with('/');
            let path = to.join(safe(&entry.name).ok_or_else(unsafe_)?);
            if is_directory {
                std::fs::create_dir_all(path)?;
                continue;
            }
            meter.expect(entry.object.size.unwrap_or_default());
            files.push((Place::of(storages, place.remote.below(&entry.name))?, path));
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    if any { Ok(files) } else { Err(place.absent()) }
}

/// A single file; what is a directory instead is said to be one.
async fn one(from: &Place, to: &Path, meter: &Meter) -> Result<u64, Failure> {
    let is_directory = || Failure::usage(format!("`{}` is a directory; add --recursive", from.shown));
    match attempt(from, to, Some(meter), meter).await {
        Ok(size) => Ok(size),
        Err(trouble) if trouble.why == Why::Directory => Err(is_directory()),
        Err(trouble) if trouble.why == Why::Absent && from.store.abilities().lists => {
            let page = from.page(None).await?;
            if page.entries.is_empty() { Err(trouble.into()) } else { Err(is_directory()) }
        }
        Err(trouble) => Err(trouble.into()),
    }
}

async fn fetch(from: &Place, to: &Path, expects: Option<&Meter>, meter: &Meter) -> Result<u64, Failure> {
    Ok(attempt(from, to, expects, meter).await?)
}

/// Reads into a file beside the target, goes on where it broke off, and names it when it is proved.
async fn attempt(from: &Place, to: &Path, expects: Option<&Meter>, meter: &Meter) -> Result<u64, Trouble> {
    let counter = Arc::new(AtomicU64::new(0));
    meter.watch(Arc::clone(&counter));
    let part = part_of(to);
    let failed = |error: std::io::Error| Trouble::writing(format!("`{}` cannot be written", to.display()), &error);
    if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut file = File::create(&part).await.map_err(failed)?;
    let read = async {
        let mut reading = Progress { at: 0, first: None, hashers: Vec::new(), counter };
        let mut failures = 0;
        loop {
            let before = reading.at;
            match reading.go_on(from, &mut file, expects, &failed).await {
                Ok(()) => break,
                Err(trouble) => {
                    failures = if reading.at > before { 1 } else { failures + 1 };
                    if Patience::DOWNLOAD.wait(failures, &trouble).await.is_none() {
                        return Err(trouble);
                    }
                }
            }
        }
        file.flush().await.map_err(failed)?;
        reading.prove(from)?;
        if let Some(modified) = reading.first.as_ref().and_then(|object| object.modified) {
            let file = file.try_clone().await.map_err(failed)?.into_std().await;
            file.set_modified(modified.into()).map_err(failed)?;
        }
        std::fs::rename(&part, to).map_err(failed)?;
        Ok(reading.at)
    };
    let done = read.await;
    if done.is_err() {
        // What cannot be removed is named so that nobody takes it for the file.
        let _ = std::fs::remove_file(&part);
    }
    done
}

fn part_of(to: &Path) -> PathBuf {
    let mut name = OsString::from(".tessera-part-");
    name.push(to.file_name().unwrap_or_default());
    to.with_file_name(name)
}

/// How far a file is.
struct Progress {
    at: u64,
    /// What the first answer said of it: later ones are held to the same version.
    first: Option<Object>,
    hashers: Vec<(Checksum, Hasher)>,
    counter: Arc<AtomicU64>,
}

impl Progress {
    async fn go_on(
        &mut self,
        from: &Place,
        file: &mut File,
        expects: Option<&Meter>,
        failed: &impl Fn(std::io::Error) -> Trouble,
    ) -> Result<(), Trouble> {
        let tag = self.first.as_ref().and_then(|object| object.tag.clone());
        let span = Span { from: self.at, length: None };
        let reading = from.store.read(&from.key, span, tag.as_ref()).await?;
        let size = reading.object.size;
        if self.first.is_none() {
            if let (Some(meter), Some(size)) = (expects, size) {
                meter.expect(size);
            }
            let sums = from.remote.expected.iter().chain(&reading.object.checksums);
            self.hashers = sums.map(|sum| (sum.clone(), Hasher::new(sum.algorithm))).collect();
            self.first = Some(reading.object);
        }
        let mut skip = self.at.saturating_sub(reading.from);
        let mut body = reading.body;
        while let Some(piece) = body.next().await {
            let piece = piece?;
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= skipped as u64;
            let fresh = &piece[skipped..];
            file.write_all(fresh).await.map_err(failed)?;
            self.hashers.iter_mut().for_each(|(_, hasher)| hasher.update(fresh));
            self.at += fresh.len() as u64;
            self.counter.store(self.at, Ordering::Relaxed);
        }
        match size {
            Some(size) if self.at < size => {
                Err(Trouble::unavailable(format!("`{}` ended after {} of {size} bytes", from.shown, self.at)))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn prove(&mut self, from: &Place) -> Result<(), Trouble> {
        for (expected, hasher) in self.hashers.drain(..) {
            let found = hasher.finish();
            if found != expected {
                let kind = expected.algorithm.name();
                let (found, expected) = (found.hex(), expected.hex());
                let message = format!("`{}` has the {kind} {found}, and {expected} was expected", from.shown);
                return Err(Trouble::rejected(message));
            }
        }
        Ok(())
    }
}
