//! A fake backend that does as it is told, stricter than any real engine.
//!
//! What is outside lives in an [`Outside`], in memory or in a folder, and survives the [`Scripted`] value that
//! speaks for it, as a cluster survives the server. A folder also survives the process: a job is a directory made
//! by a rename, its progress is a function of the time since its submit and of its script, and what it does outside
//! itself happens once, guarded by marks.
//!
//! What a job does is told by the words of each executor's command, one after another:
//!
//! | words | the executor |
//! |---|---|
//! | `true` | does nothing |
//! | `exit N` | ends with code N |
//! | `run-ms N` | works for N milliseconds |
//! | `hang` | works until it is stopped |
//! | `stubborn-ms N` | needs N milliseconds to stop when it is told to |
//! | `print TEXT`, `print-err TEXT` | prints a text, on standard output or standard error |
//! | `print-env NAME` | prints the value of an environment variable |
//! | `append FILE LINE` | appends a line to a file outside |
//! | `count MARK` | adds one to a count that [`Outside::counted`] tells |
//! | `note TEXT` | says something for the system log |
//! | `fault CLASS TEXT` | makes the runtime report a fault: `rejected`, `unavailable`, `misconfigured`, `lost` |
//! | `fault-until N CLASS TEXT` | the same in all attempts before the Nth |
//! | `preempted-until N` | is preempted in all attempts before the Nth |
//!
//! An executor whose words are over ends with 0; one whose first word is none of these cannot be started (127).
//! Before the first executor an input's URL may say: `scripted:wait-ms/N` (the job is not begun for N milliseconds),
//! `scripted:stage-ms/N` (staging takes that long), `scripted:stall` (it never ends), `scripted:fault/CLASS` (it
//! fails), `scripted:fault-until/N/CLASS` (the same in all attempts before the Nth).
//!
//! How it misbehaves is told by [`Mischief`]. Every call yields before and after it acts, so that a test can drop
//! its caller on either side. What a careful caller never does (release a job that works, use a handle that was
//! never given out, submit a job again after its release) is refused and remembered in [`Outside::violations`].
//!
//! Parts, in reading order:
//! - [`words`]: the script;
//! - [`play`]: what a script has done at a moment, pure;
//! - [`shelf`], [`memory`], [`folder`]: where jobs are kept;
//! - [`outside`]: the world, and the hands of a test in it;
//! - [`mischief`]: how calls go wrong;
//! - [`backend`]: the backend itself.

pub mod backend;
pub mod folder;
pub mod memory;
pub mod mischief;
pub mod outside;
pub mod play;
pub mod shelf;
pub mod words;

pub use backend::Scripted;
pub use mischief::{Gate, Mischief, Verb};
pub use outside::Outside;
