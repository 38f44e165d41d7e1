//! What a listing is asked for, and the tokens that lead from page to page (TES contract §8).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tessera_contract::InstallationId;

use super::to_wire::View;
use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::store::ListQuery;
use crate::task::{Owner, Phase, TaskId};

/// Tasks on a page unless asked otherwise (8.2).
const DEFAULT_SIZE: u32 = 256;
/// The most tasks on a page (8.2).
pub const LARGEST_SIZE: u32 = 2047;

/// A listing as it was asked for.
#[derive(Debug)]
pub struct Asked {
    /// The filters, the place and the size.
    pub query: ListQuery,
    /// What is shown of each task.
    pub view: View,
    /// The filters can match nothing: UNKNOWN is a state that no task has.
    pub nothing: bool,
}

/// What page tokens are bound to, besides the filters: the installation and the caller.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// Whose tasks are listed.
    pub owner: &'a Owner,
    /// By which server.
    pub installation: &'a InstallationId,
}

/// Reads the query of a listing.
pub fn asked(query: &Query, bound: Bound<'_>) -> Result<Asked, ApiError> {
    let state = query.one("state")?.map(state).transpose()?;
    let mut list = ListQuery {
        name_prefix: query.one("name_prefix")?.unwrap_or_default().to_owned(),
        phase: state.flatten(),
        tags: tags(query)?,
        after: None,
        size: size(query.one_or_empty("page_size")?)?,
    };
    list.after = query.one("page_token")?.map(|token| read_token(token, &list, bound)).transpose()?;
    Ok(Asked { query: list, view: view(query)?, nothing: state == Some(None) })
}

/// Reads the view; MINIMAL unless asked otherwise (7.1).
pub fn view(query: &Query) -> Result<View, ApiError> {
    let Some(word) = query.one("view")? else { return Ok(View::Minimal) };
    View::named(word).ok_or_else(|| ApiError::field("view", "there are MINIMAL, BASIC and FULL"))
}

/// The token of the page after `next`.
pub fn token(next: &TaskId, list: &ListQuery, bound: Bound<'_>) -> String {
    let mut bytes = seal(next.as_str(), list, bound).to_vec();
    bytes.extend_from_slice(next.as_str().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn read_token(token: &str, list: &ListQuery, bound: Bound<'_>) -> Result<TaskId, ApiError> {
    let refused = || {
        ApiError::field("page_token", "not a token of this listing; send the same filters, or begin again without it")
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
    let (sealed, id) = bytes.split_at_checked(SEAL).ok_or_else(refused)?;
    let id = std::str::from_utf8(id).ok().and_then(TaskId::parse).ok_or_else(refused)?;
    let fits = bool::from(seal(id.as_str(), list, bound).as_slice().ct_eq(sealed));
    if fits { Ok(id) } else { Err(refused()) }
}

/// Bytes of a seal.
const SEAL: usize = 16;

/// Binds a place in a listing to its filters, its caller and its server (8.1). Not a secret: a caller who made one
/// up would still see only tasks of its own.
fn seal(id: &str, list: &ListQuery, bound: Bound<'_>) -> [u8; SEAL] {
    let phase = list.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
    let mut digest = Sha256::new();
    let mut part = |text: &str| {
        // With its length, so that no two lists of parts run together to the same bytes.
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    };
    for text in [id, &bound.installation.0, &bound.owner.0, &list.name_prefix, &phase] {
        part(text);
    }
    for (key, value) in &list.tags {
        part(key);
        part(if value.is_some() { "=" } else { "*" });
        part(value.as_deref().unwrap_or_default());
    }
    let mut seal = [0; SEAL];
    seal.copy_from_slice(&digest.finalize()[..SEAL]);
    seal
}

fn size(sent: Option<&str>) -> Result<u32, ApiError> {
    let Some(sent) = sent else { return Ok(DEFAULT_SIZE) };
    let digits = !sent.is_empty() && sent.bytes().all(|byte| byte.is_ascii_digit());
    let size = digits.then(|| sent.parse().ok()).flatten().filter(|size| (1..=LARGEST_SIZE).contains(size));
    size.ok_or_else(|| ApiError::field("page_size", format!("must be a whole number from 1 to {LARGEST_SIZE}")))
}

/// A state to filter by; UNKNOWN is a word of the specification, and no task is ever in it (8.5).
pub fn state(word: &str) -> Result<Option<Phase>, ApiError> {
    Ok(Some(match word {
        "UNKNOWN" => return Ok(None),
        "QUEUED" => Phase::Queued,
        "INITIALIZING" => Phase::Initializing,
        "RUNNING" => Phase::Running,
        "PAUSED" => Phase::Paused,
        "COMPLETE" => Phase::Complete,
        "EXECUTOR_ERROR" => Phase::ExecutorError,
        "SYSTEM_ERROR" => Phase::SystemError,
        "CANCELED" => Phase::Canceled,
        "PREEMPTED" => Phase::Preempted,
        "CANCELING" => Phase::Canceling,
        _ => {
            let message = "there are UNKNOWN, QUEUED, INITIALIZING, RUNNING, PAUSED, COMPLETE, EXECUTOR_ERROR, \
                           SYSTEM_ERROR, CANCELED, PREEMPTED and CANCELING";
            return Err(ApiError::field("state", message));
        }
    }))
}

/// Keys and values zipped by position; an empty value is any value (8.6).
fn tags(query: &Query) -> Result<Vec<(String, Option<String>)>, ApiError> {
    let keys: Vec<&str> = query.all("tag_key").collect();
    let values: Vec<&str> = query.all("tag_value").collect();
    if values.len() > keys.len() && values.iter().any(|value| !value.is_empty()) {
        let message =
            format!("{} values for {} keys; each value belongs to the key in its place", values.len(), keys.len());
        return Err(ApiError::field("tag_value", message));
    }
    let mut values = values.into_iter();
    let pairs = keys.into_iter().map(|key| (key, values.next().filter(|value| !value.is_empty())));
    // 4.12: an empty key is absent, unless a value says that it is meant.
    let meant = pairs.filter(|(key, value)| !key.is_empty() || value.is_some());
    Ok(meant.map(|(key, value)| (key.to_owned(), value.map(str::to_owned))).collect())
}

#[cfg(test)]
mod tests;
