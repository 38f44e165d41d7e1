//! `tessera-runtime node DIR`: a whole attempt on one host.
//!
//! A node is one detached process. It brings the inputs in, drives the container engine step by step, delivers
//! the outputs, reports, and takes down what it made. It holds the attempt's lock while it lives.
//!
//! A node may die between any two lines, and a node started again for the same attempt adopts what runs. So
//! nothing is remembered but in files, and what to do next is read from them, for each step in order:
//!
//! ```text
//! record          mark            the step …
//! there           there           has ended                     → on to the next one
//! –               there           runs, or ended without record → wait for it, ask the engine
//! –               –               has not started               → create (or find), start
//! ```
//!
//! Invariants:
//! - a command is started at most once: the wrapper makes the mark, and nobody starts what is marked;
//! - a stopped attempt marks its steps itself, so a container that was created never runs its command;
//! - the report is written when no command is left running and, after a stop, no container either;
//! - without a request to stop, SIGTERM ends the node alone: what runs goes on, and is adopted later.
//!
//! Parts, in reading order:
//! - [`settings`], [`attempt`], [`lock`]: what server and node share: documents, directory, who lives;
//! - [`engine`]: the container engine's calls; [`container`]: a step as a container; [`image`]: pulls;
//! - [`journal`]: what has been done so far, and the report it becomes;
//! - [`boot`]: what a restart of the host took; `fault`: what an error means for the attempt;
//! - `disk`: how much disk the task may use;
//! - [`layers`]: how far a pull is;
//! - `make`, `turn`, `drive`, `stop`: a container made, one step, the whole attempt, its end on request;
//! - `verb`: the process itself.

pub mod attempt;
pub mod boot;
pub mod container;
pub mod engine;
pub mod image;
pub mod journal;
pub mod layers;
pub mod lock;
pub mod settings;

mod disk;
mod drive;
mod fault;
mod make;
mod stop;
mod turn;
mod verb;

pub use verb::main;
