//! What refusals mean.

use std::io;
use std::time::Duration;

use suppaftp::{FtpError, Status};

use super::super::trouble::Trouble;

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// The server said no; the connection goes on.
    Refused { code: u32, words: String },
    /// Nobody can know what the connection is at.
    Broken(String),
    /// A certificate, a name that cannot be sent: it would fail again.
    Hopeless(String),
}

impl Failed {
    /// An answer, or none within the time.
    pub(super) fn of<T>(
        answer: Result<Result<T, FtpError>, tokio::time::error::Elapsed>,
        within: Duration,
    ) -> Result<T, Self> {
        match answer {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Self::from(error)),
            Err(_) => Err(Self::silence(within)),
        }
    }

    pub(super) fn silence(within: Duration) -> Self {
        Self::Broken(format!("the server has not answered for {} s", within.as_secs()))
    }

    /// The server does not know the command, or not like this.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused { code: 500 | 501 | 502 | 503 | 504, .. })
    }

    /// Nothing is there, or it may not be seen.
    pub(super) fn is_unseen(&self) -> bool {
        matches!(self, Self::Refused { code: 450 | 501 | 550 | 553, .. })
    }

    /// The server says that it is a matter of rights.
    pub(super) fn is_forbidden(&self) -> bool {
        let Self::Refused { code: 530 | 532 | 550 | 553, words } = self else { return false };
        let words = words.to_ascii_lowercase();
        ["denied", "permission", "not allowed", "privilege"].iter().any(|word| words.contains(word))
    }

    /// Whether the connection is of no more use.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Refused { code, .. } => matches!(code, 421 | 425 | 426),
            Self::Broken(_) | Self::Hopeless(_) => true,
        }
    }

    /// For messages: `what` was attempted.
    pub(super) fn trouble(&self, what: &str) -> Trouble {
        let (code, words) = match self {
            Self::Refused { code, words } => (*code, words),
            Self::Broken(why) => return Trouble::unavailable(format!("{what}: {why}")),
            Self::Hopeless(why) => return Trouble::misconfigured(format!("{what}: {why}")),
        };
        let message = format!("{what}: the server answered {code} {words}");
        match code {
            // A login, a full disk, a right.
            430 | 530 | 532 | 331 | 332 | 452 | 552 => Trouble::misconfigured(message),
            400..500 => Trouble::unavailable(message),
            _ if self.is_unknown() || self.is_forbidden() => Trouble::misconfigured(message),
            _ if self.is_unseen() => Trouble::absent(message),
            _ => Trouble::rejected(message),
        }
    }
}

impl From<FtpError> for Failed {
    fn from(error: FtpError) -> Self {
        match error {
            FtpError::UnexpectedResponse(reply) => {
                let text = String::from_utf8_lossy(&reply.body);
                // The library knows not all codes.
                let code = match reply.status {
                    Status::Unknown => text.get(..3).and_then(|code| code.parse().ok()).unwrap_or(500),
                    known => known.code(),
                };
                let words = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-' || c == ' ');
                let words = words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
                Self::Refused { code, words }
            }
            FtpError::ConnectionError(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Self::Hopeless(error.to_string())
            }
            FtpError::ConnectionError(error) => Self::Broken(format!("the connection failed: {error}")),
            FtpError::SecureError(why) if why.contains("certificate") => Self::Hopeless(why),
            FtpError::SecureError(why) => Self::Broken(format!("the encrypted connection failed: {why}")),
            FtpError::BadResponse => Self::Broken("the server's answer cannot be understood".to_owned()),
            FtpError::InvalidAddress(error) => Self::Broken(format!("the server told no address: {error}")),
            FtpError::DataConnectionAlreadyOpen => Self::Broken("a transfer had not ended".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::trouble::Why;
    use super::*;
    use crate::report::FaultClass;

    #[test]
    fn what_replies_mean() {
        for (code, words, class, why) in [
            (550, "No such file.", FaultClass::Rejected, Why::Absent),
            (550, "Permission denied.", FaultClass::Misconfigured, Why::Other),
            (530, "Login incorrect.", FaultClass::Misconfigured, Why::Other),
            (421, "Too many connections.", FaultClass::Unavailable, Why::Other),
            (425, "Cannot open data connection.", FaultClass::Unavailable, Why::Other),
            (451, "Local error.", FaultClass::Unavailable, Why::Other),
            (452, "Disk full.", FaultClass::Misconfigured, Why::Other),
            (552, "Quota exceeded.", FaultClass::Misconfigured, Why::Other),
            (502, "Unknown command.", FaultClass::Misconfigured, Why::Other),
            (551, "Page type.", FaultClass::Rejected, Why::Other),
        ] {
            let trouble = Failed::Refused { code, words: words.to_owned() }.trouble("cannot fetch `ftp://h/x`");
            assert_eq!((trouble.class, trouble.why), (class, why), "{code} {words}");
            assert_eq!(trouble.message, format!("cannot fetch `ftp://h/x`: the server answered {code} {words}"));
        }
    }
}
