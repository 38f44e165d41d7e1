//! Plans that are too large for a Secret, kept for their pods to fetch.
//!
//! Each has a token of its own, made from the job's id with a key that lies beside the plans: the same job has the same
//! token whenever it is handed over again, and no token lies anywhere.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tessera_contract::JobId;

/// Name of the key; no plan's name is without a dot.
const KEY: &str = "key";
const KEY_BYTES: usize = 32;

/// The plans of one backend. Every call reads or writes a disk.
pub struct PlanShelf {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
}

impl std::fmt::Debug for PlanShelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanShelf").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl PlanShelf {
    /// Opens the shelf in a folder, which is made if it is not there.
    pub fn open(folder: &Path) -> io::Result<Self> {
        // Plans hold the keys of storages.
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.to_owned(), key: key(&folder.join(KEY))? })
    }

    /// Keeps a plan and answers the token for it; doing so again does no harm.
    pub fn put(&self, job: &JobId, plan: &[u8]) -> io::Result<String> {
        write(&self.place(job), plan)?;
        Ok(self.mac(job).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// A plan, for whoever knows its token; nobody else learns whether there is one.
    pub fn get(&self, job: &JobId, token: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(token) = bytes(token) else { return Ok(None) };
        if self.mac(job).verify_slice(&token).is_err() {
            return Ok(None);
        }
        match fs::read(self.place(job)) {
            Ok(plan) => Ok(Some(plan)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets a plan; one that is not there is no error.
    pub fn remove(&self, job: &JobId) -> io::Result<()> {
        match fs::remove_file(self.place(job)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn place(&self, job: &JobId) -> PathBuf {
        self.folder.join(format!("{job}.json"))
    }

    #[allow(clippy::expect_used)] // HMAC takes keys of any length.
    fn mac(&self, job: &JobId) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length").chain_update(job.as_str())
    }
}

/// The key, made at the first start.
fn key(place: &Path) -> io::Result<[u8; KEY_BYTES]> {
    match fs::read(place) {
        Ok(known) => known.try_into().map_err(|_| {
            let sentence =
                format!("{} is no key of ours; remove it, and large plans are handed over anew", place.display());
            io::Error::new(ErrorKind::InvalidData, sentence)
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut key = [0; KEY_BYTES];
            File::open("/dev/urandom")?.read_exact(&mut key)?;
            write(place, &key)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// There as a whole or not at all, for our eyes alone.
fn write(place: &Path, content: &[u8]) -> io::Result<()> {
    let beside = place.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, place)
}

/// Lower-case hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_its_own_token_opens_a_plan_and_it_does_so_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("plans");
        let (one, two) = (JobId::of_attempt("t", 1), JobId::of_attempt("t", 2));
        let shelf = PlanShelf::open(&folder).unwrap();
        let (token, other) = (shelf.put(&one, b"first").unwrap(), shelf.put(&two, b"second").unwrap());
        let shelf = PlanShelf::open(&folder).unwrap();
        assert_eq!(shelf.get(&one, &token).unwrap().as_deref(), Some(b"first".as_slice()));
        assert_eq!(shelf.put(&one, b"again").unwrap(), token);
        assert_eq!(shelf.get(&one, &token).unwrap().as_deref(), Some(b"again".as_slice()));
        for wrong in ["", "0", "zz", &token[2..], &token.to_uppercase(), &other, &format!("{token}00")] {
            assert_eq!(shelf.get(&one, wrong).unwrap(), None, "{wrong}");
        }
        shelf.remove(&one).unwrap();
        shelf.remove(&one).unwrap();
        assert_eq!(shelf.get(&one, &token).unwrap(), None);
        assert!(shelf.get(&two, &other).unwrap().is_some());
        assert_ne!(PlanShelf::open(&dir.path().join("elsewhere")).unwrap().put(&one, b"x").unwrap(), token);
    }

    #[test]
    fn nobody_else_can_read_it_and_a_wrong_key_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("plans");
        PlanShelf::open(&folder).unwrap().put(&JobId::of_attempt("t", 1), b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("t-1.json")), mode(&folder.join(KEY))), (0o700, 0o600, 0o600));
        fs::write(folder.join(KEY), "short").unwrap();
        assert!(PlanShelf::open(&folder).unwrap_err().to_string().contains("remove it"));
    }
}
