//! The seat of a server among several: its data folder, which nobody else uses as long as it runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ulid::Ulid;

/// Below the data folder: the id of the seat, locked while a server sits there.
const FILE: &str = "seat";
/// Between two tries to take a seat that a former run still leaves.
const AGAIN: Duration = Duration::from_millis(100);
/// Says what the host is called.
const HOST: &str = "/proc/sys/kernel/hostname";

/// A data folder that is ours.
pub(super) struct Seat {
    /// Its id, made once.
    pub(super) id: String,
    /// The lock goes with it.
    _file: File,
}

impl Seat {
    /// Takes the seat; a former run that is about to go is waited for.
    pub(super) async fn take(data: &Path, patience: Duration) -> anyhow::Result<Self> {
        let path = data.join(FILE);
        let about = || format!("cannot use `{}`", path.display());
        let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
        let mut file = opened.with_context(about)?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => tokio::time::sleep(AGAIN).await,
                Err(TryLockError::WouldBlock) => {
                    bail!("another server uses the data folder `{}`; give each its own with --data", data.display())
                }
                Err(TryLockError::Error(error)) => return Err(error).with_context(about),
            }
        }
        let mut id = String::new();
        file.read_to_string(&mut id).with_context(about)?;
        let mut id = id.trim().to_owned();
        if id.is_empty() {
            id = Ulid::generate().to_string().to_ascii_lowercase();
            file.write_all(id.as_bytes()).and_then(|()| file.sync_all()).with_context(about)?;
        }
        Ok(Self { id, _file: file })
    }
}

/// What the host is called, as far as that can be a server's name.
pub(super) fn host_name(may_be: impl Fn(&str) -> bool) -> anyhow::Result<String> {
    let name = std::fs::read_to_string(HOST).unwrap_or_default();
    let name = name.trim();
    if !may_be(name) {
        bail!("the host is called `{name}`, which cannot name a server: give it a `replica.name`");
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_seat_is_one_servers_and_keeps_its_id() {
        let data = tempfile::tempdir().unwrap();
        let first = Seat::take(data.path(), Duration::ZERO).await.unwrap();
        let refused = Seat::take(data.path(), Duration::ZERO).await.err().unwrap();
        assert!(refused.to_string().contains("another server uses the data folder"), "{refused}");
        let id = first.id.clone();
        drop(first);
        assert_eq!(Seat::take(data.path(), Duration::ZERO).await.unwrap().id, id);
        assert!(!id.is_empty());
    }
}
