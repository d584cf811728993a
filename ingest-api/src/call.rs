//! One request on its way: who sent it, until when it must be answered, and the steps that all operations share, each to be
//! taken in the order of `memory-api.md` 2.8.

use std::future::{Future, Ready, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload as RawPayload;
use actix_web::http::header::{HeaderName, HeaderValue, ToStrError};
use actix_web::web::{Data, Payload};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::FutureExt as _;
use kith_domain::id::{IdError, ProfileId, RequestId, StoreId};
use kith_domain::identifier::IdType;
use kith_domain::store::{StoreRecord, StoreStatus};
use kith_profiles::Profiles;
use kith_profiles::change::Target;
use kith_profiles::environment::{Deadline, Environment};
use kith_profiles::error::Trouble;
use kith_profiles::ports::TokenKey;
use kith_profiles::read::Located;
use kith_runtime::credentials::{Access, Principal};
use kith_runtime::lifecycle::Stage;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use crate::admission::{Need, Permit, observe};
use crate::app::App;
use crate::body::{self, BodyLimits, Unread};
use crate::error::ApiError;
use crate::redirect;

/// How many deadlines a write takes at most.
pub(crate) const WRITES_FOR: u32 = 2;

/// The answer of a handler.
pub(crate) type Answer = Result<HttpResponse, ApiError>;

/// One request, past authentication and the rate limit.
pub(crate) struct Call<E: Environment> {
    app: Data<App<E>>,
    http: HttpRequest,
    principal: Principal,
    /// The request.
    pub(crate) id: RequestId,
    /// When it must have been answered, for use cases.
    pub(crate) deadline: Deadline,
    began: Instant,
}

impl<E: Environment> FromRequest for Call<E> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(http: &HttpRequest, _: &mut RawPayload) -> Self::Future {
        let app = http.app_data::<Data<App<E>>>();
        let (principal, id) = {
            let noted = http.extensions();
            (
                noted.get::<Principal>().cloned(),
                noted.get::<RequestId>().copied(),
            )
        };
        // Both were put there before the request was routed.
        let (Some(app), Some(principal), Some(id)) = (app, principal, id) else {
            return ready(Err(ApiError::Internal));
        };
        if let Some(rate) = &app.rate {
            let store = http.match_info().get("storeId");
            let store = store.and_then(|text| text.parse().ok());
            if let Err(error) = rate.check(&principal.account, store) {
                return ready(Err(error));
            }
        }
        let within = app.service.limits.request_deadline;
        ready(Ok(Self {
            app: app.clone(),
            http: http.clone(),
            principal,
            id,
            deadline: app.service.profiles.environment().deadline_in(within),
            began: Instant::now(),
        }))
    }
}

impl<E: Environment> Call<E> {
    /// The use cases.
    pub(crate) fn profiles(&self) -> &Arc<Profiles<E>> {
        &self.app.service.profiles
    }

    /// Who sent it.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The query string as sent.
    pub(crate) fn query(&self) -> &str {
        self.http.query_string()
    }

    /// Does the work of a handler: answers 503 when the deadline passes, whatever the work still waits for, and 500 when it
    /// panics. The panic itself is logged by the hook.
    pub(crate) fn answer(
        &self,
        work: impl Future<Output = Answer>,
    ) -> impl Future<Output = Answer> {
        let ends = self.began + self.app.service.limits.request_deadline;
        let id = self.id;
        // No `async fn`, here and below: one that awaits what it was given keeps room for it twice, and moves all of it.
        let work = AssertUnwindSafe(timeout_at(ends, work)).catch_unwind();
        work.map(move |ended| match ended {
            Ok(Ok(answer)) => answer,
            Ok(Err(_elapsed)) => Err(ApiError::Late),
            Err(_panic) => {
                error!(request = %id, "handler panicked");
                Err(ApiError::Internal)
            }
        })
    }

    /// As [`answer`](Self::answer), for an operation of the control plane: what breaks a rule has a code of its own there.
    pub(crate) fn answer_definition(
        &self,
        work: impl Future<Output = Answer>,
    ) -> impl Future<Output = Answer> {
        self.answer(work)
            .map(|answer| answer.map_err(ApiError::of_definition))
    }

    /// What page tokens are authenticated with.
    pub(crate) fn token_key(&self) -> &TokenKey {
        &self.app.service.token_key
    }

    /// A part of the path, as text.
    pub(crate) fn segment(&self, name: &str) -> &str {
        self.http.match_info().query(name)
    }

    /// The values of a header.
    ///
    /// # Errors
    /// One of them is no text.
    pub(crate) fn header(&self, name: &HeaderName) -> Result<Vec<&str>, ToStrError> {
        self.http
            .headers()
            .get_all(name)
            .map(HeaderValue::to_str)
            .collect()
    }

