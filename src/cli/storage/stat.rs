//! `tessera storage stat`.

use clap::Args;
use tessera_runtime::storage::store::Object;

use super::ls::as_json;
use super::place::Place;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::ConfigFlags;

/// Show what a storage says of a file: size, time, version, checksums
///
/// Exits with 1 when nothing is there.
#[derive(Debug, Args)]
pub struct Stat {
    /// The file, or a directory
    url: String,

    #[command(flatten)]
    config: ConfigFlags,
}

impl Stat {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let (_storages, place) = Place::open(&self.url, &self.config)?;
        let object = match place.stat().await? {
            Some(object) => object,
            // In an object store a directory is what lies below it.
            None if place.store.abilities().lists && !place.page(None).await?.entries.is_empty() => {
                Object { directory: true, ..Object::default() }
            }
            None => return Err(place.absent()),
        };
        if printer.is_json() {
            return printer.json(&as_json(&place.shown, &object));
        }
        let mut rows = vec![("url", place.shown)];
        rows.push(("type", if object.directory { "DIRECTORY" } else { "FILE" }.to_owned()));
        rows.extend(object.size.map(|size| ("size", size.to_string())));
        rows.extend(object.modified.map(|time| ("modified", time.to_string())));
        rows.extend(object.tag.map(|tag| ("tag", tag.0)));
        rows.extend(object.checksums.iter().map(|sum| (sum.algorithm.name(), sum.hex())));
        let rows: Vec<_> = rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]).collect();
        printer.table(&["WHAT", "VALUE"], &rows)
    }
}
