//! Tessera: a GA4GH TES server. The rooms, from the law down to the doors; arrows only go up this list.

pub mod task;

pub mod store;

pub mod http;

pub mod client;

pub mod config;

pub mod cli;

pub mod embedded;