    /// Where the client finds the service: what stands before a path.
    pub(crate) fn base(&self) -> String {
        let public_url = self.app.service.public_url.as_deref();
        redirect::base(&self.http, public_url, &self.app.origin)
    }

    /// Where work goes on that no answer waits for.
    pub(crate) fn stage(&self) -> &Stage {
        &self.app.service.stage
    }

    /// How long a request may take from its head to its answer.
    pub(crate) fn request_deadline(&self) -> Duration {
        self.app.service.limits.request_deadline
    }

    /// Refuses a credential that may only read.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`].
    pub(crate) fn require_write(&self) -> Result<(), ApiError> {
        match self.principal.access {
            Access::Write => Ok(()),
            Access::Read => Err(ApiError::Forbidden),
        }
    }

    /// The store that the path names.
    ///
    /// # Errors
    /// Malformed, or one that cannot be.
    pub(crate) fn store_id(&self) -> Result<StoreId, ApiError> {
        self.http
            .match_info()
            .query("storeId")
            .parse()
            .map_err(|error| match error {
                IdError::Malformed => ApiError::MalformedStoreId,
                IdError::Unknown => ApiError::NoStore,
            })
    }

    /// Store and profile that the path names. A profile that cannot be is told only once the store is known to exist.
    ///
    /// # Errors
    /// One of them is malformed, or the store cannot be.
    pub(crate) fn ids(&self) -> Result<(StoreId, Option<ProfileId>), ApiError> {
        let profile = self.http.match_info().query("profileId").parse();
        match (self.store_id(), profile) {
            (Err(ApiError::MalformedStoreId), _) => Err(ApiError::MalformedStoreId),
            (_, Err(IdError::Malformed)) => Err(ApiError::MalformedProfileId),
            (store, Ok(profile)) => Ok((store?, Some(profile))),
            (store, Err(IdError::Unknown)) => Ok((store?, None)),
        }
    }

    /// The identifier type that the path names. Whether there is one, its store's settings say.
    pub(crate) fn id_type(&self) -> IdType {
        IdType::new(self.http.match_info().query("idType"))
    }

    /// What a write to the profile of the path is about.
    ///
    /// # Errors
    /// [`ApiError::NoProfile`]: no profile can have this id.
    pub(crate) fn target(
        &self,
        store: Arc<StoreRecord>,
        profile: Option<ProfileId>,
    ) -> Result<Target, ApiError> {
        Ok(Target {
            store,
            profile: profile.ok_or(ApiError::NoProfile)?,
            request: self.id,
            deadline: self.deadline,
        })
    }

    /// The answer to a faulty write: where the profile is comes before what is wrong with the values
    /// (`memory-api.md` 2.8).
    ///
    /// # Errors
    /// The profile is not there, or the fault itself.
    pub(crate) async fn refuse(&self, target: &Target, fault: ApiError) -> Answer {
        let located = self.profiles().locate(&target.store, target.profile);
        let located = self.ask(located).await?;
        self.located(located, |_, ()| Err(fault), target.profile)
    }

    /// Asks to be let in, for a read.
    ///
    /// # Errors
    /// [`ApiError::Refused`].
    pub(crate) fn admit_read(&self) -> Result<Permit, ApiError> {
        self.app.service.admission.admit(Need::Read { bytes: 0 })
    }

    /// Asks to be let in, for a read with a body.
    ///
    /// # Errors
    /// [`ApiError::Refused`].
    pub(crate) fn admit_query(&self) -> Result<Permit, ApiError> {
        let bytes = self.bytes_expected(self.body_bytes_max());
        self.app.service.admission.admit(Need::Read { bytes })
    }

    /// Asks to be let in, for a write.
    ///
    /// # Errors
    /// [`ApiError::Refused`].
    pub(crate) fn admit_write(&self) -> Result<Permit, ApiError> {
        self.admit_write_of(self.body_bytes_max())
    }

    /// Asks to be let in, for a write with a body of so many bytes at most.
    ///
    /// # Errors
    /// [`ApiError::Refused`].
    pub(crate) fn admit_write_of(&self, bytes_max: usize) -> Result<Permit, ApiError> {
        let bytes = self.bytes_expected(bytes_max);
        self.app.service.admission.admit(Need::Write { bytes })
    }

    fn bytes_expected(&self, bytes_max: usize) -> usize {
        body::bytes_expected(self.http.headers(), bytes_max)
    }

    /// Bytes of a body at most.
    pub(crate) fn body_bytes_max(&self) -> usize {
        self.app.service.limits.body_bytes_max
    }

    /// Bytes of the body of Bulk at most.
    pub(crate) fn bulk_bytes_max(&self) -> usize {
        self.app.service.limits.bulk_bytes_max
    }

