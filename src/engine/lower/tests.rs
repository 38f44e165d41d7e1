#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use tessera_contract::Capacity;
use tessera_runtime::storage::settings::Rule;

use super::*;
use crate::store::{Claim, Fence};
use crate::task::spec::Resources;
use crate::task::{Owner, TaskId};

fn profile() -> Profile {
    Profile {
        name: "here".to_owned(),
        kind: "scripted",
        local: false,
        capacity: Capacity::default(),
        parameters: ["walltime", "gpu_count", "network", "container_user", "vm_size"].map(str::to_owned).to_vec(),
        stops_within: Duration::from_secs(1),
    }
}

fn claimed(spec: TaskSpec) -> Claimed {
    Claimed {
        task: TaskId::parse("01h00000000000000000000000").unwrap(),
        owner: Owner("ada".to_owned()),
        attempt: 2,
        refusals: 0,
        spec,
        claim: Claim {
            fence: Fence(1),
            holder: crate::store::Holder("a".to_owned()),
            backend: "here".to_owned(),
            until: Timestamp::UNIX_EPOCH,
        },
    }
}

fn lower_with(spec: TaskSpec, settings: &JobSettings) -> Result<Lowered, String> {
    lower(&claimed(spec), Target { profile: &profile(), honours: Honours::default() }, settings)
}

fn with_parameters(pairs: &[(&str, &str)]) -> TaskSpec {
    let parameters = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let resources = Resources { backend_parameters: Some(parameters), ..Resources::default() };
    TaskSpec { resources: Some(resources), ..TaskSpec::default() }
}

#[test]
fn rule_9_1_a_content_goes_before_a_url_and_an_empty_one_is_an_empty_file() {
    let text = |text: &str| Some(text.to_owned());
    for (content, url, source) in [
        (text("x"), text("s3://b/k"), Source::Content("x".to_owned())),
        (text("x"), None, Source::Content("x".to_owned())),
        (text(""), text("s3://b/k"), Source::Url("s3://b/k".to_owned())),
        (text(""), None, Source::Content(String::new())),
        (None, text("/bare path"), Source::Url("/bare path".to_owned())),
    ] {
        let input = spec::Input { path: "/in".to_owned(), content, url, ..spec::Input::default() };
        let spec = TaskSpec { inputs: vec![input], ..TaskSpec::default() };
        let lowered = lower_with(spec, &JobSettings::default()).unwrap();
        assert_eq!(lowered.job.plan.inputs[0].source, source);
    }
}

#[test]
fn rule_9_8_what_may_be_streamed_is_staged_like_any_other() {
    let [streamed, staged] = [Some(true), None].map(|streamable| {
        let url = Some("s3://b/k".to_owned());
        let input = spec::Input { path: "/in".to_owned(), url, streamable, ..spec::Input::default() };
        lower_with(TaskSpec { inputs: vec![input], ..TaskSpec::default() }, &JobSettings::default()).unwrap()
    });
    assert_eq!(streamed, staged);
    assert_eq!(streamed.job.plan.inputs.len(), 1);
}

