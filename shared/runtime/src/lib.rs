//! What every process of Kith needs and no use case may know: settings, credentials, the clock, the life of the process,
//! health, metrics and traces.
//!
//! Nothing here knows an engine or a route. The mains put the parts together; start reading at [`config`] for what can be
//! set, [`lifecycle`] for what runs and how it ends, and [`telemetry`] for what is told about it.

pub mod admin;
pub mod breaker;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod health;
pub mod lifecycle;
mod looks;
pub mod metrics;
pub mod net;
pub mod output;
pub mod probe;
pub mod telemetry;
pub mod tls;
pub mod trace_context;
