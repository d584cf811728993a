//! The service: what it is built from. What it does is in [`routes`](crate::routes), how it is run in
//! [`server`](crate::server).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::join_all;
use governor::Quota;
use kith_domain::id::AccountSid;
use kith_profiles::Profiles;
use kith_profiles::environment::Environment;
use kith_profiles::ports::{Definitions, TokenKey};
use kith_runtime::config::table::{
    BODY_BYTES_MAX, BULK_BYTES_MAX, PUBLIC_URL, RATE_LIMIT, RATE_LIMIT_BURST, REQUEST_DEADLINE,
    REQUESTS_IN_FLIGHT_MAX,
};
use kith_runtime::config::{ByteSize, ConfigError, Settings};
use kith_runtime::credentials::Credentials;
use kith_runtime::lifecycle::Stage;

use tracing::warn;

use crate::admission::{Admission, Bounds};
use crate::haste::Haste;
use crate::public::Documents;
use crate::rate::RateLimit;
use crate::redirect::Origin;

/// Bytes of bodies in memory at once, unless one body may be larger.
const BODIES_BYTES_MAX: usize = 64 << 20;

/// When to try again to finish what a process that died left.
const RESUME_AGAIN: Duration = Duration::from_secs(30);

/// What a request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From a request's head to its answer.
    pub request_deadline: Duration,
    /// Bytes of a body at most.
    pub body_bytes_max: usize,
    /// Bytes of the body of Bulk at most.
    pub bulk_bytes_max: usize,
    /// Requests worked on at once.
    pub requests_in_flight_max: usize,
    /// What one account may send to one store; `None`: anything.
    pub rate: Option<Quota>,
}

impl Limits {
    /// The limits that settings say.
    ///
    /// # Errors
    /// Names the setting that is none.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let rate: Option<NonZeroU32> = settings.get_opt(&RATE_LIMIT)?;
        let burst: Option<NonZeroU32> = settings.get_opt(&RATE_LIMIT_BURST)?;
        Ok(Self {
            request_deadline: settings.get(&REQUEST_DEADLINE)?,
            body_bytes_max: settings.get::<ByteSize>(&BODY_BYTES_MAX)?.as_usize(),
            bulk_bytes_max: settings.get::<ByteSize>(&BULK_BYTES_MAX)?.as_usize(),
            requests_in_flight_max: settings.get(&REQUESTS_IN_FLIGHT_MAX)?,
            rate: rate.map(|rate| Quota::per_second(rate).allow_burst(burst.unwrap_or(rate))),
        })
    }

    /// What these limits mean for [`Admission`].
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds {
            requests: self.requests_in_flight_max,
            bytes: BODIES_BYTES_MAX
                .max(self.body_bytes_max)
                .max(self.bulk_bytes_max),
        }
    }
}

/// The HTTP service, built and not yet bound: give it to [`bind`](crate::bind).
#[derive(Debug)]
pub struct Service<E: Environment> {
    /// The use cases.
    pub profiles: Arc<Profiles<E>>,
    /// Who may call.
    pub credentials: Credentials,
    /// The absolute base of redirects, without a slash at its end; `None`: each request's own.
    pub public_url: Option<String>,
    /// What page tokens are authenticated with.
    pub token_key: TokenKey,
    /// What a request may cost.
    pub limits: Limits,
    /// What is let in.
    pub admission: Admission,
    /// Where writes go on whose client went away, so that they are finished all the same: the stage of the HTTP server.
    pub stage: Stage,
}

impl<E: Environment<Database: Definitions>> Service<E> {
    /// Goes on with what a process that died left of deletions, beside everything else.
    pub fn resume(&self) {
        let shutdown = self.stage.shutdown();
        let accounts = self.credentials.accounts().into_iter();
        let work: Vec<_> = accounts
            .map(|account| finish_deletions(Arc::clone(&self.profiles), account))
            .collect();
        drop(self.stage.task("resume deletions", async move {
            tokio::select! {
                _ = join_all(work) => {}
                () = shutdown.requested() => {}
            }
        }));
    }
}

/// Until nothing of an account is left. What fails is told, and tried again.
async fn finish_deletions<E: Environment<Database: Definitions>>(
    profiles: Arc<Profiles<E>>,
    account: AccountSid,
) {
    loop {
        let wait = match profiles.finish_deletions(&account).await {
            Ok(None) => return,
            Ok(Some(wait)) => wait,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(%account, error, "deletions of stores are still to be finished");
                RESUME_AGAIN
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// The public URL that settings say, if they do.
///
/// # Errors
/// Never: the setting was checked when it was loaded.
pub fn public_url(settings: &Settings) -> Result<Option<String>, ConfigError> {
    settings.get_opt(&PUBLIC_URL)
}

/// A service that is bound.
#[derive(Debug)]
pub(crate) struct App<E: Environment> {
    pub(crate) service: Service<E>,
    pub(crate) origin: Origin,
    pub(crate) rate: Option<RateLimit>,
    pub(crate) haste: Haste,
    pub(crate) documents: Documents,
    /// Whether the server takes no new connection any more: then answers close the ones that are there.
    pub(crate) is_ending: Arc<AtomicBool>,
}
