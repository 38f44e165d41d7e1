//! How our objects are called and marked.

use sha2::{Digest, Sha256};
use tessera_contract::{InstallationId, JobId};

/// Label of every object: the installation it belongs to.
pub(crate) const INSTALLATION: &str = "tessera.installation";
/// Label of every object: its job.
pub(crate) const JOB: &str = "tessera.job";
/// Label of every object: the backend's name in the configuration.
pub(crate) const BACKEND: &str = "tessera.backend";
/// Annotation: whom the job belongs to. No label, for an owner's name may hold anything.
pub(crate) const OWNER: &str = "tessera.owner";
/// Annotation of the Job: what we have decided about it, see [`Verdict`](crate::view::Verdict).
pub(crate) const VERDICT: &str = "tessera.verdict";

/// The name of a job's objects, Job and Secret alike: the same for the same attempt of the same installation, so that
/// making it twice is noticed. At most 63 letters, as a Job's name has to be.
pub(crate) fn object(installation: &InstallationId, job: &JobId) -> String {
    let digest = Sha256::digest(installation.0.as_bytes());
    let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("tessera-{short}-{job}");
    if name.len() <= LONGEST {
        return name;
    }
    // Only ids that no server makes are so long.
    let digest: String = Sha256::digest(job.as_str()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("tessera-{short}-{digest}")
}

/// A Job's name becomes a label of its Pod.
const LONGEST: usize = 63;

/// What selects all objects of one backend of one installation.
pub(crate) fn selector(installation: &InstallationId, backend: &str) -> String {
    format!("{INSTALLATION}={},{BACKEND}={backend}", installation.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_stable_short_and_differ_by_installation_and_job() {
        let (one, two) = (InstallationId("01hzy".into()), InstallationId("01hzz".into()));
        let job = JobId::of_attempt("01hzyabcdefghjkmnpqrstvwxy", 12);
        assert_eq!(object(&one, &job), object(&one, &job));
        assert_ne!(object(&one, &job), object(&two, &job));
        let long = JobId::parse(&"a".repeat(63)).unwrap();
        for job in [job, long] {
            let name = object(&one, &job);
            assert!(name.len() <= 63 && name.starts_with("tessera-"), "{name}");
        }
    }
}
