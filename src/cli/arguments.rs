//! All commands on one page.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use super::backend::BackendCommand;
use super::config::ConfigCommand;
use super::exit;
use super::failure::Failure;
use super::printer::Printer;
use super::run::Run;
use super::serve::Serve;
use super::storage::StorageCommand;
use super::store::StoreCommand;
use super::task::TaskCommand;

/// A GA4GH TES server: tasks in, container jobs out, nothing lost
///
/// Exit codes: 0 all is well; 1 failure; 2 wrong command line or configuration; 3 the server or storage does not answer;
/// 4 EXECUTOR_ERROR, 5 SYSTEM_ERROR, 6 CANCELED, 7 out of time (`task wait`); `run` exits with the command's own code.
#[derive(Debug, Parser)]
#[command(name = "tessera", version)]
pub struct Arguments {
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

/// The commands. One is made a process, so that their different sizes cost nothing.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)]
enum Command {
    Serve(Serve),
    Run(Run),
    #[command(subcommand)]
    Task(TaskCommand),
    #[command(subcommand)]
    Backend(BackendCommand),
    #[command(subcommand)]
    Storage(StorageCommand),
    #[command(subcommand)]
    Store(StoreCommand),
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Parses the command line, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut printer = Printer::new(arguments.json);
    let ended = arguments.command.run(&mut printer);
    printer.end_progress();
    match ended {
        Ok(()) => ExitCode::from(exit::OK),
        Err(failure) => {
            if !failure.message.is_empty() {
                printer.say(&format!("tessera: {failure}"));
            }
            ExitCode::from(failure.code)
        }
    }
}

impl Command {
    fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        match self {
            Self::Serve(serve) => many_threads()?.block_on(serve.run(printer)),
            Self::Run(run) => one_thread()?.block_on(run.run(printer)),
            Self::Task(TaskCommand::Create(create)) => one_thread()?.block_on(create.run(printer)),
            Self::Task(TaskCommand::Get(get)) => one_thread()?.block_on(get.run(printer)),
            Self::Task(TaskCommand::List(list)) => one_thread()?.block_on(list.run(printer)),
            Self::Task(TaskCommand::Wait(wait)) => one_thread()?.block_on(wait.run(printer)),
            Self::Task(TaskCommand::Cancel(cancel)) => one_thread()?.block_on(cancel.run(printer)),
            Self::Task(TaskCommand::Logs(logs)) => one_thread()?.block_on(logs.run(printer)),
            Self::Backend(BackendCommand::List(list)) => one_thread()?.block_on(list.run(printer)),
            Self::Backend(BackendCommand::Check(check)) => one_thread()?.block_on(check.run(printer)),
            Self::Storage(StorageCommand::Ls(ls)) => one_thread()?.block_on(ls.run(printer)),
            Self::Storage(StorageCommand::Stat(stat)) => one_thread()?.block_on(stat.run(printer)),
            Self::Storage(StorageCommand::Get(get)) => one_thread()?.block_on(get.run(printer)),
            Self::Storage(StorageCommand::Put(put)) => one_thread()?.block_on(put.run(printer)),
            Self::Store(StoreCommand::Migrate(migrate)) => one_thread()?.block_on(migrate.run(printer)),
            Self::Store(StoreCommand::Backup(backup)) => one_thread()?.block_on(backup.run(printer)),
            Self::Config(ConfigCommand::Check(check)) => check.run(printer),
        }
    }
}

/// For commands that ask one thing at a time.
fn one_thread() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// For the server: a thread a core.
fn many_threads() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn everything_has_a_help() {
        fn look(command: &clap::Command) {
            assert!(command.get_about().is_some(), "`{}` has no help", command.get_name());
            for argument in command.get_arguments().filter(|it| !["help", "version"].contains(&it.get_id().as_str())) {
                assert!(
                    argument.get_help().is_some(),
                    "`{}` of `{}` has no help",
                    argument.get_id(),
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(look);
        }
        look(&Arguments::command());
    }
}
