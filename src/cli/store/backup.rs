//! `tessera store backup`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::ConfigFlags;
use crate::wiring::stores::{self, Place};

/// Write a copy of everything the server remembers into a new SQLite file, while servers work
///
/// The copy is the store as it is at one moment, checked, and whole when it is there. `tessera store migrate --from FILE`
/// goes back to it. Exits with 1 when there is no copy.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write; it is not there yet
    #[arg(long, value_name = "FILE")]
    to: PathBuf,

    /// The store to read, as for `store migrate` [default: the configuration's]
    #[arg(long, value_name = "STORE")]
    from: Option<String>,

    #[command(flatten)]
    config: ConfigFlags,
}

impl Backup {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let config = self.config.read(Vec::new())?;
        let from = match &self.from {
            Some(text) => Place::parse(text, &config.store).map_err(|said| format!("--from: {said}")),
            None => Place::of(&config),
        };
        let from = from.map_err(Failure::usage)?;
        let done = stores::backup(&from, &self.to, |of, count| printer.progress(&format!("{count} {of}"), false)).await;
        printer.end_progress();
        done.map_err(anyhow::Error::from)?;
        let bytes = std::fs::metadata(&self.to)?.len();
        if printer.is_json() {
            return printer.json(&json!({ "file": self.to, "bytes": bytes }));
        }
        printer.line(&format!("{}: {bytes} bytes", self.to.display()))
    }
}
