//! How a job ended, whether or not it told so itself.

use tessera_contract::Observation;
use tessera_runtime::report::{Fault, FaultClass, Outcome, Report};

/// What a job that is over has left to say.
#[derive(Debug)]
pub(crate) enum Over {
    /// A report.
    Told(Report),
    /// It is gone.
    Lost { reason: String, started: bool },
    /// It was stopped before it could report.
    Stopped,
}

impl Over {
    /// What an observation says, if it says that.
    pub(crate) fn of(seen: Observation) -> Option<Self> {
        match seen {
            Observation::Ended(report) => Some(Self::Told(report)),
            Observation::Lost { reason, user_code_started } => Some(Self::Lost { reason, started: user_code_started }),
            Observation::Preempted { reason } => panic!("nobody preempts here: {reason}"),
            Observation::Stopped => Some(Self::Stopped),
            Observation::Waiting { .. }
            | Observation::Working(_)
            | Observation::Paused
            | Observation::Unreadable { .. } => None,
        }
    }

    /// Its report.
    #[track_caller]
    pub(crate) fn report(self) -> Report {
        match self {
            Self::Told(report) => report,
            other @ (Self::Lost { .. } | Self::Stopped) => panic!("it made no report: {other:?}"),
        }
    }

    /// Why it was lost and whether a command may have run; told by itself or by the cluster.
    #[track_caller]
    pub(crate) fn lost(self) -> (String, bool) {
        match self {
            Self::Lost { reason, started } => (reason, started),
            Self::Told(Report { outcome: Outcome::Failed(fault), .. }) if fault.class == FaultClass::Lost => {
                (fault.message, fault.user_code_started)
            }
            other @ (Self::Told(_) | Self::Stopped) => panic!("it is not lost: {other:?}"),
        }
    }

    /// The fault that ended it.
    #[track_caller]
    pub(crate) fn fault(self) -> Fault {
        match self.report().outcome {
            Outcome::Failed(fault) => fault,
            other @ (Outcome::Complete | Outcome::ExecutorFailed { .. } | Outcome::Canceled) => {
                panic!("{other:?} is no fault")
            }
        }
    }
}
