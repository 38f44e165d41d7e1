//! `tessera task wait`.

use std::time::Duration;

use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::{exit, watch};

/// Wait until all of these tasks have ended
///
/// Exits with 0 when all are COMPLETE; otherwise the first that is not, in the order given, decides: 4 for
/// EXECUTOR_ERROR, 5 for SYSTEM_ERROR, 6 for CANCELED. 7 when the time is up.
#[derive(Debug, Args)]
pub struct Wait {
    /// The tasks
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    /// Wait no longer than this
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,

    #[command(flatten)]
    connection: Connection,
}

impl Wait {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let client = self.connection.client()?;
        let timeout = self.timeout.map(Duration::from_secs);
        let states = watch::until_ended(&client, &self.ids, timeout, printer).await?;
        if printer.is_json() {
            let ends: Vec<_> = self
                .ids
                .iter()
                .zip(&states)
                .map(|(id, state)| serde_json::json!({ "id": id, "state": state.word() }))
                .collect();
            printer.json(&ends)?;
        } else {
            let rows: Vec<_> =
                self.ids.iter().zip(&states).map(|(id, state)| vec![id.clone(), state.word().to_owned()]).collect();
            printer.table(&["ID", "STATE"], &rows)?;
        }
        match states.iter().map(watch::exit_code).find(|code| *code != exit::OK) {
            Some(code) => Err(Failure::silent(code)),
            None => Ok(()),
        }
    }
}
