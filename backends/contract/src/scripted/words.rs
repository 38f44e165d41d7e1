//! The script: what each executor and each input is told to do.

use jiff::SignedDuration;
use tessera_runtime::plan::{Executor, Input, Source};
use tessera_runtime::report::FaultClass;

/// One thing an executor does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Ends with a code.
    Exit(i32),
    /// Works for a while.
    Run(SignedDuration),
    /// Works until it is stopped.
    Hang,
    /// Needs this long to stop.
    Stubborn(SignedDuration),
    /// Prints on standard output.
    Print(String),
    /// Prints on standard error.
    PrintErr(String),
    /// Appends a line to a file.
    Append {
        /// The file, on the host.
        file: String,
        /// The line, without its end.
        line: String,
    },
    /// Adds one to a count.
    Count(String),
    /// Says something for the system log.
    Note(String),
    /// Ends the job with a fault, in all attempts before `until`, or in every one.
    Fault {
        /// The first attempt that goes well.
        until: Option<u32>,
        /// The fault's class.
        class: FaultClass,
        /// The fault's message.
        message: String,
    },
    /// Is preempted in all attempts before this one.
    PreemptedUntil(u32),
}

/// The script of an executor, or why it cannot be started.
pub fn of_executor(executor: &Executor) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = executor.command.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        let mut argument = || rest.next().ok_or_else(|| format!("`{word}` lacks an argument"));
        words.push(match word {
            "true" => continue,
            "exit" => Word::Exit(number(argument()?)?),
            "run-ms" => Word::Run(milliseconds(argument()?)?),
            "hang" => Word::Hang,
            "stubborn-ms" => Word::Stubborn(milliseconds(argument()?)?),
            "print" => Word::Print(argument()?.to_owned()),
            "print-err" => Word::PrintErr(argument()?.to_owned()),
            "print-env" => Word::Print(executor.env.get(argument()?).cloned().unwrap_or_default()),
            "append" => Word::Append { file: argument()?.to_owned(), line: argument()?.to_owned() },
            "count" => Word::Count(argument()?.to_owned()),
            "note" => Word::Note(argument()?.to_owned()),
            "fault" => Word::Fault { until: None, class: class(argument()?)?, message: argument()?.to_owned() },
            "fault-until" => Word::Fault {
                until: Some(number(argument()?)?),
                class: class(argument()?)?,
                message: argument()?.to_owned(),
            },
            "preempted-until" => Word::PreemptedUntil(number(argument()?)?),
            _ => return Err(format!("exec of `{word}` failed: no such word of a script")),
        });
    }
    Ok(words)
}

/// What happens before the first executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staging {
    /// The job is not begun for a while.
    Wait(SignedDuration),
    /// Staging takes a while.
    Take(SignedDuration),
    /// Staging never ends.
    Stall,
    /// Staging fails, in all attempts before `until`, or in every one.
    Fault {
        /// The first attempt that goes well.
        until: Option<u32>,
        /// The fault's class.
        class: FaultClass,
    },
}

/// The script of an input; `None` when it has none and comes at once.
pub fn of_input(input: &Input) -> Result<Option<Staging>, String> {
    let Source::Url(url) = &input.source else { return Ok(None) };
    let Some(words) = url.strip_prefix("scripted:") else { return Ok(None) };
    let words: Vec<&str> = words.split('/').collect();
    match words.as_slice() {
        ["wait-ms", n] => Ok(Some(Staging::Wait(milliseconds(n)?))),
        ["stage-ms", n] => Ok(Some(Staging::Take(milliseconds(n)?))),
        ["stall"] => Ok(Some(Staging::Stall)),
        ["fault", name] => Ok(Some(Staging::Fault { until: None, class: class(name)? })),
        ["fault-until", n, name] => Ok(Some(Staging::Fault { until: Some(number(n)?), class: class(name)? })),
        _ => Err(format!("`{url}` is no script of an input")),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number that fits here"))
}

fn milliseconds(text: &str) -> Result<SignedDuration, String> {
    Ok(SignedDuration::from_millis(i64::from(number::<u32>(text)?)))
}

fn class(text: &str) -> Result<FaultClass, String> {
    match text {
        "rejected" => Ok(FaultClass::Rejected),
        "unavailable" => Ok(FaultClass::Unavailable),
        "misconfigured" => Ok(FaultClass::Misconfigured),
        "lost" => Ok(FaultClass::Lost),
        _ => Err(format!("`{text}` is no class of faults")),
    }
}
