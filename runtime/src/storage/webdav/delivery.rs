//! Putting, moving, making directories.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};

use super::super::answer::refused;
use super::super::client::broken;
use super::super::source::Source;
use super::super::tree::{parent, part_beside};
use super::super::trouble::Trouble;
use super::store::Webdav;

/// How a move ended.
enum Moved {
    Done,
    /// The server knows no moves.
    Unknown,
}

impl Webdav {
    /// One try at delivering a file.
    pub(super) async fn deliver(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        let shown = self.shown(key);
        match self.look(key).await? {
            // Moving something over it would remove all it holds.
            Some(there) if there.directory => {
                return Err(Trouble::rejected(format!("cannot deliver `{shown}`: a directory is in the way")));
            }
            Some(_) => {}
            None => {
                if let Some(parent) = parent(key) {
                    self.make(parent).await?;
                }
            }
        }
        // A widespread server decodes the name that something is moved to before it looks for these in it: it would write
        // over another file.
        if key.contains(['?', ';']) {
            return self.put(key, &shown, source).await;
        }
        let part = part_beside(key);
        let moved = match self.put(&part, &shown, source).await {
            Ok(()) => self.rename(&part, key).await,
            Err(trouble) => Err(trouble),
        };
        match moved {
            Ok(Moved::Done) => Ok(()),
            Ok(Moved::Unknown) => {
                self.remove(&part).await;
                self.put(key, &shown, source).await
            }
            Err(trouble) => {
                self.remove(&part).await;
                Err(trouble)
            }
        }
    }

    async fn put(&self, key: &str, shown: &str, source: &Source) -> Result<(), Trouble> {
        let what = format!("cannot deliver `{shown}`");
        let response = self.web.send(&what, self.url(key)?, source).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            // The directory was there a moment ago.
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => {
                self.known.forget();
                Err(Trouble::unavailable(refused(&what, response).await.message))
            }
            _ => Err(refused(&what, response).await),
        }
    }

    async fn rename(&self, part: &str, key: &str) -> Result<Moved, Trouble> {
        let what = format!("cannot deliver `{}`: it was sent and cannot be given its name", self.shown(key));
        let request = self.web.request(&self.web.delivering, method(b"MOVE")?, self.url(part)?);
        let request = request.header("Destination", self.url(key)?.as_str()).header("Overwrite", "T");
        let response = request.send().await.map_err(|error| broken(&what, error))?;
        match response.status() {
            // Some of it failed.
            StatusCode::MULTI_STATUS => Err(Trouble::unavailable(refused(&what, response).await.message)),
            status if status.is_success() => Ok(Moved::Done),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(Moved::Unknown),
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => {
                Err(Trouble::unavailable(refused(&what, response).await.message))
            }
            _ => Err(refused(&what, response).await),
        }
    }

    /// Removes what was begun; what made it necessary is what is told. A server may not have noticed yet that an upload
    /// broke off, and make the file only after it was asked to remove it.
    async fn remove(&self, part: &str) {
        let Ok(url) = self.url(part) else { return };
        for wait in [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(500)] {
            tokio::time::sleep(wait).await;
            let asked = self.web.request(&self.web.delivering, Method::DELETE, url.clone()).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
        }
    }

    /// Makes a directory with its parents.
    pub(super) async fn make(&self, key: &str) -> Result<(), Trouble> {
        let key = key.trim_end_matches('/');
        let mut missing = Vec::new();
        let mut next = Some(key).filter(|key| !key.is_empty());
        // From the inside out: parents may be somebody else's, where nothing may be asked.
        while let Some(directory) = next {
            if self.known.has(directory) || self.exists(directory).await? {
                break;
            }
            missing.push(directory);
            next = parent(directory);
        }
        for directory in missing.into_iter().rev() {
            self.mkcol(directory).await?;
        }
        self.known.add(key);
        Ok(())
    }

    async fn exists(&self, directory: &str) -> Result<bool, Trouble> {
        match self.look(directory).await? {
            None => Ok(false),
            Some(there) if there.directory => Ok(true),
            Some(_) => {
                let shown = self.shown(directory);
                Err(Trouble::rejected(format!("cannot make the directory `{shown}`: a file is in the way")))
            }
        }
    }

    async fn mkcol(&self, directory: &str) -> Result<(), Trouble> {
        let what = format!("cannot make the directory `{}`", self.shown(directory));
        let url: Url = self.directory_url(directory)?;
        let response = self.web.request(&self.web.delivering, method(b"MKCOL")?, url).send().await;
        let response = response.map_err(|error| broken(&what, error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            // Somebody else was faster.
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::CONFLICT if self.exists(directory).await? => Ok(()),
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => {
                Err(Trouble::unavailable(refused(&what, response).await.message))
            }
            _ => Err(refused(&what, response).await),
        }
    }
}

fn method(name: &[u8]) -> Result<Method, Trouble> {
    Method::from_bytes(name).map_err(|error| Trouble::rejected(error.to_string()))
}
