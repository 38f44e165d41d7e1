//! The command line: one file a command, whose doc comment is its help.
//!
//! Invariants:
//! - the exit codes of [`exit`] are promises;
//! - results go to standard output, everything else to standard error;
//! - `--json` works everywhere; without it there are tables on a terminal and plain lines in a pipe;
//! - nothing that a terminal obeys gets through from a task to the terminal;
//! - a reader that goes away (`| head`) is no error.
//!
//! Parts, in reading order:
//! - [`arguments`]: all commands on one page;
//! - [`exit`], [`failure`]: how a command ends;
//! - [`connection`], [`settings`], [`printer`] and [`visible`], [`watch`] and [`news`], [`pair`]: what commands share;
//! - [`run`], [`task`]: talk to a server;
//! - [`serve`], [`backend`], [`config`], [`storage`], [`store`]: work with the configuration.

pub mod arguments;
pub mod backend;
pub mod config;
pub mod connection;
pub mod exit;
pub mod failure;
pub mod news;
pub mod pair;
pub mod printer;
pub mod run;
pub mod serve;
pub mod settings;
pub mod storage;
pub mod store;
pub mod task;
pub mod visible;
pub mod watch;
