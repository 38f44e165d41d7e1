//! The end of one of our containers: its report, where the server finds it.

use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::log::{Log, REPORT_BYTES};
use super::places::{Places, longest_last_words};
use super::words::{LastWords, Summary, WORDS_VERSION};
use crate::plan::{Kind, Output, Plan};
use crate::report::{DeliveredFile, Note, Outcome, Report, StepReport};
use crate::stage;
use crate::storage::checksum::hex;
use crate::storage::location::{join, redacted};
use crate::tree::Tree;

/// Where lists of outputs are made before they are delivered, in the attempt's directory.
const LISTS: &str = "lists";
/// How such a list is called.
const LIST: &str = "outputs.json";
/// Last words that are short enough for any pod, whoever adds containers to it.
const NEVER_CUT: usize = 1024;
/// Letters of a fault's sentence in a summary.
const SENTENCE: usize = 300;

/// Says how the job ended: in the last words, and where they are too short for it in the log.
pub(crate) async fn say(places: &Places, plan: Option<&Plan>, log: &Log, report: Report) {
    let room = longest_last_words(plan.map_or(1, |plan| plan.executors.len()));
    let whole = text(&LastWords { version: WORDS_VERSION, report: Some(report.clone()), summary: None });
    if whole.len() <= room {
        let written = last_words(&places.last_words, &whole);
        if let Err(error) = &written {
            eprintln!("the last words cannot be written: {error}");
        }
        // Containers that others put into the pod take their share of the room, and the kubelet cuts.
        if written.is_err() || whole.len() > NEVER_CUT {
            log.report(&text(&report));
        }
        return;
    }
    let (report, outputs, outputs_at) = fitting(places, plan, report).await;
    let in_log = text(&report);
    log.report(&in_log);
    let summary = summary(&report, &in_log, outputs, outputs_at);
    if let Err(error) = last_words(&places.last_words, &short(summary, room)) {
        eprintln!("the last words cannot be written: {error}");
    }
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// In place: the file is mounted, and cannot be replaced.
fn last_words(path: &Path, text: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path)?.write_all(text.as_bytes())
}

/// The report as it fits into the log; how many files were delivered, and where their list lies if it was cut.
async fn fitting(places: &Places, plan: Option<&Plan>, mut report: Report) -> (Report, u64, Option<String>) {
    let outputs = report.outputs.len() as u64;
    let fits = |report: &Report| text(report).len() <= REPORT_BYTES;
    if fits(&report) {
        return (report, outputs, None);
    }
    let all = std::mem::take(&mut report.outputs);
    let listed = match plan.filter(|_| text(&all).len() > REPORT_BYTES / 4) {
        Some(plan) => deliver_list(places, plan, &all).await,
        None => Ok(None),
    };
    let mut most = 16 * 1024;
    while !fits(&report) && most > 0 {
        most /= 2;
        report.steps.iter_mut().for_each(|step| cut_tails(step, most));
    }
    cut_notes(&mut report);
    let mut room = REPORT_BYTES.saturating_sub(text(&report).len() + 2_048);
    for file in all {
        let length = text(&file).len() + 1;
        if length > room {
            break;
        }
        room -= length;
        report.outputs.push(file);
    }
    let missing = outputs - report.outputs.len() as u64;
    let (outputs_at, why) = match listed {
        Ok(at) => (at, String::new()),
        Err(why) => (None, format!(": {why}")),
    };
    if missing > 0 {
        let text = match &outputs_at {
            Some(at) => {
                let at = redacted(at);
                format!(
                    "{missing} of the {outputs} files that were delivered are not listed here; the whole list is `{at}`"
                )
            }
            None => format!("{missing} files that were delivered are not listed here, for the list is too long{why}"),
        };
        // A failure is explained by the last line.
        let at = report.notes.len().saturating_sub(usize::from(report.outcome != Outcome::Complete));
        report.notes.insert(at, Note { at: report.ended, text });
    }
    (report, outputs, outputs_at)
}

