//! Figures, held against their aims.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;

/// How the line begins that holds a program's figures.
pub(crate) const MARK: &str = "{\"figures\"";

/// One program of `benches/`, and what we aim at.
#[derive(Debug)]
pub(crate) struct Measurement {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// The file or folder in `benches/`, without `.rs`.
    pub(crate) bench: &'static str,
    pub(crate) needs: Needs,
    /// In SQLite, or where no store is asked.
    pub(crate) aims: &'static [Aim],
    /// On PostgreSQL, if it is measured there.
    pub(crate) on_postgres: Option<&'static [Aim]>,
}

/// What has to run meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Docker,
    /// The servers of `tests/engines/storage`, and the programs to compare with.
    Storages,
    /// A real Kubernetes.
    Cluster,
}

/// What a figure should be.
#[derive(Debug)]
pub(crate) struct Aim {
    pub(crate) figure: &'static str,
    pub(crate) value: f64,
    pub(crate) better: Better,
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// A measurement with its figures.
pub(crate) struct Measured {
    measurement: &'static Measurement,
    aims: &'static [Aim],
    figures: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Line {
    figures: BTreeMap<String, f64>,
}

/// How a figure compares with its aim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// Not even half of it.
    Failed,
}

impl Aim {
    fn judge(&self, figure: f64) -> Verdict {
        let share = match self.better {
            Better::Higher => figure / self.value,
            Better::Lower => self.value / figure,
        };
        if share >= 1.0 {
            Verdict::Met
        } else if share >= 0.5 {
            Verdict::Missed
        } else {
            Verdict::Failed
        }
    }
}

/// The figures among everything a program printed. Every aim needs one.
pub(crate) fn read(measurement: &'static Measurement, aims: &'static [Aim], said: &str) -> Result<Measured> {
    let mut figures = BTreeMap::new();
    for line in said.lines().filter(|line| line.starts_with(MARK)) {
        figures.extend(serde_json::from_str::<Line>(line).with_context(|| line.to_owned())?.figures);
    }
    for aim in aims {
        if !figures.contains_key(aim.figure) {
            bail!("benches/{} printed no figure `{}`", measurement.bench, aim.figure);
        }
    }
    Ok(Measured { measurement, aims, figures })
}

/// The table, and the same as JSON. An error when a figure is below half of its aim.
pub(crate) fn report(all: &[Measured], file: &Path) -> Result<()> {
    println!("\n{:<10} {:<34} {:>12} {:>12}  verdict", "", "figure", "measured", "aim");
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for measured in all {
        let name = measured.measurement.name;
        for (figure, value) in &measured.figures {
            let aim = measured.aims.iter().find(|aim| aim.figure == figure);
            let verdict = aim.map(|aim| aim.judge(*value));
            let word = match verdict {
                None => "",
                Some(Verdict::Met) => "met",
                Some(Verdict::Missed) => "missed",
                Some(Verdict::Failed) => "FAILED: below half",
            };
            let aimed = aim.map_or_else(String::new, |aim| {
                format!("{} {}", if aim.better == Better::Higher { "≥" } else { "≤" }, shown(aim.value))
            });
            println!("{name:<10} {figure:<34} {:>12} {aimed:>12}  {word}", shown(*value));
            if verdict == Some(Verdict::Failed) {
                failed.push(format!("{name} {figure}"));
            }
            rows.push(json!({"measurement": name, "figure": figure, "value": value, "aim": aim.map(|aim| aim.value),
                "verdict": word}));
        }
    }
    fs::write(file, format!("{:#}\n", json!({ "figures": rows })))?;
    println!("as JSON: {}", file.display());
    if !failed.is_empty() {
        bail!("below half of the aim: {}", failed.join(", "));
    }
    Ok(())
}

fn shown(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_an_aim_is_the_limit() {
        let rate = Aim { figure: "rate", value: 100.0, better: Better::Higher };
        assert_eq!([120.0, 100.0, 99.0, 50.0, 49.0].map(|it| rate.judge(it)), {
            use Verdict::{Failed, Met, Missed};
            [Met, Met, Missed, Missed, Failed]
        });
        let delay = Aim { figure: "delay", value: 10.0, better: Better::Lower };
        assert_eq!([0.0, 10.0, 20.0, 21.0].map(|it| delay.judge(it)), {
            use Verdict::{Failed, Met, Missed};
            [Met, Met, Missed, Failed]
        });
    }
}
