//! The configuration in each room's own words.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tessera_contract::Backend;
use tessera_runtime::plan;

use crate::config::{self, Config, HookState, MissingOutput, ShowCanceling};
use crate::http::{self, Access, BackendFacts, Bounds, Credentials, Files, Service};
use crate::roster::base;
use crate::task::{Owner, Phase};
use crate::webhooks::{Pace, SigningKey, Target};
use crate::{engine, logs};

/// Those of the doors.
pub(super) fn doors(
    config: &Config,
    places: &config::storage::Places,
    backends: &[Arc<dyn Backend>],
) -> anyhow::Result<http::Settings> {
    let facts = |backend: &Arc<dyn Backend>| {
        let profile = backend.profile();
        BackendFacts {
            // What tasks ask for, on whichever machine.
            name: base(&profile.name).to_owned(),
            parameters: profile.parameters.clone(),
            stops_within: profile.stops_within,
        }
    };
    let body_bytes = usize::try_from(config.server.body_limit_bytes).unwrap_or(usize::MAX);
    let bounds = Bounds { body_bytes, time: Duration::from_millis(config.server.request_timeout_ms) };
    Ok(http::Settings {
        access: access(&config.auth)?,
        bounds,
        service: service(&config.service_info),
        storage: places.working.clone(),
        places: http::Places {
            files: Files {
                roots: places.everybody.file_roots.clone(),
                forbidden: places.everybody.file_forbidden.clone(),
            },
            lists: lists(&places.everybody),
            callers: places.callers.iter().map(|(name, storage)| (name.clone(), lists(storage))).collect(),
        },
        backends: backends.iter().map(facts).collect(),
        show_canceling: match config.policy.show_canceling {
            ShowCanceling::Quick => None,
            ShowCanceling::Always => Some(true),
            ShowCanceling::Never => Some(false),
        },
        hide_queued: !config.policy.show_queued,
        cors_origins: config.server.cors_origins.clone(),
    })
}

/// Whom to tell.
pub(super) fn target(webhook: &config::Webhook) -> anyhow::Result<Target> {
    let secret = config::Secret::resolve(&webhook.secret, webhook.secret_file.as_deref());
    let secret = secret.map_err(|reason| anyhow!("events.webhooks: {reason}"))?;
    Ok(Target {
        url: webhook.place().map_err(|reason| anyhow!("events.webhooks: {reason}"))?,
        key: SigningKey::parse(secret.expose()).map_err(|reason| anyhow!("events.webhooks: {reason}"))?,
        phases: webhook.states.iter().map(|state| phase(*state)).collect(),
        owners: webhook.owners.iter().map(|name| Owner(name.clone())).collect(),
        internal: webhook.internal,
        give_up_after: Duration::from_secs(webhook.give_up_after_s),
        timeout: Duration::from_millis(webhook.timeout_ms),
        pace: Pace::default(),
    })
}

fn phase(state: HookState) -> Phase {
    match state {
        HookState::Queued => Phase::Queued,
        HookState::Initializing => Phase::Initializing,
        HookState::Running => Phase::Running,
        HookState::Paused => Phase::Paused,
        HookState::Preempted => Phase::Preempted,
        HookState::Canceling => Phase::Canceling,
        HookState::Complete => Phase::Complete,
        HookState::ExecutorError => Phase::ExecutorError,
        HookState::SystemError => Phase::SystemError,
        HookState::Canceled => Phase::Canceled,
    }
}

fn access(auth: &config::Auth) -> anyhow::Result<Access> {
    if !auth.is_required() {
        return Ok(Access::Open);
    }
    let secret = |text: &config::Secret, file: Option<&Path>| {
        let secret = config::Secret::resolve(text, file).map_err(|reason| anyhow!(reason))?;
        anyhow::Ok(http::Secret::new(secret.expose()))
    };
    let mut known = Credentials::default();
    for token in &auth.tokens {
        let read = secret(&token.token, token.token_file.as_deref())?;
        known.tokens.push(http::Token { name: token.name.clone(), token: read });
    }
    for user in &auth.users {
        let read = secret(&user.password, user.password_file.as_deref())?;
        known.users.push(http::User { name: user.name.clone(), password: read });
    }
    Ok(Access::Required(known))
}

