//! `tessera backend …`: one file a command. Both read the configuration and need no server.

pub mod check;
pub mod list;

use clap::Subcommand;

/// Work with the configured backends.
#[derive(Debug, Subcommand)]
pub enum BackendCommand {
    #[allow(missing_docs)]
    List(list::List),
    #[allow(missing_docs)]
    Check(check::Check),
}
