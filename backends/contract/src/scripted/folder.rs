//! Jobs kept in a folder: they survive the process, however it dies.
//!
//! ```text
//! <folder>/jobs/<installation>/<job>/job.json      as it was handed over; the directory is made by a rename
//! <folder>/jobs/<installation>/<job>/<mark>        set once, by a link that fails when the name is taken
//! <folder>/jobs/<installation>/<job>/<name>.begun  an effect is being carried out: where its file ended before
//! <folder>/jobs/<installation>/<job>/<name>.done   it was carried out
//! <folder>/counts/<mark>                           one line each time it was counted
//! <folder>/submitted                               one line each time a job was made
//! <folder>/making/                                 what is not finished yet
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::play::Effect;
use super::shelf::{Kept, Key, Shelf, append};
use crate::{InstallationId, JobId};

/// Jobs in a folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Names what is being made: several processes use a folder, and one that died may have had our number.
    maker: String,
    made: AtomicU64,
}

impl Folder {
    /// Opens a folder, and makes it if it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        for room in ["jobs", "counts", "making"] {
            fs::create_dir_all(path.join(room))?;
        }
        let maker = format!("{}-{}", std::process::id(), Timestamp::now().as_nanosecond());
        Ok(Self { path: path.to_owned(), maker, made: AtomicU64::new(0) })
    }

    fn job(&self, key: Key<'_>) -> PathBuf {
        self.path.join("jobs").join(&key.installation.0).join(key.job.as_str())
    }

    /// A name in `making` that nobody else uses.
    fn making(&self) -> PathBuf {
        let n = self.made.fetch_add(1, Ordering::Relaxed);
        self.path.join("making").join(format!("{}-{n}", self.maker))
    }

    /// Makes a file with its whole content, or leaves the one that is there.
    fn write_once(&self, path: &Path, text: &str) -> io::Result<()> {
        let making = self.making();
        fs::write(&making, text)?;
        let linked = fs::hard_link(&making, path);
        fs::remove_file(&making)?;
        match linked {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Appends a line exactly once, however often the process dies: the file is locked, and its length before the
    /// append is noted first.
    fn append_once(&self, job: &Path, name: &str, target: &Path, line: &str) -> io::Result<()> {
        let done = job.join(format!("{name}.done"));
        if done.exists() {
            return Ok(());
        }
        let mut file = File::options().create(true).read(true).append(true).open(target)?;
        file.lock()?;
        if done.exists() {
            return Ok(());
        }
        let begun = job.join(format!("{name}.begun"));
        let end = file.metadata()?.len();
        self.write_once(&begun, &end.to_string())?;
        let from: u64 = fs::read_to_string(&begun)?.parse().map_err(io::Error::other)?;
        let text = format!("{line}\n");
        let mut there = vec![0; text.len()];
        file.seek(SeekFrom::Start(from))?;
        let written = file.read_exact(&mut there).is_ok() && there == text.as_bytes();
        if !written {
            file.write_all(text.as_bytes())?;
        }
        self.write_once(&done, "")
    }
}

impl Shelf for Folder {
    fn put(&self, key: Key<'_>, kept: Kept) -> io::Result<()> {
        let place = self.job(key);
        if place.exists() {
            return Ok(());
        }
        if let Some(room) = place.parent() {
            fs::create_dir_all(room)?;
        }
        let making = self.making();
        fs::create_dir(&making)?;
        fs::write(making.join("job.json"), serde_json::to_vec(&kept)?)?;
        // A rename onto a directory that holds something fails: whoever comes first stands.
        if let Err(error) = fs::rename(&making, &place) {
            fs::remove_dir_all(&making)?;
            return if place.exists() { Ok(()) } else { Err(error) };
        }
        append(&self.path.join("submitted"), key.job.as_str())
    }

    fn get(&self, key: Key<'_>) -> io::Result<Option<Arc<Kept>>> {
        match fs::read(self.job(key).join("job.json")) {
            Ok(text) => Ok(Some(Arc::new(serde_json::from_slice(&text)?))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn mark(&self, key: Key<'_>, name: &str, text: &str) -> io::Result<()> {
        match self.write_once(&self.job(key).join(name), text) {
            // The job was removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn marked(&self, key: Key<'_>, name: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.job(key).join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unmark(&self, key: Key<'_>, name: &str) -> io::Result<()> {
        match fs::remove_file(self.job(key).join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn once(&self, key: Key<'_>, name: &str, effect: &Effect) -> io::Result<()> {
        match effect {
            Effect::Start(_) => Ok(()),
            Effect::Append { file, line } => self.append_once(&self.job(key), name, Path::new(file), line),
            Effect::Count(mark) => {
                let target = self.path.join("counts").join(mark);
                self.append_once(&self.job(key), name, &target, key.job.as_str())
            }
        }
    }

    fn remove(&self, key: Key<'_>) -> io::Result<()> {
        let making = self.making();
        match fs::rename(self.job(key), &making) {
            Ok(()) => fs::remove_dir_all(&making),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn list(&self, installation: &InstallationId, after: Option<&JobId>, limit: usize) -> io::Result<Vec<JobId>> {
        let entries = match fs::read_dir(self.path.join("jobs").join(&installation.0)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut jobs = Vec::new();
        for entry in entries {
            if let Some(job) = entry?.file_name().to_str().and_then(JobId::parse)
                && after.is_none_or(|after| job > *after)
            {
                jobs.push(job);
            }
        }
        jobs.sort();
        jobs.truncate(limit);
        Ok(jobs)
    }

    fn counted(&self, mark: &str) -> io::Result<usize> {
        match fs::read_to_string(self.path.join("counts").join(mark)) {
            Ok(text) => Ok(text.lines().count()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }
}