    /// The store, if it is the caller's and in use.
    ///
    /// # Errors
    /// It is not, or cannot be read.
    pub(crate) async fn store(&self, id: StoreId) -> Result<Arc<StoreRecord>, ApiError> {
        let attempt = self.app.service.admission.attempt();
        let found = self.profiles().store(&self.principal.account, id).await;
        match &found {
            // It may come from the cache, and says nothing then.
            Ok(_) => attempt.neither(),
            Err(_) => observe(attempt, &found),
        }
        let store = found?.ok_or(ApiError::NoStore)?;
        match store.status {
            StoreStatus::Active => Ok(store),
            StoreStatus::Queued | StoreStatus::Provisioning => Err(ApiError::StoreNotActive),
            StoreStatus::Failed => Err(ApiError::StoreFailed),
        }
    }

    /// The body.
    ///
    /// # Errors
    /// As [`body::read`].
    pub(crate) async fn body(&self, payload: Payload) -> Result<Bytes, ApiError> {
        self.body_of(payload, self.body_bytes_max()).await
    }

    /// The body, of so many bytes at most.
    ///
    /// # Errors
    /// As [`body::read`].
    pub(crate) async fn body_of(
        &self,
        mut payload: Payload,
        bytes_max: usize,
    ) -> Result<Bytes, ApiError> {
        let limits = BodyLimits {
            bytes_max,
            until: self.began + body::share_of(self.request_deadline()),
        };
        let body = body::read(&self.http, &mut payload, limits).await;
        if body.as_ref().is_err_and(ApiError::ends_connection) {
            self.http.extensions_mut().insert(Unread::new(payload));
        }
        body
    }

    /// The body, if there is one.
    ///
    /// # Errors
    /// As [`body::read`].
    pub(crate) async fn body_if_any(&self, payload: Payload) -> Result<Bytes, ApiError> {
        if body::is_absent(self.http.headers()) {
            return Ok(Bytes::new());
        }
        self.body(payload).await
    }

    /// Asks a use case that changes nothing. If the client goes away it is dropped.
    ///
    /// # Errors
    /// [`ApiError::Trouble`].
    pub(crate) fn ask<T>(
        &self,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> impl Future<Output = Result<T, ApiError>> {
        let attempt = self.app.service.admission.attempt();
        work.map(move |result| {
            observe(attempt, &result);
            Ok(result?)
        })
    }

    /// Runs a use case that writes, to its end: also if the client goes away or the answer is given without it. It keeps its
    /// permit until then. Only one that hangs for as long again after its deadline is dropped, which is like a crash: safe,
    /// and better than a permit that never comes back.
    ///
    /// # Errors
    /// [`ApiError::Trouble`]; it hung, or it panicked.
    pub(crate) fn run<T, F>(
        &self,
        name: &'static str,
        permit: Permit,
        work: F,
    ) -> impl Future<Output = Result<T, ApiError>> + use<T, F, E>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
    {
        let ended = self.stage().attended(name, self.permitted(permit, work));
        ended.map(|ended| ended.map_err(|_died| ApiError::Internal)?)
    }

    /// As [`run`](Self::run), for what would keep the other connections of this thread waiting.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn run_apart<T, F>(
        &self,
        name: &'static str,
        permit: Permit,
        work: F,
    ) -> impl Future<Output = Result<T, ApiError>> + use<T, F, E>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
    {
        let ended = self.stage().task(name, self.permitted(permit, work));
        ended.map(|ended| ended.map_err(|_died| ApiError::Internal)?)
    }

    /// A use case with its permit, and with the end of its time.
    fn permitted<T, F>(
        &self,
        permit: Permit,
        work: F,
    ) -> impl Future<Output = Result<T, ApiError>> + Send + use<T, F, E>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
    {
        let attempt = self.app.service.admission.attempt();
        let dropped_at = self.began + WRITES_FOR * self.app.service.limits.request_deadline;
        // The timer is made where the work is done, so it takes the work with it.
        let work = work.boxed();
        async move {
            // Dropped without a word, the attempt counts as a failure.
            let result = timeout_at(dropped_at, work)
                .await
                .map_err(|_| ApiError::Late)?;
            observe(attempt, &result);
            drop(permit);
            Ok(result?)
        }
    }

    /// What was found at the profile of the path, or the answer that says where it is.
    ///
    /// # Errors
    /// [`ApiError::NoProfile`].
    pub(crate) fn located<T>(
        &self,
        located: Located<T>,
        answer: impl FnOnce(ProfileId, T) -> Answer,
        profile: ProfileId,
    ) -> Answer {
        match located {
            Located::Here(found) => answer(profile, found),
            Located::Moved(to) => Ok(redirect::moved(
                &self.http,
                self.app.service.public_url.as_deref(),
                &self.app.origin,
                to,
            )),
            Located::Gone => Err(ApiError::NoProfile),
        }
    }
}
