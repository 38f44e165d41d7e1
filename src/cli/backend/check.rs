//! `tessera backend check`.

use clap::Args;
use tessera_contract::{Finding, Severity};

use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::ConfigFlags;
use crate::wiring;

/// Check whether the configured backends can be used, and say what to do where not
///
/// Exits with 1 when there is a problem; warnings are no problem.
#[derive(Debug, Args)]
pub struct Check {
    /// Only these backends
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    config: ConfigFlags,
}

impl Check {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let mut config = self.config.read(Vec::new())?;
        if let Some(unknown) = self.names.iter().find(|name| !config.backends.0.contains_key(*name)) {
            return Err(Failure::usage(format!("no backend `{unknown}` is configured")));
        }
        config.backends.0.retain(|name, _| self.names.is_empty() || self.names.contains(name));
        let looked_at = wiring::Inspection::open(&config).await?;
        let mut found = Vec::new();
        for backend in looked_at.backends() {
            let name = &backend.profile().name;
            found.extend(backend.check().await.into_iter().map(|finding| (name.clone(), finding)));
        }
        if printer.is_json() {
            printer.json(&found.iter().map(json).collect::<Vec<_>>())?;
        } else {
            let rows: Vec<_> = found.iter().map(row).collect();
            printer.table(&["BACKEND", "", "WHAT", "FOUND"], &rows)?;
        }
        if found.iter().any(|(_, finding)| finding.severity == Severity::Problem) {
            return Err(Failure::silent(exit::FAILURE));
        }
        Ok(())
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Warning => "warning",
        Severity::Problem => "problem",
    }
}

fn json((name, finding): &(String, Finding)) -> serde_json::Value {
    serde_json::json!({
        "backend": name,
        "severity": word(finding.severity),
        "subject": finding.subject,
        "message": finding.message,
    })
}

fn row((name, finding): &(String, Finding)) -> Vec<String> {
    vec![name.clone(), word(finding.severity).to_owned(), finding.subject.clone(), finding.message.clone()]
}
