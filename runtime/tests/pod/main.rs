//! A pod on this host: our two containers and the wrappers as processes, over one directory.
//!
//! What only a container has is missing: nothing is mounted, so commands reach the tree by its path here, and a
//! wrapper is not process 1, so what it leaves when it is killed is ended by the test.
//!
//! Parts: `scene`, the pod; `jobs`, ordinary jobs and what they say; `deaths`, containers that end; `trouble`, what a
//! disk, a wrapper or a command does to stage-out.

#![allow(clippy::unwrap_used)]

mod deaths;
mod jobs;
mod scene;
mod trouble;
