//! What is wrong with the settings: the key and a sentence.

use std::collections::{BTreeMap, BTreeSet};

use tessera_runtime::storage::location::Location;
use url::Url;

use super::security::Security;
use super::syntax::{
    is_below, is_extended_resource, is_key, is_label_name, is_mount_path, is_object_name, is_value, is_variable,
};
use super::{KubernetesConfig, Mount, Toleration};

type Checked = Result<(), (String, String)>;

/// What begins so is ours.
const OURS: &str = "tessera.";
/// Backend parameters that mean the same on every backend.
const TAKEN: [&str; 6] = ["backend", "container_user", "gpu_count", "gpu_type", "network", "walltime"];
/// The kubelet takes no shorter time for a token.
const SHORTEST_TOKEN_S: u32 = 600;
/// Where the runtime's own things are in every container.
const RESERVED: [&str; 3] = ["/.tessera", "/dev", "/proc"];

impl KubernetesConfig {
    /// What is wrong with it: the key and a sentence.
    pub fn problem(&self) -> Option<(String, String)> {
        self.check().err()
    }

    fn check(&self) -> Checked {
        self.check_names()?;
        self.check_numbers()?;
        self.check_urls()?;
        self.check_marks()?;
        self.check_placement()?;
        self.check_folders()?;
        security("ours.security", &self.ours.security)?;
        security("tasks.security", &self.tasks.security)
    }

    fn check_names(&self) -> Checked {
        let named = [
            ("service_account", &self.service_account),
            ("runtime_class", &self.runtime_class),
            ("priority_class", &self.priority_class),
            ("preemptible.priority_class", &self.preemptible.priority_class),
        ];
        for (key, name) in named {
            if let Some(name) = name {
                object_name(key, name)?;
            }
        }
        if let Some(namespace) = &self.namespace {
            let sentence = || format!("`{namespace}` is no namespace: lower-case letters, digits and `-`, at most 63");
            ensure(is_label_name(namespace), "namespace", sentence)?;
        }
        let image = &self.image;
        ensure(!image.is_empty(), "image", || {
            "missing: name the image that holds `/tessera-runtime`, that of this server".to_owned()
        })?;
        ensure(!image.contains(char::is_whitespace), "image", || format!("`{image}` is no image: it holds a space"))?;
        for (index, name) in self.image_pull_secrets.iter().enumerate() {
            object_name(&format!("image_pull_secrets[{index}]"), name)?;
        }
        if let Some(queue) = &self.kueue_queue {
            let fits = !queue.is_empty() && is_value(queue);
            ensure(fits, "kueue_queue", || format!("`{queue}` is no name of a queue"))?;
        }
        Ok(())
    }

    fn check_numbers(&self) -> Checked {
        let ours = &self.ours;
        let amounts = [
            ("cpu_cores", self.cpu_cores),
            ("ram_gb", self.ram_gb),
            ("ours.cpu_cores", Some(ours.cpu_cores)),
            ("ours.cpu_cores_most", ours.cpu_cores_most),
            ("ours.ram_gb", Some(ours.ram_gb)),
            ("ours.ram_gb_most", Some(ours.ram_gb_most)),
        ];
        for (key, amount) in amounts {
            let positive = amount.is_none_or(|amount| amount.is_finite() && amount > 0.0);
            ensure(positive, key, || "must be more than 0".to_owned())?;
        }
        let most = ours.cpu_cores_most.unwrap_or(f64::INFINITY);
        ensure(ours.cpu_cores <= most, "ours.cpu_cores", || "is more than `ours.cpu_cores_most`".to_owned())?;
        ensure(ours.ram_gb <= ours.ram_gb_most, "ours.ram_gb", || "is more than `ours.ram_gb_most`".to_owned())?;
        let counts = [
            ("log_cap_mb", self.log_cap_mb),
            ("image_timeout_ms", self.image_timeout_ms),
            ("start_timeout_ms", self.start_timeout_ms),
            ("refused_timeout_ms", self.refused_timeout_ms),
            ("finished_ttl_s", u64::from(self.finished_ttl_s)),
            ("calls_per_second", u64::from(self.calls_per_second)),
            ("calls_burst", u64::from(self.calls_burst)),
        ];
        for (key, count) in counts {
            ensure(count > 0, key, || "must be at least 1".to_owned())?;
        }
        ensure(self.jobs != Some(0), "jobs", || "must be at least 1; leave it out for no bound".to_owned())?;
        let kept = i32::try_from(self.finished_ttl_s).is_ok();
        ensure(kept, "finished_ttl_s", || format!("must be at most {}", i32::MAX))?;
        let group = self.fs_group.is_none_or(is_id);
        ensure(group, "fs_group", || "must be a group by number, from 0 on".to_owned())
    }

