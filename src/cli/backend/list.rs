//! `tessera backend list`.

use clap::Args;
use tessera_contract::Profile;

use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::settings::ConfigFlags;
use crate::wiring;

/// List the configured backends, what they can carry, and which parameters they honour
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    config: ConfigFlags,
}

impl List {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let config = self.config.read(Vec::new())?;
        let looked_at = wiring::Inspection::open(&config).await?;
        let profiles: Vec<&Profile> = looked_at.backends().iter().map(|backend| backend.profile()).collect();
        if printer.is_json() {
            return printer.json(&profiles.iter().map(|profile| json(profile)).collect::<Vec<_>>());
        }
        let rows: Vec<_> = profiles.iter().map(|profile| row(profile)).collect();
        printer.table(&["NAME", "KIND", "CORES", "RAM GB", "JOBS", "PARAMETERS"], &rows)
    }
}

fn json(profile: &Profile) -> serde_json::Value {
    serde_json::json!({
        "name": profile.name,
        "kind": profile.kind,
        "cpu_milli": profile.capacity.cpu_milli,
        "ram_bytes": profile.capacity.ram_bytes,
        "jobs": profile.capacity.jobs,
        "parameters": profile.parameters,
    })
}

fn row(profile: &Profile) -> Vec<String> {
    let shown = |amount: Option<f64>| amount.map_or_else(|| "any".to_owned(), |amount| format!("{amount:.1}"));
    // Rounded for people; JSON has the whole figures.
    #[allow(clippy::cast_precision_loss)]
    let in_units = |amount: Option<u64>, unit: f64| shown(amount.map(|amount| amount as f64 / unit));
    vec![
        profile.name.clone(),
        profile.kind.to_owned(),
        in_units(profile.capacity.cpu_milli, 1_000.0),
        in_units(profile.capacity.ram_bytes, f64::from(1 << 30)),
        profile.capacity.jobs.map_or_else(|| "any".to_owned(), |jobs| jobs.to_string()),
        profile.parameters.join(","),
    ]
}
