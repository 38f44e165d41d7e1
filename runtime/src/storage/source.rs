//! A file on its way out: read in pieces, hashed once.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use sha2::{Digest, Sha256};

use super::checksum::{Algorithm, Checksum, Hasher, hex};
use super::trouble::{Trouble, blocking};

/// A piece of an upload.
const PIECE: usize = 256 * 1024;

/// A file to write somewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    file: Arc<File>,
    size: u64,
    modified: Option<std::time::SystemTime>,
    hashed: Arc<Mutex<Hashed>>,
    done: Arc<std::sync::atomic::AtomicU64>,
}

/// The digest as far as it got: the file is read for it only once, if its bytes come by in order.
#[derive(Debug, Default)]
struct Hashed {
    hash: Sha256,
    to: u64,
}

impl Source {
    /// A regular file, open for reading.
    pub fn new(file: File) -> io::Result<Self> {
        let about = file.metadata()?;
        Ok(Self {
            size: about.len(),
            modified: about.modified().ok(),
            file: Arc::new(file),
            hashed: Arc::default(),
            done: Arc::default(),
        })
    }

    /// Bytes, when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When it was last modified.
    pub fn modified(&self) -> Option<std::time::SystemTime> {
        self.modified
    }

    /// Bytes that were handed out so far, again and again where something was tried again: for people.
    pub fn progress(&self) -> Arc<std::sync::atomic::AtomicU64> {
        Arc::clone(&self.done)
    }

    /// A stretch of it, in pieces. It ends early only with an error: a file that became shorter is one.
    pub fn stream(&self, from: u64, length: u64) -> BoxStream<'static, io::Result<Bytes>> {
        let end = from + length;
        let source = self.clone();
        try_unfold(from, move |at| {
            let source = source.clone();
            async move {
                if at >= end {
                    return Ok(None);
                }
                let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(PIECE);
                let piece = tokio::task::spawn_blocking(move || source.piece(at, length)).await;
                let piece = piece.map_err(io::Error::other)??;
                Ok(Some((piece, at + length as u64)))
            }
        })
        .boxed()
    }

    fn piece(&self, at: u64, length: usize) -> io::Result<Bytes> {
        let mut piece = vec![0; length];
        self.file.read_exact_at(&mut piece, at)?;
        self.hash(at, &piece);
        self.done.fetch_add(length as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(piece.into())
    }

    fn hash(&self, at: u64, piece: &[u8]) {
        let mut hashed = self.lock();
        if hashed.to == at {
            hashed.hash.update(piece);
            hashed.to += piece.len() as u64;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Hashed> {
        self.hashed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The checksum of a stretch, which some protocols want before its bytes. Asked for in order, it costs no reading
    /// beyond the one for the digest.
    pub async fn checksum(&self, algorithm: Algorithm, from: u64, length: u64) -> Result<Checksum, Trouble> {
        let source = self.clone();
        blocking(move || {
            let mut hasher = Hasher::new(algorithm);
            source.each(from, from + length, |piece| hasher.update(piece))?;
            Ok(hasher.finish())
        })
        .await
    }

    /// SHA-256 of the whole, lower-case hexadecimal. Reads what nobody has read yet.
    pub async fn sha256(&self) -> Result<String, Trouble> {
        let source = self.clone();
        blocking(move || {
            let from = source.lock().to;
            source.each(from, source.size, |_| {})?;
            let hashed = source.lock();
            Ok(hex(&hashed.hash.clone().finalize()))
        })
        .await
    }

    fn each(&self, from: u64, end: u64, mut seen: impl FnMut(&[u8])) -> Result<(), Trouble> {
        let mut buffer = vec![0; PIECE];
        let mut at = from;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(PIECE);
            let read = self.file.read_exact_at(&mut buffer[..length], at);
            read.map_err(|error| Trouble::reading("cannot read the output", &error))?;
            self.hash(at, &buffer[..length]);
            seen(&buffer[..length]);
            at += length as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use futures::TryStreamExt;

    use super::*;

    fn source(text: &[u8]) -> Source {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        Source::new(file).unwrap()
    }

    #[tokio::test]
    async fn a_digest_is_the_same_however_the_bytes_came_by() {
        let text: Vec<u8> = (0..PIECE * 3 + 7).map(|n| (n % 251) as u8).collect();
        let whole = hex(&Sha256::digest(&text));
        let size = text.len() as u64;

        assert_eq!(source(&text).sha256().await.unwrap(), whole);
        let streamed = source(&text);
        let pieces: Vec<Bytes> = streamed.stream(0, size).try_collect().await.unwrap();
        assert_eq!(pieces.concat(), text);
        assert_eq!(streamed.sha256().await.unwrap(), whole);
        let jumbled = source(&text);
        jumbled.checksum(Algorithm::Crc32c, 100, 50).await.unwrap();
        jumbled.checksum(Algorithm::Crc32c, 0, 100).await.unwrap();
        let tail: Vec<Bytes> = jumbled.stream(size - 5, 5).try_collect().await.unwrap();
        assert_eq!(tail.concat(), text[text.len() - 5..]);
        assert_eq!(jumbled.sha256().await.unwrap(), whole);
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let source = Source::new(file.try_clone().unwrap()).unwrap();
        file.set_len(5).unwrap();
        assert!(source.stream(0, 10).try_collect::<Vec<_>>().await.is_err());
        assert!(source.sha256().await.is_err());
    }
}
