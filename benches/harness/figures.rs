//! Medians, percentiles, and the line that `cargo xtask bench` reads.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

/// Named figures of one measurement.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Notes a figure, and shows it.
    pub fn note(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        println!("{name:<40} {value:>12.2}");
        self.0.insert(name, (value * 1000.0).round() / 1000.0);
    }

    /// Prints the line.
    pub fn print(&self) {
        println!("{}", json!({ "figures": self.0 }));
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The one that this share (0 to 1) of the others does not exceed.
pub fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let at = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or_default()
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
