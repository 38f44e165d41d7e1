//! Who we are for a vendor's service: credentials from the settings, from the surroundings, or none.
//!
//! Signing and the vendors' chains of identities are reqsign's. What gives identities (a metadata service, a token
//! endpoint) is named by the operator or the vendor and so is asked by a client without a guard.
//!
//! A request that goes out unsigned by mistake is refused for good, so that nobody is there is believed only where
//! nothing points to somebody, and only for a while.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use reqsign_core::{
    Context, ErrorKind, HttpSend, OsEnv, ProvideCredential, ProvideCredentialChain, SignRequest, Signer,
    SigningCredential,
};
use reqsign_file_read_tokio::TokioFileRead;
use reqwest::{Body, Client, Request};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::{broken, unguarded, unguarded_and_direct};
use super::guard::is_own;
use super::settings::Rule;
use super::trouble::Trouble;

/// How long the surroundings are asked for an identity. Outside of a cloud nobody answers.
const ASK_FOR: Duration = Duration::from_secs(5);
/// The same where something says that there is an identity.
const ASK_POINTED_FOR: Duration = Duration::from_secs(30);
/// How long it is believed that there is nobody.
const NOBODY_FOR: Duration = Duration::from_secs(60);

/// A vendor's kind of credential.
pub(super) trait Pointed: SigningCredential {
    /// Environment variables that say that the surroundings have an identity.
    const POINTERS: &'static [&'static str];
}

impl Pointed for reqsign_aws_v4::Credential {
    const POINTERS: &'static [&'static str] = &[
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
}

impl Pointed for reqsign_azure_storage::Credential {
    const POINTERS: &'static [&'static str] =
        &["AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_SECRET", "AZURE_IMDS_ENDPOINT"];
}

impl Pointed for reqsign_google::Credential {
    const POINTERS: &'static [&'static str] = &["GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST"];
}

/// Signs requests with one kind of credential.
pub(super) struct Identity<K: SigningCredential> {
    kind: Kind<K>,
    what: String,
}

enum Kind<K: SigningCredential> {
    Nobody,
    /// It was configured, so it has to work.
    Configured(Signer<K>),
    /// It is used if the surroundings give one.
    Ambient(Box<Surroundings<K>>),
}

struct Surroundings<K: SigningCredential> {
    chain: ProvideCredentialChain<K>,
    context: Context,
    signer: Signer<K>,
    /// Something says that there is an identity.
    pointed: bool,
    /// Somebody was found.
    found: AtomicBool,
    /// When nobody was found.
    nobody: Mutex<Option<Instant>>,
}

impl<K: SigningCredential> Surroundings<K> {
    /// Whether there is an identity. A chain does not tell a failure from nobody being there.
    async fn is_somebody(&self, what: &str) -> Result<bool, Trouble> {
        if self.found.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let mut nobody = self.nobody.lock().await;
        // Somebody else has asked meanwhile.
        if self.found.load(Ordering::Relaxed) {
            return Ok(true);
        }
        if nobody.is_some_and(|since| since.elapsed() < NOBODY_FOR) {
            return Ok(false);
        }
        let most = if self.pointed { ASK_POINTED_FOR } else { ASK_FOR };
        let asked = tokio::time::timeout(most, self.chain.provide_credential(&self.context)).await;
        if matches!(asked, Ok(Ok(Some(_)))) {
            self.found.store(true, Ordering::Relaxed);
            return Ok(true);
        }
        if self.pointed {
            let message = format!("the {what} cannot be had, though the environment says that there is one");
            return Err(Trouble::unavailable(message));
        }
        *nobody = Some(Instant::now());
        Ok(false)
    }
}

impl<K: SigningCredential> fmt::Debug for Identity<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Nobody => "nobody",
            Kind::Configured(_) => "configured",
            Kind::Ambient(_) => "ambient",
        };
        f.debug_tuple("Identity").field(&kind).finish()
    }
}

impl<K: SigningCredential> Identity<K> {
    /// Requests go as they are.
    pub(super) fn nobody() -> Self {
        Self { kind: Kind::Nobody, what: String::new() }
    }

