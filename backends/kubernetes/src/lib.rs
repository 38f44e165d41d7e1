//! Runs jobs on a Kubernetes cluster: one Job, one Pod and one small Secret an attempt.

#![allow(dead_code)] // Until the parts are in.

pub mod config;

mod names;
mod view;
