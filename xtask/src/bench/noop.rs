//! Tasks through store and engine alone, on the scripted backend.

use super::figures::{Aim, Better, Measurement};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "noop",
    what: "tasks that do nothing, through store and engine, on the scripted backend",
    bench: "engine",
    on_docker: false,
    aims: &[
        Aim { figure: "tasks_per_second", value: 3_000.0, better: Better::Higher },
        Aim { figure: "events_per_task", value: 3.0, better: Better::Lower },
        Aim { figure: "one_alone_ms_median", value: 5.0, better: Better::Lower },
    ],
};
