//! Credentials that do not fit: each is told with what to do, and no job is taken for lost.

use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tessera_contract::rules::jobs::{job, unique};
use tessera_contract::{Backend, BackendError, Handle, Observation, Severity};
use tessera_kubernetes::Kubernetes;
use tessera_runtime::report::Outcome;

use crate::ground::{Ground, cluster};

/// What the server's account is to be allowed in its namespace: group, resource, verbs.
const NEEDED: [(&str, &str, &[&str]); 6] = [
    ("batch", "jobs", &["create", "get", "list", "watch", "patch", "delete"]),
    ("", "pods", &["list", "watch"]),
    ("", "pods/log", &["get"]),
    ("", "secrets", &["create", "patch"]),
    ("", "events", &["list"]),
    ("", "namespaces", &["get"]),
];

/// A kubeconfig of an account that may do all that is needed but one verb.
async fn account(ground: &Ground, without: Option<(&str, &str)>) -> PathBuf {
    let (place, name) = (&ground.place, format!("server-{}", unique()));
    let metadata = || ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
    let rules = NEEDED.iter().map(|(group, resource, verbs)| PolicyRule {
        api_groups: Some(vec![(*group).to_owned()]),
        resources: Some(vec![(*resource).to_owned()]),
        verbs: verbs.iter().filter(|verb| without != Some((**verb, *resource))).map(|&verb| verb.to_owned()).collect(),
        ..PolicyRule::default()
    });
    let rules = rules.filter(|rule| !rule.verbs.is_empty()).collect();
    let role = Role { metadata: metadata(), rules: Some(rules) };
    let account = ServiceAccount { metadata: metadata(), ..ServiceAccount::default() };
    let subject = Subject {
        kind: "ServiceAccount".to_owned(),
        name: name.clone(),
        namespace: Some(place.namespace.name.clone()),
        ..Subject::default()
    };
    let role_ref = RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "Role".into(), name: name.clone() };
    let binding = RoleBinding { metadata: metadata(), role_ref, subjects: Some(vec![subject]) };
    let accounts = place.api::<ServiceAccount>();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    place.api::<Role>().create(&PostParams::default(), &role).await.unwrap();
    place.api::<RoleBinding>().create(&PostParams::default(), &binding).await.unwrap();
    until_it_holds(ground, &name).await;
    let asked = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
    let token = accounts.create_token_request(&name, &PostParams::default(), &asked).await.unwrap();

    let mut config = kube::config::Kubeconfig::read_from(&place.kubeconfig).unwrap();
    for user in &mut config.auth_infos {
        let token = serde_json::json!({ "token": token.status.as_ref().unwrap().token });
        user.auth_info = serde_json::from_value(token).unwrap();
    }
    let file = ground.folder.path().join(name);
    std::fs::write(&file, serde_json::to_string(&config).unwrap()).unwrap();
    file
}

