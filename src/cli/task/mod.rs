//! `tessera task …`: one file a command.

pub mod cancel;
pub mod create;
pub mod get;
pub mod list;
pub mod logs;
pub mod wait;

use clap::Subcommand;

/// Work with the tasks of a server.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    #[allow(missing_docs)]
    Create(create::Create),
    #[allow(missing_docs)]
    Get(get::Get),
    #[allow(missing_docs)]
    List(list::List),
    #[allow(missing_docs)]
    Wait(wait::Wait),
    #[allow(missing_docs)]
    Cancel(cancel::Cancel),
    #[allow(missing_docs)]
    Logs(logs::Logs),
}
