//! One stream's file, and where in the stream it ends.
//!
//! Beside a file with gaps lies another that lists them, a line each: where in the file the mark of the gap begins, and
//! how many bytes of the stream it stands for. The line is written before the mark, so that the file's length alone
//! says where the stream goes on, also if the one who wrote died in the middle of either.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Appends to the file of one stream.
#[derive(Debug)]
pub struct Tape {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    offset: u64,
}

/// A piece of a stream that was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    /// Where in the file its mark begins.
    at: u64,
    /// The bytes that are missing.
    missing: u64,
}

impl Gap {
    /// What stands in the file in its place.
    fn mark(self) -> String {
        format!("\n[{} bytes not kept]\n", self.missing)
    }

    fn end(self) -> u64 {
        self.at + self.mark().len() as u64
    }
}

impl Tape {
    /// Opens the file, if there is one; otherwise it is made with its first byte. The mark of a gap that was half
    /// written is completed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut tape = Self { path: path.to_owned(), file: None, length: 0, offset: 0 };
        match OpenOptions::new().append(true).open(path) {
            Ok(file) => {
                tape.length = file.metadata()?.len();
                tape.offset = tape.length;
                tape.file = Some(file);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        for gap in tape.known_gaps()? {
            let mark = gap.mark();
            if tape.length < gap.end() {
                let written = usize::try_from(tape.length - gap.at).unwrap_or(usize::MAX);
                let rest = mark.as_bytes().get(written..).unwrap_or_default();
                tape.put(rest)?;
                tape.offset += rest.len() as u64;
            }
            tape.offset = tape.offset - mark.len() as u64 + gap.missing;
        }
        Ok(tape)
    }

    /// Bytes in the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The offset in the stream of what is to be appended next.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends a piece of the stream that begins at an offset. What is there already is passed over, what is missing
    /// before it is marked.
    pub fn append(&mut self, from: u64, bytes: &[u8]) -> io::Result<()> {
        if from > self.offset {
            let gap = Gap { at: self.length, missing: from - self.offset };
            self.note(gap)?;
            self.put(gap.mark().as_bytes())?;
            self.offset = from;
        }
        let old = usize::try_from(self.offset - from).unwrap_or(usize::MAX);
        let new = bytes.get(old..).unwrap_or_default();
        self.put(new)?;
        self.offset += new.len() as u64;
        Ok(())
    }

    /// Returns when all of it is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sync_all()?;
        match File::open(self.gaps()) {
            Ok(gaps) => gaps.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(made(&self.path)?),
        };
        file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn gaps(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".gaps");
        PathBuf::from(name)
    }

    fn note(&self, gap: Gap) -> io::Result<()> {
        made(&self.gaps())?.write_all(format!("{} {}\n", gap.at, gap.missing).as_bytes())
    }

    /// The gaps whose mark is in the file, or should be. One that lies beyond its end was never reached (the power
    /// went), and half a line was never followed by a mark: both are removed, or the next line would continue them.
    fn known_gaps(&self) -> io::Result<Vec<Gap>> {
        let text = match std::fs::read_to_string(self.gaps()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut gaps = Vec::new();
        let mut good = 0;
        for line in text.split_inclusive('\n') {
            let Some(gap) = read(line).filter(|gap| gap.at <= self.length) else { break };
            good += line.len();
            gaps.push(gap);
        }
        if good < text.len() {
            OpenOptions::new().write(true).open(self.gaps())?.set_len(good as u64)?;
        }
        Ok(gaps)
    }
}

fn read(line: &str) -> Option<Gap> {
    let (at, missing) = line.strip_suffix('\n')?.split_once(' ')?;
    Some(Gap { at: at.parse().ok()?, missing: missing.parse().ok()? })
}

/// Opens a file to append to; it and its folders are made for nobody but us.
fn made(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            open()
        }
        opened => opened,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"abc\n[7 bytes not kept]\nxyz";

    fn written(path: &Path) {
        let mut tape = Tape::open(path).unwrap();
        tape.append(0, b"abc").unwrap();
        tape.append(10, b"xyz").unwrap();
        tape.sync().unwrap();
        assert_eq!((tape.length(), tape.offset()), (LOG.len() as u64, 13));
    }

    #[test]
    fn a_gap_is_marked_and_what_is_there_is_not_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/0.stdout");
        written(&path);
        let mut tape = Tape::open(&path).unwrap();
        assert_eq!(tape.offset(), 13);
        tape.append(11, b"yz!").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [LOG, b"!"].concat());
    }

    #[test]
    fn wherever_it_died_the_next_one_goes_on_there() {
        let whole: Vec<(u64, &[u8])> = vec![(0, b"abc"), (10, b"xyz")];
        for cut in 0..=LOG.len() as u64 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("0.stdout");
            written(&path);
            OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
            let mut tape = Tape::open(&path).unwrap();
            // A backend answers from the offset asked for, or from behind the gap.
            for (at, bytes) in &whole {
                let end = at + bytes.len() as u64;
                let from = tape.offset();
                if from < end {
                    tape.append(from.max(*at), &bytes[usize::try_from(from.saturating_sub(*at)).unwrap()..]).unwrap();
                }
            }
            assert_eq!(std::fs::read(&path).unwrap(), LOG, "cut at {cut}");
        }
    }

    #[test]
    fn half_a_line_of_the_list_is_no_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.stderr");
        let mut tape = Tape::open(&path).unwrap();
        tape.append(0, b"abc").unwrap();
        std::fs::write(tape.gaps(), "3 1").unwrap();
        let mut tape = Tape::open(&path).unwrap();
        assert_eq!(tape.offset(), 3);
        tape.append(5, b"d").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc\n[2 bytes not kept]\nd");
        assert_eq!(Tape::open(&path).unwrap().offset(), 6);
    }

    #[test]
    fn without_a_byte_there_is_no_file_and_nobody_else_reads_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x/0.stdout");
        let mut tape = Tape::open(&path).unwrap();
        tape.append(0, b"").unwrap();
        assert!(!path.exists());
        tape.append(0, b"a").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
}
