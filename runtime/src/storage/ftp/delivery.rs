//! Storing, renaming, making directories.

use async_trait::async_trait;
use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::super::source::Source;
use super::super::tree::{Names, parent, part_beside, take_name};
use super::super::trouble::Trouble;
use super::pool::Lease;
use super::reply::Failed;
use super::store::{Ftp, because, path};

/// How much is written between two looks at the clock.
const PIECE: usize = 32 * 1024;

impl Ftp {
    /// One try at delivering a file.
    pub(super) async fn deliver(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        let what = format!("cannot deliver `{}`", self.shown(key));
        let mut lease = self.pool.take().await.map_err(|trouble| because(&what, trouble))?;
        let target = path(key);
        match lease.look(&target).await.map_err(|failed| failed.trouble(&what))? {
            Some(there) if there.directory => {
                return Err(Trouble::rejected(format!("{what}: a directory is in the way")));
            }
            Some(_) => {}
            None => {
                if let Some(parent) = parent(key) {
                    self.make(&mut lease, parent).await?;
                }
            }
        }
        let part = path(&part_beside(key));
        let stored = self.store(&mut lease, &part, source, &what).await;
        let mut hand = Hand { ftp: self, lease: Some(lease) };
        let done = match stored {
            Ok(()) => {
                let aside = path(&part_beside(key));
                take_name(&mut hand, &part, &target, &aside).await.map_err(|(failed, lies_aside)| {
                    let was = if lies_aside { format!("; what had it is now `{aside}`") } else { String::new() };
                    // A server that does not find what it has just taken has lost it.
                    self.refused(&failed, &format!("{what}: it was sent and cannot be given its name{was}"))
                })
            }
            Err(trouble) => Err(trouble),
        };
        if done.is_err() {
            // What made it necessary is what is told.
            let _told_elsewhere = hand.remove(&part).await;
        }
        done
    }

    async fn store(&self, lease: &mut Lease, part: &str, source: &Source, what: &str) -> Result<(), Trouble> {
        let begun = timeout(lease.stalled_after, lease.ftp.put_with_stream(part)).await;
        let mut transfer = lease.heard(begun).map_err(|failed| self.refused(&failed, what))?;
        // Until its end was heard.
        lease.broken = true;
        let mut pieces = source.stream(0, source.size());
        while let Some(piece) = pieces.try_next().await.map_err(|error| Trouble::reading(what, &error))? {
            for piece in piece.chunks(PIECE) {
                match timeout(lease.stalled_after, transfer.write_all(piece)).await {
                    Ok(Ok(())) => {}
                    // What the server has to say is told on the other connection.
                    Ok(Err(error)) => {
                        let broken = Failed::Broken(format!("the connection was lost: {error}"));
                        let told =
                            lease.end(transfer).await.err().filter(|told| matches!(told, Failed::Refused { .. }));
                        lease.broken = true;
                        return Err(self.refused(&told.unwrap_or(broken), what));
                    }
                    Err(_) => return Err(Failed::silence(lease.stalled_after).trouble(what)),
                }
            }
        }
        lease.end(transfer).await.map_err(|failed| self.refused(&failed, what))?;
        let size = timeout(lease.stalled_after, lease.ftp.size(part)).await;
        match lease.heard(size) {
            Ok(size) if size as u64 != source.size() => {
                let message = format!("{what}: {size} of {} bytes have arrived", source.size());
                Err(Trouble::unavailable(message))
            }
            Ok(_) => Ok(()),
            Err(failed) if failed.ends_connection() => Err(failed.trouble(what)),
            // Some do not tell.
            Err(_) => Ok(()),
        }
    }

    /// A refusal to store: the parents are there, so it is a matter of rights.
    fn refused(&self, failed: &Failed, what: &str) -> Trouble {
        self.known.forget();
        match failed.is_unseen() {
            true => Trouble::misconfigured(failed.trouble(what).message),
            false => failed.trouble(what),
        }
    }

    /// Makes a directory with its parents.
    pub(super) async fn make(&self, lease: &mut Lease, key: &str) -> Result<(), Trouble> {
        let key = key.trim_end_matches('/');
        let mut missing = Vec::new();
        let mut next = Some(key).filter(|key| !key.is_empty());
        while let Some(directory) = next {
            if self.known.has(directory) || self.exists(lease, directory).await? {
                break;
            }
            missing.push(directory);
            next = parent(directory);
        }
        for directory in missing.into_iter().rev() {
            let made = timeout(lease.stalled_after, lease.ftp.mkdir(path(directory))).await;
            if let Err(failed) = lease.heard(made) {
                // Somebody else may have been faster.
                if failed.ends_connection() || !self.exists(lease, directory).await? {
                    let what = format!("cannot make the directory `{}`", self.shown(directory));
                    return Err(self.refused(&failed, &what));
                }
            }
        }
        self.known.add(key);
        Ok(())
    }

    async fn exists(&self, lease: &mut Lease, directory: &str) -> Result<bool, Trouble> {
        let what = format!("cannot make the directory `{}`", self.shown(directory));
        match lease.look(&path(directory)).await.map_err(|failed| failed.trouble(&what))? {
            None => Ok(false),
            Some(there) if there.directory => Ok(true),
            Some(_) => Err(Trouble::rejected(format!("{what}: a file is in the way"))),
        }
    }
}

/// A connection, or another one where it broke.
struct Hand<'a> {
    ftp: &'a Ftp,
    lease: Option<Lease>,
}

impl Hand<'_> {
    async fn sound(&mut self) -> Result<&mut Lease, Failed> {
        let lease = match self.lease.take().filter(|lease| !lease.broken) {
            Some(lease) => lease,
            None => self.ftp.pool.take().await.map_err(|trouble| Failed::Broken(trouble.message))?,
        };
        Ok(self.lease.insert(lease))
    }
}

#[async_trait]
impl Names for Hand<'_> {
    type Failed = Failed;

    async fn rename(&mut self, from: &str, to: &str) -> Result<(), Failed> {
        let lease = self.sound().await?;
        let renamed = timeout(lease.stalled_after, lease.ftp.rename(from, to)).await;
        lease.heard(renamed)
    }

    async fn remove(&mut self, name: &str) -> Result<(), Failed> {
        let lease = self.sound().await?;
        let removed = timeout(lease.stalled_after, lease.ftp.rm(name)).await;
        lease.heard(removed)
    }

    async fn is_file(&mut self, name: &str) -> Result<bool, Failed> {
        Ok(self.sound().await?.look(name).await?.is_some_and(|there| !there.directory))
    }
}
