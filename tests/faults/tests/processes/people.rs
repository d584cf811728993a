//! People that a test creates one by one, and what must be there of each.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use kith_faults::broker::Broker;
use kith_faults::stand::Stand;
use kith_tests::api::Api;
use kith_tests::poll::until;
use serde_json::json;

/// Whatever is waited for has come by then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who was acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    email: String,
    /// The answer's id.
    pub(crate) id: String,
    /// The newest name that was acknowledged.
    pub(crate) name: String,
}

impl Person {
    /// Creates somebody new, and tries until it is acknowledged.
    pub(crate) async fn new(api: &Api, name: &str) -> Result<Self> {
        let mut person = Self::nobody();
        person.id = person.send(api, name).await?;
        name.clone_into(&mut person.name);
        Ok(person)
    }

    /// So many at once.
    pub(crate) async fn many(api: &Api, count: usize, name: &str) -> Result<Vec<Self>> {
        try_join_all((0..count).map(|_| Self::new(api, name))).await
    }

    /// Writes another name; the same profile must answer.
    pub(crate) async fn rename(&mut self, api: &Api, name: &str) -> Result<()> {
        let id = self.send(api, name).await?;
        self.renamed(&id, name)
    }

    /// Creates somebody new, whose first try must be acknowledged.
    pub(crate) async fn new_once(api: &Api, name: &str) -> Result<Self> {
        let mut person = Self::nobody();
        person.id = person.ask(api, name).await?;
        name.clone_into(&mut person.name);
        Ok(person)
    }

    /// Writes another name; the first try must be acknowledged.
    pub(crate) async fn rename_once(&mut self, api: &Api, name: &str) -> Result<()> {
        let id = self.ask(api, name).await?;
        self.renamed(&id, name)
    }

    fn renamed(&mut self, id: &str, name: &str) -> Result<()> {
        ensure!(id == self.id, "{id} is another than {}", self.id);
        name.clone_into(&mut self.name);
        Ok(())
    }

    fn nobody() -> Self {
        let unique = uuid::Uuid::new_v4().as_simple().to_string();
        Self {
            email: format!("person.{unique}@example.com"),
            id: String::new(),
            name: String::new(),
        }
    }

    async fn ask(&self, api: &Api, name: &str) -> Result<String> {
        let contact = json!({ "email": self.email, "firstName": name });
        api.contact(contact).await
    }

    async fn send(&self, api: &Api, name: &str) -> Result<String> {
        until(PATIENCE, "a create", || async {
            Ok(Some(self.ask(api, name).await?))
        })
        .await
    }

    /// It is found by its identifier, alone, and shows the newest name.
    pub(crate) async fn check(&self, api: &Api) -> Result<()> {
        let owners = api.owners("email", &self.email).await?;
        ensure!(owners == [self.id.clone()], "{owners:?}, not {}", self.id);
        let answer = api.get(&self.id).await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
        let shown = &answer.body["traits"]["Contact"]["firstName"];
        ensure!(*shown == json!(self.name), "{shown}, not {}", self.name);
        Ok(())
    }
}

/// All of them are there and right, and nobody else is.
pub(crate) async fn check(api: &Api, people: &[Person]) -> Result<()> {
    for person in people {
        person.check(api).await?;
    }
    let listed = api.list().await?.len();
    ensure!(
        listed == people.len(),
        "{listed} listed, not {}",
        people.len()
    );
    Ok(())
}

/// Everything that the broker has is done.
pub(crate) async fn until_done(stand: &Stand) -> Result<()> {
    let broker = Broker::of(&stand.place);
    until(PATIENCE, "everything done", || async {
        let ends = broker.ends(&stand.place.topic).await?;
        let committed = stand.committed().await?;
        for (partition, end) in ends {
            let at = committed.get(&partition).copied().unwrap_or_default();
            ensure!(at == end, "partition {partition} is at {at} of {end}");
        }
        Ok(Some(()))
    })
    .await
}
