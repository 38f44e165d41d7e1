//! `tessera storage put`.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use tessera_runtime::storage::source::Source;

use super::place::Place;
use super::transfer::{self, Meter};
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::ConfigFlags;

/// Write a file of this machine to a URL
///
/// What was there is replaced, and nobody sees a file before it is complete.
#[derive(Debug, Args)]
pub struct Put {
    /// The file
    file: PathBuf,

    /// Where to; below it, under the file's own name, where it ends in `/`
    url: String,

    /// Write all files below a directory
    #[arg(long, short)]
    recursive: bool,

    #[command(flatten)]
    config: ConfigFlags,
}

/// What lies below a directory, as paths relative to it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Below {
    files: Vec<PathBuf>,
    empty: Vec<PathBuf>,
    /// Links to directories: they may lead in circles.
    left_out: Vec<PathBuf>,
}

impl Put {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let (storages, place) = Place::open(&self.url, &self.config)?;
        if !place.store.abilities().writes {
            return Err(Failure::usage(format!("`{}` lies in a storage that cannot be written to", place.shown)));
        }
        let about = std::fs::metadata(&self.file).map_err(|error| unreadable(&self.file, &error))?;
        let meter = Meter::default();
        let moved = match (about.is_dir(), self.recursive) {
            (true, false) => {
                return Err(Failure::usage(format!("`{}` is a directory; add --recursive", self.file.display())));
            }
            (true, true) => {
                let below = Below::of(&self.file)?;
                for link in &below.left_out {
                    printer.say(&format!("`{}` is a link to a directory; it is left out", link.display()));
                }
                let at = |path: &Path| Place::of(&storages, place.remote.below(name(path)?));
                for directory in &below.empty {
                    let place = at(directory)?;
                    place.store.make_directory(&place.key).await?;
                }
                let files: Vec<_> = below.files.iter().map(|path| Ok((self.file.join(path), at(path)?))).collect();
                let files = files.into_iter().collect::<Result<Vec<_>, Failure>>()?;
                for (file, _) in &files {
                    meter.expect(file.metadata().map_err(|error| unreadable(file, &error))?.len());
                }
                let meter = &meter;
                transfer::all(files.iter().map(|(file, to)| send(file, to, meter)), meter, printer).await?
            }
            (false, _) => {
                let to = match place.key.is_empty() || place.key.ends_with('/') {
                    true => Place::of(&storages, place.remote.below(name(Path::new(file_name(&self.file)?))?))?,
                    false => place,
                };
                meter.expect(about.len());
                transfer::all([send(&self.file, &to, &meter)], &meter, printer).await?
            }
        };
        moved.tell(printer)
    }
}

async fn send(file: &Path, to: &Place, meter: &Meter) -> Result<u64, Failure> {
    // A pipe would be waited for at its opening.
    let about = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    if !about.is_file() {
        return Err(Failure::usage(format!("`{}` is no regular file", file.display())));
    }
    let opened = File::open(file).and_then(Source::new);
    let source = opened.map_err(|error| unreadable(file, &error))?;
    meter.watch(source.progress());
    to.store.write(&to.key, &source).await?;
    Ok(source.size())
}

impl Below {
    fn of(directory: &Path) -> Result<Self, Failure> {
        let mut below = Self::default();
        let mut open = vec![PathBuf::new()];
        while let Some(relative) = open.pop() {
            let here = directory.join(&relative);
            let mut any = false;
            for entry in std::fs::read_dir(&here).map_err(|error| unreadable(&here, &error))? {
                let entry = entry.map_err(|error| unreadable(&here, &error))?;
                any = true;
                let path = relative.join(entry.file_name());
                let is_link = entry.file_type()?.is_symlink();
                let about = std::fs::metadata(entry.path()).map_err(|error| unreadable(&entry.path(), &error))?;
                match (about.is_dir(), is_link) {
                    (true, true) => below.left_out.push(path),
                    (true, false) => open.push(path),
                    (false, _) => below.files.push(path),
                }
            }
            if !any {
                below.empty.push(relative);
            }
        }
        below.files.sort();
        Ok(below)
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("`{}` cannot be read: {error}", file.display()))
}

fn name(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| Failure::usage(format!("`{}` is not valid UTF-8", path.display())))
}

fn file_name(path: &Path) -> Result<&std::ffi::OsStr, Failure> {
    path.file_name().ok_or_else(|| Failure::usage(format!("`{}` names no file", path.display())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_lies_below_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::create_dir(at("empty")).unwrap();
        fs::write(at("a/b/x"), "x").unwrap();
        fs::write(at("y"), "y").unwrap();
        symlink("y", at("z")).unwrap();
        symlink("..", at("a/up")).unwrap();
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let expected =
            Below { files: paths(&["a/b/x", "y", "z"]), empty: paths(&["empty"]), left_out: paths(&["a/up"]) };
        assert_eq!(Below::of(root.path()).unwrap(), expected);
    }
}
