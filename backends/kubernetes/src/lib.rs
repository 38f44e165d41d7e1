//! Runs jobs on a Kubernetes cluster: one Job, one Pod and one small Secret an attempt.

#![allow(dead_code)] // Until the parts are in.

pub mod config;

mod calls;
mod client;
mod facts;
mod handle;
mod mirror;
mod names;
mod report;
mod slim;
mod status;
mod trouble;
mod view;
