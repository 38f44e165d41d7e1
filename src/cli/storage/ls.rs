//! `tessera storage ls`.

use clap::Args;
use serde_json::{Value, json};
use tessera_runtime::storage::store::{Listed, Object};

use super::place::Place;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::ConfigFlags;

/// List the files below a URL, at any depth: size in bytes, time, name
#[derive(Debug, Args)]
pub struct Ls {
    /// A directory, a prefix that ends at a `/`, or a file
    url: String,

    #[command(flatten)]
    config: ConfigFlags,
}

impl Ls {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let (_storages, place) = Place::open(&self.url, &self.config)?;
        let mut found = Vec::new();
        let mut any = false;
        let mut next = None;
        loop {
            let page = match place.store.abilities().lists {
                true => place.page(next.as_deref()).await?,
                false => Default::default(),
            };
            for entry in &page.entries {
                any = true;
                tell(entry, printer, &mut found)?;
            }
            next = page.next;
            if next.is_none() || printer.is_closed() {
                break;
            }
        }
        if !any {
            // The URL of a file lists that file, as everywhere.
            let object = place.stat().await?.ok_or_else(|| place.absent())?;
            let name = place.key.rsplit('/').next().unwrap_or_default().to_owned();
            if !object.directory {
                tell(&Listed { name, object }, printer, &mut found)?;
            }
        }
        if printer.is_json() { printer.json(&found) } else { Ok(()) }
    }
}

/// Long listings are shown as they come; JSON is one document.
fn tell(entry: &Listed, printer: &mut Printer, found: &mut Vec<Value>) -> Result<(), Failure> {
    if printer.is_json() {
        found.push(as_json(&entry.name, &entry.object));
        return Ok(());
    }
    let Object { size, modified, directory, .. } = &entry.object;
    let size = size.filter(|_| !directory).map(|size| size.to_string()).unwrap_or_default();
    let modified = modified.map(|time| time.to_string()).unwrap_or_default();
    let end = if *directory && !entry.name.ends_with('/') { "/" } else { "" };
    printer.line(&format!("{size:>14}\t{modified:<20}\t{}{end}", entry.name))
}

/// An object as JSON, under a name.
pub fn as_json(name: &str, object: &Object) -> Value {
    let checksums = object.checksums.iter().map(|sum| (sum.algorithm.name().to_owned(), json!(sum.hex())));
    json!({
        "name": name,
        "type": if object.directory { "DIRECTORY" } else { "FILE" },
        "size": object.size,
        "modified": object.modified.map(|time| time.to_string()),
        "tag": object.tag.as_ref().map(|tag| &tag.0),
        "checksums": checksums.collect::<serde_json::Map<_, _>>(),
    })
}
