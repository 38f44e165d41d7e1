//! The GA4GH TES door from outside, rule by rule of the TES contract, over a real store and without a backend.

#![allow(clippy::unwrap_used)]

mod access;
mod answers;
mod creation;
mod document;
mod events;
mod idempotency;
mod listing;
mod pages;
mod paths;
mod peers;
mod plans;
mod server;
mod specification;
mod tasks;
mod waiting;
mod webhooks;