    /// Credentials from the settings. `what` names them in messages.
    pub(super) fn configured(
        rule: &Rule,
        provider: impl ProvideCredential<Credential = K>,
        signer: impl SignRequest<Credential = K>,
        what: &str,
    ) -> Result<Self, Trouble> {
        let signer = Signer::new(context(rule)?, provider, signer);
        Ok(Self { kind: Kind::Configured(signer), what: what.to_owned() })
    }

    /// Signs a request's head, or leaves it as it is when there is nobody to sign for.
    pub(super) async fn sign(&self, head: &mut Parts) -> Result<(), Trouble> {
        let (signer, was_found) = match &self.kind {
            Kind::Nobody => return Ok(()),
            Kind::Configured(signer) => (signer, false),
            Kind::Ambient(surroundings) => match surroundings.is_somebody(&self.what).await? {
                true => (&surroundings.signer, true),
                false => return Ok(()),
            },
        };
        signer.sign(head, None).await.map_err(|error| {
            let message = format!("the {} cannot be used: {error}", self.what);
            // Who was found once and is not given again will be back: a chain hides why.
            let hidden = was_found && error.kind() == ErrorKind::CredentialInvalid;
            match error.is_retryable() || hidden {
                true => Trouble::unavailable(message),
                false => Trouble::misconfigured(message),
            }
        })
    }

    /// Whether requests are signed, as far as is known: for messages about refusals.
    pub(super) fn is_somebody(&self) -> bool {
        match &self.kind {
            Kind::Nobody => false,
            Kind::Configured(_) => true,
            Kind::Ambient(surroundings) => surroundings.found.load(Ordering::Relaxed),
        }
    }

    /// A signed request, ready to be sent.
    pub(super) async fn request(&self, head: http::request::Builder, body: Body) -> Result<Request, Trouble> {
        let unfit = |error: &dyn fmt::Display| Trouble::rejected(format!("no request can be made of it: {error}"));
        let (mut head, ()) = head.body(()).map_err(|error| unfit(&error))?.into_parts();
        self.sign(&mut head).await?;
        let request = http::Request::from_parts(head, body);
        Request::try_from(request).map_err(|error| unfit(&error.without_url()))
    }
}

impl<K: Pointed> Identity<K> {
    /// Whatever the surroundings give: environment, files, metadata services. `chain` is made twice.
    pub(super) fn ambient(
        rule: &Rule,
        chain: impl Fn() -> ProvideCredentialChain<K>,
        signer: impl SignRequest<Credential = K>,
        what: &str,
    ) -> Result<Self, Trouble> {
        Ok(Self::surrounded(context(rule)?, chain, signer, what))
    }

    fn surrounded(
        context: Context,
        chain: impl Fn() -> ProvideCredentialChain<K>,
        signer: impl SignRequest<Credential = K>,
        what: &str,
    ) -> Self {
        let surroundings = Surroundings {
            chain: chain(),
            signer: Signer::new(context.clone(), chain(), signer),
            pointed: K::POINTERS.iter().any(|name| context.env_var(name).is_some_and(|value| !value.is_empty())),
            context,
            found: AtomicBool::new(false),
            nobody: Mutex::default(),
        };
        Self { kind: Kind::Ambient(Box::new(surroundings)), what: what.to_owned() }
    }
}

fn context(rule: &Rule) -> Result<Context, Trouble> {
    let asking = Asking { direct: unguarded_and_direct(rule)?, proxied: unguarded(rule)? };
    Ok(Context::new().with_file_read(TokioFileRead).with_env(OsEnv).with_http_send(asking))
}

#[derive(Debug)]
struct Asking {
    /// For the metadata services.
    direct: Client,
    /// For what else gives identities; there may be no proxy.
    proxied: Client,
}

