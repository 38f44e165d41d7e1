//! Tasks on a real Kubernetes, against bare Jobs.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "kubernetes",
    what: "tasks alone, in a burst of 500 and waiting by the thousand, next to Jobs that a minimal client makes; what \
           the API server is asked",
    bench: "kubernetes",
    needs: Needs::Cluster,
    aims: &[
        Aim { figure: "objects_per_task", value: 2.0, better: Better::Lower },
        Aim { figure: "calls_per_task", value: 4.0, better: Better::Lower },
        Aim { figure: "burst_ratio_to_same_jobs", value: 0.9, better: Better::Higher },
        Aim { figure: "finished_to_complete_ms_median", value: 300.0, better: Better::Lower },
        Aim { figure: "finished_to_complete_ms_p99", value: 300.0, better: Better::Lower },
    ],
    on_postgres: None,
};
