//! Laying paths in before the command, and harvesting them after it.

use std::io;
use std::path::{Path, PathBuf};

use crate::copy::{Copy, CopyError, Which};
use crate::entry::Changed;
use crate::expand::expand;
use crate::notes::Notes;
use crate::part::PART;
use crate::places::{is_kernel, is_reserved};
use crate::step::{Harvest, StepFile};
use crate::tree::Tree;

/// The image's own file system on one side, the task's tree on the other; both call a path the same.
pub(super) struct Paths<'a> {
    pub(super) image: &'a Tree,
    pub(super) tree: &'a Tree,
    pub(super) step: &'a StepFile,
    pub(super) notes: &'a mut Notes,
    /// What was laid in: if it is gone after the command, the command removed it.
    pub(super) laid_in: Vec<PathBuf>,
}

impl Paths<'_> {
    /// Copies from the tree into the image's own directories, and makes the directories around.
    pub(super) fn lay_in(&mut self, stop: &dyn Fn() -> bool) -> Result<(), String> {
        let step = self.step;
        for path in &step.lay_in {
            self.lay_in_one(Path::new(path), stop)?;
        }
        for path in &step.offer {
            if let Err(problem) = self.lay_in_one(Path::new(path), stop) {
                self.notes.add(problem);
            }
        }
        Ok(())
    }

    fn lay_in_one(&mut self, path: &Path, stop: &dyn Fn() -> bool) -> Result<(), String> {
        let user = rustix::process::geteuid().as_raw();
        let into_image = |path: &Path, error: &io::Error| {
            let path = path.display();
            format!("cannot write `{path}` in the image as user {user}: {error}")
        };
        let from_tree =
            |path: &Path, error: &io::Error| format!("cannot read `{}` in the task's tree: {error}", path.display());
        if let Some(around) = path.parent() {
            let made = self.image.make_directory(around);
            made.map_err(|error| into_image(around, &error))?;
        }
        let found = self.tree.find(path).map_err(|error| from_tree(path, &error))?;
        let Some(found) = found else {
            return Ok(());
        };
        // The root itself has no name that something could be renamed to.
        let children = match path.parent() {
            Some(_) => vec![(found, path.to_owned())],
            None => self.children(path).map_err(|error| from_tree(path, &error))?,
        };
        for (entry, path) in children {
            if is_apart(self.step, &path) {
                continue;
            }
            let slot = self.image.slot(&path);
            let slot = slot.map_err(|error| into_image(&path, &error))?;
            let copy = Copy {
                from: self.tree,
                which: Which::All,
                skip: &|path| is_apart(self.step, path),
                part: PART,
                lenient: false,
                stop,
                notes: self.notes,
                put: &mut |path| self.laid_in.push(path.to_owned()),
            };
            copy.copy(&entry, &path, &slot, &path).map_err(|CopyError { path, writing, error }| match writing {
                true => into_image(&path, &error),
                false => from_tree(&path, &error),
            })?;
        }
        Ok(())
    }

    fn children(&self, path: &Path) -> io::Result<Vec<(crate::entry::Entry, PathBuf)>> {
        let mut children = Vec::new();
        if let Some(directory) = self.tree.find(path)? {
            for name in directory.names()? {
                let child = path.join(name);
                if let Some(entry) = self.tree.find(&child)? {
                    children.push((entry, child));
                }
            }
        }
        Ok(children)
    }

    /// Copies from the image's own directories into the tree what is wanted there. `since` is when the command
    /// was started. Answers what went wrong with something that counts.
    pub(super) fn harvest(&mut self, since: Changed) -> Vec<String> {
        let mut problems = Vec::new();
        for harvest in &self.step.harvest {
            match harvest {
                Harvest::Whole(path) => {
                    let copied = self.harvest_one(Path::new(path), Which::Missing(since), false);
                    problems.extend(copied.err());
                }
                Harvest::Changes(path) => {
                    let path = Path::new(path);
                    if let Err(problem) = self.harvest_one(path, Which::ChangedSince(since), true) {
                        self.notes.add(problem);
                    }
                }
                Harvest::Matches(pattern) => match expand(self.image, pattern, &|path| is_apart(self.step, path)) {
                    Ok(paths) => problems.extend(
                        paths.iter().filter_map(|path| self.harvest_one(path, Which::Missing(since), false).err()),
                    ),
                    Err(error) => problems.push(format!("cannot look for `{pattern}`: {error}")),
                },
            }
        }
        // Deepest first, so that a directory is empty when its turn comes.
        for path in std::mem::take(&mut self.laid_in).iter().rev() {
            if let Ok(None) = self.image.find_itself(path)
                && let Err(error) = self.tree.remove(path)
            {
                problems.push(format!("cannot remove `{}`: {error}", path.display()));
            }
        }
        problems
    }

    fn harvest_one(&mut self, path: &Path, which: Which, lenient: bool) -> Result<(), String> {
        let problem =
            |path: &Path, error: &io::Error| format!("cannot take `{}` from the image: {error}", path.display());
        let found = self.image.find(path).map_err(|error| problem(path, &error))?;
        let Some(found) = found.filter(|_| !is_apart(self.step, path)) else {
            return Ok(());
        };
        let slot = self.tree.slot(path).map_err(|error| problem(path, &error))?;
        let copy = Copy {
            from: self.image,
            which,
            skip: &|path| is_apart(self.step, path),
            part: PART,
            lenient,
            stop: &|| false,
            notes: self.notes,
            put: &mut |_| {},
        };
        let copied = copy.copy(&found, path, &slot, path);
        copied.map_err(|error| problem(&error.path, &error.error))
    }
}

/// Whether a path has no copy of its own in the image: it is mounted, ours, or the kernel's.
fn is_apart(step: &StepFile, path: &Path) -> bool {
    let text = path.to_string_lossy();
    is_kernel(&text) || is_reserved(&text) || step.mounted.iter().any(|mount| path.starts_with(mount))
}

#[cfg(test)]
mod tests;
