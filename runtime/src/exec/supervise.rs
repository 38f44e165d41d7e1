//! One loop around the running command: its output, its end, and being told to stop.

use std::io::{self, PipeReader, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use super::kept::Kept;
use super::signals::{Signals, end_everything, is_init, signal_group};
use super::streams::{StreamFile, set_blocking};
use super::usage::Meter;
use crate::frames::{Stream, Writer};

/// Frames of one stream are written at most this often, so that a command that prints byte by byte does not make
/// a frame of each. In a pod, whose log must not grow long, the pause doubles after each so many frames, up to the
/// longest: what frames take beside what they hold is little then, however long a command prints a little at a time.
const FLUSH_EVERY: Duration = Duration::from_millis(10);
const FLUSH_SLOWER_AFTER: u32 = 1_000;
const FLUSH_AT_LEAST_EVERY: Duration = Duration::from_secs(2);
/// As much as this is written at once.
const FLUSH_AT: usize = 32 * 1024;
/// How long the end of what was killed is waited for. Only a process stuck in the kernel takes longer.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How long a pipe is drained that someone else still holds.
const DRAIN_WITHIN: Duration = Duration::from_millis(250);

/// What the wrapper does with the two streams.
pub(super) struct Sink {
    frames: Option<Writer<Kept>>,
    outputs: [Output; 2],
    /// The first stream file that could not be written.
    pub(super) broken: Option<String>,
    /// Why nothing is kept any more of what the command prints.
    pub(super) lost: Option<String>,
}

struct Output {
    stream: Stream,
    pipe: Option<PipeReader>,
    file: Option<Rc<StreamFile>>,
    pending: Vec<u8>,
    flushed: Option<Instant>,
    /// How many of its frames were short; not counted where they may be as many as they like.
    short: Option<u32>,
}

/// How the command ended.
pub(super) struct Ended {
    pub(super) status: WaitStatus,
    /// The wrapper was told to stop before.
    pub(super) stopped: bool,
    /// Something of it would not die.
    pub(super) left: bool,
}

impl Sink {
    /// `sparing`: frames are to be few.
    pub(super) fn new(
        frames: Writer<Kept>,
        sparing: bool,
        stdout: (PipeReader, Option<Rc<StreamFile>>),
        stderr: (PipeReader, Option<Rc<StreamFile>>),
    ) -> io::Result<Self> {
        let output = |stream, (pipe, file): (PipeReader, _)| -> io::Result<Output> {
            set_blocking(&pipe, false)?;
            Ok(Output {
                stream,
                pipe: Some(pipe),
                file,
                pending: Vec::new(),
                flushed: None,
                short: sparing.then_some(0),
            })
        };
        Ok(Self {
            frames: Some(frames),
            outputs: [output(Stream::Stdout, stdout)?, output(Stream::Stderr, stderr)?],
            broken: None,
            lost: None,
        })
    }

    /// Something the wrapper itself has to say in place of the command.
    pub(super) fn say(&mut self, line: &str) {
        self.take(1, format!("tessera: {line}\n").as_bytes());
    }

    /// Writes whatever is still held.
    pub(super) fn finish(&mut self) {
        for at in 0..self.outputs.len() {
            self.flush(at);
        }
        let finished = self.frames.take().map(Writer::finish);
        if let Some(Err(error) | Ok(Kept { failed: Some(error), .. })) = finished {
            self.lost.get_or_insert(error.to_string());
        }
    }

    fn take(&mut self, at: usize, bytes: &[u8]) {
        let output = &mut self.outputs[at];
        if let Some(stream) = &output.file
            && let Err(error) = (&stream.file).write_all(bytes)
        {
            self.broken.get_or_insert(format!("cannot write `{}`: {error}", stream.path));
            output.file = None;
        }
        output.pending.extend_from_slice(bytes);
        if output.pending.len() >= FLUSH_AT || output.due(Instant::now()).is_none() {
            self.flush(at);
        }
    }

    fn flush(&mut self, at: usize) {
        let output = &mut self.outputs[at];
        if output.pending.is_empty() {
            return;
        }
        if let Some(frames) = &mut self.frames
            && let Err(error) = frames.write(output.stream, &output.pending)
        {
            // The command goes on: what it prints is not all that it does.
            self.lost.get_or_insert(error.to_string());
            self.frames = None;
        }
        if output.pending.len() < FLUSH_AT {
            output.short = output.short.map(|short| short.saturating_add(1));
        }
        output.pending.clear();
        output.flushed = Some(Instant::now());
    }

    /// Reads once from a pipe; answers whether there may be more at once.
    fn read(&mut self, at: usize, buffer: &mut [u8]) -> bool {
        let Some(pipe) = &mut self.outputs[at].pipe else {
            return false;
        };
        match pipe.read(buffer) {
            Ok(0) => {
                self.outputs[at].pipe = None;
                false
            }
            Ok(length) => {
                self.take(at, &buffer[..length]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.outputs[at].pipe = None;
                false
            }
        }
    }

    /// Reads until both pipes are empty, for a bounded time: something that lives on elsewhere may hold them.
    fn drain(&mut self, buffer: &mut [u8]) {
        let until = Instant::now() + DRAIN_WITHIN;
        for at in 0..self.outputs.len() {
            while self.read(at, buffer) && Instant::now() < until {}
        }
    }
}

impl Output {
    /// When pending bytes are to be written; `None` when that is now.
    fn due(&self, now: Instant) -> Option<Instant> {
        let due = self.flushed? + pause(self.short.unwrap_or_default());
        (due > now).then_some(due)
    }
}

/// Between two frames of a stream, after so many that were short.
fn pause(short: u32) -> Duration {
    let doubled = 1u32.checked_shl(short / FLUSH_SLOWER_AFTER).unwrap_or(u32::MAX);
    FLUSH_EVERY.saturating_mul(doubled).min(FLUSH_AT_LEAST_EVERY)
}

/// Runs until the command has ended and nothing of it is left.
pub(super) fn supervise(
    command: Pid,
    signals: &Signals,
    sink: &mut Sink,
    meter: &mut Meter,
    stop_grace: Duration,
) -> io::Result<Ended> {
    let mut buffer = vec![0; 64 * 1024];
    let mut stopped = false;
    let mut kill_at: Option<Instant> = None;
    let status = loop {
        let readable = wait(signals, sink, kill_at.into_iter().chain(meter.due()).min())?;
        for (at, readable) in readable.into_iter().enumerate() {
            if readable {
                sink.read(at, &mut buffer);
            }
        }
        let now = Instant::now();
        meter.look(now);
        for at in 0..sink.outputs.len() {
            if sink.outputs[at].due(now).is_none() {
                sink.flush(at);
            }
        }
        if signals.child_ended()
            && let Some(status) = reap(command)
        {
            break status;
        }
        if signals.stop_asked() && !stopped {
            stopped = true;
            kill_at = now.checked_add(stop_grace);
            signal_group(command, Signal::TERM);
        }
        if kill_at.is_some_and(|at| at <= now) {
            kill_at = None;
            end_everything(command);
        }
    };
    end_everything(command);
    let left = !all_gone(command);
    sink.drain(&mut buffer);
    Ok(Ended { status, stopped, left })
}

/// Waits for a signal, for output, or for the next thing that is due; answers where there is output.
fn wait(signals: &Signals, sink: &Sink, due: Option<Instant>) -> io::Result<[bool; 2]> {
    let now = Instant::now();
    let dues = sink.outputs.iter().filter(|output| !output.pending.is_empty());
    let dues = dues.map(|output| output.due(now).unwrap_or(now));
    let timeout = dues.chain(due).min().map(|due| {
        // Rounded up, or the loop would spin through the last millisecond.
        let wait = due.saturating_duration_since(now) + Duration::from_millis(1);
        Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(wait.subsec_nanos()) }
    });
    let mut polled = signals.polled();
    let first = polled.len();
    let mut which = Vec::with_capacity(2);
    for (at, output) in sink.outputs.iter().enumerate() {
        if let Some(pipe) = &output.pipe {
            polled.push(PollFd::new(pipe, PollFlags::IN));
            which.push(at);
        }
    }
    match rustix::event::poll(&mut polled, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut readable = [false; 2];
    for (fd, at) in polled[first..].iter().zip(which) {
        readable[at] = !fd.revents().is_empty();
    }
    Ok(readable)
}

/// Takes every child that has ended, orphans included; answers the command's status if it is among them.
fn reap(command: Pid) -> Option<WaitStatus> {
    let mut status = None;
    while let Ok(Some((pid, ended))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == command {
            status = Some(ended);
        }
    }
    status
}

/// Waits until everything that was killed has been reaped. Only process 1 inherits the orphans and can know.
fn all_gone(command: Pid) -> bool {
    let until = Instant::now() + END_WITHIN;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Err(_) => return true,
            Ok(None) if !is_init() => return true,
            Ok(None) if Instant::now() >= until => return false,
            Ok(None) => {
                // A kill may have missed what was being forked while it went through the processes.
                end_everything(command);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_frames_become_rarer_but_not_rare() {
        let table = [(0, 10), (999, 10), (1_000, 20), (5_000, 320), (7_000, 1_280), (8_000, 2_000), (u32::MAX, 2_000)];
        for (short, ms) in table {
            assert_eq!(pause(short), Duration::from_millis(ms), "{short}");
        }
    }
}
