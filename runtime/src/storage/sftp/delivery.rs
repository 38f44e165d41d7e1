//! Writing, renaming, making directories.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use russh_sftp::client::error::Error;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Status};

use super::super::source::Source;
use super::super::tree::{Names, parent, part_beside, take_name};
use super::super::trouble::{Trouble, Why};
use super::session::{Kind, Opened, Session, kind, refused};
use super::store::{Sftp, path};

impl Sftp {
    /// One try at delivering a file.
    pub(super) async fn deliver(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        let what = format!("cannot deliver `{}`", self.shown(key));
        let session = self.session(&what).await?;
        let target = path(key);
        match session.look(&target, &what).await? {
            Some(there) if kind(&there) == Some(Kind::Directory) => {
                return Err(Trouble::rejected(format!("{what}: a directory is in the way")));
            }
            Some(_) => {}
            None => {
                if let Some(parent) = parent(key) {
                    self.make(&session, parent).await?;
                }
            }
        }
        let part = path(&part_beside(key));
        let delivered = match write(&session, &part, source, &what).await {
            Ok(()) => self.name(&session, &part, key, &what).await,
            Err(trouble) => Err(trouble),
        };
        if delivered.is_err() {
            self.remove(&part, &what).await;
        }
        delivered.map_err(|trouble| match trouble.why {
            // The directory was there a moment ago.
            Why::Absent => {
                self.known.forget();
                Trouble::unavailable(trouble.message)
            }
            Why::Directory | Why::Changed | Why::Rangeless | Why::Other => trouble,
        })
    }

    /// Removes what was begun, on a new session where the old one broke; what made it necessary is what is told.
    async fn remove(&self, part: &str, what: &str) {
        if let Ok(session) = self.session(what).await {
            let _told_elsewhere = session.heard(what, session.sftp.remove(part)).await;
        }
    }

    /// Gives a file its name, replacing what has it.
    async fn name(&self, session: &Session, part: &str, key: &str, what: &str) -> Result<(), Trouble> {
        let what = format!("{what}: it was sent and cannot be given its name");
        if session.can_replace {
            return session.done(&what, session.replace(part, &path(key))).await;
        }
        let aside = path(&part_beside(key));
        let named = take_name(&mut Hand { sftp: self, what: &what }, part, &path(key), &aside).await;
        named.map_err(|(trouble, lies_aside)| match lies_aside {
            true => Trouble { message: format!("{}; what had it is now `{aside}`", trouble.message), ..trouble },
            false => trouble,
        })
    }

    /// Makes a directory with its parents.
    pub(super) async fn make(&self, session: &Session, key: &str) -> Result<(), Trouble> {
        let key = key.trim_matches('/');
        let mut missing = Vec::new();
        let mut next = Some(key).filter(|key| !key.is_empty());
        while let Some(directory) = next {
            if self.known.has(directory) || self.exists(session, directory).await? {
                break;
            }
            missing.push(directory);
            next = parent(directory);
        }
        for directory in missing.into_iter().rev() {
            let what = format!("cannot make the directory `{}`", self.shown(directory));
            let made = session.sftp.mkdir(path(directory), FileAttributes::default());
            if let Err(code) = session.heard(&what, made).await? {
                // Somebody else may have been faster.
                if !self.exists(session, directory).await? {
                    self.known.forget();
                    return Err(refused(&what, code));
                }
            }
        }
        self.known.add(key);
        Ok(())
    }

    async fn exists(&self, session: &Session, directory: &str) -> Result<bool, Trouble> {
        let what = format!("cannot make the directory `{}`", self.shown(directory));
        match session.look(&path(directory), &what).await?.map(|there| kind(&there)) {
            None => Ok(false),
            Some(Some(Kind::Directory) | None) => Ok(true),
            Some(Some(Kind::File | Kind::Link | Kind::Special)) => {
                Err(Trouble::rejected(format!("{what}: a file is in the way")))
            }
        }
    }
}

/// Writes a new file, many requests at a time, and makes it durable.
async fn write(session: &Arc<Session>, part: &str, source: &Source, what: &str) -> Result<(), Trouble> {
    let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
    let opened = Opened::file(session, part, flags, what).await?.map_err(|code| refused(what, code))?;
    let piece = session.write_piece as usize;
    let (mut under_way, mut at) = (FuturesUnordered::new(), 0);
    let mut pieces = source.stream(0, source.size());
    while let Some(read) = pieces.try_next().await.map_err(|error| Trouble::reading(what, &error))? {
        for bytes in read.chunks(piece) {
            if under_way.len() >= Session::side_by_side(session.write_piece) {
                written(session, &mut under_way, what).await?;
            }
            under_way.push(session.sftp.write(opened.handle.as_str(), at, bytes.to_vec()));
            at += bytes.len() as u64;
        }
    }
    while !under_way.is_empty() {
        written(session, &mut under_way, what).await?;
    }
    drop(under_way);
    if session.can_sync {
        session.done(what, session.sftp.fsync(opened.handle.as_str())).await?;
    }
    opened.close(what).await
}

/// Waits for one of the writes under way.
async fn written<F: Future<Output = Result<Status, Error>>>(
    session: &Session,
    under_way: &mut FuturesUnordered<F>,
    what: &str,
) -> Result<(), Trouble> {
    let next = async { under_way.next().await.transpose() };
    session.done(what, next).await.map(|_| ())
}

/// The session, or a new one where it broke.
struct Hand<'a> {
    sftp: &'a Sftp,
    what: &'a str,
}

#[async_trait]
impl Names for Hand<'_> {
    type Failed = Trouble;

    async fn rename(&mut self, from: &str, to: &str) -> Result<(), Trouble> {
        let session = self.sftp.session(self.what).await?;
        session.done(self.what, session.sftp.rename(from, to)).await.map(|_| ())
    }

    async fn remove(&mut self, name: &str) -> Result<(), Trouble> {
        let session = self.sftp.session(self.what).await?;
        session.done(self.what, session.sftp.remove(name)).await.map(|_| ())
    }

    async fn is_file(&mut self, name: &str) -> Result<bool, Trouble> {
        let there = self.sftp.session(self.what).await?.look(name, self.what).await?;
        Ok(there.is_some_and(|there| matches!(kind(&there), Some(Kind::File) | None)))
    }
}
