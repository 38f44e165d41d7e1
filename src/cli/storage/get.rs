//! `tessera storage get`.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use clap::Args;
use tessera_runtime::storage::fetch::{Fetcher, Wanted};
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::storage::store::Object;
use tessera_runtime::storage::trouble::{Patience, Trouble, Why};

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
        let (meter, fetcher) = (Meter::default(), Fetcher::new(Patience::DOWNLOAD));
        meter.watch(fetcher.progress());
        let moved = match self.recursive {
            true => {
                let to = self.file.clone().unwrap_or_default();
                let found = below(&storages, &place, &to, &meter).await?;
                let fetches = found.iter().map(|Found { from, to, object }| {
                    let fetched = fetch(from, to, Some(object), &fetcher);
                    async { Ok(fetched.await?) }
                });
                transfer::all(fetches, &meter, printer).await?
            }
            false => {
                let to = self.target(&place)?;
                // Only for people: a storage that does not tell the size may hold the file all the same.
                if let Ok(Some(object)) = place.store.stat(&place.key).await {
                    meter.expect(object.size.unwrap_or_default());
                }
                transfer::all([one(&place, &to, &fetcher)], &meter, printer).await?
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

/// A file of a listing, and where it goes.
struct Found {
    from: Place,
    to: PathBuf,
    object: Object,
}

async fn below(storages: &Storages, place: &Place, to: &Path, meter: &Meter) -> Result<Vec<Found>, Failure> {
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
            let from = Place::of(storages, place.remote.below(&entry.name))?;
            files.push(Found { from, to: path, object: entry.object });
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    if any { Ok(files) } else { Err(place.absent()) }
}

/// A single file; what is a directory instead is said to be one.
async fn one(from: &Place, to: &Path, fetcher: &Fetcher) -> Result<u64, Failure> {
    let is_directory = || Failure::usage(format!("`{}` is a directory; add --recursive", from.shown));
    match fetch(from, to, None, fetcher).await {
        Ok(size) => Ok(size),
        Err(trouble) if trouble.why == Why::Directory => Err(is_directory()),
        Err(trouble) if trouble.why == Why::Absent && from.store.abilities().lists => {
            let page = from.page(None).await?;
            if page.entries.is_empty() { Err(trouble.into()) } else { Err(is_directory()) }
        }
        Err(trouble) => Err(trouble.into()),
    }
}

/// Fetches into a file beside the target, which gets its name when it is proved.
async fn fetch(from: &Place, to: &Path, known: Option<&Object>, fetcher: &Fetcher) -> Result<u64, Trouble> {
    let failed = |error: std::io::Error| Trouble::writing(format!("`{}` cannot be written", to.display()), &error);
    if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let part = part_of(to);
    let file = File::create(&part).map_err(failed)?;
    let (store, key, shown) = (from.store.as_ref(), from.key.as_str(), from.shown.as_str());
    let wanted = Wanted { store, key, shown, expected: &from.remote.expected, known, most: None, counted: None };
    let fetched = async {
        let object = fetcher.fetch(wanted, &file).await?;
        if let Some(modified) = object.modified {
            file.set_modified(modified.into()).map_err(failed)?;
        }
        std::fs::rename(&part, to).map_err(failed)?;
        Ok(file.metadata().map_err(failed)?.len())
    };
    let fetched = fetched.await;
    if fetched.is_err() {
        // Where it cannot be removed its name says that it is no whole file.
        let _ = std::fs::remove_file(&part);
    }
    fetched
}

fn part_of(to: &Path) -> PathBuf {
    let mut name = OsString::from(".tessera-part-");
    name.push(to.file_name().unwrap_or_default());
    to.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_listings_stay_below() {
        for (name, fits) in
            [("a", true), ("a/b", true), ("a//b", true), ("", false), ("/a", false), ("../a", false), ("a/../b", false)]
        {
            assert_eq!(safe(name).is_some(), fits, "{name}");
        }
        assert_eq!(part_of(Path::new("d/a")), Path::new("d/.tessera-part-a"));
    }
}
