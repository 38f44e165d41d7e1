//! Names, many inputs, large plans: what has to get into a pod whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use tessera_contract::rules::jobs::{content, exact, job, job_of};
use tessera_contract::{Backend, BackendError, JobId};
use tessera_runtime::plan::Executor;
use tessera_runtime::report::Outcome;

use crate::ground::cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_2_variables_of_any_name_and_value_arrive() {
    let ground = cluster!();
    let backend = ground.open().await;
    let names = ["plain", "with.dot", "with-dash", "with space", "1digit", "$(plain)", "ünïcode", "a/b:c", "quote\"'`"];
    let values = ["", "$(plain)", "$$(plain)", "$HOME", "line\nline", " both ", "\\n", "{{.x}}", "ä\u{1f980}"];
    let executors = names.iter().zip(values).map(|(name, value)| Executor {
        image: "tessera-test/scratch:1".to_owned(),
        env: BTreeMap::from([((*name).to_owned(), value.to_owned())]),
        ..exact(&["/tool", "env", name])
    });
    let report = ground.run(&*backend, &job_of(executors.collect())).await.report();
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    for (step, value) in report.steps.iter().zip(values) {
        assert_eq!(step.stdout_tail, format!("{value}\n"), "{}", names[step.step as usize]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_inputs_come_in() {
    let ground = cluster!();
    let backend = ground.open().await;
    let mut job = job(&["ls /in | wc -l; cat /in/* | sort -n | tail -n 1"]);
    job.plan.inputs = (0..500).map(|at| content(&format!("/in/{at}"), &format!("{at}\n"))).collect();
    let report = ground.run(&*backend, &job).await.report();
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.steps[0].stdout_tail, "500\n499\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_too_large_for_a_secret_is_fetched_from_the_server() {
    let mut ground = cluster!();
    let mut job = job(&["wc -c < /in/large"]);
    job.plan.inputs = vec![content("/in/large", &"x".repeat(1_500_000))];

    let backend = ground.open().await;
    let refused = backend.submit(&job).await;
    assert!(matches!(&refused, Err(BackendError::Rejected(why)) if why.contains("server_url")), "{refused:?}");
    drop(backend);

    ground.config.server_url = Some(ground.outside.url());
    let backend = ground.open().await;
    let shelf = backend.plans();
    ground.outside.answer_with(Arc::new(move |path, token| {
        let job = JobId::parse(path.strip_prefix("api/v1/plans/")?)?;
        shelf.get(&job, token?).unwrap()
    }));
    let report = ground.run(&*backend, &job).await.report();
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.steps[0].stdout_tail.trim(), "1500000");
}
