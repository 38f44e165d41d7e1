//! `tessera store …`: one file a command. They work with the store itself, and need no server.
//!
//! Parts, in reading order:
//! - [`migrate`]: from one store to another;
//! - [`backup`]: a copy while serving.

pub mod backup;
pub mod migrate;

use clap::Subcommand;

/// Work with what the server remembers.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    #[allow(missing_docs)]
    Migrate(migrate::Migrate),
    #[allow(missing_docs)]
    Backup(backup::Backup),
}
