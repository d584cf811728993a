//! What can go wrong before the log is in use. In use, errors are those of the ports.

use std::io;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A setting that others make necessary is not there.
    #[error("{setting} is missing: {because}")]
    Missing {
        /// Which.
        setting: &'static str,
        /// What makes it necessary.
        because: &'static str,
    },
    /// A setting that would have no effect is there; more likely another one is wrong.
    #[error("{setting} is set, but has no effect: {because}")]
    Useless {
        /// Which.
        setting: &'static str,
        /// Why.
        because: &'static str,
    },
    /// A value out of its range, or of no meaning.
    #[error("{setting} is {value}: {problem}")]
    Invalid {
        /// Which.
        setting: &'static str,
        /// The value as it was given.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The value needs OpenSSL, and this binary was built without it.
    #[error("{setting} is {value}, which needs a binary built with the feature `ssl`")]
    NeedsTls {
        /// Which.
        setting: &'static str,
        /// Its value.
        value: &'static str,
    },
}

/// Why a client could not be made, or the topics not be read or created.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The settings are wrong: only the operator can help.
    #[error("the settings of the log are wrong")]
    Config(#[from] ConfigError),
    /// The client library does not take the settings: a file that is not what it should be, a key that does not fit.
    #[error("the client library refused {}", .setting.unwrap_or("the settings of the log"))]
    Client {
        /// The setting, where the library tells.
        setting: Option<&'static str>,
        /// What it says.
        #[source]
        error: KafkaError,
    },
    /// The cluster could not be reached, does not let us in, or did not answer in time. Trying again is safe.
    #[error("the log cannot be reached{}", after_colon(.reported.as_ref()))]
    Unreachable {
        /// How it ended, which is mostly that time was up.
        #[source]
        error: KafkaError,
        /// What the client said about its links, which is mostly why.
        reported: Option<Reported>,
    },
    /// The cluster answered no.
    #[error("the cluster refuses topic {topic}")]
    Refused {
        /// Which topic.
        topic: String,
        /// Why.
        #[source]
        code: RDKafkaErrorCode,
    },
    /// The operating system gave no thread.
    #[error("no thread for the client of the log")]
    Thread(#[source] io::Error),
}

/// What a client said about its links, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// What it is about.
    pub about: About,
    /// Its words. They may name the user, never the password.
    pub reason: String,
}

/// What keeps a client from a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Nobody listens, or the link broke.
    Link,
    /// One side does not take the other's certificate, or does not speak TLS.
    Tls,
    /// The broker does not take the user and the password, or not this way of telling them.
    Login,
}

fn after_colon(reported: Option<&Reported>) -> String {
    reported.map_or_else(String::new, |reported| format!(": {}", reported.reason))
}

/// There is no such topic, and none is created by asking: that is what `migrate` is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic {0} does not exist")]
pub(crate) struct TopicMissing(pub(crate) String);

/// A fatal error of the client library, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ClientFailed(pub(crate) String);

/// Something was not done within its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not done in time")]
pub(crate) struct TooSlow;
