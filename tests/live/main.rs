//! Live output from outside: a real router, engine and store, over a backend that prints what a test says.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod asking;
mod ending;
mod following;
mod press;
mod reader;
mod restarting;
mod server;
