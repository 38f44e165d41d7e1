//! Inputs that were fetched before, kept on this host.
//!
//! ```text
//! <dir>/urls/<hash of the URL>      which version was fetched last, and during which boot
//! <dir>/objects/<hash of both>      its content, read-only
//! <dir>/locks/<part of that hash>   held by the one who fetches it
//! <dir>/new/                        what is being fetched, each held by the one who does
//! ```
//!
//! A kept object is used only after its storage has said, with the credentials of the job that asks, that this
//! version is still the one there. A task never gets a name of it that it could write to: it gets a copy, or a
//! read-only mount. Whatever is removed here while a job uses it stays until that job lets go, since the job holds a
//! link of its own. Nothing is written through to the disk, so what was kept before the host's last boot counts for
//! nothing.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::storage::checksum::{Checksum, hex};
use crate::storage::location::Remote;
use crate::storage::settings;
use crate::storage::store::Object;

/// Smaller objects are as quickly fetched as looked up.
pub(super) const SMALLEST: u64 = 1 << 20;
/// Between two looks at whether someone else has fetched what we want.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A directory of kept objects. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    dir: Arc<PathBuf>,
    most: u64,
    boot: Arc<str>,
}

/// A kept object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    note: Note,
}

/// What is remembered of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    tag: String,
    size: u64,
    object: String,
    boot: String,
    modified: Option<jiff::Timestamp>,
    /// Checksums that its content was seen to have.
    #[serde(default)]
    proved: Vec<String>,
}

/// The place of one URL.
#[derive(Debug, Clone)]
pub(super) struct Place {
    cache: Cache,
    name: String,
}

/// Held while a URL's object is fetched.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
}

impl Cache {
    /// Opens it, made if it is not there; `None` when there is to be none, or it cannot be made.
    pub(super) fn open(settings: Option<&settings::Cache>) -> Option<Self> {
        let settings = settings.filter(|settings| settings.max_bytes > 0)?;
        let dir = PathBuf::from(&settings.dir);
        let private = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        for part in ["urls", "objects", "locks", "new"] {
            private(&dir.join(part)).ok()?;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let cache = Self { dir: Arc::new(dir), most: settings.max_bytes, boot: boot.trim().into() };
        cache.sweep();
        Some(cache)
    }

    /// Bytes of the largest object that may be kept.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// The place of a URL.
    pub(super) fn place(&self, remote: &Remote) -> Place {
        let query = remote.query.as_ref().map_or("", |query| query.expose());
        let login = remote.login.as_ref().map(|login| (login.user.as_str(), login.password.expose()));
        let (user, password) = login.unwrap_or_default();
        let mut hash = Sha256::new();
        // Who asks is part of it: on some servers one name is another file for each.
        for part in [remote.canonical().as_str(), &remote.key, query, user, password] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Place { cache: self.clone(), name: hex(&hash.finalize()) }
    }

    /// A new file to fetch into. Its name is nobody else's, and goes when this is dropped.
    pub(super) fn begin(&self) -> io::Result<Begun> {
        static TURN: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), TURN.fetch_add(1, Ordering::Relaxed));
        let path = self.dir.join("new").join(name);
        // Whoever bore our number before is gone.
        let _gone = fs::remove_file(&path);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(Begun { file, path })
    }

    /// Removes what was used longest ago, until what is left fits.
    fn evict(&self) -> io::Result<()> {
        let lock = File::create(self.dir.join("lock"))?;
        // Whoever holds it does this work.
        if lock.try_lock().is_err() {
            return Ok(());
        }
        let mut objects = Vec::new();
        for entry in fs::read_dir(self.dir.join("objects"))? {
            let entry = entry?;
            // Another may have removed it just now.
            if let Ok(about) = entry.metadata() {
                objects.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), entry.path()));
            }
        }
        let mut bytes: u64 = objects.iter().map(|(_, size, _)| size).sum();
        objects.sort();
        for (_, size, path) in objects {
            if bytes <= self.most {
                break;
            }
            fs::remove_file(path)?;
            bytes -= size;
        }
        // What is remembered of objects that are gone goes with them.
        for entry in fs::read_dir(self.dir.join("urls"))?.flatten() {
            let note = fs::read(entry.path()).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
            if note.is_none_or(|note| !self.dir.join("objects").join(&note.object).exists()) {
                let _gone = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Removes what nobody is fetching any more.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.dir.join("new")) else { return };
        for entry in entries.flatten() {
            let held = File::open(entry.path()).map(|file| file.try_lock());
            if let Ok(Ok(())) = held {
                let _gone = fs::remove_file(entry.path());
            }
        }
    }
}

