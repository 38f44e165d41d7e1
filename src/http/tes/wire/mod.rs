//! The words of GA4GH TES 1.1, as they stand on the wire.
//!
//! Parts:
//! - [`lenient`]: how requests are read (TES contract §4);
//! - [`request`]: what callers send;
//! - [`answer`]: what they get (TES contract §6);
//! - [`service`]: how the service introduces itself (TES contract §16).

pub mod answer;
pub mod lenient;
pub mod request;
pub mod service;
