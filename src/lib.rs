//! Tessera: a GA4GH TES server. The rooms, from the law down to the doors; arrows only go up this list.

pub mod task;

pub mod clock;

pub mod store;

pub mod roster;

pub mod logs;

pub mod retention;

pub mod engine;

pub mod feed;

pub mod webhooks;

pub mod client;

pub mod config;

pub mod http;

pub mod embedded;

pub mod telemetry;

pub mod wiring;

pub mod cli;