/// Puts the list of outputs below the work prefix, if there is one.
async fn deliver_list(places: &Places, plan: &Plan, files: &[DeliveredFile]) -> Result<Option<String>, String> {
    let Some(prefix) = &plan.policy.work_prefix else {
        return Ok(None);
    };
    let lists = places.attempt.join(LISTS);
    let wrote = std::fs::create_dir_all(&lists)
        .and_then(|()| std::fs::write(lists.join(LIST), text(&files)))
        .and_then(|()| Tree::open(&lists));
    let tree = wrote.map_err(|error| format!("it cannot be written: {error}"))?;
    let url = join(prefix, Path::new(&format!("{}/{LIST}", plan.job)));
    let output = Output { path: format!("/{LIST}"), url: url.clone(), path_prefix: None, kind: Some(Kind::File) };
    let mut only = Plan { outputs: vec![output], ..plan.clone() };
    // What tasks may use is not what the operator has chosen for this.
    only.storage.allow.clear();
    only.storage.deny.clear();
    let delivered = stage::deliver(&only, &tree, false).await;
    match delivered.fault {
        None => Ok(Some(url)),
        Some(fault) => Err(fault.message),
    }
}

/// Keeps at most so many bytes of the end of what a step printed.
pub(crate) fn cut_tails(step: &mut StepReport, most: usize) {
    let tails = [(&mut step.stdout_tail, &mut step.stdout_whole), (&mut step.stderr_tail, &mut step.stderr_whole)];
    for (tail, whole) in tails {
        if tail.len() > most {
            *tail = tail.split_off(tail.ceil_char_boundary(tail.len() - most));
            *whole = false;
        }
    }
}

/// Keeps the newest notes that take half of the room.
fn cut_notes(report: &mut Report) {
    let mut room = REPORT_BYTES / 2;
    let fit = report.notes.iter().rev().take_while(|note| {
        let length = text(note).len() + 1;
        let fits = length <= room;
        room = room.saturating_sub(length);
        fits
    });
    let cut = report.notes.len() - fit.count();
    if cut > 0 {
        report.notes.drain(..cut);
        let text = format!("{cut} lines before this one are missing, for there are too many");
        report.notes.insert(0, Note { at: report.began, text });
    }
}

fn summary(report: &Report, in_log: &str, outputs: u64, outputs_at: Option<String>) -> Summary {
    Summary {
        job: report.job.clone(),
        sha256: hex(&Sha256::digest(in_log)),
        bytes: in_log.len() as u64,
        outcome: report.outcome.clone(),
        began: report.began,
        started: report.started,
        ended: report.ended,
        exit_codes: report.steps.iter().map(|step| step.exit_code).collect(),
        outputs,
        outputs_at,
    }
}

