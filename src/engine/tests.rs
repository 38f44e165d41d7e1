//! Stories with a scripted backend and a held clock; nothing here sleeps.
#![allow(clippy::unwrap_used)]

mod crashes;
mod faults;
mod loops;
mod stage;
mod stories;
