//! Tasks through store and engine alone, on the scripted backend.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "noop",
    what: "tasks that do nothing, through store and engine, on the scripted backend",
    bench: "engine",
    needs: Needs::Nothing,
    aims: &[
        Aim { figure: "engine_noop_tasks_per_second", value: 3_000.0, better: Better::Higher },
        Aim { figure: "engine_events_per_task", value: 3.0, better: Better::Lower },
        Aim { figure: "engine_noop_alone_ms_p50", value: 5.0, better: Better::Lower },
    ],
    on_postgres: Some(&[Aim { figure: "engine_noop_tasks_per_second", value: 1_500.0, better: Better::Higher }]),
};
