//! A dozen lines of HTTP/1.1, enough to talk to a server of our own on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Nothing here is slower than this without being wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request, one connection; the status and the body.
pub(crate) fn request(to: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, String)> {
    let what = || format!("{method} http://{to}{path}");
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).with_context(what)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).with_context(what)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(what)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("{}: no answer", what()))?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let Some(status) = status else { bail!("{}: not HTTP: {head}", what()) };
    // Our own server says how long a body is; only then is everything behind the head the body.
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        bail!("{}: a chunked answer, which this client does not read", what());
    }
    Ok((status, body.to_owned()))
}

/// The same, for answers that are 200 and JSON.
pub(crate) fn json(to: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let (status, answer) = request(to, method, path, body)?;
    if status != 200 {
        bail!("{method} {path} was answered {status}: {answer}");
    }
    serde_json::from_str(&answer).with_context(|| format!("{method} {path} was answered by no JSON: {answer}"))
}