impl HttpSend for Asking {
    async fn http_send(&self, request: http::Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
        let failed = |error: reqwest::Error| {
            let trouble = broken("no identity could be had", error);
            reqsign_core::Error::unexpected(trouble.message).set_retryable(true)
        };
        let request = Request::try_from(request).map_err(failed)?;
        let client = if request.url().host_str().is_some_and(is_own) { &self.direct } else { &self.proxied };
        let response = client.execute(request).await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = http::Response::new(response.bytes().await.map_err(failed)?);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashMap;
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use reqsign_aws_v4::{Credential, RequestSigner};
    use reqsign_core::StaticEnv;

    use super::*;
    use crate::report::FaultClass;
    use crate::storage::secret::Secret;
    use crate::storage::stand_in::{Answer, StandIn};

    /// What the surroundings do next: nobody, somebody for a moment, no answer.
    const NOBODY: u32 = 0;
    const SOMEBODY: u32 = 1;
    const SILENCE: u32 = 2;

    #[derive(Debug, Clone, Default)]
    struct Moody {
        mood: Arc<AtomicU32>,
        asked: Arc<AtomicU32>,
    }

    impl Moody {
        fn is(&self, mood: u32) {
            self.mood.store(mood, Ordering::Relaxed);
        }

        fn identity(&self, pointer: &str) -> Identity<Credential> {
            let envs = HashMap::from([(pointer.to_owned(), "/x".to_owned())]);
            let context = Context::new().with_env(StaticEnv { home_dir: None, envs });
            let chain = || ProvideCredentialChain::new().push(self.clone());
            Identity::surrounded(context, chain, RequestSigner::new("s3", "r"), "AWS credentials")
        }
    }

    impl ProvideCredential for Moody {
        type Credential = Credential;

        async fn provide_credential(&self, _: &Context) -> reqsign_core::Result<Option<Credential>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            match self.mood.load(Ordering::Relaxed) {
                NOBODY => Ok(None),
                // It has run out already, so each signature needs a new one.
                SOMEBODY => Ok(Some(Credential {
                    access_key_id: "I".to_owned(),
                    secret_access_key: "S".to_owned(),
                    session_token: None,
                    expires_in: Some(reqsign_core::time::Timestamp::now() + Duration::from_secs(1)),
                })),
                _ => pending().await,
            }
        }
    }

    async fn signed(identity: &Identity<Credential>) -> Result<bool, FaultClass> {
        let (mut head, ()) = http::Request::get("https://h/x").body(()).unwrap().into_parts();
        identity.sign(&mut head).await.map_err(|trouble| trouble.class)?;
        Ok(head.headers.contains_key("authorization"))
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_believed_for_a_minute_only() {
        let moody = Moody::default();
        let identity = moody.identity("UNRELATED");
        for mood in [NOBODY, SILENCE] {
            moody.is(mood);
            assert_eq!(signed(&identity).await, Ok(false));
            let asked = moody.asked.load(Ordering::Relaxed);
            assert_eq!(signed(&identity).await, Ok(false));
            assert_eq!(moody.asked.load(Ordering::Relaxed), asked);
            tokio::time::advance(NOBODY_FOR).await;
        }
        assert!(!identity.is_somebody());
        assert_eq!(moody.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_pointed_to_is_waited_for() {
        let moody = Moody::default();
        let identity = moody.identity("AWS_WEB_IDENTITY_TOKEN_FILE");
        for mood in [NOBODY, SILENCE] {
            moody.is(mood);
            assert_eq!(signed(&identity).await, Err(FaultClass::Unavailable));
        }
        moody.is(SOMEBODY);
        let _signed = signed(&identity).await;
        assert!(identity.is_somebody());
    }

    #[tokio::test]
    async fn this_machine_is_not_asked_through_a_proxy() {
        let (proxy, service) =
            (StandIn::new(|_| Answer::status(200)).await, StandIn::new(|_| Answer::status(201)).await);
        let rule = Rule { proxy: Some(Secret::new(proxy.url("/"))), ..Rule::default() };
        let asking = Asking { direct: unguarded_and_direct(&rule).unwrap(), proxied: unguarded(&rule).unwrap() };
        for (url, status) in [(service.url("/x"), 201), ("http://sts.invalid/".to_owned(), 200)] {
            let request = http::Request::get(url).body(Bytes::new()).unwrap();
            assert_eq!(asking.http_send(request).await.unwrap().status(), status);
        }
        assert_eq!((proxy.asked().len(), service.asked().len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_found_is_expected_back() {
        let moody = Moody::default();
        let identity = moody.identity("UNRELATED");
        moody.is(SOMEBODY);
        let _signed = signed(&identity).await;
        moody.is(NOBODY);
        assert_eq!(signed(&identity).await, Err(FaultClass::Unavailable));
    }
}
