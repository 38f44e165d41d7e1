//! Which boot of the host an attempt belongs to.
//!
//! What commands and transfers write is not forced onto the disk, so after a crash of the host it may be gone,
//! in part or altogether. An attempt whose commands had started is lost then; one that only had inputs brings
//! them in again.

use std::fs;
use std::io;

use super::attempt::{self, Attempt, Keep};

/// Where the kernel names its present boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What a restart of the host means for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// Nothing: it is the same boot, or nobody knows.
    Same,
    /// The inputs are to be brought in again.
    StageAgain,
    /// A command had started, and what it wrote cannot be trusted.
    Lost,
}

/// Writes down, durably, that an attempt belongs to this boot. A host that does not name its boots is let be.
pub fn keep(attempt: &Attempt) -> io::Result<()> {
    match present() {
        Some(present) => keep_as(attempt, &present),
        None => Ok(()),
    }
}

/// Compares an attempt's boot with the present one. Inputs of a former boot count as not brought in from here on.
pub fn compare(attempt: &Attempt, user_code_started: bool) -> io::Result<Boot> {
    match present() {
        Some(present) => compare_with(attempt, user_code_started, &present),
        None => Ok(Boot::Same),
    }
}

fn present() -> Option<String> {
    fs::read_to_string(BOOT_ID).ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
}

fn keep_as(attempt: &Attempt, present: &str) -> io::Result<()> {
    attempt.replace(attempt::BOOT, &present, Keep::Durably)?;
    attempt::sync_dir(attempt.dir())
}

fn compare_with(attempt: &Attempt, user_code_started: bool, present: &str) -> io::Result<Boot> {
    match attempt.read_light::<String>(attempt::BOOT)? {
        Some(known) if known == present => return Ok(Boot::Same),
        // Made by a version that wrote none: it belongs to whatever boot finds it first.
        None if !attempt.has(attempt::BOOT)? => return keep_as(attempt, present).map(|()| Boot::Same),
        Some(_) | None => {}
    }
    if user_code_started {
        return Ok(Boot::Lost);
    }
    match fs::remove_file(attempt.file(attempt::STAGED)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    attempt::sync_dir(attempt.dir())?;
    // Only now: a crash before this line finds the former boot again.
    keep_as(attempt, present)?;
    Ok(Boot::StageAgain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn inputs_of_a_former_boot_are_brought_in_again_once() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::at(dir.path());
        keep_as(&attempt, "one").unwrap();
        attempt.make_mark(attempt::STAGED).unwrap();
        assert_eq!(compare_with(&attempt, true, "one").unwrap(), Boot::Same);
        assert!(attempt.has(attempt::STAGED).unwrap());
        assert_eq!(compare_with(&attempt, false, "two").unwrap(), Boot::StageAgain);
        assert!(!attempt.has(attempt::STAGED).unwrap());
        assert_eq!(compare_with(&attempt, true, "two").unwrap(), Boot::Same, "what starts now belongs to this boot");
    }

    #[test]
    fn what_had_started_is_lost_with_its_boot_however_often_one_looks() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::at(dir.path());
        keep_as(&attempt, "one").unwrap();
        assert_eq!(compare_with(&attempt, true, "two").unwrap(), Boot::Lost);
        assert_eq!(compare_with(&attempt, true, "two").unwrap(), Boot::Lost);
        fs::write(attempt.file(attempt::BOOT), "").unwrap();
        assert_eq!(compare_with(&attempt, true, "two").unwrap(), Boot::Lost, "an emptied file is a crash, too");
    }

    #[test]
    fn an_attempt_without_a_boot_belongs_to_the_present_one() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::at(dir.path());
        assert_eq!(compare_with(&attempt, true, "one").unwrap(), Boot::Same);
        assert_eq!(compare_with(&attempt, true, "two").unwrap(), Boot::Lost);
        keep(&attempt).unwrap();
        assert_eq!(compare(&attempt, true).unwrap(), Boot::Same);
    }
}
