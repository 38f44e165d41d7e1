//! What may go wrong, and with which requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What happens to one request or its answer. Offsets count the bytes of the body, without its framing.
#[derive(Clone)]
pub enum Fault {
    /// The proxy answers by itself, once it has read the request; the server never hears of it.
    Answer { status: u16, retry_after_s: Option<u32> },
    /// The same, with words.
    Say { status: u16, body: &'static str },
    /// The connection ends without an answer; the server never hears of the request.
    HangUp,
    /// The server gets that many bytes of the request's body, then both connections end.
    CutRequest(u64),
    /// The caller gets that many bytes of the answer's body, then its connection ends.
    CutAnswer(u64),
    /// The caller gets that many bytes of the answer's body, then nothing more for as long as it stays.
    Stall(u64),
    /// The request goes on only after that long.
    Delay(Duration),
    /// The answer's body comes in pieces of so many bytes, with a pause before each.
    Trickle { bytes: usize, pause: Duration },
    /// One bit of this byte of the request's body is turned on its way to the server.
    FlipInRequest(u64),
    /// One bit of this byte of the answer's body is turned on its way to the caller.
    FlipInAnswer(u64),
    /// The answer's body has no end: what it holds comes again and again, and no length is told.
    Endless,
    /// This is done before the request goes on: say, the object is changed.
    First(Arc<dyn Fn() + Send + Sync>),
}

/// A fault, and which requests it befalls. Where several rules match, the first one that has some left counts.
#[derive(Debug, Clone)]
pub struct Rule {
    method: Option<String>,
    path: String,
    skipped: u64,
    left: u64,
    fault: Fault,
}

impl Rule {
    /// Befalls every request.
    pub fn new(fault: Fault) -> Self {
        Self { method: None, path: String::new(), skipped: 0, left: u64::MAX, fault }
    }

    /// The proxy answers with this status.
    pub fn status(status: u16) -> Self {
        Self::new(Fault::Answer { status, retry_after_s: None })
    }

    /// Only with this method.
    pub fn method(self, method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..self }
    }

    /// Only when path or query hold this, as they travel.
    pub fn path(self, part: &str) -> Self {
        Self { path: part.to_owned(), ..self }
    }

    /// The first so many that match are spared.
    pub fn after(self, requests: u64) -> Self {
        Self { skipped: requests, ..self }
    }

    /// Not more often than this.
    pub fn times(self, requests: u64) -> Self {
        Self { left: requests, ..self }
    }

    /// What befalls this request, if anything; counted.
    pub(super) fn befalls(&mut self, method: &str, target: &str) -> Option<Fault> {
        if self.method.as_deref().is_some_and(|only| only != method) || !target.contains(&self.path) || self.left == 0 {
            return None;
        }
        if self.skipped > 0 {
            self.skipped -= 1;
            return None;
        }
        self.left -= 1;
        Some(self.fault.clone())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { status, .. } => write!(f, "Answer({status})"),
            Self::Say { status, body } => write!(f, "Say({status}, {body})"),
            Self::HangUp => f.write_str("HangUp"),
            Self::CutRequest(at) => write!(f, "CutRequest({at})"),
            Self::CutAnswer(at) => write!(f, "CutAnswer({at})"),
            Self::Stall(at) => write!(f, "Stall({at})"),
            Self::Delay(time) => write!(f, "Delay({time:?})"),
            Self::Trickle { bytes, pause } => write!(f, "Trickle({bytes}, {pause:?})"),
            Self::FlipInRequest(at) => write!(f, "FlipInRequest({at})"),
            Self::FlipInAnswer(at) => write!(f, "FlipInAnswer({at})"),
            Self::Endless => f.write_str("Endless"),
            Self::First(_) => f.write_str("First(…)"),
        }
    }
}
