//! `tessera config check`.

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::ConfigFlags;

/// Print the configuration that `serve` would run with, secrets hidden, or everything that is wrong with it
///
/// Exits with 2 when something is wrong.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    config: ConfigFlags,
}

impl Check {
    /// Runs the command.
    pub fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let config = self.config.read(Vec::new())?;
        if printer.is_json() {
            return printer.json(&config);
        }
        let text = toml::to_string(&config).map_err(anyhow::Error::from)?;
        printer.write(text.as_bytes())
    }
}
