//! What the service says when it does not do what it was asked for.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::storage::answer::judged;
use crate::storage::trouble::{Trouble, Why};

/// An answer that is not what was asked for, or none at all.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The answer's status; `None` when there was no answer.
    pub(super) status: Option<StatusCode>,
    /// The service's word for it; empty where it has none.
    pub(super) code: String,
    /// What it means for whoever asked.
    pub(super) trouble: Trouble,
}

/// The body of a refusal.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Words {
    pub(super) code: String,
    pub(super) message: String,
    /// The region that the bucket is in, where another was meant.
    pub(super) region: Option<String>,
}

impl Words {
    /// Whatever of a body can be read.
    pub(super) fn read(body: &[u8]) -> Self {
        quick_xml::de::from_reader(body).unwrap_or_default()
    }

    /// Whether a document is a refusal, whatever its answer's status was.
    pub(super) fn of_error(body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start();
        let root = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or(text, |(_, rest)| rest);
        root.trim_start().starts_with("<Error").then(|| Self::read(body))
    }

    fn sentence(&self) -> String {
        let said: Vec<&str> = [&*self.code, &*self.message].into_iter().filter(|text| !text.is_empty()).collect();
        let said = said.join(": ");
        // A sentence, not a page.
        let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
        if said.is_empty() { said } else { format!(" ({said})") }
    }
}

impl Refusal {
    /// Sorts a refusal. `signed` is whether the request was.
    pub(super) fn new(what: &str, status: StatusCode, headers: &HeaderMap, words: Words, signed: bool) -> Self {
        let mut message = format!("{what}: the server answered {status}{}", words.sentence());
        let turned_away = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if turned_away && !signed {
            message.push_str("; the request was not signed, since no credentials are configured or were found");
        }
        let trouble = match meaning(&words.code) {
            Meaning::Status => judged(status, headers, message),
            Meaning::Rejected => Trouble::rejected(message),
            Meaning::Misconfigured => Trouble::misconfigured(message),
            Meaning::Passes => {
                let retry_after = judged(status, headers, String::new()).retry_after;
                Trouble { retry_after, ..Trouble::unavailable(message) }
            }
        };
        Self { status: Some(status), code: words.code, trouble }
    }

    /// Sorts what came in the disguise of a success: the service began its answer before it knew.
    pub(super) fn late(what: &str, words: Words) -> Self {
        let message = format!("{what}: the server began to answer and then failed{}", words.sentence());
        let status = match words.code.as_str() {
            "AccessDenied" => StatusCode::FORBIDDEN,
            "EntityTooLarge" | "EntityTooSmall" | "InvalidPart" | "InvalidPartOrder" | "InvalidRequest" => {
                StatusCode::BAD_REQUEST
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let trouble = match meaning(&words.code) {
            Meaning::Rejected => Trouble::rejected(message),
            Meaning::Misconfigured => Trouble::misconfigured(message),
            Meaning::Status | Meaning::Passes => judged(status, &HeaderMap::new(), message),
        };
        Self { status: None, code: words.code, trouble }
    }

    /// Whether the service may have turned away only the checksum that was sent along.
    pub(super) fn may_be_the_checksum(&self) -> bool {
        let unknown = ["NotImplemented", "InvalidArgument", "InvalidRequest", "InvalidHeader", "UnsupportedHeader", ""];
        matches!(self.status, Some(StatusCode::BAD_REQUEST | StatusCode::NOT_IMPLEMENTED))
            && unknown.contains(&self.code.as_str())
    }

    /// Nothing is there.
    pub(super) fn is_absent(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// The upload of parts is no longer known.
    pub(super) fn upload_is_gone(&self) -> bool {
        self.code == "NoSuchUpload"
    }
}

enum Meaning {
    Status,
    Rejected,
    Misconfigured,
    Passes,
}

/// Codes that mean something else than their statuses.
fn meaning(code: &str) -> Meaning {
    match code {
        // A bucket is no file that is absent.
        "NoSuchBucket" | "NoSuchUpload" => Meaning::Rejected,
        "AuthorizationHeaderMalformed" | "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            Meaning::Misconfigured
        }
        // The clock of this machine, not the right to anything.
        "RequestTimeTooSkewed" => Meaning::Misconfigured,
        "BadDigest"
        | "IncompleteBody"
        | "InternalError"
        | "OperationAborted"
        | "RequestTimeout"
        | "SlowDown"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "ConditionalRequestConflict"
        | "XAmzContentChecksumMismatch" => Meaning::Passes,
        _ => Meaning::Status,
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        Self { status: None, code: String::new(), trouble }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        refusal.trouble
    }
}

/// An upload of parts that somebody else has ended: begin again.
pub(super) fn begin_again(trouble: Trouble) -> Trouble {
    Trouble { why: Why::Changed, ..trouble }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::FaultClass::{self, Misconfigured, Rejected, Unavailable};

    fn refusal(status: u16, body: &str) -> Refusal {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        Refusal::new("cannot fetch `s3://b/k`", status, &HeaderMap::new(), Words::read(body.as_bytes()), true)
    }

    #[test]
    fn codes_are_sorted() {
        for (status, code, class, why) in [
            (404, "NoSuchKey", Rejected, Why::Absent),
            (404, "NoSuchBucket", Rejected, Why::Other),
            (403, "AccessDenied", Misconfigured, Why::Other),
            (403, "InvalidAccessKeyId", Misconfigured, Why::Other),
            (403, "SignatureDoesNotMatch", Misconfigured, Why::Other),
            (403, "RequestTimeTooSkewed", Misconfigured, Why::Other),
            (400, "ExpiredToken", Misconfigured, Why::Other),
            (400, "BadDigest", Unavailable, Why::Other),
            (400, "RequestTimeout", Unavailable, Why::Other),
            (400, "KeyTooLongError", Rejected, Why::Other),
            (409, "OperationAborted", Unavailable, Why::Other),
            (412, "PreconditionFailed", Unavailable, Why::Changed),
            (416, "InvalidRange", Unavailable, Why::Changed),
            (429, "TooManyRequests", Unavailable, Why::Other),
            (500, "InternalError", Unavailable, Why::Other),
            (503, "SlowDown", Unavailable, Why::Other),
        ] {
            let body =
                format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>So &amp; so</Message></Error>");
            let Refusal { trouble, code: read, .. } = refusal(status, &body);
            assert_eq!((trouble.class, trouble.why, &*read), (class, why, code), "{status} {code}");
            assert!(trouble.message.contains(&format!("({code}: So & so)")), "{}", trouble.message);
        }
    }

    #[test]
    fn bodies_that_are_none() {
        for body in ["", "<html>Oops", "{}"] {
            assert_eq!(refusal(502, body).trouble.class, FaultClass::Unavailable, "{body}");
        }
        assert!(refusal(502, "").trouble.message.ends_with("502 Bad Gateway"));
        assert!(Words::of_error(b" \n<?xml version=\"1.0\"?>\n<Error><Code>x</Code></Error>").is_some());
        assert!(Words::of_error(b"<CompleteMultipartUploadResult/>").is_none());
    }
}
