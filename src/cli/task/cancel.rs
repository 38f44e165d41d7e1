//! `tessera task cancel`.

use clap::Args;

use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;

/// Ask for tasks to be stopped
///
/// A task that has ended stays as it is. CANCELED is shown once nothing of it is left running: `task wait` waits
/// for that.
#[derive(Debug, Args)]
pub struct Cancel {
    /// The tasks
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    connection: Connection,
}

impl Cancel {
    /// Runs the command. One id that is refused does not keep the others running.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let client = self.connection.client()?;
        let mut worst = None;
        let mut asked = Vec::new();
        for id in &self.ids {
            match client.cancel(id).await {
                Ok(()) => asked.push(serde_json::json!({ "id": id })),
                Err(error) => {
                    printer.say(&format!("tessera: {error}"));
                    worst = Some(Failure::from(error).code);
                }
            }
        }
        if printer.is_json() {
            printer.json(&asked)?;
        }
        worst.map_or(Ok(()), |code| Err(Failure::silent(code)))
    }
}
