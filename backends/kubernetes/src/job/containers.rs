//! The containers, in order.

use k8s_openapi::api::core::v1::{Container, EnvVar};
use tessera_contract::BackendError;
use tessera_runtime::pod::places;
use tessera_runtime::step::RUNTIME_PATH;

use super::asked::Asked;
use super::{resources, security, volumes};

/// The runtime in our image.
const IN_OUR_IMAGE: &str = "/tessera-runtime";

/// The one that brings the inputs in.
pub(super) fn stage_in(asked: &Asked<'_>) -> Container {
    Container { volume_mounts: Some(volumes::of_stage_in(asked)), ..ours(asked, places::STAGE_IN) }
}

/// Those that run beside each other: stage-out, then the executors. The kubelet starts containers in this order, and
/// pulls the image of each before it starts the next.
pub(super) fn beside(asked: &Asked<'_>) -> Result<Vec<Container>, BackendError> {
    let stage_out = Container {
        volume_mounts: Some(volumes::of_stage_out(asked)),
        resources: Some(resources::of_stage_out(&asked.setting.config.ours, asked.plan.limits.disk_bytes)),
        ..ours(asked, places::STAGE_OUT)
    };
    let executors = (0..asked.plan.executors.len()).map(|index| executor(asked, index));
    std::iter::once(Ok(stage_out)).chain(executors).collect()
}

fn ours(asked: &Asked<'_>, verb: &str) -> Container {
    let config = &asked.setting.config;
    // Kubernetes takes `$(NAME)` for another variable, and `$$` for `$`.
    let variable = |(name, value): (&String, &String)| EnvVar {
        name: name.clone(),
        value: Some(value.replace('$', "$$")),
        value_from: None,
    };
    let env = config.ours.env.iter().filter(|(name, _)| *name != places::JOB_VARIABLE).map(variable);
    let job = EnvVar { name: places::JOB_VARIABLE.to_owned(), value: Some(asked.job.id.to_string()), value_from: None };
    Container {
        name: verb.to_owned(),
        image: Some(config.image.clone()),
        image_pull_policy: Some(config.image_pull_policy.text().to_owned()),
        command: Some(vec![IN_OUR_IMAGE.to_owned(), verb.to_owned()]),
        env: Some(std::iter::once(job).chain(env).collect()),
        resources: Some(resources::of_ours(&config.ours)),
        security_context: Some(security::of_ours(config)),
        termination_message_path: Some(places::LAST_WORDS.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        ..Container::default()
    }
}

/// The wrapper in the task's own image; it reads in its step directory what to do.
fn executor(asked: &Asked<'_>, index: usize) -> Result<Container, BackendError> {
    let image = &asked.plan.executors[index].image;
    // The API server says so of any, in words of its own; this says of which.
    if image.is_empty() || image.trim() != image {
        return Err(BackendError::Rejected(format!(
            "executor {index} has the image {image:?}, which is no name of one"
        )));
    }
    Ok(Container {
        name: format!("{}{index}", places::EXECUTOR),
        image: Some(image.clone()),
        // Said, because the default for `:latest` is to ask the registry each time.
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec![RUNTIME_PATH.to_owned(), "exec".to_owned()]),
        resources: Some(resources::of_executor(asked, index)?),
        security_context: Some(security::of_task(asked)?),
        volume_mounts: Some(volumes::of_executor(asked, index)),
        ..Container::default()
    })
}
