//! An object into a file: as few requests as can be, as many at once as help.
//!
//! The first request asks for the whole object. If that turns out to be large, and the storage names its version, its
//! first segment is taken from that answer and the others are asked for beside it. What breaks off goes on where it
//! stopped; what changes meanwhile begins again. Only a transfer that stalls is given up, never one that is slow.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::checksum::{Algorithm, Checksum, Hasher};
use super::moved::One;
use super::room;
use super::store::{Object, Reading, Span, Store, Tag};
use super::trouble::{Patience, Trouble, Why, blocking};

/// What is fetched in one request of a large object.
pub const SEGMENT: u64 = 16 << 20;
/// Requests at once, for all objects together.
const REQUESTS: usize = 32;
/// Requests at once for one object.
const REQUESTS_EACH: usize = 8;
/// What is gathered before it is written.
const GATHERED: usize = 512 << 10;
/// How often an object that changes is begun again.
const BEGINNINGS: u32 = 3;
/// How much is written of something without a known size between two looks at the room that is left.
const LOOK_EVERY: u64 = 64 << 20;

/// Fetches objects, no more than so many requests at once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    requests: Arc<Semaphore>,
    patience: Patience,
    done: Arc<AtomicU64>,
}

/// One object to fetch.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where it is.
    pub store: &'a dyn Store,
    /// What it is called there.
    pub key: &'a str,
    /// What it is called in messages.
    pub shown: &'a str,
    /// What its content must come to.
    pub expected: &'a [Checksum],
    /// What is known of it, for instance from a listing; only that version is fetched.
    pub known: Option<&'a Object>,
    /// No more bytes than this.
    pub most: Option<u64>,
    /// Where it is counted for people.
    pub counted: Option<&'a One>,
}

impl Fetcher {
    /// `patience` counts tries without any progress.
    pub fn new(patience: Patience) -> Self {
        Self { requests: Arc::new(Semaphore::new(REQUESTS)), patience, done: Arc::default() }
    }

    /// Bytes written so far by all fetches, for people.
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.done)
    }

    /// Fetches one object into an empty file; answers what it is, and the file.
    pub async fn fetch(&self, wanted: Wanted<'_>, make: &File) -> Result<Object, Trouble> {
        let file = make.try_clone().map_err(|error| Trouble::writing("cannot write", &error))?;
        let file = Arc::new(file);
        let mut begun = 0;
        let mut splits = true;
        loop {
            begun += 1;
            // Mirrors that name versions differently are one object only to one request; so the last try is one.
            splits &= begun < BEGINNINGS;
            let fetched = Fetch { fetcher: self, wanted, file: &file, splits }.whole().await;
            match fetched {
                Err(trouble) if trouble.why == Why::Rangeless && splits => splits = false,
                Err(trouble) if trouble.why == Why::Changed && wanted.known.is_none() && begun < BEGINNINGS => {}
                Err(trouble) if trouble.why == Why::Changed && wanted.known.is_none() => {
                    let message = format!("{}; it was begun {begun} times", trouble.message);
                    return Err(Trouble { message, ..trouble });
                }
                fetched => return fetched,
            }
            if let Some(counted) = wanted.counted {
                counted.begins_again();
            }
            file.set_len(0).map_err(|error| Trouble::writing("cannot begin again", &error))?;
        }
    }
}

/// One fetch of one object, from its beginning.
struct Fetch<'a> {
    fetcher: &'a Fetcher,
    wanted: Wanted<'a>,
    file: &'a Arc<File>,
    /// Whether a large object may be fetched in several requests.
    splits: bool,
}

/// A stretch that is fetched in one go.
#[derive(Debug, Clone, Copy)]
struct Segment {
    from: u64,
    end: Option<u64>,
}

