//! The whole report, from the log of the container that made it.

use futures::AsyncReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use sha2::{Digest, Sha256};
use tessera_contract::JobId;
use tessera_runtime::pod::words::{Record, Summary};
use tessera_runtime::report::{Progress, REPORT_VERSION, Report};

/// Bytes of a log that are read at most; nodes keep 10 MiB of one by default.
const MOST: u64 = 64 << 20;
/// Lines of the end of a log in which the newest progress is looked for. A record is one line.
const TAIL_LINES: i64 = 20;
/// Begins a record.
const MARK: u8 = 0x1e;

/// Why a log could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogError {
    /// Not now.
    #[error("{0}")]
    Unreadable(String),
    /// It is not there any more, or not what it should be: the summary is all there is.
    #[error("{0}")]
    Gone(String),
}

/// The whole report of a job, as its summary promises it.
pub(crate) async fn read(pods: &Api<Pod>, pod: &str, container: &str, summary: &Summary) -> Result<Report, LogError> {
    let log = bytes(pods, pod, &LogParams { container: Some(container.to_owned()), ..LogParams::default() }).await?;
    find(&log, summary).ok_or_else(|| {
        LogError::Gone(format!("the log of {container} in pod `{pod}` does not hold the report that it promises"))
    })
}

/// The last report in the log of a container that made no last words; `None` when there is none of this job.
pub(crate) async fn last(pods: &Api<Pod>, pod: &str, container: &str, job: &JobId) -> Result<Option<Report>, LogError> {
    let params =
        LogParams { container: Some(container.to_owned()), tail_lines: Some(TAIL_LINES), ..LogParams::default() };
    match last_of(&bytes(pods, pod, &params).await?, job) {
        Some(report) if report.version > REPORT_VERSION => Err(LogError::Unreadable(format!(
            "the report in the log of {container} has version {}, and this build reads up to {REPORT_VERSION}: update \
             the server",
            report.version
        ))),
        report => Ok(report),
    }
}

fn last_of(log: &[u8], job: &JobId) -> Option<Report> {
    records(log).rev().find_map(|text| match serde_json::from_slice(text) {
        Ok(Record::Report(report)) if report.job == job.as_str() => Some(report),
        Ok(Record::Report(_) | Record::Progress(_)) | Err(_) => None,
    })
}

/// The newest progress in the log of a container; `None` when there is none.
pub(crate) async fn newest_progress(pods: &Api<Pod>, pod: &str, container: &str) -> Result<Option<Progress>, LogError> {
    let container = Some(container.to_owned());
    let log = bytes(pods, pod, &LogParams { container, tail_lines: Some(TAIL_LINES), ..LogParams::default() }).await?;
    Ok(crate::progress::newest(&log))
}

async fn bytes(pods: &Api<Pod>, pod: &str, params: &LogParams) -> Result<Vec<u8>, LogError> {
    let what = || format!("the log of {} in pod `{pod}`", params.container.as_deref().unwrap_or_default());
    let stream = pods.log_stream(pod, params).await.map_err(|error| sorted(&what(), &error))?;
    let mut log = Vec::new();
    let read = stream.take(MOST).read_to_end(&mut log).await;
    read.map_err(|error| LogError::Unreadable(format!("reading {} broke off: {error}", what())))?;
    Ok(log)
}

#[allow(clippy::wildcard_enum_match_arm)] // kube::Error grows.
fn sorted(what: &str, error: &kube::Error) -> LogError {
    match error {
        kube::Error::Api(status) if status.code == 404 => LogError::Gone(format!("{what} is gone: {}", status.message)),
        other => LogError::Unreadable(format!("{what} cannot be read: {other}")),
    }
}

/// The texts of the records in a log, in order. What else stands there is passed over.
pub(crate) fn records(log: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    log.split(|byte| *byte == MARK).filter_map(|text| {
        // A text that is not followed by its newline was cut.
        let end = text.iter().position(|byte| *byte == b'\n')?;
        Some(&text[..end])
    })
}

fn find(log: &[u8], summary: &Summary) -> Option<Report> {
    records(log).rev().find_map(|text| {
        let Ok(Record::Report(report)) = serde_json::from_slice(text) else { return None };
        let json = text.strip_prefix(br#"{"report":"#)?.strip_suffix(b"}")?;
        (hex(json) == summary.sha256 && json.len() as u64 == summary.bytes).then_some(report)
    })
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn summary_of(text: &str) -> Summary {
        let json = json!({"job": "t-1", "sha256": hex(text.as_bytes()), "bytes": text.len(), "outcome": "complete",
            "began": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:00:01Z", "exit_codes": [0], "outputs": 0});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn without_a_promise_the_last_report_of_the_job_counts() {
        let report = |job: &str, began: u32| {
            format!(
                "\u{1e}{{\"report\":{{\"version\":1,\"job\":\"{job}\",\"outcome\":\"complete\",\
                 \"began\":\"2026-01-01T00:00:0{began}Z\",\"ended\":\"2026-01-01T00:00:09Z\"}}}}\n"
            )
        };
        let progress = "\u{1e}{\"progress\":{\"version\":1,\"job\":\"t-1\",\"began\":\"2026-01-01T00:00:00Z\"}}\n";
        let table = [
            (String::new(), None),
            (progress.to_owned(), None),
            (report("t-2", 1) + &report("", 2), None),
            (report("t-1", 1).trim_end().to_owned(), None),
            (report("t-1", 1) + progress + "noise\n" + &report("t-1", 2) + &report("t-2", 3), Some(2)),
        ];
        for (log, expected) in table {
            let found = last_of(log.as_bytes(), &JobId::of_attempt("t", 1));
            let began = found.map(|report| report.began.as_second() % 10);
            assert_eq!(began, expected, "{log:?}");
        }
    }

    #[test]
    fn the_report_is_the_one_that_was_promised() {
        let report = r#"{"version":1,"job":"t-1","outcome":"complete","began":"2026-01-01T00:00:00Z","ended":"2026-01-01T00:00:01Z"}"#;
        let record = format!("\u{1e}{{\"report\":{report}}}\n");
        let summary = summary_of(report);
        let other = summary_of(&report.replace("t-1", "t-2"));
        let cut = &record[..record.len() - 2];
        let table = [
            (record.clone(), &summary, true),
            (format!("noise\n{record}\u{1e}{{\"progress\":1}}\nmore"), &summary, true),
            (record.clone(), &other, false),
            (cut.to_owned(), &summary, false),
            (String::new(), &summary, false),
        ];
        for (log, summary, found) in table {
            assert_eq!(find(log.as_bytes(), summary).is_some(), found, "{log:?}");
        }
    }
}