    fn check_urls(&self) -> Checked {
        if let Some(text) = &self.server_url {
            let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let plain = url.is_some_and(|url| {
                url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
                    && url.password().is_none()
            });
            // Not shown: it may hold a password.
            ensure(plain, "server_url", || "is no address: use http://host:port or https://host".to_owned())?;
        }
        if let Some(text) = &self.work_prefix {
            let remote = matches!(Location::parse(text), Ok(Location::Remote(_)));
            ensure(remote, "work_prefix", || "is no URL of a storage: use one such as s3://bucket/folder".to_owned())?;
        }
        Ok(())
    }

    fn check_marks(&self) -> Checked {
        marks("labels", &self.labels, true)?;
        marks("annotations", &self.annotations, false)?;
        resource("gpu_resource", &self.gpu_resource)?;
        let mut seen = BTreeSet::from([self.gpu_resource.to_lowercase()]);
        for (index, name) in self.extended_resources.iter().enumerate() {
            let key = format!("extended_resources[{index}]");
            resource(&key, name)?;
            let new = !TAKEN.contains(&name.as_str()) && seen.insert(name.to_lowercase());
            ensure(new, &key, || format!("`{name}` is there already"))?;
        }
        let mut kinds = BTreeSet::new();
        for (kind, labels) in &self.gpu_types {
            let key = format!("gpu_types.{kind}");
            ensure(!labels.is_empty(), &key, || "has no label that tells its nodes".to_owned())?;
            let new = !kind.is_empty() && kinds.insert(kind.to_lowercase());
            ensure(new, &key, || "is empty, or there already but for upper and lower case".to_owned())?;
            node_labels(&key, labels)?;
        }
        Ok(())
    }

    fn check_placement(&self) -> Checked {
        node_labels("node_selector", &self.node_selector)?;
        node_labels("preemptible.node_selector", &self.preemptible.node_selector)?;
        tolerations("tolerations", &self.tolerations)?;
        tolerations("preemptible.tolerations", &self.preemptible.tolerations)?;
        let zone = &self.zone_label;
        ensure(zone.is_empty() || is_key(zone), "zone_label", || format!("`{zone}` is no key of a label"))
    }

