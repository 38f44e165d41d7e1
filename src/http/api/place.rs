//! A place in the stream of events, as callers hold it: opaque, and bound to the installation that gave it out.

use axum::http::HeaderMap;
use tessera_contract::InstallationId;

use crate::http::error::ApiError;
use crate::http::query::Query;
use crate::store::{ChangeId, Kept};

/// The header in which a client that comes back names the last event it has seen.
const HEADER: &str = "Last-Event-ID";
/// The same for whoever cannot set headers.
const PARAMETER: &str = "after";

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With what happens from now on.
    Now,
    /// After a change.
    After(ChangeId),
    /// Now, for the place is of another installation or of a future that never came.
    Lost,
}

/// The place after a change.
pub fn written(installation: &InstallationId, change: ChangeId) -> String {
    format!("{}-{}", installation.0, change.0)
}

/// Where a request wants to begin. The header wins: a page that reconnects sends both, and the header is newer.
pub fn asked(headers: &HeaderMap, query: &Query, installation: &InstallationId, kept: Kept) -> Result<Begin, ApiError> {
    let header = headers.get(HEADER).filter(|value| !value.is_empty());
    let sent = match header {
        Some(value) => Some((HEADER, value.to_str().unwrap_or_default())),
        None => query.one(PARAMETER)?.map(|value| (PARAMETER, value)),
    };
    let Some((name, text)) = sent else { return Ok(Begin::Now) };
    let Some((of, change)) = read(text) else {
        return Err(ApiError::field(name, "this is no id of an event; send one as it was received, or none"));
    };
    let known = of == installation.0 && change <= kept.newest;
    Ok(if known { Begin::After(change) } else { Begin::Lost })
}

fn read(text: &str) -> Option<(&str, ChangeId)> {
    let (installation, number) = text.rsplit_once('-')?;
    let named = !installation.is_empty() && installation.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let counted = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (named && counted).then(|| number.parse().ok())?.map(|number| (installation, ChangeId(number)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asking(header: Option<&str>, after: Option<&str>) -> Result<Begin, ApiError> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("last-event-id", HeaderValue::from_str(header).unwrap());
        }
        let query = Query::read(after.map(|after| format!("after={after}")).as_deref()).unwrap();
        let kept = Kept { oldest: ChangeId(3), newest: ChangeId(9) };
        asked(&headers, &query, &InstallationId("0a1b".to_owned()), kept)
    }

    #[test]
    fn a_place_is_read_back_and_one_of_elsewhere_is_told() {
        let own = written(&InstallationId("0a1b".to_owned()), ChangeId(7));
        assert_eq!(asking(Some(&own), None).unwrap(), Begin::After(ChangeId(7)));
        assert_eq!(asking(None, Some(&own)).unwrap(), Begin::After(ChangeId(7)));
        assert_eq!(asking(Some("0a1b-9"), Some("0a1b-4")).unwrap(), Begin::After(ChangeId(9)));
        assert_eq!(asking(None, None).unwrap(), Begin::Now);
        assert_eq!(asking(Some(""), Some("")).unwrap(), Begin::Now);
        for lost in ["ffff-7", "0a1b-10", "0a1b-18446744073709551615"] {
            assert_eq!(asking(Some(lost), None).unwrap(), Begin::Lost, "{lost}");
        }
        for garbage in ["7", "-", "-7", "0a1b-", "0a1b-x", "0a1b--7", "0a1b-18446744073709551616", "../x-1"] {
            assert_eq!(asking(Some(garbage), None).unwrap_err().blamed(), Some(HEADER), "{garbage}");
            assert_eq!(asking(None, Some(garbage)).unwrap_err().blamed(), Some(PARAMETER), "{garbage}");
        }
    }
}