#[test]
fn a_job_is_named_after_task_and_attempt_and_keeps_every_word() {
    let executor = spec::Executor {
        image: "alpine".to_owned(),
        command: vec!["sh".to_owned(), "-c".to_owned(), "echo \"$X\"\n".to_owned()],
        env: Some([("X".to_owned(), "a b\n$(c)".to_owned())].into()),
        workdir: Some("/work".to_owned()),
        stdin: Some("/in".to_owned()),
        stdout: Some("/out".to_owned()),
        stderr: None,
        ignore_error: Some(true),
    };
    let spec = TaskSpec {
        executors: vec![executor.clone(), spec::Executor::default()],
        volumes: vec!["/vol".to_owned()],
        outputs: vec![spec::Output {
            url: "file:///x/".to_owned(),
            path: "/o/*".to_owned(),
            path_prefix: Some("/o".to_owned()),
            kind: Some(FileKind::Directory),
            ..spec::Output::default()
        }],
        ..TaskSpec::default()
    };
    let Lowered { job, notes } = lower_with(spec, &JobSettings::default()).unwrap();
    assert_eq!(job.id.as_str(), "01h00000000000000000000000-2");
    assert_eq!(job.plan.job, job.id.as_str());
    assert_eq!(job.owner, "ada");
    assert_eq!(job.plan.version, PLAN_VERSION);
    let first = &job.plan.executors[0];
    assert_eq!((&first.image, &first.command), (&executor.image, &executor.command));
    assert_eq!(first.env["X"], "a b\n$(c)");
    assert_eq!((first.workdir.as_deref(), first.stdin.as_deref()), (Some("/work"), Some("/in")));
    assert_eq!((first.stdout.as_deref(), first.stderr.as_deref()), (Some("/out"), None));
    assert!(first.ignore_error && !job.plan.executors[1].ignore_error);
    assert_eq!(job.plan.volumes, ["/vol"]);
    let output = &job.plan.outputs[0];
    assert_eq!((output.url.as_str(), output.path_prefix.as_deref()), ("file:///x/", Some("/o")));
    assert_eq!(output.kind, Some(Kind::Directory));
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn an_inputs_text_counts_more_than_its_url() {
    let rows = [
        (Some("text"), Some("file:///a"), Source::Content("text".to_owned())),
        (Some(""), Some("file:///a"), Source::Url("file:///a".to_owned())),
        (None, Some("/a"), Source::Url("/a".to_owned())),
        (Some(""), None, Source::Content(String::new())),
    ];
    for (content, url, wanted) in rows {
        let input = spec::Input {
            content: content.map(str::to_owned),
            url: url.map(str::to_owned),
            path: "/p".to_owned(),
            ..spec::Input::default()
        };
        let spec = TaskSpec { inputs: vec![input], ..TaskSpec::default() };
        let lowered = lower_with(spec, &JobSettings::default()).unwrap();
        assert_eq!(lowered.job.plan.inputs[0].source, wanted, "{content:?} {url:?}");
    }
}

#[test]
fn rule_13_1_and_13_2_requests_become_limits_and_what_is_unset_is_none() {
    let resources = Resources { cpu_cores: Some(1.5), ram_gb: Some(0.25), disk_gb: Some(0.0), ..Resources::default() };
    let spec = TaskSpec { resources: Some(resources), ..TaskSpec::default() };
    let settings = JobSettings { pids: Some(100), ..JobSettings::default() };
    let limits = lower_with(spec, &settings).unwrap().job.plan.limits;
    assert_eq!((limits.cpu_milli, limits.ram_bytes, limits.disk_bytes), (Some(1_500), Some(1 << 28), None));
    assert_eq!((limits.pids, limits.walltime_ms, limits.network), (Some(100), None, Network::Bridge));
    let bare = lower_with(TaskSpec::default(), &JobSettings::default()).unwrap().job.plan.limits;
    assert_eq!(bare, Limits::default());
}

#[test]
fn rule_13_6_wall_times_are_read() {
    let rows = [
        ("90", Some(90_000)),
        (" 1h30m ", Some(5_400_000)),
        ("1d", Some(86_400_000)),
        ("2M 5S", Some(125_000)),
        ("0", None),
        ("0s", None),
        ("", None),
        ("h", None),
        ("1w", None),
        ("-5", None),
        ("1.5h", None),
        ("99999999999999999999", None),
        ("18446744073709551615s", None),
    ];
    for (text, wanted) in rows {
        assert_eq!(walltime_ms(text).ok(), wanted, "{text:?}");
    }
    assert!(walltime_ms("soon").unwrap_err().contains("`1h30m`"));
}

#[test]
fn rule_13_6_common_parameters_become_limits_and_own_ones_are_passed_on() {
    let spec = with_parameters(&[
        ("Walltime", "1m"),
        ("GPU_count", "2"),
        ("network", "none"),
        ("container_user", "1000:1000"),
        ("VM_size", "large"),
        ("backend", "here"),
    ]);
    let Lowered { job, notes } = lower_with(spec, &JobSettings::default()).unwrap();
    let limits = &job.plan.limits;
    assert_eq!((limits.walltime_ms, limits.gpu_count), (Some(60_000), Some(2)));
    assert_eq!((limits.network, limits.container_user.as_deref()), (Network::None, Some("1000:1000")));
    assert_eq!(job.parameters, [("vm_size".to_owned(), "large".to_owned())].into());
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn rule_13_6_a_value_that_is_wrong_ends_the_task_with_a_sentence() {
    for (key, value) in [("walltime", "soon"), ("gpu_count", "-1"), ("network", "vpn"), ("network", "host")] {
        let sentence = lower_with(with_parameters(&[(key, value)]), &JobSettings::default()).unwrap_err();
        assert!(sentence.contains(&format!("`{key}`")), "{sentence}");
    }
    let allowing = JobSettings { host_network: true, ..JobSettings::default() };
    let job = lower_with(with_parameters(&[("network", "host")]), &allowing).unwrap().job;
    assert_eq!(job.plan.limits.network, Network::Host);
}

#[test]
fn rule_13_3_and_13_4_a_parameter_that_is_not_honoured_is_noted_or_ends_a_strict_task() {
    let mut spec = with_parameters(&[("Partition", "long")]);
    let lowered = lower_with(spec.clone(), &JobSettings::default()).unwrap();
    assert_eq!(lowered.job.parameters, BTreeMap::new());
    assert_eq!(lowered.notes, ["backend `here` cannot honour the backend parameter `Partition`; it is ignored"]);
    spec.resources.as_mut().unwrap().backend_parameters_strict = Some(true);
    assert!(lower_with(spec, &JobSettings::default()).unwrap_err().contains("`Partition`"));
}

#[test]
fn defaults_hold_where_a_task_says_nothing() {
    let parameters = [("walltime".to_owned(), "1h".to_owned()), ("partition".to_owned(), "x".to_owned())].into();
    let settings = JobSettings { parameters, ..JobSettings::default() };
    let silent = lower_with(TaskSpec::default(), &settings).unwrap();
    assert_eq!(silent.job.plan.limits.walltime_ms, Some(3_600_000));
    assert_eq!(silent.notes, Vec::<String>::new());
    let asking = lower_with(with_parameters(&[("WALLTIME", "5")]), &settings).unwrap();
    assert_eq!(asking.job.plan.limits.walltime_ms, Some(5_000));
}

#[test]
fn rule_13_2_wishes_are_passed_on_and_noted_where_nobody_honours_them() {
    let resources = Resources {
        disk_gb: Some(1.0),
        preemptible: Some(true),
        zones: Some(vec!["here".to_owned()]),
        ..Resources::default()
    };
    let claimed = claimed(TaskSpec { resources: Some(resources), ..TaskSpec::default() });
    let profile = profile();
    let honouring = |honours| lower(&claimed, Target { profile: &profile, honours }, &JobSettings::default()).unwrap();
    let none = honouring(Honours::default());
    assert_eq!(none.notes.len(), 3, "{:?}", none.notes);
    assert!(none.job.preemptible);
    assert_eq!(none.job.zones, ["here"]);
    assert_eq!(none.job.plan.limits.disk_bytes, Some(1 << 30));
    let all = honouring(Honours { disk: true, preemptible: true, zones: true });
    assert_eq!(all.notes, Vec::<String>::new());
}

fn prefixes(storage: &Storage) -> Vec<&str> {
    storage.rules.iter().map(|rule| rule.prefix.as_str()).collect()
}

#[test]
fn a_job_holds_the_keys_of_its_own_urls_and_no_others() {
    let rule = |prefix: &str| Rule { prefix: prefix.to_owned(), ..Rule::default() };
    let all = ["s3://", "s3://lab/", "gs://", "https://h/", "drs://d/"];
    let whole = Storage {
        rules: all.map(rule).to_vec(),
        deny: vec!["s3://secret/".to_owned()],
        file_roots: vec!["/shared".to_owned()],
        ..Storage::default()
    };
    let settings = JobSettings { storage: whole.clone(), ..JobSettings::default() };
    let storage_of = |inputs: &[&str], outputs: &[&str]| {
        let input = |url: &&str| spec::Input { url: Some((*url).to_owned()), ..spec::Input::default() };
        let output = |url: &&str| spec::Output { url: (*url).to_owned(), ..spec::Output::default() };
        let spec = TaskSpec {
            inputs: inputs.iter().map(input).collect(),
            outputs: outputs.iter().map(output).collect(),
            ..TaskSpec::default()
        };
        lower_with(spec, &settings).unwrap().job.plan.storage
    };
    let rows: [(&[&str], &[&str], &[&str]); 6] = [
        (&[], &[], &[]),
        (&["/shared/a", "unheard-of://x/y"], &["file:///shared/b"], &[]),
        (&["s3://lab/a", "S3://lab/b"], &[], &["s3://lab/"]),
        (&["s3://other/a"], &["s3://lab/out/"], &["s3://", "s3://lab/"]),
        (&["HTTPS://u:p@H:443/x?sig=1"], &["gs://b/x"], &["gs://", "https://h/"]),
        // What an identifier leads to is known only in the job.
        (&["drs://d/id"], &[], &all),
    ];
    for (inputs, outputs, kept) in rows {
        let storage = storage_of(inputs, outputs);
        assert_eq!(prefixes(&storage), kept, "{inputs:?} {outputs:?}");
        assert_eq!((&storage.deny, &storage.file_roots), (&whole.deny, &whole.file_roots));
    }
    // A text that counts more than its URL needs no key for it.
    let input =
        spec::Input { content: Some("x".to_owned()), url: Some("s3://lab/a".to_owned()), ..spec::Input::default() };
    let lowered = lower_with(TaskSpec { inputs: vec![input], ..TaskSpec::default() }, &settings).unwrap();
    assert!(prefixes(&lowered.job.plan.storage).is_empty());
}

#[test]
fn a_job_is_held_to_the_lists_of_its_owner() {
    let lists = |allow: &str| Storage { allow: vec![allow.to_owned()], ..Storage::default() };
    for (owner, allow) in [("ada", "s3://ada/"), ("bob", "s3://")] {
        let owners = [(owner.to_owned(), lists(allow))].into();
        let settings = JobSettings { storage: lists("gs://"), owners, ..JobSettings::default() };
        let lowered = lower_with(TaskSpec::default(), &settings).unwrap();
        // The tasks of these tests are ada's.
        let expected = if owner == "ada" { allow } else { "gs://" };
        assert_eq!(lowered.job.plan.storage.allow, [expected]);
    }
}
