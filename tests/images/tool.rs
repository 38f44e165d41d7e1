//! The one program of the images that have no shell: a few words of coreutils, statically linked, std only.
//!
//! `tests/images/build` compiles it with plain rustc; it is in `tessera-test/scratch:1` and `tessera-test/demo:1`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: tool echo WORD... | cat [FILE...] | copy FROM TO | count FROM TO | env NAME | sleep SECONDS | exit CODE";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tool: {error}");
            ExitCode::from(1)
        }
    }
}

fn run(words: &[&str]) -> io::Result<ExitCode> {
    match words {
        ["echo", rest @ ..] => println!("{}", rest.join(" ")),
        ["cat"] => pour(&mut io::stdin())?,
        ["cat", files @ ..] => {
            for file in files {
                pour(&mut open(file)?)?;
            }
        }
        ["copy", from, to] => {
            let bytes = fs::copy(from, to).map_err(|e| named(from, &e))?;
            println!("copied {bytes} bytes from {from} to {to}");
        }
        // What the demo's executors do, one verb each run: enough to show a file going from one to the next.
        ["count", from, to] => {
            let text = io::read_to_string(open(from)?)?;
            let line = format!("{} lines, {} words, {} bytes\n", text.lines().count(), text.split_whitespace().count(), text.len());
            fs::write(to, format!("{text}{line}")).map_err(|e| named(to, &e))?;
            print!("counted {line}");
        }
        ["env", name] => println!("{}", std::env::var(name).unwrap_or_default()),
        ["sleep", seconds] => {
            let seconds: f64 = seconds.parse().map_err(io::Error::other)?;
            std::thread::sleep(Duration::from_secs_f64(seconds));
        }
        ["exit", code] => return Ok(ExitCode::from(code.parse::<u8>().map_err(io::Error::other)?)),
        _ => {
            eprintln!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn open(path: &str) -> io::Result<File> {
    File::open(path).map_err(|e| named(path, &e))
}

fn pour(from: &mut dyn Read) -> io::Result<()> {
    let mut out = io::stdout().lock();
    io::copy(from, &mut out)?;
    out.flush()
}

fn named(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}
