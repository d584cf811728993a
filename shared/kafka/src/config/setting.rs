//! Names of settings, as errors quote them.

/// Addresses of some brokers.
pub const BOOTSTRAP: &str = "KITH_KAFKA_BOOTSTRAP";
/// Topic of the trait events.
pub const TRAITS_TOPIC: &str = "KITH_KAFKA_TRAITS_TOPIC";
/// Topic of the dead letters.
pub const DEAD_LETTER_TOPIC: &str = "KITH_KAFKA_DEAD_LETTER_TOPIC";
/// Consumer group.
pub const GROUP: &str = "KITH_KAFKA_GROUP";
/// Static membership.
pub const GROUP_INSTANCE_ID: &str = "KITH_KAFKA_GROUP_INSTANCE_ID";
/// How to talk to brokers.
pub const SECURITY_PROTOCOL: &str = "KITH_KAFKA_SECURITY_PROTOCOL";
/// How to prove who we are.
pub const SASL_MECHANISM: &str = "KITH_KAFKA_SASL_MECHANISM";
/// Who we are.
pub const SASL_USERNAME: &str = "KITH_KAFKA_SASL_USERNAME";
/// The proof.
pub const SASL_PASSWORD: &str = "KITH_KAFKA_SASL_PASSWORD_FILE";
/// Whom to trust.
pub const CA_FILE: &str = "KITH_KAFKA_CA_FILE";
/// Our certificate.
pub const CERT_FILE: &str = "KITH_KAFKA_CERT_FILE";
/// The key of our certificate.
pub const KEY_FILE: &str = "KITH_KAFKA_KEY_FILE";
/// Partitions of the traits topic.
pub const PARTITIONS: &str = "KITH_KAFKA_TOPIC_PARTITIONS";
/// Replicas of each partition.
pub const REPLICATION_FACTOR: &str = "KITH_KAFKA_REPLICATION_FACTOR";
/// Replicas that must have a record before it counts as written.
pub const MIN_INSYNC_REPLICAS: &str = "KITH_KAFKA_MIN_INSYNC_REPLICAS";
/// How long records stay.
pub const RETENTION: &str = "KITH_KAFKA_RETENTION";
/// The largest record.
pub const RECORD_BYTES_MAX: &str = "KITH_KAFKA_RECORD_BYTES_MAX";
/// How long a publish may take.
pub const DELIVERY_TIMEOUT: &str = "KITH_KAFKA_DELIVERY_TIMEOUT";
/// Records that may wait in the producer.
pub const QUEUE_RECORDS: &str = "KITH_KAFKA_QUEUE_RECORDS";
/// Bytes that may wait in the producer.
pub const QUEUE_BYTES: &str = "KITH_KAFKA_QUEUE_BYTES";
/// When a silent consumer counts as dead.
pub const SESSION_TIMEOUT: &str = "KITH_KAFKA_SESSION_TIMEOUT";
/// When a stuck consumer counts as dead.
pub const MAX_POLL_INTERVAL: &str = "KITH_KAFKA_MAX_POLL_INTERVAL";
/// Records fetched ahead.
pub const PREFETCH_RECORDS: &str = "KITH_KAFKA_PREFETCH_RECORDS";
/// Bytes fetched ahead.
pub const PREFETCH_BYTES: &str = "KITH_KAFKA_PREFETCH_BYTES";
