//! Jobs that a client makes who does nothing else.

use anyhow::{Context, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, PodSpec, PodTemplateSpec};
use kube::api::PostParams;

use crate::room::Room;
use crate::{COMMAND, IMAGE, OURS};

/// How many requests are on their way at a time; the server's callers are as many.
pub(crate) const AT_ONCE: usize = 16;

/// The command of the tasks in one container, and nothing around it.
pub(crate) fn command() -> JobSpec {
    let container = Container {
        name: "command".to_owned(),
        image: Some(IMAGE.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(words(&COMMAND)),
        ..Container::default()
    };
    let pod = PodSpec {
        containers: vec![container],
        restart_policy: Some("Never".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        ..PodSpec::default()
    };
    let template = PodTemplateSpec { spec: Some(pod), ..PodTemplateSpec::default() };
    JobSpec { backoff_limit: Some(0), template, ..JobSpec::default() }
}

/// The same containers, volumes and resources as a Job of the server's, each of which ends at once: what a cluster
/// needs for such a pod, without anybody's logic.
pub(crate) fn shape_of(job: &Job) -> Result<JobSpec> {
    let spec = job.spec.as_ref().context("a Job without a spec")?;
    let mut pod = spec.template.spec.clone().context("a Job without a pod")?;
    for container in pod.init_containers.iter_mut().flatten().chain(&mut pod.containers) {
        let ours = container.image.as_deref() == Some(OURS);
        container.command = Some(if ours { words(&["/tessera-runtime", "version"]) } else { words(&COMMAND) });
        container.args = None;
    }
    for volume in pod.volumes.iter_mut().flatten().filter(|volume| volume.secret.is_some()) {
        volume.secret = None;
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    let template = PodTemplateSpec { spec: Some(pod), ..PodTemplateSpec::default() };
    Ok(JobSpec { backoff_limit: Some(0), template, ..JobSpec::default() })
}

/// Makes so many of them; their names.
pub(crate) async fn create(room: &Room, many: usize, spec: &JobSpec) -> Result<Vec<String>> {
    let jobs = room.api::<Job>();
    let one = async |_| {
        let mut job = Job { spec: Some(spec.clone()), ..Job::default() };
        job.metadata.generate_name = Some("bare-".to_owned());
        let made = jobs.create(&PostParams::default(), &job).await?;
        made.metadata.name.context("a Job without a name")
    };
    stream::iter(0..many).map(one).buffer_unordered(AT_ONCE).try_collect().await
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
