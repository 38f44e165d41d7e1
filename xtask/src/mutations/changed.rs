//! A file that is changed, and put back when this is dropped: at the end, after an error, after a panic, after Ctrl-C.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{program, said};

pub(crate) struct Changed {
    path: PathBuf,
    before: String,
}

impl Changed {
    /// Changes it, unless somebody else has: their work would be mistaken for what is to be put back.
    pub(crate) fn new(house: &Path, file: &str, change: impl FnOnce(&str) -> Result<String, String>) -> Result<Self> {
        if !said(&mut program(&["git", "status", "--porcelain", "--", file]))?.is_empty() {
            bail!("{file} differs from the last commit; commit or take back what was changed there first");
        }
        let path = house.join(file);
        let before = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        let after = change(&before).map_err(anyhow::Error::msg)?;
        // First the one who puts it back: half a write is a change, too.
        let changed = Self { path, before };
        fs::write(&changed.path, after).with_context(|| format!("cannot change {file}"))?;
        Ok(changed)
    }

    /// Puts it back now.
    pub(crate) fn put_back(self) {}
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.before) {
            eprintln!("xtask: cannot put {} back ({error}); `git checkout` can", self.path.display());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::house::{self, Scratch};

    fn is(path: &Path, text: &str) -> bool {
        fs::read_to_string(path).unwrap() == text
    }

    #[test]
    fn a_file_is_put_back_also_after_a_panic() {
        let scratch = Scratch::new("changed").unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "before").unwrap();
        let changed = || {
            fs::write(&path, "after").unwrap();
            Changed { path: path.clone(), before: "before".to_owned() }
        };
        changed().put_back();
        assert!(is(&path, "before"));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _changed = changed();
            assert!(is(&path, "after"));
            panic!("in between");
        }));
        assert!(panicked.is_err() && is(&path, "before"));
    }

    #[test]
    fn a_file_that_cannot_be_changed_is_not_touched() {
        let before = fs::metadata(house::root().join("rustfmt.toml")).unwrap().modified().unwrap();
        let refused = Changed::new(house::root(), "rustfmt.toml", |_| Err("no".to_owned()));
        assert!(refused.is_err());
        assert_eq!(fs::metadata(house::root().join("rustfmt.toml")).unwrap().modified().unwrap(), before);
    }
}
