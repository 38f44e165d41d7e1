//! The verb `exec`: one executor inside its container.
//!
//! It works in any image (no shell, no `/tmp`, no user database), as any user, as process 1 or not, and never
//! hangs. In order:
//! 1. read the step file; with the mark there, do nothing; in a pod wait for the turn;
//! 2. lay paths in, make the working directory, open the stream files;
//! 3. make the mark: from here on the step is never begun again;
//! 4. run the command, pass its streams on, forward a stop;
//! 5. end whatever the command left behind, harvest, write the record, ring the bell.
//!
//! Parts, in reading order:
//! - [`run()`]: the order above;
//! - [`directory`]: the step directory: mark, frames, record, bell;
//! - [`turn`]: in a pod, whose turn it is; [`kept`]: where frames go;
//! - [`paths`]: laying in and harvesting;
//! - [`streams`]: standard input, output and error;
//! - [`launch`]: finding a program and starting it;
//! - [`supervise`]: one loop around the running command;
//! - [`usage`], [`cgroup`]: what it uses;
//! - [`signals`]: being told to stop, and ending what is left.

mod cgroup;
mod directory;
mod kept;
mod launch;
mod paths;
mod run;
mod signals;
mod streams;
mod supervise;
mod turn;
mod usage;

pub use run::{Places, main, run};
