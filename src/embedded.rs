//! probe
/// b
pub static RUNTIME: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tessera-runtime"));
