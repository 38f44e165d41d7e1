//! What an operator should know: the smallest calls that prove the backend usable.
//!
//! Nothing is made: the sample Job is created with `dryRun`, so that all that admits it has its say.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use tessera_contract::{Finding, Severity};

use crate::config::KubernetesConfig;

mod pod_security;

/// The oldest minor version of Kubernetes 1 that we are tested with.
const OLDEST: u32 = 27;

/// What the server's role has to allow: group, resource, subresource, verbs.
const NEEDED: [(&str, &str, Option<&str>, &[&str]); 5] = [
    ("batch", "jobs", None, &["create", "get", "list", "watch", "patch", "delete"]),
    ("", "pods", None, &["list", "watch"]),
    ("", "pods", Some("log"), &["get"]),
    ("", "secrets", None, &["create", "patch"]),
    ("", "events", None, &["list"]),
];

/// Looks at the cluster, the namespace, what we may do there, and what the configuration names. `sample` is a Job as
/// the backend would make one.
pub(crate) async fn check(
    client: &Client,
    namespace: &str,
    config: &KubernetesConfig,
    sample: Option<&Job>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    match version(client).await {
        Ok(found) => findings.push(found),
        // Nothing else would be answered, either.
        Err(found) => return vec![found],
    }
    let there = Api::<Namespace>::all(client.clone()).get(namespace).await;
    findings.push(namespace_there(namespace, &there));
    findings.push(rights(client, namespace).await);
    findings.push(image(config));
    findings.extend(named(client, namespace, config).await);
    if let Some(sample) = sample {
        findings.push(admitted(client, namespace, sample).await);
        findings.extend(there.ok().and_then(|there| pod_security::refuses(&there, sample)));
    }
    findings
}

async fn version(client: &Client) -> Result<Finding, Finding> {
    let info = client.apiserver_version().await.map_err(|error| {
        let advice = "see that it runs, and that `kubeconfig` and `context` lead to it";
        finding(Severity::Problem, "cluster", format!("the API server does not answer: {}; {advice}", words(&error)))
    })?;
    Ok(supported(&info.major, &info.minor, &info.git_version))
}

fn supported(major: &str, minor: &str, version: &str) -> Finding {
    // Some vendors write `27+`.
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
    match (number(major), number(minor)) {
        (Some(1), Some(minor)) if minor < OLDEST => finding(
            Severity::Warning,
            "cluster",
            format!("version {version}; the oldest one that is tested is 1.{OLDEST}: update the cluster"),
        ),
        (Some(_), Some(_)) => finding(Severity::Ok, "cluster", format!("version {version}")),
        (_, _) => finding(Severity::Warning, "cluster", format!("of unknown version `{version}`")),
    }
}

fn namespace_there(namespace: &str, answer: &Result<Namespace, kube::Error>) -> Finding {
    let subject = "namespace";
    match answer {
        Ok(found) if found.metadata.deletion_timestamp.is_some() => {
            let text = format!("`{namespace}` is being deleted: name another one with `namespace`");
            finding(Severity::Problem, subject, text)
        }
        Ok(_) => finding(Severity::Ok, subject, format!("`{namespace}` is there")),
        Err(kube::Error::Api(status)) if status.code == 404 => finding(
            Severity::Problem,
            subject,
            format!("there is no `{namespace}`: `kubectl create namespace {namespace}`, or correct `namespace`"),
        ),
        Err(kube::Error::Api(status)) if status.code == 403 => finding(
            Severity::Warning,
            subject,
            format!(
                "`{namespace}` may not be read, so another cluster behind the same address is not noticed: give the \
                 server `get` on this one namespace"
            ),
        ),
        Err(error) => finding(Severity::Warning, subject, format!("`{namespace}` cannot be read: {}", words(error))),
    }
}