/// The API server learns of a Role a moment after it was made; until then everything is forbidden.
async fn until_it_holds(ground: &Ground, account: &str) {
    let namespace = &ground.place.namespace.name;
    // In every Role of these tests.
    let granted = ResourceAttributes {
        verb: Some("list".to_owned()),
        resource: Some("events".to_owned()),
        namespace: Some(namespace.clone()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(format!("system:serviceaccount:{namespace}:{account}")),
        resource_attributes: Some(granted),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews = Api::<SubjectAccessReview>::all(ground.place.client.clone());
    for _ in 0..300 {
        let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
        if answer.status.is_some_and(|status| status.allowed) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the Role of {account} never holds");
}

async fn with(ground: &mut Ground, without: Option<(&str, &str)>) -> std::sync::Arc<Kubernetes> {
    ground.config.kubeconfig = Some(account(ground, without).await);
    ground.open().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_needed_is_enough() {
    let mut ground = cluster!();
    let backend = with(&mut ground, None).await;
    let findings = backend.check().await;
    assert!(findings.iter().all(|found| found.severity < Severity::Problem), "{findings:?}");
    let job = job(&["echo ran"]);
    let handle = backend.submit(&job).await.unwrap();
    let report = ground.over(&*backend, &handle).await.report();
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    ground.put_away(&*backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_that_is_missing_is_named() {
    let mut ground = cluster!();
    for (verb, resource) in [("create", "jobs"), ("create", "secrets"), ("patch", "jobs")] {
        let backend = with(&mut ground, Some((verb, resource))).await;
        let job = job(&["true"]);
        let refused = backend.submit(&job).await;
        let named = |why: &str| why.contains(verb) && why.contains(resource);
        assert!(
            matches!(&refused, Err(BackendError::Misconfigured(why)) if named(why)),
            "{verb} {resource}: {refused:?}"
        );
        let findings = backend.check().await;
        let told = findings.iter().any(|found| found.severity == Severity::Problem && named(&found.message));
        assert!(told, "{verb} {resource}: {findings:?}");
        ground.delete_jobs(&job).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_watch_nothing_is_said_of_any_job() {
    let mut ground = cluster!();
    let before = ground.open().await;
    let job = job(&["sleep 1000"]);
    let handle = before.submit(&job).await.unwrap();
    for (verb, resource) in [("watch", "pods"), ("list", "jobs")] {
        let backend = with(&mut ground, Some((verb, resource))).await;
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        // A listing may have come before the watch was refused.
        let why = loop {
            match backend.observe(std::slice::from_ref(&handle)).await {
                Ok(seen) => assert!(!matches!(seen[0], Observation::Lost { .. }), "{seen:?}"),
                Err(error) => break error.to_string(),
            }
            assert!(std::time::Instant::now() < deadline, "{verb} {resource} is not missed");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        assert!(why.contains(verb) && why.contains(resource), "{verb} {resource}: {why}");
    }
    ground.put_away(&*before, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_not_there_is_named() {
    let mut ground = cluster!();
    ground.config.namespace = Some("tessera-not-there".to_owned());
    let backend = ground.open().await;
    let refused = backend.submit(&job(&["true"])).await;
    let named = |why: &str| why.contains("tessera-not-there");
    assert!(matches!(&refused, Err(BackendError::Misconfigured(why)) if named(why)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_says_nothing_of_a_job() {
    let ground = cluster!();
    let backend = ground.open().await;
    let job = job(&["sleep 1000"]);
    let handle = backend.submit(&job).await.unwrap();
    let (place, known) = handle.0.split_once('#').unwrap();
    let (namespace, _) = place.split_once('/').unwrap();
    let (_, at) = known.split_once('#').unwrap();
    let elsewhere = Handle(format!("{namespace}/{}-1#of-another-cluster#{at}", unique()));
    // The job is not there, and nothing can be told from that.
    let seen = backend.observe(std::slice::from_ref(&elsewhere)).await.unwrap();
    assert!(matches!(&seen[0], Observation::Unreadable { reason } if !reason.is_empty()), "{seen:?}");
    let asked = backend.cancel(&elsewhere).await;
    assert!(asked.is_err(), "a stop in another cluster stops nothing");
    ground.started(&*backend, &handle).await;
    ground.put_away(&*backend, &job, &handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_that_cannot_be_read_is_named() {
    let mut ground = cluster!();
    let file = ground.folder.path().join("broken");
    std::fs::write(&file, "clusters: {").unwrap();
    ground.config.kubeconfig = Some(file.clone());
    let (config, folder) = (ground.config.clone(), ground.folder.path().join("spool"));
    let opened = Kubernetes::open("kubernetes", config, ground.installation.clone(), folder, ground.bell.clone()).await;
    let named = |why: &str| why.contains(&file.display().to_string());
    match opened {
        Err(BackendError::Misconfigured(why)) => assert!(named(&why), "{why}"),
        Err(error @ (BackendError::Rejected(_) | BackendError::Unavailable(_))) => panic!("{error}"),
        Ok(_) => panic!("it was opened"),
    }
}
