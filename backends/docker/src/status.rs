//! What lies in an attempt's directory → our observation. Pure.

use tessera_contract::Observation;
use tessera_runtime::report::{Outcome, Progress, Report};

/// What was found of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// There is no such directory.
    Missing,
    /// The report is there.
    Reported(Report),
    /// A node lives.
    Attended(Option<Progress>),
    /// No node lives, and one is being started or will be.
    Unattended {
        /// What the last one had done.
        progress: Option<Progress>,
        /// Why it does not run yet.
        reason: Option<String>,
    },
    /// A file could not be read.
    Unreadable(String),
}

/// What it says about the job.
pub(crate) fn observation(evidence: Evidence) -> Observation {
    match evidence {
        Evidence::Missing => {
            Observation::Lost { reason: "nothing is left of the job's directory".to_owned(), user_code_started: true }
        }
        Evidence::Reported(report) => match report.outcome {
            Outcome::Complete | Outcome::ExecutorFailed { .. } | Outcome::Failed(_) | Outcome::Canceled => {
                Observation::Ended(report)
            }
        },
        Evidence::Attended(Some(progress)) => Observation::Working(progress),
        Evidence::Attended(None) => Observation::Waiting { reason: None },
        // Nobody is about anything now.
        Evidence::Unattended { progress: Some(progress), .. } => {
            Observation::Working(Progress { doing: None, ..progress })
        }
        Evidence::Unattended { progress: None, reason } => Observation::Waiting { reason },
        Evidence::Unreadable(reason) => Observation::Unreadable { reason },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn progress() -> Progress {
        serde_json::from_str(r#"{"version":1,"job":"t-1","began":"2026-01-01T00:00:00Z"}"#).unwrap()
    }

    #[test]
    fn each_evidence_has_its_observation() {
        let report: Report = serde_json::from_str(
            r#"{"version":1,"job":"t-1","outcome":"canceled","began":"2026-01-01T00:00:00Z","ended":"2026-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        let waiting = |reason: Option<&str>| Observation::Waiting { reason: reason.map(str::to_owned) };
        let table = [
            (Evidence::Reported(report.clone()), Observation::Ended(report)),
            (Evidence::Attended(None), waiting(None)),
            (Evidence::Attended(Some(progress())), Observation::Working(progress())),
            (Evidence::Unattended { progress: None, reason: Some("r".into()) }, waiting(Some("r"))),
            (
                Evidence::Unattended { progress: Some(progress()), reason: Some("r".into()) },
                Observation::Working(progress()),
            ),
            (Evidence::Unreadable("x".into()), Observation::Unreadable { reason: "x".into() }),
        ];
        for (evidence, expected) in table {
            assert_eq!(observation(evidence), expected);
        }
        assert!(matches!(observation(Evidence::Missing), Observation::Lost { user_code_started: true, .. }));
    }
}
