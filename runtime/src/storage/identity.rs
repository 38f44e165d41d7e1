//! Who we are for a vendor's service: credentials from the settings, from the surroundings, or none.
//!
//! Signing and the vendors' chains of identities are reqsign's. What gives identities (a metadata service, a token
//! endpoint) is named by the operator or the vendor and so is asked by a client without a guard.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use reqsign_core::{
    Context, HttpSend, OsEnv, ProvideCredential, ProvideCredentialChain, SignRequest, Signer, SigningCredential,
};
use reqsign_file_read_tokio::TokioFileRead;
use reqwest::{Body, Client, Request};
use tokio::sync::OnceCell;

use super::client::{broken, unguarded};
use super::settings::Rule;
use super::trouble::Trouble;

/// How long the surroundings are asked for an identity. Outside of a cloud nobody answers.
const ASK_FOR: Duration = Duration::from_secs(5);

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
    Ambient {
        chain: ProvideCredentialChain<K>,
        context: Context,
        signer: Signer<K>,
        found: OnceCell<bool>,
    },
}

impl<K: SigningCredential> fmt::Debug for Identity<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Nobody => "nobody",
            Kind::Configured(_) => "configured",
            Kind::Ambient { .. } => "ambient",
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

    /// Whatever the surroundings give: environment, files, metadata services. `chain` is made twice.
    pub(super) fn ambient(
        rule: &Rule,
        chain: impl Fn() -> ProvideCredentialChain<K>,
        signer: impl SignRequest<Credential = K>,
        what: &str,
    ) -> Result<Self, Trouble> {
        let context = context(rule)?;
        let signer = Signer::new(context.clone(), chain(), signer);
        let kind = Kind::Ambient { chain: chain(), context, signer, found: OnceCell::new() };
        Ok(Self { kind, what: what.to_owned() })
    }

    /// Signs a request's head, or leaves it as it is when there is nobody to sign for.
    pub(super) async fn sign(&self, head: &mut Parts) -> Result<(), Trouble> {
        let signer = match &self.kind {
            Kind::Nobody => return Ok(()),
            Kind::Configured(signer) => signer,
            Kind::Ambient { chain, context, signer, found } => {
                let ask = || async {
                    let asked = tokio::time::timeout(ASK_FOR, chain.provide_credential(context)).await;
                    matches!(asked, Ok(Ok(Some(_))))
                };
                if !*found.get_or_init(ask).await {
                    return Ok(());
                }
                signer
            }
        };
        signer.sign(head, None).await.map_err(|error| {
            let message = format!("the {} cannot be used: {error}", self.what);
            match error.is_retryable() {
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
            Kind::Ambient { found, .. } => found.get().copied().unwrap_or(false),
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

fn context(rule: &Rule) -> Result<Context, Trouble> {
    Ok(Context::new().with_file_read(TokioFileRead).with_env(OsEnv).with_http_send(Asking(unguarded(rule)?)))
}

#[derive(Debug)]
struct Asking(Client);

impl HttpSend for Asking {
    async fn http_send(&self, request: http::Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
        let failed = |error: reqwest::Error| {
            let trouble = broken("no identity could be had", error);
            reqsign_core::Error::unexpected(trouble.message).set_retryable(true)
        };
        let request = Request::try_from(request).map_err(failed)?;
        let response = self.0.execute(request).await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = http::Response::new(response.bytes().await.map_err(failed)?);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}
