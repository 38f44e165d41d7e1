//! `tessera task get`.

use clap::{Args, ValueEnum};

use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;

/// Show a task
#[derive(Debug, Args)]
pub struct Get {
    /// The task
    id: String,

    /// How much of it
    #[arg(long, value_enum, default_value_t = View::Full)]
    view: View,

    #[command(flatten)]
    connection: Connection,
}

/// How much of a task is shown (TES contract §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// Id and state
    Minimal,
    /// Without contents, output texts and system logs
    Basic,
    /// Everything
    Full,
}

impl View {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Minimal => "MINIMAL",
            Self::Basic => "BASIC",
            Self::Full => "FULL",
        }
    }
}

impl Get {
    /// Runs the command. A task is a document, so that it is JSON in any case; people are told beside it what it
    /// waits for.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let client = self.connection.client()?;
        let task = client.get(&self.id, self.view.word()).await?;
        printer.json(&task)?;
        let goes_on = task.state.as_ref().is_none_or(|state| !state.is_final());
        // What was asked for has been shown; that a server cannot tell more is no failure.
        if goes_on
            && !printer.is_json()
            && let Ok(Some(waiting)) = client.waiting(&self.id).await
        {
            printer.say(&waiting.message);
        }
        Ok(())
    }
}
