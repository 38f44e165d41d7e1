//! What the command's exit code means. These numbers are promises: scripts depend on them.

/// All is well. Of `run` and `task wait`: every task ended COMPLETE.
pub const OK: u8 = 0;

/// Something failed, and standard error says what: the server refused, a backend check found a problem, the server
/// could not start, a storage refused or holds no such file.
pub const FAILURE: u8 = 1;

/// The command line or the configuration is wrong. Nothing was done.
pub const USAGE: u8 = 2;

/// The server, or the storage that a `storage` command asks, does not answer.
pub const UNREACHABLE: u8 = 3;

/// `task wait`: a task ended EXECUTOR_ERROR. `run` exits with the executor's own code instead (1 to 255), which may
/// equal any number of this list; `--json` tells them apart.
pub const EXECUTOR_ERROR: u8 = 4;

/// `run`, `task wait`: a task ended SYSTEM_ERROR.
pub const SYSTEM_ERROR: u8 = 5;

/// `run`, `task wait`: a task ended CANCELED.
pub const CANCELED: u8 = 6;

/// `task wait --timeout`: the time is up, and not all tasks have ended.
pub const TIMED_OUT: u8 = 7;

/// A second Ctrl-C: `run` no longer waits for its task to be cancelled.
pub const INTERRUPTED: u8 = 130;
