//! A whole attempt in one pod: containers of ours and of the task over one empty volume, and nobody to ask.
//!
//! Nothing in a pod may talk to the engine that runs it. So the containers agree among themselves, through files:
//!
//! ```text
//! stage-in      (first, alone)   lays the runtime and the step directories out, brings the inputs in, ends
//! stage-out     (beside the …)   gives the executors their turns, delivers, reports, ends
//! executor-<n>  (… executors)    the wrapper: waits for its turn, runs the command, records, ends
//! ```
//!
//! All containers but the first start together and in any order, each when its image is there. In each step directory
//! - the wrapper holds a lock on [`ALIVE`](crate::step::ALIVE) while it lives, and says so in
//!   [`HERE`](crate::step::HERE): whoever kills it, out of memory or by hand, is noticed at once;
//! - `stage-out` holds the FIFO [`TURN`](crate::step::TURN) open while it lives, and writes one byte into it: go, or stop.
//!   Its end without a word is the end of everybody who waits.
//!
//! A wrapper that died without a record, its command started, counts as a command that was killed (137): on a host
//! with control groups of version 2 running out of memory kills both. The rules of `ignore_error` hold, outputs are
//! delivered, and whoever reads the report adds what the engine knows.
//!
//! What the job has to say to the server: see [`words`].
//!
//! Parts, in reading order:
//! - [`places`]: where things lie in a pod;
//! - [`words`]: what a pod says to the server; `log`: as records, as many as fit; `say`: at its end;
//! - `plan`: the plan, in the Secret or fetched; `process`: what our containers have in common;
//! - [`stage_in`]: the first container;
//! - [`stage_out`]: the one beside the executors; `conduct`: their turns.

mod conduct;
pub(crate) mod log;
pub mod places;
mod plan;
mod process;
mod say;
pub mod stage_in;
pub mod stage_out;
pub mod words;