fn service(info: &config::ServiceInfo) -> Service {
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    Service {
        id: info.id.clone(),
        name: info.name.clone(),
        description: some(&info.description),
        organization_name: info.organization_name.clone(),
        organization_url: info.organization_url.clone(),
        contact_url: some(&info.contact_url),
        documentation_url: some(&info.documentation_url),
        environment: some(&info.environment),
        created: info.created_at.parse().ok(),
        updated: info.updated_at.parse().ok(),
    }
}

/// The doors are told what may be named, and no key.
fn lists(storage: &plan::Storage) -> http::Lists {
    http::Lists { allow: storage.allow.clone(), deny: storage.deny.clone() }
}

/// Those of the engine.
pub(super) fn engine(config: &Config, places: config::storage::Places) -> engine::Settings {
    let policy = &config.policy;
    let set = &config.engine;
    let allows_host_network = |backend: &config::Backend| match backend {
        config::Backend::Docker(docker) => docker.allow_host_network,
        config::Backend::Kubernetes(_) => false,
        config::Backend::Scripted(_) => true,
    };
    let job = engine::JobSettings {
        policy: plan::Policy {
            missing_output: match policy.missing_output {
                MissingOutput::Fail => plan::MissingOutput::Fail,
                MissingOutput::Ignore => plan::MissingOutput::Ignore,
            },
            log_tail_bytes: policy.log_tail_bytes,
            log_cap_bytes: policy.log_cap_bytes,
            stop_grace_ms: policy.stop_grace_ms,
            // Only a backend whose logs are short has one.
            work_prefix: None,
        },
        storage: places.everybody,
        owners: places.callers,
        // Each container backend has a bound of its own.
        pids: None,
        // Each backend that does not allow it refuses it for itself.
        host_network: config.backends.0.values().any(allows_host_network),
        parameters: policy.backend_parameters.clone(),
        default: amounts(&config.limits.default),
        most: amounts(&config.limits.most),
    };
    engine::Settings {
        poll_period_ms: set.poll_period_ms,
        sweep_period_ms: set.sweep_period_ms,
        call_timeout_ms: set.call_timeout_ms,
        claim_lease_ms: set.claim_lease_ms,
        attempts: set.attempts,
        retry_after_start: set.retry_after_start,
        backoff_first_ms: set.backoff_first_ms,
        backoff_most_ms: set.backoff_most_ms,
        misconfigured_first_ms: set.misconfigured_first_ms,
        misconfigured_most_ms: set.misconfigured_most_ms,
        probe_most_ms: set.probe_most_ms,
        note_waiting_after_ms: set.note_waiting_after_ms,
        note_unreadable_after_ms: set.note_unreadable_after_ms,
        cancel_again_ms: set.cancel_again_ms,
        scan: set.scan,
        claims: set.claims,
        calls_at_once: set.calls_at_once,
        observe_batch: set.observe_batch,
        default_cpu_milli: set.default_cpu_milli,
        default_ram_bytes: set.default_ram_bytes,
        job,
    }
}

/// Those of the logs.
pub(super) fn logs(set: &config::Logs) -> logs::Settings {
    logs::Settings {
        keep_days: set.keep_days,
        keep_bytes: set.keep_bytes(),
        leave_free_bytes: set.leave_free_bytes(),
        give_up: set.give_up(),
    }
}

fn amounts(set: &config::Amounts) -> engine::Amounts {
    engine::Amounts {
        cpu_milli: set.cpu_milli(),
        ram_bytes: set.ram_bytes(),
        disk_bytes: set.disk_bytes(),
        walltime_ms: set.walltime_ms(),
        gpu_count: set.gpu_count,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_engine_and_the_doors() {
        let config = Config::default();
        let places = config.storage.places(Path::new("/data")).unwrap();
        let doors = super::doors(&config, &places, &[]).unwrap();
        let mut settings = super::engine(&config, places);
        assert_eq!(std::mem::take(&mut settings.job.storage.file_forbidden), ["/data"]);
        assert_eq!(settings.job.storage.cache.take().unwrap().dir, "/data/cache");
        assert_eq!(settings, engine::Settings::default());
        assert_eq!(super::logs(&config.logs), logs::Settings::default());
        assert_eq!((doors.bounds, doors.service), (Bounds::default(), Service::default()));
    }
}
