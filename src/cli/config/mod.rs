//! `tessera config …`: one file a command.

pub mod check;

use clap::Subcommand;

/// Work with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    #[allow(missing_docs)]
    Check(check::Check),
}
