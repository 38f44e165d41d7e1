//! What Azure's codes mean.

use reqwest::{Response, StatusCode};

use crate::report::FaultClass;
use crate::storage::answer;
use crate::storage::trouble::{Trouble, Why};

/// The code of an answer; an answer to HEAD has no other place for it.
pub(super) fn code(response: &Response) -> Option<String> {
    Some(response.headers().get("x-ms-error-code")?.to_str().ok()?.to_owned())
}

/// Whether nothing is there, rather than nowhere to look.
pub(super) fn is_absent(response: &Response) -> bool {
    let missing_container = code(response).is_some_and(|code| code.starts_with("Container"));
    response.status() == StatusCode::NOT_FOUND && !missing_container
}

/// An answer that is not what was asked for. Where the status says too little, the code decides.
pub(super) async fn refused(what: &str, response: Response) -> Trouble {
    let code = code(&response);
    let mut trouble = answer::refused(what, response).await;
    let Some(code) = code else { return trouble };
    if !trouble.message.contains(&code) {
        trouble.message = format!("{} ({code})", trouble.message);
    }
    let (class, why) = match code.as_str() {
        "ContainerNotFound" | "ContainerDisabled" => (FaultClass::Rejected, Why::Other),
        // Anonymous requests to what is not public, and signatures that cannot even be read.
        "PublicAccessNotPermitted"
        | "NoAuthenticationInformation"
        | "InvalidAuthenticationInfo"
        | "AuthenticationFailed" => (FaultClass::Misconfigured, Why::Other),
        // Blocks vanish when somebody else finishes the same blob; damaged ones are sent again.
        "InvalidBlockList" | "InvalidBlobOrBlock" => (FaultClass::Unavailable, Why::Changed),
        "Md5Mismatch" | "ContainerBeingDeleted" => (FaultClass::Unavailable, Why::Other),
        _ => (trouble.class, trouble.why),
    };
    Trouble { class, why, ..trouble }
}

/// The same for something that was to be written: a blob under somebody's lease stays so.
pub(super) async fn refused_writing(what: &str, response: Response) -> Trouble {
    let for_good = response.status() == StatusCode::PRECONDITION_FAILED;
    let trouble = refused(what, response).await;
    if for_good { Trouble::rejected(trouble.message) } else { trouble }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Response {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Said.\nId:1</Message></Error>");
        let mut answer = http::Response::new(if status == 304 { String::new() } else { body });
        *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        if let Ok(code) = code.parse() {
            answer.headers_mut().insert("x-ms-error-code", code);
        }
        answer.into()
    }

    #[tokio::test]
    async fn codes() {
        for (status, code, class, why) in [
            (404, "BlobNotFound", FaultClass::Rejected, Why::Absent),
            (404, "ContainerNotFound", FaultClass::Rejected, Why::Other),
            (403, "AuthenticationFailed", FaultClass::Misconfigured, Why::Other),
            (403, "AuthorizationPermissionMismatch", FaultClass::Misconfigured, Why::Other),
            (401, "NoAuthenticationInformation", FaultClass::Misconfigured, Why::Other),
            (409, "PublicAccessNotPermitted", FaultClass::Misconfigured, Why::Other),
            (400, "InvalidBlockList", FaultClass::Unavailable, Why::Changed),
            (400, "Md5Mismatch", FaultClass::Unavailable, Why::Other),
            (400, "InvalidInput", FaultClass::Rejected, Why::Other),
            (412, "ConditionNotMet", FaultClass::Unavailable, Why::Changed),
            (416, "InvalidRange", FaultClass::Unavailable, Why::Changed),
            (429, "TooManyRequests", FaultClass::Unavailable, Why::Other),
            (500, "OperationTimedOut", FaultClass::Unavailable, Why::Other),
            (503, "ServerBusy", FaultClass::Unavailable, Why::Other),
        ] {
            let trouble = refused("cannot fetch `x`", answer(status, code)).await;
            assert_eq!((trouble.class, trouble.why), (class, why), "{code}");
            assert!(trouble.message.contains(&format!("{code}: Said. Id:1")), "{}", trouble.message);
        }
        for (status, code, class) in [
            (412, "LeaseIdMissing", FaultClass::Rejected),
            (412, "ConditionNotMet", FaultClass::Rejected),
            (503, "ServerBusy", FaultClass::Unavailable),
        ] {
            let trouble = refused_writing("cannot deliver `x`", answer(status, code)).await;
            assert_eq!((trouble.class, trouble.why), (class, Why::Other), "{code}");
        }
        assert!(is_absent(&answer(404, "BlobNotFound")));
        assert!(!is_absent(&answer(404, "ContainerNotFound")));
        assert!(!is_absent(&answer(403, "BlobNotFound")));
    }
}
