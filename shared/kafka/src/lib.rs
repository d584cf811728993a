//! The trait log on Kafka: [`KafkaLog`] is the producing half and the dead letters, [`KafkaSource`] the consuming half.
//!
//! It never touches what a record says, opens no tracing span (a decorator of the services does, and puts the trace
//! context into the headers), and lets no callback, type or thread of the client library out.
//!
//! Start reading at [`config`] for what an operator sets; then `producer.rs`, where done means acknowledged by all
//! replicas in sync; then `consumer.rs`, whose header says which thread does what and why. `rebalance.rs` has the rules of
//! librdkafka that everything about ownership rests on.

pub mod config;
pub mod error;
pub mod metrics;
pub mod topics;

mod client;
mod consumer;
mod context;
mod inbox;
mod lag;
mod lanes;
mod letters;
mod poller;
mod probe;
mod producer;
mod reader;
mod rebalance;
mod record;
mod redrive;
mod span;
mod warm;

pub use client::{consumer_settings, producer_settings};
pub use config::KafkaConfig;
pub use consumer::KafkaSource;
pub use error::{About, ConfigError, Reported, SetupError};
pub use letters::{
    DEAD_OFFSET, DEAD_PARTITION, DEAD_REASON, DEAD_TIME, DEAD_TOPIC, REDRIVEN, buried,
};
pub use probe::check_files;
pub use producer::KafkaLog;
pub use reader::TopicReader;
pub use span::{ReadFrom, Span};
pub use topics::{Difference, check_topics, ensure_topics};
