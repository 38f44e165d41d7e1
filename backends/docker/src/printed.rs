//! What steps print: read from the frames that the wrapper writes.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use tessera_contract::{JobId, LogChunk, Stream};
use tessera_runtime::frames::{self, Place};
use tessera_runtime::node::attempt::{self, Attempt};
use tessera_runtime::step;

/// Bytes of one answer.
const CHUNK: usize = 256 * 1024;
/// Streams whose place is remembered. Whoever is forgotten is read from the start once more.
const PLACES: usize = 1_024;

/// One stream of one step of a job.
type Of = (JobId, u32, Stream);

/// Reads what steps print, and remembers where each stream was read to: a file of frames has no index, and whoever
/// follows it would read it from the start again and again.
#[derive(Debug, Default)]
pub(crate) struct Printed {
    places: Mutex<HashMap<Of, Place>>,
}

impl Printed {
    /// What a step has printed from an offset on; `None` when there is no such job.
    pub(crate) fn read(&self, attempt: &Attempt, of: Of, from: u64) -> io::Result<Option<LogChunk>> {
        let nothing = |ended| Some(LogChunk { bytes: Vec::new(), next: from, more: false, ended });
        if !attempt.dir().try_exists()? {
            return Ok(None);
        }
        match self.read_present(attempt, of, from, nothing) {
            // It may have gone in between: then its files say nothing.
            _ if !attempt.dir().try_exists()? => Ok(None),
            read => read,
        }
    }

    fn read_present(
        &self,
        attempt: &Attempt,
        of: Of,
        from: u64,
        nothing: impl Fn(bool) -> Option<LogChunk>,
    ) -> io::Result<Option<LogChunk>> {
        // Asked before reading: what comes after the end was seen cannot be missed.
        let job_ended = attempt.has(attempt::REPORT)?;
        let Ok(dir) = attempt.open_step(of.1) else {
            return Ok(nothing(job_ended));
        };
        let ended = job_ended || dir.open_regular(step::RECORD)?.is_some();
        let Some(file) = dir.open_regular(step::FRAMES)? else {
            return Ok(nothing(ended));
        };
        let stream = match of.2 {
            Stream::Stdout => frames::Stream::Stdout,
            Stream::Stderr => frames::Stream::Stderr,
        };
        let mut place = self.lock().get(&of).copied().unwrap_or_default();
        let chunk = frames::read_on(&file, stream, from, CHUNK, &mut place)?;
        self.remember(of, place);
        let (more, ended) = (chunk.more, ended && !chunk.more);
        Ok(Some(LogChunk { bytes: chunk.bytes, next: chunk.next, more, ended }))
    }

    fn remember(&self, of: Of, place: Place) {
        let mut places = self.lock();
        if places.len() >= PLACES && !places.contains_key(&of) {
            places.clear();
        }
        places.insert(of, place);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Of, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
