//! Staging in and out of S3, against s5cmd and rclone.

use super::figures::{Aim, Better, Measurement, Needs};

pub(crate) const MEASUREMENT: Measurement = Measurement {
    name: "storage",
    what: "staging from and to an S3 server, in turns with s5cmd and rclone; requests, memory, the cache",
    bench: "storage",
    needs: Needs::Storages,
    aims: &[
        // The time of the faster one of the two over ours.
        Aim { figure: "in_one_of_1_gib_ratio", value: 0.9, better: Better::Higher },
        Aim { figure: "in_100_of_10_mib_ratio", value: 0.9, better: Better::Higher },
        Aim { figure: "in_10000_of_10_kib_ratio", value: 0.9, better: Better::Higher },
        Aim { figure: "out_one_of_1_gib_ratio", value: 0.9, better: Better::Higher },
        Aim { figure: "out_100_of_10_mib_ratio", value: 0.9, better: Better::Higher },
        Aim { figure: "out_10000_of_10_kib_ratio", value: 0.9, better: Better::Higher },
        Aim { figure: "requests_per_small_input", value: 2.0, better: Better::Lower },
        Aim { figure: "peak_rss_mb_in_4_gib", value: 100.0, better: Better::Lower },
        Aim { figure: "peak_rss_mb_out_4_gib", value: 100.0, better: Better::Lower },
        Aim { figure: "repeated_input_speedup", value: 10.0, better: Better::Higher },
        Aim { figure: "directory_of_10000_own_s", value: 1.0, better: Better::Lower },
    ],
    on_postgres: None,
};
