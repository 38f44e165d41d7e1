//! A storage in memory, stricter than the real ones: it counts what it is asked, and fails as told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

use super::checksum::{Algorithm, Checksum, Hasher};
use super::source::Source;
use super::store::{Abilities, Listed, Object, Page, Reading, Span, Store, Tag};
use super::trouble::{Patience, Trouble, Why};

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Happens {
    /// It is answered with this.
    Fails(Trouble),
    /// Its body breaks off after so many bytes.
    Breaks(usize),
    /// Another object takes the place of the one asked for, before the answer.
    Changes(&'static [u8]),
    /// A byte of the body is another one.
    Lies,
    /// The whole comes, whatever part was asked for.
    Ignores,
}

/// One bucket.
#[derive(Debug)]
pub(crate) struct Memory {
    inside: Mutex<Inside>,
    patience: Patience,
    /// Names on one page of a listing.
    page: usize,
}

#[derive(Debug, Default)]
struct Inside {
    objects: BTreeMap<String, (Bytes, u32)>,
    version: u32,
    asked: Vec<String>,
    happens: VecDeque<Happens>,
    demanded: Vec<Checksum>,
    versionless: bool,
}

impl Memory {
    pub(crate) fn with(objects: &[(&str, &[u8])], patience: Patience) -> Self {
        let memory = Self { inside: Mutex::default(), patience, page: 3 };
        objects.iter().for_each(|(key, content)| memory.put(key, content));
        memory
    }

    pub(crate) fn put(&self, key: &str, content: &[u8]) {
        let mut inside = self.lock();
        inside.version += 1;
        let version = inside.version;
        inside.objects.insert(key.to_owned(), (Bytes::copy_from_slice(content), version));
    }

    pub(crate) fn get(&self, key: &str) -> Option<Bytes> {
        self.lock().objects.get(key).map(|(content, _)| content.clone())
    }

    /// What happens to the next requests, one each.
    pub(crate) fn happens(&self, next: impl IntoIterator<Item = Happens>) {
        self.lock().happens.extend(next);
    }

    /// What is promised of every object.
    pub(crate) fn promises(&self, object: Object) {
        self.lock().demanded = object.demanded;
    }

    /// Versions are not told any more.
    pub(crate) fn forgets_versions(&self) {
        self.lock().versionless = true;
    }

    /// What was asked since the last time, in order: `verb key`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().asked)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no test panics while it holds the lock")
    }

    fn ask(&self, what: String) -> Result<Option<Happens>, Trouble> {
        let mut inside = self.lock();
        inside.asked.push(what);
        match inside.happens.pop_front() {
            Some(Happens::Fails(trouble)) => Err(trouble),
            happens => Ok(happens),
        }
    }
}

fn object(content: &Bytes, version: u32) -> Object {
    let mut sum = Hasher::new(Algorithm::Crc32c);
    sum.update(content);
    Object {
        directory: false,
        size: Some(content.len() as u64),
        tag: Some(Tag(format!("v{version}"))),
        modified: jiff::Timestamp::from_second(1_000_000_000 + i64::from(version)).ok(),
        checksums: vec![sum.finish()],
        ..Object::default()
    }
}

#[async_trait]
impl Store for Memory {
    fn abilities(&self) -> Abilities {
        Abilities { lists: true, ranges: true, writes: true }
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble> {
        self.ask(format!("stat {key}"))?;
        Ok(self.lock().objects.get(key).map(|(content, version)| object(content, *version)))
    }

    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble> {
        let happens = self.ask(format!("read {key}"))?;
        if let Some(Happens::Changes(content)) = happens {
            self.put(key, content);
        }
        let found = self.lock().objects.get(key).cloned();
        let Some((content, version)) = found else {
            return Err(Trouble::absent(format!("`mem://{key}` does not exist")));
        };
        let object = {
            let inside = self.lock();
            let object = object(&content, version);
            let tag = object.tag.filter(|_| !inside.versionless);
            let checksums = if inside.versionless { Vec::new() } else { object.checksums };
            Object { tag, checksums, demanded: inside.demanded.clone(), ..object }
        };
        if same.is_some_and(|same| object.tag.as_ref() != Some(same)) {
            return Err(Trouble { why: Why::Changed, ..Trouble::unavailable("changed") });
        }
        let span = if let Some(Happens::Ignores) = happens { Span::WHOLE } else { span };
        let from = usize::try_from(span.from).expect("small").min(content.len());
        let end = span.length.map_or(content.len(), |length| from + usize::try_from(length).expect("small"));
        let mut body = content.slice(from..end.min(content.len()));
        let mut ends = Vec::new();
        match happens {
            Some(Happens::Breaks(after)) => {
                body.truncate(after);
                ends.push(Err(Trouble::unavailable("the connection broke")));
            }
            Some(Happens::Lies) if !body.is_empty() => {
                let mut other = body.to_vec();
                other[0] ^= 1;
                body = other.into();
            }
            _ => {}
        }
        let pieces: Vec<_> = body.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).chain(ends).collect();
        Ok(Reading { object, from: span.from, body: futures::stream::iter(pieces).boxed() })
    }

    async fn list(&self, directory: &str, page: Option<&str>) -> Result<Page, Trouble> {
        self.ask(format!("list {directory}"))?;
        let prefix = if directory.is_empty() { String::new() } else { format!("{}/", directory.trim_end_matches('/')) };
        let inside = self.lock();
        let after = page.unwrap_or_default();
        let mut found = (inside.objects.iter()).filter(|(key, _)| key.starts_with(&prefix) && key.as_str() > after);
        let mut entries = Vec::new();
        let mut last = None;
        for (key, (content, version)) in found.by_ref().take(self.page) {
            last = Some(key.clone());
            entries.push(Listed { name: key[prefix.len()..].to_owned(), object: object(content, *version) });
        }
        let more = found.next().is_some();
        Ok(Page { entries, next: last.filter(|_| more) })
    }

    async fn write(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        let attempt = || async {
            self.ask(format!("write {key}"))?;
            let pieces: Vec<_> = source.stream(0, source.size()).collect().await;
            let pieces: Result<Vec<_>, _> = pieces.into_iter().collect();
            let pieces = pieces.map_err(|error| Trouble::reading("cannot read the output", &error))?;
            self.put(key, &pieces.concat());
            Ok(())
        };
        self.patience.retry(attempt).await
    }

    async fn make_directory(&self, _key: &str) -> Result<(), Trouble> {
        Ok(())
    }
}

/// A checksum of some content, for tests.
pub(crate) fn checksum(algorithm: Algorithm, content: &[u8]) -> Checksum {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(content);
    hasher.finish()
}
