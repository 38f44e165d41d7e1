//! `tessera-runtime`: the static binary that works inside a job.

fn main() {}
