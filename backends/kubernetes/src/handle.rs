//! What must be remembered of a job: where it is, and how to know that place again.

use jiff::Timestamp;
use tessera_contract::{Handle, JobId};

/// A handle as we read and write it: `NAMESPACE/JOB#NAMESPACE-UID#TIME`. Everything in it stays the same while the Job
/// exists, so that a job that is handed over twice has one handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The job.
    pub(crate) job: JobId,
    /// The namespace it is in.
    pub(crate) namespace: String,
    /// The namespace's own id: in another cluster, and after the namespace was made anew, it is another one. Absent
    /// where we may not read it.
    pub(crate) namespace_uid: Option<String>,
    /// When the Job was made.
    pub(crate) at: Timestamp,
}

impl Kept {
    /// For the engine.
    pub(crate) fn handle(&self) -> Handle {
        let uid = self.namespace_uid.as_deref().unwrap_or_default();
        Handle(format!("{}/{}#{uid}#{}", self.namespace, self.job, self.at))
    }

    /// From the engine; what is no handle of ours has a sentence.
    pub(crate) fn read(handle: &Handle) -> Result<Self, String> {
        Self::parse(&handle.0).ok_or_else(|| format!("`{}` is no job of a Kubernetes backend", handle.0))
    }

    fn parse(text: &str) -> Option<Self> {
        let (place, known) = text.split_once('#')?;
        let (namespace, job) = place.split_once('/')?;
        let (uid, at) = known.split_once('#')?;
        Some(Self {
            job: JobId::parse(job)?,
            namespace: namespace.to_owned(),
            namespace_uid: Some(uid.to_owned()).filter(|uid| !uid.is_empty()),
            at: at.parse().ok()?,
        })
    }

    /// Why the namespace that we look at cannot say anything about this job. A job that is not there has been removed
    /// only if it was there.
    pub(crate) fn elsewhere(&self, namespace: &str, uid: Option<&str>) -> Option<String> {
        if self.namespace != namespace {
            return Some(format!(
                "the job {} was made in namespace `{}`, and this backend looks at `{namespace}`: configure `namespace` as \
                 it was",
                self.job, self.namespace
            ));
        }
        let made = self.namespace_uid.as_deref()?;
        match uid {
            Some(uid) if uid == made => None,
            Some(_) => Some(format!(
                "the job {} was made in another namespace `{namespace}` than this one: it is another cluster, or the \
                 namespace was made anew; check `kubeconfig` and `context`",
                self.job
            )),
            None => Some(format!(
                "whether this is the cluster that the job {} was made in cannot be told: allow the server's account to \
                 get the namespace `{namespace}`",
                self.job
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kept(uid: Option<&str>) -> Kept {
        Kept {
            job: JobId::of_attempt("t", 1),
            namespace: "tasks".to_owned(),
            namespace_uid: uid.map(str::to_owned),
            at: "2026-11-22T11:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_handle_is_short_and_read_back() {
        let handle = kept(Some("u")).handle();
        assert_eq!(handle.0, "tasks/t-1#u#2026-11-22T11:00:00Z");
        assert_eq!(Kept::read(&handle).unwrap(), kept(Some("u")));
        assert!(Kept::read(&Handle("t-1".into())).is_err());
    }

    #[test]
    fn another_cluster_says_nothing_of_a_job() {
        assert_eq!(kept(Some("u")).elsewhere("tasks", Some("u")), None);
        assert!(kept(Some("u")).elsewhere("tasks", Some("v")).is_some());
        assert!(kept(Some("u")).elsewhere("tasks", None).is_some());
        assert!(kept(Some("u")).elsewhere("other", Some("u")).is_some());
        assert_eq!(kept(None).elsewhere("tasks", Some("u")), None);
        assert_eq!(kept(None).elsewhere("tasks", None), None);
    }
}