impl Fetch<'_> {
    async fn whole(&self) -> Result<Object, Trouble> {
        let mut failed = 0;
        let first = loop {
            let known = self.wanted.known.and_then(|known| known.tag.as_ref());
            match self.read(Span::WHOLE, known).await {
                Ok(first) => break first,
                Err(trouble) => {
                    failed += 1;
                    if trouble.why == Why::Changed || self.patience(failed, &trouble).await.is_none() {
                        return Err(trouble);
                    }
                }
            }
        };
        let object = self.completed(first.0.object.clone());
        if let Some(size) = object.size {
            if let Some(counted) = self.wanted.counted {
                counted.sized(size);
            }
            self.fits(size)?;
            room::has(self.file, size)?;
        }
        let proofs = self.proofs(&object);
        let splits = self.splits && self.wanted.store.abilities().ranges && object.tag.is_some();
        let proved = match object.size {
            Some(size) if splits && size >= 2 * SEGMENT => self.side_by_side(first, size, &object, &proofs).await?,
            size => {
                let segment = Segment { from: 0, end: size };
                self.segment(segment, Some(first), object.tag.as_ref(), &algorithms(&proofs)).await?
            }
        };
        self.prove(&proofs, proved).await?;
        Ok(object)
    }

    /// What the answer says, and what was known before.
    fn completed(&self, mut object: Object) -> Object {
        if let Some(known) = self.wanted.known {
            object.size = object.size.or(known.size);
            object.modified = object.modified.or(known.modified);
        }
        object
    }

    fn fits(&self, size: u64) -> Result<(), Trouble> {
        match self.wanted.most {
            Some(most) if size > most => Err(Trouble::rejected(format!(
                "`{}` has {size} bytes or more, and {most} are allowed",
                self.wanted.shown
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// What is asked for is everything that was demanded, and the cheapest of what the storage vouches for.
    fn proofs(&self, object: &Object) -> Vec<(Checksum, bool)> {
        let cheapest = object.checksums.iter().min_by_key(|sum| (!sum.algorithm.combines(), sum.algorithm.length()));
        let demanded = self.wanted.expected.iter().chain(&object.demanded).map(|sum| (sum.clone(), true));
        demanded.chain(cheapest.map(|sum| (sum.clone(), false))).collect()
    }

    async fn read(&self, span: Span, same: Option<&Tag>) -> Result<(Reading, Permit), Trouble> {
        let permit = Arc::clone(&self.fetcher.requests).acquire_owned().await;
        let permit = permit.map_err(|_| Trouble::unavailable("staging was cut short"))?;
        Ok((self.wanted.store.read(self.wanted.key, span, same).await?, permit))
    }

    async fn patience(&self, failed: u32, trouble: &Trouble) -> Option<()> {
        self.fetcher.patience.wait(failed, trouble).await
    }

    async fn side_by_side(
        &self,
        first: (Reading, Permit),
        size: u64,
        object: &Object,
        proofs: &[(Checksum, bool)],
    ) -> Result<Vec<Checksum>, Trouble> {
        let apart: Vec<Algorithm> = algorithms(proofs).into_iter().filter(|algorithm| algorithm.combines()).collect();
        let segments = (0..size.div_ceil(SEGMENT))
            .map(|index| Segment { from: index * SEGMENT, end: Some(size.min((index + 1) * SEGMENT)) });
        let mut first = Some(first);
        let fetches = segments.map(|segment| {
            let length = segment.end.unwrap_or(size) - segment.from;
            let fetch = self.segment(segment, first.take(), object.tag.as_ref(), &apart);
            async move { fetch.await.map(|sums| (sums, length)) }
        });
        // Collected before they run: each owns the reference to what they share.
        let fetches: Vec<_> = fetches.collect();
        let fetched: Vec<_> = stream::iter(fetches).buffered(REQUESTS_EACH).try_collect().await?;
        let mut whole: Option<Vec<Checksum>> = None;
        for (sums, length) in fetched {
            whole = Some(match whole {
                None => sums,
                Some(before) => {
                    let both = before.iter().zip(&sums).map(|(a, b)| Hasher::combine(a, b, length));
                    both.flatten().collect()
                }
            });
        }
        Ok(whole.unwrap_or_default())
    }

    /// Fetches one stretch, as often as it takes; answers its checksums.
    async fn segment(
        &self,
        segment: Segment,
        mut first: Option<(Reading, Permit)>,
        tag: Option<&Tag>,
        algorithms: &[Algorithm],
    ) -> Result<Vec<Checksum>, Trouble> {
        let fresh = || Flow {
            begins: segment.from,
            at: segment.from,
            end: segment.end,
            hashers: algorithms.iter().map(|algorithm| Hasher::new(*algorithm)).collect(),
            looked_at: 0,
        };
        let mut flow = fresh();
        let mut failed = 0;
        loop {
            let before = flow.at;
            let trouble = match self.turn(&mut flow, first.take(), tag).await {
                Ok(()) => return Ok(flow.hashers.into_iter().map(Hasher::finish).collect()),
                Err(trouble) => trouble,
            };
            if matches!(trouble.why, Why::Changed | Why::Rangeless) {
                return Err(trouble);
            }
            // What counts are tries without any progress; and what has to begin again has made none.
            failed = if flow.at > before && tag.is_some() { 1 } else { failed + 1 };
            if self.patience(failed, &trouble).await.is_none() {
                return Err(trouble);
            }
            if tag.is_none() {
                // Nothing says that the rest would belong to it.
                if let Some(counted) = self.wanted.counted {
                    counted.lost(flow.at - flow.begins);
                }
                flow = fresh();
                self.file.set_len(segment.from).map_err(|error| Trouble::writing("cannot begin again", &error))?;
            }
        }
    }

    /// One request and its body.
    async fn turn(&self, flow: &mut Flow, first: Option<(Reading, Permit)>, tag: Option<&Tag>) -> Result<(), Trouble> {
        if flow.end == Some(flow.at) {
            return Ok(());
        }
        let (reading, _permit) = match first {
            Some(first) => first,
            None => {
                let span = match tag {
                    Some(_) => Span { from: flow.at, length: flow.end.map(|end| end - flow.at) },
                    None => Span::WHOLE,
                };
                self.read(span, tag).await?
            }
        };
        let Some(mut skip) = flow.at.checked_sub(reading.from) else {
            return Err(self.changed("the storage answered with another part than was asked for"));
        };
        if skip > 0 && self.splits && flow.begins > 0 {
            // Every part would cost all that stands before it.
            let message = format!("`{}` cannot be fetched in parts", self.wanted.shown);
            return Err(Trouble { why: Why::Rangeless, ..Trouble::unavailable(message) });
        }
        if tag.is_none() && flow.end.is_some() && reading.object.size.is_some_and(|size| Some(size) != flow.end) {
            return Err(self.changed("its size is another one than before"));
        }
        let mut body = reading.body;
        let mut gathered = Vec::new();
        let mut bytes = 0;
        let ended = loop {
            let room = flow.end.map(|end| end - flow.at - bytes as u64);
            if room == Some(0) {
                break Ok(());
            }
            let mut piece: Bytes = match body.next().await {
                Some(Ok(piece)) => piece,
                Some(Err(trouble)) => break Err(trouble),
                None if room.is_none() => break Ok(()),
                None => {
                    let message = format!("`{}` ended before its end", self.wanted.shown);
                    break Err(Trouble::unavailable(message));
                }
            };
            // A storage that knows no ranges begins at the beginning.
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= skipped as u64;
            let _before = piece.split_to(skipped);
            if let Some(room) = room {
                piece.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            }
            bytes += piece.len();
            gathered.push(piece);
            if bytes >= GATHERED {
                self.write(flow, std::mem::take(&mut gathered)).await?;
                bytes = 0;
            }
        };
        self.write(flow, gathered).await?;
        ended
    }

    fn changed(&self, why: &str) -> Trouble {
        Trouble { why: Why::Changed, ..Trouble::unavailable(format!("cannot fetch `{}`: {why}", self.wanted.shown)) }
    }

    async fn write(&self, flow: &mut Flow, pieces: Vec<Bytes>) -> Result<(), Trouble> {
        let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if flow.end.is_none() {
            self.fits(flow.at + length)?;
            if flow.at + length >= flow.looked_at {
                room::has(self.file, LOOK_EVERY)?;
                flow.looked_at = flow.at + LOOK_EVERY;
            }
        }
        let (file, from) = (Arc::clone(self.file), flow.at);
        let mut hashers = std::mem::take(&mut flow.hashers);
        let write = move || {
            let mut at = from;
            for piece in &pieces {
                let written = file.write_all_at(piece, at);
                written.map_err(|error| Trouble::writing("cannot write what was fetched", &error))?;
                hashers.iter_mut().for_each(|hasher| hasher.update(piece));
                at += piece.len() as u64;
            }
            Ok(hashers)
        };
        flow.hashers = blocking(write).await?;
        flow.at += length;
        self.fetcher.done.fetch_add(length, Ordering::Relaxed);
        if let Some(counted) = self.wanted.counted {
            counted.moved(length);
        }
        Ok(())
    }

    /// Compares what came with what was to come. Checksums that cannot be put together are computed by reading.
    async fn prove(&self, proofs: &[(Checksum, bool)], computed: Vec<Checksum>) -> Result<(), Trouble> {
        for (expected, demanded) in proofs {
            let known = computed.iter().find(|sum| sum.algorithm == expected.algorithm);
            let found = match known {
                Some(found) => found.clone(),
                None => {
                    let (file, algorithm) = (Arc::clone(self.file), expected.algorithm);
                    blocking(move || of_file(&file, algorithm)).await?
                }
            };
            if found == *expected {
                continue;
            }
            let (shown, name) = (self.wanted.shown, expected.algorithm.name());
            let (expected, found) = (expected.hex(), found.hex());
            let message = format!("`{shown}` was to have the {name} {expected} and has {found}");
            return Err(match demanded {
                true => Trouble::rejected(message),
                false => Trouble { why: Why::Changed, ..Trouble::unavailable(message) },
            });
        }
        Ok(())
    }
}

type Permit = tokio::sync::OwnedSemaphorePermit;

/// How far a stretch has come.
struct Flow {
    begins: u64,
    at: u64,
    end: Option<u64>,
    hashers: Vec<Hasher>,
    /// Up to where there was room when it was last looked at.
    looked_at: u64,
}

fn algorithms(proofs: &[(Checksum, bool)]) -> Vec<Algorithm> {
    let mut algorithms: Vec<_> = proofs.iter().map(|(sum, _)| sum.algorithm).collect();
    algorithms.dedup();
    algorithms
}

fn of_file(file: &File, algorithm: Algorithm) -> Result<Checksum, Trouble> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; GATHERED];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at);
        match read.map_err(|error| Trouble::reading("cannot read what was fetched", &error))? {
            0 => return Ok(hasher.finish()),
            length => {
                hasher.update(&buffer[..length]);
                at += length as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests;
