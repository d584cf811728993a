//! Requests to the API, one at a time.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, Url};
use serde_json::Value;

use super::failure::Failure;
use super::target::Target;

/// Longer than any deadline of the service.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A caller of the API.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client,
    target: Target,
}

/// What was answered, whatever it says.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Of HTTP.
    pub(crate) status: u16,
    /// The body as it came.
    pub(crate) text: String,
    /// The body; `Null` if it is no JSON.
    pub(crate) body: Value,
    /// When to come back.
    pub(crate) retry_after: Option<Duration>,
    /// Where a merged profile is.
    pub(crate) canonical: Option<String>,
    /// The operation that a definition's change is.
    pub(crate) operation: Option<String>,
}

impl Http {
    /// A caller.
    ///
    /// # Errors
    /// [`Failure::Wrong`]: no client can be made.
    pub(crate) fn new(target: Target) -> Result<Self, Failure> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| Failure::Wrong(format!("no client: {error}")))?;
        Ok(Self { client, target })
    }

    /// Sends a request to a path below the store's profiles.
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: there was no answer.
    pub(crate) async fn profiles(
        &self,
        method: Method,
        path: &[&str],
        body: Option<String>,
    ) -> Result<Answer, Failure> {
        let store = self.target.store.clone();
        let mut whole = vec!["v1", "Stores", &store, "Profiles"];
        whole.extend(path);
        self.send(method, &whole, &[], body).await
    }

    /// Sends a request to a path below the control plane.
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: there was no answer.
    pub(crate) async fn control(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Answer, Failure> {
        let mut whole = vec!["v1", "ControlPlane"];
        whole.extend(path);
        self.send(method, &whole, query, body).await
    }

    /// The store that commands are about.
    pub(crate) fn store(&self) -> &str {
        &self.target.store
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Answer, Failure> {
        let mut request = self
            .client
            .request(method, self.url(path, query)?)
            .basic_auth(&self.target.account, Some(&self.target.token));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let answer = request.send().await.map_err(|error| self.silent(&error))?;
        let header = |name: &str| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let status = answer.status().as_u16();
        let seconds = header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
        let (canonical, operation) = (header("canonical-profile-id"), header("operation-id"));
        let text = answer.text().await.map_err(|error| self.silent(&error))?;
        Ok(Answer {
            status,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
            retry_after: seconds.map(Duration::from_secs),
            canonical,
            operation,
        })
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Url, Failure> {
        let mut url = self.target.url.clone();
        match url.path_segments_mut() {
            // Each segment is escaped: an id is the user's text.
            Ok(mut segments) => {
                segments.pop_if_empty().extend(path);
            }
            Err(()) => return Err(Failure::Wrong("--url: this is no base".to_owned())),
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    fn silent(&self, error: &reqwest::Error) -> Failure {
        let what = if error.is_connect() {
            "nobody listens there, or it cannot be reached; is `kith serve` running?"
        } else if error.is_timeout() {
            "no answer in time"
        } else {
            "the connection broke off"
        };
        Failure::Unavailable(format!("{}: {what}", self.target.url))
    }
}

impl Answer {
    /// The answer, if it is a good one.
    ///
    /// # Errors
    /// [`Failure::Refused`], [`Failure::Unavailable`].
    pub(crate) fn good(self) -> Result<Self, Failure> {
        match self.status {
            200..=299 => Ok(self),
            _ => Err(self.failure()),
        }
    }

    /// What an answer says that is not good.
    pub(crate) fn failure(&self) -> Failure {
        let message = self.body["message"].as_str();
        if self.status >= 500 || self.status == 429 {
            let message = message.unwrap_or("no reason was given");
            return Failure::Unavailable(format!("{}: {message}", self.status));
        }
        Failure::Refused {
            status: self.status,
            code: self.body["code"].as_i64().unwrap_or_default(),
            message: message.unwrap_or("this is no answer of Kith").to_owned(),
            details: self
                .faults()
                .map(|(field, reason)| format!("{field} {reason}"))
                .collect(),
        }
    }

    /// What is wrong in which field, as `details` tell it.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (&str, &str)> {
        let errors = self.body["details"]["errors"].as_array();
        errors.into_iter().flatten().filter_map(|error| {
            let field = error["field"].as_str()?;
            Some((field, error["reason"].as_str()?))
        })
    }
}
