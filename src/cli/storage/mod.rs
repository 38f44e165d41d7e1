//! `tessera storage …`: one file a command. They reach storages as jobs of this server would, with the rules of the
//! configuration and its guards, and need no server. The lists of what tasks may use do not hold for people.
//!
//! Parts, in reading order:
//! - [`place`]: a URL, and the storage behind it;
//! - [`transfer`]: how far it is, and many files side by side;
//! - [`ls`], [`stat`], [`get`], [`put`]: the commands.

pub mod get;
pub mod ls;
pub mod place;
pub mod put;
pub mod stat;
mod transfer;

use clap::Subcommand;

/// Work with the files in the storages that tasks use.
#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    #[allow(missing_docs)]
    Ls(ls::Ls),
    #[allow(missing_docs)]
    Stat(stat::Stat),
    #[allow(missing_docs)]
    Get(get::Get),
    #[allow(missing_docs)]
    Put(put::Put),
}