/// Asks for each verb, and lists exactly what is missing.
async fn rights(client: &Client, namespace: &str) -> Finding {
    let asked = NEEDED.iter().flat_map(|(group, resource, sub, verbs)| {
        verbs.iter().map(move |verb| async move {
            let name = sub.map_or_else(|| (*resource).to_owned(), |sub| format!("{resource}/{sub}"));
            (format!("{verb} {name}"), may(client, namespace, group, resource, *sub, verb).await)
        })
    });
    let answers = futures::future::join_all(asked).await;
    let unknown = answers.iter().find_map(|(_, answer)| answer.as_ref().err());
    if let Some(error) = unknown {
        let text =
            format!("what the server may do cannot be asked ({}); the rest of this check tries it", words(error));
        return finding(Severity::Warning, "rights", text);
    }
    let missing: Vec<String> =
        answers.into_iter().filter(|(_, may)| !matches!(may, Ok(true))).map(|(what, _)| what).collect();
    if missing.is_empty() {
        return finding(Severity::Ok, "rights", format!("all that is needed is allowed in `{namespace}`"));
    }
    let text = format!("not allowed in `{namespace}`: {}; add it to the server's Role", missing.join(", "));
    finding(Severity::Problem, "rights", text)
}

async fn may(
    client: &Client,
    namespace: &str,
    group: &str,
    resource: &str,
    subresource: Option<&str>,
    verb: &str,
) -> Result<bool, kube::Error> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: subresource.map(str::to_owned),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

fn image(config: &KubernetesConfig) -> Finding {
    if config.image.is_empty() {
        let text = "`image` is not set: name the image that holds `/tessera-runtime`, as the image of the server does";
        return finding(Severity::Problem, "image", text.to_owned());
    }
    let text = format!("`{}` for our own containers; the first task shows whether nodes can pull it", config.image);
    finding(Severity::Ok, "image", text)
}

/// What the configuration names in the namespace, as far as it may be read.
async fn named(client: &Client, namespace: &str, config: &KubernetesConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in &config.image_pull_secrets {
        findings.extend(there::<Secret>(client, namespace, "image_pull_secrets", name).await);
    }
    for secret in &config.identity_secrets {
        findings.extend(there::<Secret>(client, namespace, "identity_secrets", &secret.name).await);
    }
    if let Some(name) = &config.service_account {
        findings.extend(there::<ServiceAccount>(client, namespace, "service_account", name).await);
    }
    for claim in config.mounts.iter().filter_map(|mount| mount.claim.as_ref()) {
        findings.extend(there::<PersistentVolumeClaim>(client, namespace, "mounts", claim).await);
    }
    findings
}

async fn there<K>(client: &Client, namespace: &str, key: &str, name: &str) -> Option<Finding>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).to_lowercase();
    match Api::<K>::namespaced(client.clone(), namespace).get_metadata(name).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let text = format!("there is no {kind} `{name}` in `{namespace}`: make it, or correct `{key}`");
            Some(finding(Severity::Problem, key, text))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            // By design: the Role reads no Secrets. A pod that finds none says so while it waits.
            let text =
                format!("the {kind} `{name}` in `{namespace}` was not looked at, which takes the right to read it");
            Some(finding(Severity::Ok, key, text))
        }
        Err(error) => {
            let text = format!("the {kind} `{name}` in `{namespace}` cannot be read: {}", words(&error));
            Some(finding(Severity::Warning, key, text))
        }
    }
}

/// Whether the cluster would take a Job of ours. Its pod is looked at later, by what looks at pods.
async fn admitted(client: &Client, namespace: &str, sample: &Job) -> Finding {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match jobs.create(&params, sample).await {
        Ok(_) => finding(Severity::Ok, "sample job", "the cluster would take it".to_owned()),
        // Somebody has made one of this name: it was taken, then.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            finding(Severity::Ok, "sample job", "the cluster has taken one like it".to_owned())
        }
        Err(kube::Error::Api(status)) => {
            let text = format!(
                "the cluster refuses a Job like ours: {}; change what refuses it, or the backend's settings",
                status.message
            );
            finding(Severity::Problem, "sample job", text)
        }
        Err(error) => finding(Severity::Warning, "sample job", format!("could not be tried: {}", words(&error))),
    }
}

/// An error with all that lies behind it.
fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

fn finding(severity: Severity, subject: &str, message: String) -> Finding {
    Finding { severity, subject: subject.to_owned(), message }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_old_cluster_is_a_warning() {
        let table = [
            ("1", "34", Severity::Ok),
            ("1", "27+", Severity::Ok),
            ("1", "26", Severity::Warning),
            ("1", "x", Severity::Warning),
            ("2", "0", Severity::Ok),
        ];
        for (major, minor, severity) in table {
            assert_eq!(supported(major, minor, "v").severity, severity, "{major}.{minor}");
        }
    }
}
