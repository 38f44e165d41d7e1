//! The plan as a pod gets it: in the Secret, or from where the Secret says.

use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::places::{FETCH_KEY, PLAN_KEY, Places};
use super::words::{Fetch, WORDS_VERSION};
use crate::course::trouble::Trouble;
use crate::node::attempt::{self, Attempt};
use crate::plan::Plan;
use crate::report::FaultClass;
use crate::storage::checksum::hex;
use crate::storage::document;
use crate::storage::trouble::{self, Patience};

/// The longest plan that is fetched.
const LONGEST: usize = 256 << 20;
/// The name under which a fetched plan is written.
const FETCHING: &str = ".plan.new";

/// Reads the plan; one that has to be fetched is kept in the attempt's directory.
pub(crate) async fn get(places: &Places, attempt: &Attempt) -> Result<Plan, Trouble> {
    if let Some(text) = read(&places.plan.join(PLAN_KEY))? {
        return understood(&text);
    }
    let Some(fetch) = read(&places.plan.join(FETCH_KEY))? else {
        let message = format!("there is no plan in {}", places.plan.display());
        return Err(Trouble::new(FaultClass::Misconfigured, message));
    };
    let fetch: Fetch = serde_json::from_slice(&fetch)
        .ok()
        .filter(|fetch: &Fetch| fetch.version <= WORDS_VERSION)
        .ok_or_else(|| rejected("where the plan is fetched cannot be read: it was written by another build"))?;
    let kept = attempt.file(attempt::PLAN);
    if let Some(text) = read(&kept)?.filter(|text| is_whole(text, &fetch)) {
        return understood(&text);
    }
    let text = Patience::DOWNLOAD.retry(|| fetched(&fetch)).await;
    let text = text.map_err(|trouble| Trouble::new(trouble.class, trouble.message))?;
    let keep = || -> std::io::Result<()> {
        let new = attempt.file(FETCHING);
        attempt::create_private(&new)?.write_all(&text)?;
        std::fs::rename(new, &kept)
    };
    keep().map_err(|error| Trouble::disk("keeping the plan", &kept, &error))?;
    understood(&text)
}

/// Reads the plan that was got before.
pub(crate) fn got(places: &Places, attempt: &Attempt) -> Result<Plan, Trouble> {
    let (given, kept) = (places.plan.join(PLAN_KEY), attempt.file(attempt::PLAN));
    match read(&given)?.map_or_else(|| read(&kept), |text| Ok(Some(text)))? {
        Some(text) => understood(&text),
        None => Err(Trouble::new(FaultClass::Misconfigured, format!("there is no plan in {}", places.plan.display()))),
    }
}

async fn fetched(fetch: &Fetch) -> Result<Vec<u8>, trouble::Trouble> {
    let text = document::fetch(&fetch.url, &fetch.token, LONGEST).await;
    let text =
        text.map_err(|trouble| trouble::Trouble { message: format!("the plan: {}", trouble.message), ..trouble })?;
    match is_whole(&text, fetch) {
        true => Ok(text),
        false => Err(trouble::Trouble::unavailable("the plan: what came is not what was to come")),
    }
}

fn is_whole(text: &[u8], fetch: &Fetch) -> bool {
    hex(&Sha256::digest(text)) == fetch.sha256
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Trouble> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Trouble::disk("reading the plan", path, &error)),
    }
}

fn understood(text: &[u8]) -> Result<Plan, Trouble> {
    Plan::read(text).map_err(|error| rejected(&error.to_string()))
}

fn rejected(message: &str) -> Trouble {
    Trouble::new(FaultClass::Rejected, message)
}
