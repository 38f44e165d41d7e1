//! `tessera-runtime`: the static binary that works inside a job.
//!
//! - `exec [STEP [TREE [IMAGE]]]`: wraps one executor inside its container;
//! - `stage-in`, `stage-out`: in a pod, what comes before the executors, and what gives them turns, delivers, reports;
//! - `node DIR`: does a whole attempt on this host;
//! - `version`: says which build this is.

use std::process::ExitCode;

/// A wrong command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let (verb, rest) = match arguments.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("", &[][..]),
    };
    match verb {
        "exec" => tessera_runtime::exec::main(rest),
        // Other places than a pod's are for tests.
        "stage-in" => tessera_runtime::pod::stage_in::main(rest),
        "stage-out" => tessera_runtime::pod::stage_out::main(rest),
        "node" => match rest {
            [dir] => tessera_runtime::node::main(dir.as_ref()),
            _ => usage(),
        },
        "version" => {
            println!("tessera-runtime {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: tessera-runtime exec [STEP [TREE [IMAGE]]] | stage-in | stage-out | node DIR | version");
    ExitCode::from(USAGE)
}
