//! The files, and that they have arrived.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// How many files, and how large each.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) files: usize,
    pub(crate) bytes: usize,
}

/// Files of one shape in a folder named after it.
pub(crate) struct Material {
    pub(crate) shape: &'static Shape,
    pub(crate) folder: PathBuf,
}

impl Shape {
    pub(crate) fn total_bytes(&self) -> usize {
        self.files * self.bytes
    }

    /// Where they lie in the bucket before they are staged in; no slash at the end.
    pub(crate) fn prefix(&self) -> String {
        format!("bench-in/{}", self.name)
    }

    pub(crate) fn file(&self, index: usize) -> String {
        format!("f{index:05}")
    }
}

impl Material {
    /// Writes them, with bytes that neither repeat nor compress.
    pub(crate) fn make(shape: &'static Shape, scratch: &Path) -> Result<Self> {
        let folder = scratch.join("material").join(shape.name);
        fs::create_dir_all(&folder)?;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for index in 0..shape.files {
            let mut file = BufWriter::with_capacity(1 << 20, File::create(folder.join(shape.file(index)))?);
            for _ in 0..shape.bytes / 8 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                file.write_all(&state.to_le_bytes())?;
            }
            file.flush()?;
        }
        rustix::fs::sync();
        Ok(Self { shape, folder })
    }

    /// An error unless the folder holds the first so many of them, whole, and nothing else. What was written is on
    /// the disk afterwards, so that it is not the next one's burden.
    pub(crate) fn arrived(&self, folder: &Path, files: usize) -> Result<()> {
        let found = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?.count();
        ensure!(found == files, "{found} files have arrived in {}, not {files}", folder.display());
        for name in (0..files).map(|index| self.shape.file(index)) {
            ensure!(same(&self.folder.join(&name), &folder.join(&name))?, "`{name}` is not what it was");
        }
        rustix::fs::sync();
        Ok(())
    }

    /// An error unless this is the file of that name.
    pub(crate) fn is(&self, name: &OsStr, file: &Path) -> Result<()> {
        ensure!(same(&self.folder.join(name), file)?, "{} is not `{}`", file.display(), name.display());
        Ok(())
    }
}

fn same(one: &Path, other: &Path) -> Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let length = one.read(&mut left)?;
        if length == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..length])?;
        if left[..length] != right[..length] {
            return Ok(false);
        }
    }
}