/// A summary as it fits, as far as it can be made to.
fn short(mut summary: Summary, room: usize) -> String {
    let mut sentence = SENTENCE;
    loop {
        let words = text(&LastWords { version: WORDS_VERSION, report: None, summary: Some(summary.clone()) });
        if words.len() <= room {
            return words;
        }
        if let Outcome::Failed(fault) = &mut summary.outcome
            && sentence > 0
            && !fault.message.is_empty()
        {
            let end = fault.message.floor_char_boundary(sentence.min(fault.message.len()));
            fault.message.truncate(end);
            sentence /= 2;
        } else if summary.exit_codes.is_empty() {
            return words;
        } else {
            summary.exit_codes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
    use jiff::Timestamp;
    use serde_json::json;

    use super::super::words::Record;
    use super::*;
    use crate::report::{Fault, FaultClass, REPORT_VERSION};

    fn report(files: usize) -> Report {
        let file = |n: usize| DeliveredFile {
            url: format!("s3://bucket/some/where/{n:08}/a-file-with-a-name"),
            path: format!("/data/{n:08}"),
            size_bytes: 1,
            sha256: "0".repeat(64),
        };
        Report {
            version: REPORT_VERSION,
            job: "t-1".into(),
            outcome: Outcome::Complete,
            began: Timestamp::UNIX_EPOCH,
            started: None,
            ended: Timestamp::UNIX_EPOCH,
            steps: Vec::new(),
            outputs: (0..files).map(file).collect(),
            notes: Vec::new(),
            metadata: Default::default(),
        }
    }

    fn plan(prefix: Option<&Path>) -> Plan {
        let roots: Vec<&Path> = prefix.into_iter().collect();
        let plan = json!({"version": 1, "job": "t-1", "executors": [{"image": "a", "command": ["true"]}],
            "policy": {"work_prefix": prefix}, "storage": {"file_roots": roots, "allow": ["s3://nothing"]}});
        serde_json::from_value(plan).unwrap()
    }

    struct Said {
        words: LastWords,
        log: Vec<u8>,
    }

    async fn said(plan: &Plan, report: Report, folder: &Path) -> Said {
        let places = Places { attempt: folder.to_owned(), last_words: folder.join("last-words"), ..Places::default() };
        let printed = folder.join("log");
        let log = Log::on(std::fs::File::create(&printed).unwrap());
        say(&places, Some(plan), &log, report).await;
        let words = serde_json::from_slice(&std::fs::read(&places.last_words).unwrap()).unwrap();
        Said { words, log: std::fs::read(printed).unwrap() }
    }

    fn in_log(said: &Said) -> Report {
        let text = std::str::from_utf8(&said.log).unwrap();
        let record = text.strip_prefix('\u{1e}').unwrap().strip_suffix('\n').unwrap();
        let raw = record.strip_prefix("{\"report\":").unwrap().strip_suffix('}').unwrap();
        let summary = said.words.summary.as_ref().unwrap();
        assert_eq!((summary.bytes, summary.sha256.clone()), (raw.len() as u64, hex(&Sha256::digest(raw))));
        match serde_json::from_str(record).unwrap() {
            Record::Report(report) => report,
            Record::Progress(_) => panic!("this is no report"),
        }
    }

    #[tokio::test]
    async fn a_small_report_is_the_last_words() {
        let folder = tempfile::tempdir().unwrap();
        for outputs in [0, 2, 8] {
            let said = said(&plan(None), report(outputs), folder.path()).await;
            assert_eq!(said.words.report, Some(report(outputs)));
            assert_eq!(said.words.summary, None);
            // Whatever others put into the pod: what they could cut stands in the log as well.
            let whole = text(&said.words).len();
            assert_eq!(said.log.is_empty(), whole <= NEVER_CUT, "{whole}");
        }
    }

    #[tokio::test]
    async fn a_larger_one_stands_in_the_log_and_is_known_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let said = said(&plan(None), report(200), folder.path()).await;
        assert_eq!(in_log(&said), report(200));
        assert_eq!(said.words.summary.unwrap().outputs, 200);
    }

    #[tokio::test]
    async fn a_list_that_is_too_long_is_cut_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let said = said(&plan(None), report(50_000), folder.path()).await;
        let cut = in_log(&said);
        assert!(said.log.len() < REPORT_BYTES + 100 && cut.outputs.len() > 10_000);
        let missing = 50_000 - cut.outputs.len();
        assert!(cut.notes[0].text.starts_with(&format!("{missing} files that were delivered are not listed here")));
        let summary = said.words.summary.unwrap();
        assert_eq!((summary.outputs, summary.outputs_at), (50_000, None));
    }

    #[tokio::test]
    async fn a_list_that_is_too_long_lies_whole_below_the_work_prefix() {
        let (folder, prefix) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let prefix = prefix.path().canonicalize().unwrap();
        let said = said(&plan(Some(&prefix)), report(50_000), folder.path()).await;
        let cut = in_log(&said);
        let at = said.words.summary.unwrap().outputs_at.unwrap();
        let missing = 50_000 - cut.outputs.len();
        let sentence =
            format!("{missing} of the 50000 files that were delivered are not listed here; the whole list is `{at}`");
        assert_eq!(cut.notes.iter().map(|note| note.text.as_str()).collect::<Vec<_>>(), [sentence]);
        assert!(at.ends_with("/t-1/outputs.json"), "{at}");
        let list: Vec<DeliveredFile> = serde_json::from_slice(&std::fs::read(at).unwrap()).unwrap();
        assert_eq!(list, report(50_000).outputs);
    }

    #[test]
    fn a_summary_is_made_to_fit() {
        let message = "ä".repeat(10_000);
        let fault = Fault { class: FaultClass::Rejected, message, user_code_started: true };
        let report = Report { outcome: Outcome::Failed(fault), ..report(0) };
        for executors in [1, 10, 25] {
            let mut summary = summary(&report, "text", 0, None);
            summary.exit_codes = vec![-100; executors];
            let room = longest_last_words(executors);
            let words = short(summary, room);
            assert!(words.len() <= room, "{executors}: {}", words.len());
            serde_json::from_str::<LastWords>(&words).unwrap();
        }
    }

    #[test]
    fn tails_are_cut_at_their_beginning() {
        let step = json!({"step": 0, "exit_code": 0, "started": "1970-01-01T00:00:00Z",
            "ended": "1970-01-01T00:00:00Z", "stdout_tail": "ääb", "stdout_whole": true, "stderr_tail": "c",
            "stderr_whole": true});
        let mut step: StepReport = serde_json::from_value(step).unwrap();
        cut_tails(&mut step, 2);
        assert_eq!((step.stdout_tail.as_str(), step.stderr_tail.as_str()), ("b", "c"));
        assert_eq!((step.stdout_whole, step.stderr_whole), (false, true));
    }
}
