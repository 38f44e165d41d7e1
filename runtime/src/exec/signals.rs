//! Signals to the wrapper, and signals from it.

use std::io::{self, PipeReader, Read};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::streams::set_blocking;
use super::turn::{Heard, Turn};

/// Requests to stop, and word of children that ended, as two pipes to poll. Handlers, not a mask: a command
/// inherits what is blocked, and never what is handled.
pub(super) struct Signals {
    stop: PipeReader,
    child: PipeReader,
    /// In a pod the one who gives turns may ask to stop, too.
    turn: Option<Turn>,
}

impl Signals {
    /// From here on these signals are caught.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self { stop: caught(&[SIGTERM, SIGINT, SIGHUP, SIGQUIT])?, child: caught(&[SIGCHLD])?, turn: None })
    }

    /// From here on the one who gives turns is listened to as well.
    pub(super) fn listen_to(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }

    /// Whether the wrapper was asked to stop since the last look.
    pub(super) fn stop_asked(&self) -> bool {
        let by_turn = self.turn.as_ref().is_some_and(|turn| turn.heard() == Heard::Stop);
        emptied(&self.stop) || by_turn
    }

    /// Waits for the turn to come; false when it never will.
    pub(super) fn turn_comes(&self) -> io::Result<bool> {
        let Some(turn) = &self.turn else {
            return Ok(true);
        };
        loop {
            if emptied(&self.stop) {
                return Ok(false);
            }
            match turn.heard() {
                Heard::Go => return Ok(true),
                Heard::Stop => return Ok(false),
                Heard::Nothing => {}
            }
            match rustix::event::poll(&mut self.polled(), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a child may have ended since the last look.
    pub(super) fn child_ended(&self) -> bool {
        emptied(&self.child)
    }

    /// What becomes readable when there is something to look at.
    pub(super) fn polled(&self) -> Vec<PollFd<'_>> {
        let turn = self.turn.as_ref().and_then(Turn::polled);
        let own = [&self.stop, &self.child].map(|pipe| PollFd::new(pipe, PollFlags::IN));
        own.into_iter().chain(turn).collect()
    }
}

fn caught(signals: &[i32]) -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    set_blocking(&reader, false)?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

fn emptied(mut pipe: &PipeReader) -> bool {
    let mut seen = false;
    let mut buffer = [0; 64];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return seen,
            Ok(_) => seen = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return seen,
        }
    }
}

/// Sends a signal to a command and everything in its process group; a group that is gone is no error.
pub(super) fn signal_group(command: Pid, signal: Signal) {
    let _gone = rustix::process::kill_process_group(command, signal);
}

/// Ends everything a command may have left. As process 1 that is everything there is in the container: only then
/// does nothing else live in this process namespace.
pub(super) fn end_everything(command: Pid) {
    if is_init() {
        // The group of process 1 is, for kill(2), every process but the caller.
        signal_group(Pid::INIT, Signal::KILL);
    } else {
        signal_group(command, Signal::KILL);
    }
}

pub(super) fn is_init() -> bool {
    rustix::process::getpid() == Pid::INIT
}
