//! With what requests to Azure are signed: the URL's own signature, the settings, the surroundings, or nothing.

use reqsign_azure_storage::{
    ClientSecretCredentialProvider, Credential, EnvCredentialProvider, ImdsCredentialProvider, RequestSigner,
    StaticCredentialProvider, WorkloadIdentityCredentialProvider,
};
use reqsign_core::ProvideCredentialChain;

use super::address::Address;
use crate::storage::identity::Identity;
use crate::storage::secret::Secret;
use crate::storage::settings::Rule;
use crate::storage::trouble::Trouble;

/// Who we are for an account. `query` is the URL's.
pub(super) fn identity(
    address: &Address,
    rule: &Rule,
    query: Option<&Secret>,
) -> Result<Identity<Credential>, Trouble> {
    let signer = RequestSigner::new;
    if let Some(query) = query {
        if !query.expose().split('&').any(|pair| pair.starts_with("sig=")) {
            let shown = address.shown("");
            return Err(Trouble::rejected(format!("what follows `?` in a URL below `{shown}` is no access signature")));
        }
        let provider = StaticCredentialProvider::new_sas_token(query.expose());
        return Identity::configured(rule, provider, signer(), "access signature in the URL");
    }
    let others = rule.account.as_ref().filter(|account| **account != address.account);
    if let (Some(account), true) = (others, rule.account_key.is_some() || rule.sas_token.is_some()) {
        return Err(Trouble::misconfigured(format!(
            "the key for `{}` is the account `{account}`'s, and `{}` belongs to another one",
            rule.prefix,
            address.shown("")
        )));
    }
    if let Some(key) = &rule.account_key {
        let provider = StaticCredentialProvider::new_shared_key(&address.account, key.expose());
        return Identity::configured(rule, provider, signer(), "`account_key`");
    }
    if let Some(token) = &rule.sas_token {
        let provider = StaticCredentialProvider::new_sas_token(token.expose().trim_start_matches('?'));
        return Identity::configured(rule, provider, signer(), "`sas_token`");
    }
    if rule.anonymous {
        return Ok(Identity::nobody());
    }
    Identity::ambient(rule, surroundings, signer(), "identity that the surroundings give")
}

/// Environment, service principal, workload identity, managed identity.
fn surroundings() -> ProvideCredentialChain<Credential> {
    ProvideCredentialChain::new()
        .push(EnvCredentialProvider::new())
        .push(ClientSecretCredentialProvider::new())
        .push(WorkloadIdentityCredentialProvider::new())
        .push(ImdsCredentialProvider::new())
}

/// The account that the environment names.
pub(super) fn ambient_account() -> Option<String> {
    let names = ["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"];
    names.iter().filter_map(|name| std::env::var(name).ok()).find(|account| !account.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::storage::location::Location;

    async fn signed(url: &str, rule: &Rule) -> Result<http::request::Parts, Trouble> {
        let Location::Remote(remote) = Location::parse(url).unwrap() else { panic!("{url}") };
        let address = Address::new(&remote, rule, None).unwrap();
        let identity = identity(&address, rule, remote.query.as_ref())?;
        let request = http::Request::get(address.blob(&remote.key).unwrap()).header("x-ms-version", "2023-11-03");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        identity.sign(&mut head).await.map(|()| head)
    }

    #[tokio::test]
    async fn the_nearest_credentials_win() {
        let keyed = Rule { account_key: Some(Secret::new("a2V5")), ..Rule::default() };
        let sas = Rule { sas_token: Some(Secret::new("?sv=1&sig=rule")), ..Rule::default() };
        let nobody = Rule { anonymous: true, ..Rule::default() };
        let url = "https://acc.blob.core.windows.net/c/k";
        let head = signed(url, &keyed).await.unwrap();
        assert!(head.headers["authorization"].to_str().unwrap().starts_with("SharedKey acc:"));
        assert_eq!(signed(url, &sas).await.unwrap().uri.query(), Some("sv=1&sig=rule"));
        for rule in [&keyed, &sas, &nobody] {
            let head = signed(&format!("{url}?sv=1&sig=url%2F"), rule).await.unwrap();
            assert_eq!(head.uri.query(), Some("sv=1&sig=url%2F"));
            assert!(!head.headers.contains_key("authorization"));
        }
        let head = signed(url, &nobody).await.unwrap();
        assert!(head.uri.query().is_none() && !head.headers.contains_key("authorization"));
    }

    #[tokio::test]
    async fn keys_stay_with_their_account() {
        let keyed =
            Rule { account: Some("ours".to_owned()), account_key: Some(Secret::new("a2V5")), ..Rule::default() };
        assert!(signed("azureblob://ours/c/k", &keyed).await.is_ok());
        let trouble = signed("azureblob://theirs/c/k", &keyed).await.unwrap_err();
        assert!(trouble.message.contains("`ours`") && !trouble.message.contains("a2V5"), "{}", trouble.message);
        let trouble = signed("https://acc.blob.core.windows.net/c/k?versionid=SECRET", &keyed).await.unwrap_err();
        assert!(trouble.message.contains("no access signature") && !trouble.message.contains("SECRET"));
    }
}