/// A file that is being fetched into the cache.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) file: File,
    path: PathBuf,
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Gone already when it was kept.
        let _gone = fs::remove_file(&self.path);
    }
}

impl Place {
    fn note(&self) -> PathBuf {
        self.cache.dir.join("urls").join(&self.name)
    }

    /// What was kept of this URL, if its content is still there and whole.
    pub(super) fn last(&self) -> Option<Kept> {
        let note: Note = serde_json::from_slice(&fs::read(self.note()).ok()?).ok()?;
        let plain = note.object.bytes().all(|byte| byte.is_ascii_hexdigit());
        if note.boot != *self.cache.boot || !plain {
            return None;
        }
        let path = self.cache.dir.join("objects").join(&note.object);
        let whole = path.symlink_metadata().is_ok_and(|about| about.is_file() && about.len() == note.size);
        whole.then_some(Kept { path, note })
    }

    /// Waits until nobody else fetches this URL, and lets nobody else until the answer is dropped. `None` when there
    /// are no locks here.
    pub(super) async fn turn(&self) -> Option<Turn> {
        // A few thousand locks for all URLs there ever are: that two of them share one costs a wait.
        let lock = File::create(self.cache.dir.join("locks").join(&self.name[..3])).ok()?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Some(Turn { _lock: lock }),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK_EVERY).await,
                Err(TryLockError::Error(_)) => return None,
            }
        }
    }

    /// Keeps a fetched file, if its storage names its version and it is neither too small nor too large. Its content
    /// is moved in; whatever goes wrong, the file stays where it was.
    pub(super) fn keep(&self, fetched: &Begun, object: &Object, proved: &[Checksum]) -> Option<Kept> {
        let tag = object.tag.as_ref()?.0.clone();
        let fetched = &fetched.path;
        let size = fetched.metadata().ok()?.len();
        if size < SMALLEST || size > self.cache.most || object.size.is_some_and(|told| told != size) {
            return None;
        }
        let name = hex(&Sha256::digest(format!("{}\0{tag}\0{size}", self.name)));
        let path = self.cache.dir.join("objects").join(&name);
        let (modified, proved) = (object.modified, proved.iter().map(written).collect());
        let note = Note { tag, size, object: name, boot: self.cache.boot.to_string(), modified, proved };
        let keep = || -> io::Result<()> {
            fs::set_permissions(fetched, fs::Permissions::from_mode(0o555))?;
            fs::rename(fetched, &path)?;
            let new = self.cache.dir.join("urls").join(format!(".{}-{}", self.name, std::process::id()));
            fs::write(&new, serde_json::to_vec(&note)?)?;
            fs::rename(&new, self.note())
        };
        keep().ok()?;
        // A cache that cannot be made smaller is no reason to fail a task.
        let _evicted = self.cache.evict();
        Some(Kept { path, note })
    }
}

impl Kept {
    /// Whether an object is the version that was kept.
    pub(super) fn is(&self, object: &Object) -> bool {
        object.tag.as_ref().is_some_and(|tag| tag.0 == self.note.tag)
            && object.size.is_none_or(|size| size == self.note.size)
    }

    /// Whether its content was seen to have all of these.
    pub(super) fn proves(&self, expected: &[Checksum]) -> bool {
        expected.iter().all(|sum| self.note.proved.contains(&written(sum)))
    }

    /// When the object was last modified.
    pub(super) fn modified(&self) -> Option<jiff::Timestamp> {
        self.note.modified
    }

    /// Opens it for reading, and notes that it was used.
    pub(super) fn open(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        if file.metadata()?.size() != self.note.size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a kept object is not whole"));
        }
        let _used = file.set_modified(SystemTime::now());
        Ok(file)
    }

    /// Gives it another name, which holds it when it is removed here.
    pub(super) fn link(&self, to: &Path) -> io::Result<()> {
        let _whole = self.open()?;
        match fs::hard_link(&self.path, to) {
            // From before a crash.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(to)?;
                fs::hard_link(&self.path, to)
            }
            linked => linked,
        }
    }
}

fn written(sum: &Checksum) -> String {
    format!("{}={}", sum.algorithm.name(), sum.hex())
}
