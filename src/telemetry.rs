//! What the server says about itself: its log.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{LogFormat, Telemetry};

/// Starts the log on standard error. A second call changes nothing.
pub fn start(config: &Telemetry) {
    // Checked when the configuration was read.
    let levels: Targets = config.log_level.parse().unwrap_or_default();
    let layer = fmt::layer().with_writer(std::io::stderr);
    let layer = match config.log_format {
        LogFormat::Text => layer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => layer.json().boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer.with_filter(levels)).try_init();
}
