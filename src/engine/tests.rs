//! Stories with a scripted backend and a held clock; nothing here sleeps.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod cancelling;
mod crashes;
mod faults;
mod house;
mod line;
mod loops;
mod moving;
mod placing;
mod replicas;
mod stage;
mod sweeping;
mod troubles;
