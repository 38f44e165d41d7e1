//! How a target knows that it was us (Standard Webhooks, symmetric signatures).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Stands before a key that is written in Base64.
const PREFIX: &str = "whsec_";

/// A key that never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// A secret as it is configured: `whsec_` and Base64, or any other text as it is.
    pub fn parse(secret: &str) -> Result<Self, &'static str> {
        let key = match secret.strip_prefix(PREFIX) {
            Some(encoded) => BASE64_STANDARD.decode(encoded).map_err(|_| "what follows `whsec_` is not Base64")?,
            None => secret.as_bytes().to_vec(),
        };
        if key.is_empty() { Err("the secret is empty") } else { Ok(Self(key)) }
    }

    /// The header `webhook-signature` of a message.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // HMAC takes keys of any length: this cannot fail, and an empty signature is refused by every target.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_the_specification_shows() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_text_or_base64_and_never_prints() {
        assert_eq!(SigningKey::parse("plain").unwrap(), SigningKey(b"plain".to_vec()));
        assert_eq!(SigningKey::parse("whsec_cGxhaW4=").unwrap(), SigningKey(b"plain".to_vec()));
        for wrong in ["", "whsec_", "whsec_!"] {
            assert!(SigningKey::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(format!("{:?}", SigningKey::parse("plain").unwrap()), "…");
    }
}