    fn check_folders(&self) -> Checked {
        let mut taken: Vec<&str> = Vec::new();
        for (index, mount) in self.mounts.iter().enumerate() {
            let key = format!("mounts[{index}]");
            folder(&key, &mount.path, &mut taken)?;
            source(&key, mount)?;
        }
        for (index, secret) in self.identity_secrets.iter().enumerate() {
            let key = format!("identity_secrets[{index}]");
            object_name(&format!("{key}.name"), &secret.name)?;
            folder(&key, &secret.path, &mut taken)?;
        }
        if let Some(identity) = &self.identity {
            ensure(!identity.audience.is_empty(), "identity.audience", || "must not be empty".to_owned())?;
            let long = identity.expiration_s >= SHORTEST_TOKEN_S;
            ensure(long, "identity.expiration_s", || format!("must be at least {SHORTEST_TOKEN_S}"))?;
        }
        for (name, value) in &self.ours.env {
            let key = format!("ours.env.{name}");
            ensure(is_variable(name), &key, || "is no name of a variable".to_owned())?;
            ensure(!value.contains('\0'), &key, || "holds a null byte".to_owned())?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, key: &str, sentence: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err((key.to_owned(), sentence())) }
}

/// Users and groups, by number.
fn is_id(id: i64) -> bool {
    (0..=i64::from(i32::MAX)).contains(&id)
}

fn object_name(key: &str, name: &str) -> Checked {
    ensure(is_object_name(name), key, || {
        format!("`{name}` is no name of an object: lower-case letters, digits, `-` and `.`, at most 253")
    })
}

fn resource(key: &str, name: &str) -> Checked {
    ensure(is_extended_resource(name), key, || format!("`{name}` is no resource: write it as `vendor.example/thing`"))
}

fn marks(key: &str, marks: &BTreeMap<String, String>, labels: bool) -> Checked {
    for (name, value) in marks {
        let key = format!("{key}.{name}");
        ensure(is_key(name), &key, || format!("`{name}` is no key: letters, digits, `-`, `_` and `.`, at most 63"))?;
        ensure(!name.starts_with(OURS), &key, || format!("keys that begin with `{OURS}` are ours"))?;
        ensure(!labels || is_value(value), &key, || format!("`{value}` is no value of a label"))?;
    }
    Ok(())
}

fn node_labels(key: &str, labels: &BTreeMap<String, String>) -> Checked {
    for (name, value) in labels {
        let key = format!("{key}.{name}");
        ensure(is_key(name), &key, || format!("`{name}` is no key of a label"))?;
        ensure(is_value(value), &key, || format!("`{value}` is no value of a label"))?;
    }
    Ok(())
}

fn tolerations(key: &str, tolerations: &[Toleration]) -> Checked {
    for (index, toleration) in tolerations.iter().enumerate() {
        let at = |field: &str| format!("{key}[{index}].{field}");
        let Toleration { key: taint, value, effect, seconds, .. } = toleration;
        let operator = toleration.operator();
        let known = taint.as_deref().is_none_or(is_key);
        ensure(known, &at("key"), || "is no key of a taint; leave it out for every one".to_owned())?;
        ensure(matches!(operator, "Equal" | "Exists"), &at("operator"), || "must be `Equal` or `Exists`".to_owned())?;
        ensure(taint.is_some() || operator == "Exists", &at("operator"), || {
            "must be `Exists` without a key".to_owned()
        })?;
        ensure(value.as_deref().is_none_or(is_value), &at("value"), || "is no value of a taint".to_owned())?;
        let valueless = operator == "Equal" || value.as_deref().is_none_or(str::is_empty);
        ensure(valueless, &at("value"), || "means nothing with `Exists`".to_owned())?;
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        let effective = effect.as_deref().is_none_or(|effect| effects.contains(&effect));
        ensure(effective, &at("effect"), || "must be `NoSchedule`, `PreferNoSchedule` or `NoExecute`".to_owned())?;
        let timed = seconds.is_none() || effect.as_deref() == Some("NoExecute");
        ensure(timed, &at("seconds"), || "needs the effect `NoExecute`".to_owned())?;
    }
    Ok(())
}

fn folder<'a>(key: &str, path: &'a str, taken: &mut Vec<&'a str>) -> Checked {
    let key = format!("{key}.path");
    ensure(is_mount_path(path), &key, || format!("`{path}` is no absolute folder without `..` and `:`"))?;
    let reserved = RESERVED.iter().find(|reserved| is_below(path, reserved) || is_below(reserved, path));
    ensure(reserved.is_none(), &key, || format!("`{path}` lies in what is needed otherwise"))?;
    ensure(!taken.contains(&path), &key, || format!("`{path}` is there already"))?;
    taken.push(path);
    Ok(())
}

fn source(key: &str, mount: &Mount) -> Checked {
    match (&mount.claim, &mount.host_path) {
        (Some(claim), None) => object_name(&format!("{key}.claim"), claim),
        (None, Some(path)) => {
            ensure(is_mount_path(path), &format!("{key}.host_path"), || format!("`{path}` is no absolute folder"))
        }
        (Some(_), Some(_)) | (None, None) => {
            ensure(false, key, || "needs either a `claim` or a `host_path`".to_owned())
        }
    }
}

fn security(key: &str, security: &Security) -> Checked {
    let at = |field: &str| format!("{key}.{field}");
    let Security { run_as_user: user, run_as_group: group, run_as_non_root: non_root, seccomp, .. } = security;
    ensure(user.is_none_or(is_id), &at("run_as_user"), || "must be a user by number, from 0 on".to_owned())?;
    ensure(group.is_none_or(is_id), &at("run_as_group"), || "must be a group by number, from 0 on".to_owned())?;
    let root = key.starts_with("ours") && user.is_none();
    let contradicts = *non_root == Some(true) && (*user == Some(0) || root);
    ensure(!contradicts, &at("run_as_non_root"), || "needs a `run_as_user` that is not 0".to_owned())?;
    for (field, list) in
        [("drop_capabilities", &security.drop_capabilities), ("add_capabilities", &security.add_capabilities)]
    {
        for (index, name) in list.iter().flatten().enumerate() {
            let letters = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            let fits = !name.is_empty() && letters && !name.starts_with("CAP_");
            ensure(fits, &format!("{}[{index}]", at(field)), || {
                format!("`{name}` is no capability: write it like `NET_RAW`, or `ALL`")
            })?;
        }
    }
    let known = seccomp.as_deref().is_none_or(|profile| match profile.strip_prefix("Localhost:") {
        Some(file) => !file.is_empty() && !file.starts_with('/') && file.split('/').all(|part| part != ".."),
        None => matches!(profile, "" | "RuntimeDefault" | "Unconfined"),
    });
    ensure(known, &at("seccomp"), || "must be `RuntimeDefault`, `Unconfined`, `Localhost:FILE` or empty".to_owned())
}
