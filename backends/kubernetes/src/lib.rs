//! Runs jobs on a Kubernetes cluster: one Job, one Pod and one small Secret an attempt.

#![allow(dead_code)] // Until the parts are in.

pub mod config;

mod job;
mod names;
mod plan;
pub mod shelf;
mod view;
