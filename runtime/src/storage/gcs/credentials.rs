//! With what requests to Google are signed: the settings, the surroundings, or nothing.

use reqsign_core::{Context, ProvideCredential, ProvideCredentialChain};
use reqsign_google::{
    Credential, EnvCredentialProvider, RequestSigner, ServiceAccountTokenCredentialProvider, StaticCredentialProvider,
    TokenCredentialProvider, VmMetadataCredentialProvider, WellKnownCredentialProvider,
};

use crate::storage::identity::Identity;
use crate::storage::settings::Rule;
use crate::storage::trouble::Trouble;

/// What tokens are good for.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// Who we are. An emulator that the environment names asks nobody.
pub(super) fn identity(rule: &Rule, emulated: bool) -> Result<Identity<Credential>, Trouble> {
    let signer = || RequestSigner::new("storage").with_scope(SCOPE);
    if let Some(account) = &rule.service_account {
        let provider = Exchanged(StaticCredentialProvider::new(account.expose()).with_scope(SCOPE));
        return Identity::configured(rule, provider, signer(), "`service_account`");
    }
    if let Some(token) = &rule.token {
        return Identity::configured(rule, TokenCredentialProvider::new(token.expose()), signer(), "`token`");
    }
    if rule.anonymous || emulated {
        return Ok(Identity::nobody());
    }
    Identity::ambient(rule, surroundings, signer(), "identity that the surroundings give")
}

/// A file that the environment names, what `gcloud` left behind, the metadata service.
fn surroundings() -> ProvideCredentialChain<Credential> {
    ProvideCredentialChain::new()
        .push(Exchanged(EnvCredentialProvider::new().with_scope(SCOPE)))
        .push(Exchanged(WellKnownCredentialProvider::new().with_scope(SCOPE)))
        .push(VmMetadataCredentialProvider::new().with_scope(SCOPE))
}

/// Gives a service account's token instead of its key: of a key the signer would make a new token for every request.
#[derive(Debug)]
struct Exchanged<P>(P);

impl<P: ProvideCredential<Credential = Credential>> ProvideCredential for Exchanged<P> {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> reqsign_core::Result<Option<Credential>> {
        let found = self.0.provide_credential(context).await?;
        match found {
            Some(Credential { service_account: Some(account), token: None, .. }) => {
                let exchange = ServiceAccountTokenCredentialProvider::new(account).with_scope(SCOPE);
                exchange.provide_credential(context).await
            }
            found => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use reqsign_core::{HttpSend, Signer};

    use super::*;
    use crate::storage::secret::Secret;

    async fn authorization(rule: &Rule, emulated: bool) -> Option<String> {
        let (mut head, ()) = http::Request::get("https://h/x").body(()).unwrap().into_parts();
        identity(rule, emulated).unwrap().sign(&mut head).await.unwrap();
        head.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn the_nearest_credentials_win() {
        let token = Rule { token: Some(Secret::new("T")), anonymous: true, ..Rule::default() };
        assert_eq!(authorization(&token, true).await.as_deref(), Some("Bearer T"));
        assert_eq!(authorization(&Rule { anonymous: true, ..Rule::default() }, false).await, None);
        assert_eq!(authorization(&Rule::default(), true).await, None);
    }

    #[tokio::test]
    async fn a_key_that_is_none_is_the_operators_to_mend() {
        let rule = Rule { service_account: Some(Secret::new("{\"type\": \"SECRET\"}")), ..Rule::default() };
        let (mut head, ()) = http::Request::get("https://h/x").body(()).unwrap().into_parts();
        let trouble = identity(&rule, false).unwrap().sign(&mut head).await.unwrap_err();
        assert_eq!(trouble.class, crate::report::FaultClass::Misconfigured);
        assert!(!trouble.message.contains("SECRET"), "{}", trouble.message);
    }

    /// Gives out tokens and counts them.
    #[derive(Debug, Clone, Default)]
    struct TokenService(Arc<Mutex<u32>>);

    impl HttpSend for TokenService {
        async fn http_send(&self, _: http::Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
            let mut given = self.0.lock().unwrap();
            *given += 1;
            let token = format!("{{\"access_token\": \"T{given}\", \"expires_in\": 3600}}");
            Ok(http::Response::new(token.into()))
        }
    }

    #[tokio::test]
    async fn one_token_is_enough_for_many_requests() {
        let service = TokenService::default();
        let context = Context::new().with_http_send(service.clone());
        let signer = Signer::new(context, Exchanged(Account), RequestSigner::new("storage"));
        for _ in 0..3 {
            let (mut head, ()) = http::Request::get("https://h/x").body(()).unwrap().into_parts();
            signer.sign(&mut head, None).await.unwrap();
            assert_eq!(head.headers["authorization"], "Bearer T1");
        }
        assert_eq!(*service.0.lock().unwrap(), 1);
    }

    #[derive(Debug)]
    struct Account;

    impl ProvideCredential for Account {
        type Credential = Credential;

        async fn provide_credential(&self, _: &Context) -> reqsign_core::Result<Option<Credential>> {
            let lines: Vec<_> = KEY.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
            let key = format!("-----BEGIN {0}-----\n{1}\n-----END {0}-----\n", "PRIVATE KEY", lines.join("\n"));
            let account = serde_json::json!({ "client_email": "a@b", "private_key": key });
            Ok(Some(Credential::with_service_account(serde_json::from_value(account).unwrap())))
        }
    }

    /// Made for this test; it opens nothing.
    const KEY: &str = "MIICeAIBADANBgkqhkiG9w0BAQEFAASCAmIwggJeAgEAAoGBAMFY61EZCXLf5auCWFgxSI2SbvxQcQJxw+5k5eYtK1aGYHq5dURz\
        ozPA9l9VPG2EYrlV9QjGA1LHQALmqFX1IxE3oy2bYRKlU4ZfrC+rkB64Nd/av8qFQp3vHNHuLL4bICYeEvqYHnswwW38UPBZ4PLn\
        CyiHpkdVIRBxZreTexVdAgMBAAECgYEAu/jZ1l9T+1XHsQWpJBzN362Er1L5e5nlFckMZcp2Psmn1MinRKRz/2XTYP26IPM7E9qI\
        vj3cj0bdabSb5e3MZ0gs0gvE98CR9L+3B2ePYFdDDPA3BpeKrvi/wJBjcTGU6D563ZwU+X4vXXKfyNf7PGLjV64eqqj78hSKxr0b\
        eXUCQQDuEjeAyeA+gYPjsfcy6zEDemwBs4IBANsv5y1d+bdkB19+70lfFNvgBM4Gl57VpPTAa1lszWPqTHTMWHVVDvWzAkEAz+h4\
        W4ggsEjfrblNkyvXev9g0nJc1Cz4WAb0Ixbj/xvrJpgcP2M0+zFEBsl13xIOeqXC4GbNGnRDP8kJkmpgrwJBALDEW+vHeTZQCjLF\
        kEuBcCop+wokVBIUpari1r+hS/b8tn5Ug8EShtPGHYetiqUNTyGUU5jCxD5SuKKFx9D5Q5sCQGjXOZoukw1SMjlQcCX+vbJwhUqa\
        EOWNp83787CeImrKkVHs8pGkXVsuBLfHb4EFgfenDxZJwLPOXPsVTZZfvlECQQC5pV/0LvOkh3RHMJP/5AVb4CPnMvxM33PNc1l9\
        x75lcCxNlR1BamgmKVC3g3Xg+2UmJkEcOjLM/PUxzc5AhGdu";
}
