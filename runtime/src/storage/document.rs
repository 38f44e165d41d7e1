//! A document that a service of the operator's own gives to whoever has the token.

use futures::StreamExt;

use super::answer::refused;
use super::client::{broken, unguarded};
use super::settings::Rule;
use super::trouble::{Trouble, Why};
use crate::report::FaultClass;

/// Fetches a document of bounded length, once. That it is not there may pass: its service may just be starting.
pub(crate) async fn fetch(url: &str, token: &str, most: usize) -> Result<Vec<u8>, Trouble> {
    let client = unguarded(&Rule::default())?;
    let what = format!("cannot fetch `{}`", super::location::redacted(url));
    let response = client.get(url).bearer_auth(token).send().await.map_err(|error| broken(&what, error))?;
    if !response.status().is_success() {
        let trouble = refused(&what, response).await;
        return Err(Trouble { class: FaultClass::Unavailable, why: Why::Other, ..trouble });
    }
    let mut pieces = response.bytes_stream();
    let mut document = Vec::new();
    while let Some(piece) = pieces.next().await {
        document.extend_from_slice(&piece.map_err(|error| broken(&what, error))?);
        if document.len() > most {
            return Err(Trouble::rejected(format!("{what}: it is longer than {most} bytes")));
        }
    }
    Ok(document)
}
