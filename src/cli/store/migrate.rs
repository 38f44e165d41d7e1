//! `tessera store migrate`.

use clap::Args;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::ConfigFlags;
use crate::config::Replica;
use crate::wiring::stores::{self, Place};

/// Move everything the server remembers from one store to another, empty one
///
/// A store is a SQLite file, or a PostgreSQL database: its URL, `env:NAME` of a variable or `file:PATH` of a file that holds
/// it. Servers are stopped before. All or nothing: every row is compared with the original before any of it is there.
/// Kept logs stay in the data folder. Exits with 1 when nothing was moved.
#[derive(Debug, Args)]
pub struct Migrate {
    /// The store to read [default: the configuration's]
    #[arg(long, value_name = "STORE", required_unless_present = "to")]
    from: Option<String>,

    /// The store to write: empty, or a file that is not there [default: the configuration's]
    #[arg(long, value_name = "STORE")]
    to: Option<String>,

    /// The name of this machine's server in a store that several share (`replica.name`): its tasks and logs stay its own
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,

    #[command(flatten)]
    config: ConfigFlags,
}

impl Migrate {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let config = self.config.read(Vec::new())?;
        let place = |flag: &str, given: &Option<String>| match given {
            Some(text) => Place::parse(text, &config.store).map_err(|said| Failure::usage(format!("{flag}: {said}"))),
            None => Place::of(&config).map_err(Failure::usage),
        };
        let (from, to) = (place("--from", &self.from)?, place("--to", &self.to)?);
        if let Some(name) = self.replica.as_ref().filter(|name| !Replica::is_name(name)) {
            return Err(Failure::usage(format!("--replica: `{name}` is no name of a server")));
        }
        let progress = |table: &'static str, rows| printer.progress(&format!("{table}: {rows} rows"), false);
        let moved = stores::migrate(&from, &to, self.replica, &config, progress).await;
        printer.end_progress();
        let moved = moved.map_err(anyhow::Error::from)?;
        if printer.is_json() {
            let tables: Vec<_> = moved
                .iter()
                .map(|one| json!({ "table": one.table, "rows": one.sum.rows, "digest": one.sum.digest() }))
                .collect();
            return printer.json(&json!({ "moved": tables }));
        }
        let row = |one: &stores::Moved| vec![one.table.to_owned(), one.sum.rows.to_string(), one.sum.digest()];
        printer.table(&["TABLE", "ROWS", "DIGEST, THE SAME ON BOTH SIDES"], &moved.iter().map(row).collect::<Vec<_>>())
    }
}
