//! Request bodies, whole: not larger and not slower than the settings allow.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;

use super::error::ApiError;
use super::settings::Bounds;

/// How much of a body that is too large is still taken and dropped, in multiples of the limit. A client that is cut
/// off while it writes sees a broken connection instead of the answer.
const PATIENCE: usize = 4;

/// Takes a body, or answers 408, 413, or 400 when it breaks off.
pub async fn receive(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<Vec<u8>, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let announced = announced.unwrap_or(0);
    // Who asks before writing is told at once.
    if announced > bounds.body_bytes && headers.contains_key(header::EXPECT) {
        return Err(ApiError::too_large(bounds.body_bytes));
    }
    let taken = tokio::time::timeout(bounds.time, take(body, announced, bounds.body_bytes)).await;
    taken.unwrap_or_else(|_| Err(ApiError::too_slow()))
}

async fn take(mut body: Body, announced: usize, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut taken = Vec::with_capacity(announced.min(64 * 1024));
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad_request("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        size = size.saturating_add(data.len());
        if size <= limit {
            taken.extend_from_slice(&data);
        } else if size > limit.saturating_mul(PATIENCE) {
            break;
        } else {
            taken = Vec::new();
        }
    }
    if size > limit { Err(ApiError::too_large(limit)) } else { Ok(taken) }
}
