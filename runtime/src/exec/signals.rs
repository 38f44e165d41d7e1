//! Signals to the wrapper, and signals from it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::Pid;

/// Signals that ask the wrapper to stop, and word of children that ended, as something to poll.
pub(super) struct Signals {
    fd: SignalFd,
}

/// What has arrived.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Arrived {
    pub(super) stop: bool,
    pub(super) child: bool,
}

const STOPS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

impl Signals {
    /// From here on these signals wait to be read. A command that is started begins with none blocked.
    pub(super) fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGCHLD);
        for signal in STOPS {
            set.add(signal);
        }
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let fd = SignalFd::with_flags(&set, flags)?;
        Ok(Self { fd })
    }

    /// Everything that has arrived since the last look.
    pub(super) fn arrived(&self) -> Arrived {
        let mut arrived = Arrived::default();
        while let Ok(Some(info)) = self.fd.read_signal() {
            if info.ssi_signo == Signal::SIGCHLD as u32 {
                arrived.child = true;
            } else {
                arrived.stop = true;
            }
        }
        arrived
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sends a signal to a command and everything in its process group; a group that is gone is no error.
pub(super) fn signal_group(command: Pid, signal: rustix::process::Signal) {
    let _gone = rustix::process::kill_process_group(command, signal);
}

/// Ends everything a command may have left. As process 1 that is everything there is in the container: only then
/// does nothing else live in this process namespace.
pub(super) fn end_everything(command: Pid) {
    signal_group(command, rustix::process::Signal::KILL);
    if is_init() {
        // The group of process 1 is, for kill(2), every process but the caller.
        signal_group(Pid::INIT, rustix::process::Signal::KILL);
    }
}

pub(super) fn is_init() -> bool {
    rustix::process::getpid() == Pid::INIT
}
