//! In a pod: waiting for the turn, and being told to stop by the one who gives it.
//!
//! Linux says that a FIFO was hung up only to a reader that has seen a writer come and go, so who comes before the
//! one who gives turns simply waits. Who comes after its end finds [`THERE`](crate::step::THERE), and no writer.

use std::cell::Cell;
use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::step::{GO, STOP};

/// The FIFO of turns, seen by the one who waits, and the lock that says that it lives.
#[derive(Debug)]
pub(super) struct Turn {
    fifo: File,
    /// Held as long as this process lives.
    _alive: OwnedFd,
    /// There will be nothing more to hear.
    over: Cell<bool>,
    /// What was said before we listened.
    first: Cell<Option<u8>>,
}

/// What was heard since the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing that means anything.
    Nothing,
    /// The turn has come.
    Go,
    /// Stop, or never start.
    Stop,
}

impl Turn {
    /// `alive` is locked. `fifo` does not wait when it is read. `there`: somebody held it open before it was opened.
    pub(super) fn new(fifo: File, alive: OwnedFd, there: bool) -> Self {
        let turn = Self { fifo, _alive: alive, over: Cell::new(false), first: Cell::new(None) };
        if there {
            let mut word = [0; 1];
            match rustix::io::read(&turn.fifo, &mut word) {
                // Nobody holds it open any more: who gave turns has ended before we came.
                Ok(0) => turn.over.set(true),
                Ok(_) => turn.first.set(Some(word[0])),
                Err(_) => {}
            }
        }
        turn
    }

    /// Looks for one word.
    pub(super) fn heard(&self) -> Heard {
        loop {
            if self.over.get() {
                return Heard::Stop;
            }
            match self.word() {
                Ok(Some(GO)) => return Heard::Go,
                Ok(Some(STOP)) | Err(_) => self.over.set(true),
                // A word that means nothing.
                Ok(Some(_)) => {}
                Ok(None) => return Heard::Nothing,
            }
        }
    }

    /// The next word, if there is one; an error when there will be none.
    fn word(&self) -> Result<Option<u8>, Errno> {
        if let Some(word) = self.first.take() {
            return Ok(Some(word));
        }
        let mut polled = [PollFd::new(&self.fifo, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&Timespec::default())) {
            Ok(0) | Err(Errno::INTR) => return Ok(None),
            Ok(_) | Err(_) => {}
        }
        let hung_up = polled[0].revents().contains(PollFlags::HUP);
        let mut word = [0; 1];
        match rustix::io::read(&self.fifo, &mut word) {
            Ok(0) if hung_up => Err(Errno::PIPE),
            Ok(0) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Ok(_) => Ok(Some(word[0])),
            Err(error) => Err(error),
        }
    }

    /// To be woken by; nothing where nothing more is to be heard.
    pub(super) fn polled(&self) -> Option<PollFd<'_>> {
        (!self.over.get()).then(|| PollFd::new(&self.fifo, PollFlags::IN))
    }
}
