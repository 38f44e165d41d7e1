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
/// Streams whose place is remembered. The one that was not asked for the longest is forgotten for another one, and read
/// from the start when it is asked for again.
const PLACES: usize = 1_024;

/// One stream of one step of a job.
type Of = (JobId, u32, Stream);

/// Reads what steps print, and remembers where each stream was read to: a file of frames has no index, and whoever
/// follows it would read it from the start again and again.
#[derive(Debug, Default)]
pub(crate) struct Printed {
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    /// Each with the moment of its last use.
    known: HashMap<Of, (u64, Place)>,
    now: u64,
}

impl Places {
    fn of(&self, of: &Of) -> Place {
        self.known.get(of).map(|(_, place)| *place).unwrap_or_default()
    }

    fn remember(&mut self, of: Of, place: Place) {
        self.now += 1;
        if self.known.len() >= PLACES && !self.known.contains_key(&of) {
            let oldest = self.known.iter().min_by_key(|(_, (used, _))| *used).map(|(of, _)| of.clone());
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        self.known.insert(of, (self.now, place));
    }
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
        let mut place = self.lock().of(&of);
        let chunk = frames::read_on(&file, stream, from, CHUNK, &mut place)?;
        self.lock().remember(of, place);
        let (more, ended) = (chunk.more, ended && !chunk.more);
        Ok(Some(LogChunk { bytes: chunk.bytes, next: chunk.next, more, ended }))
    }

    /// A job is removed.
    pub(crate) fn forget(&self, job: &JobId) {
        self.lock().known.retain(|(known, ..), _| known != job);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_new_drives_out_one_and_not_all() {
        let printed = Printed::default();
        let of = |job: u32| (JobId::of_attempt("t", job), 0, Stream::Stdout);
        let count = u32::try_from(PLACES).unwrap();
        (0..count).for_each(|job| printed.lock().remember(of(job), Place::default()));
        printed.lock().remember(of(0), Place::default());
        printed.lock().remember(of(count), Place::default());
        let known = |job: u32| printed.lock().known.contains_key(&of(job));
        assert!(known(0) && !known(1) && known(2) && known(count));
        assert_eq!(printed.lock().known.len(), PLACES);
        printed.forget(&of(2).0);
        assert!(!known(2) && known(3));
    }
}
