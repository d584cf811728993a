//! What is written through one release, and what has to be read through any.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_tests::api::{Answer, Api};
use kith_tests::poll::until;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(40);

/// What a profile has to be once the workers are done.
#[derive(Debug, Clone)]
enum Fate {
    /// Canonical, with these traits and these values of identifiers at least.
    Shows(Value, Vec<(&'static str, String)>),
    /// Merged into this one.
    Moved(String),
    /// Deleted.
    Gone,
}

/// Profiles, and what each has to be; all of one store.
#[derive(Debug, Clone, Default)]
pub(crate) struct People(Vec<(String, Fate)>);

impl People {
    /// How many profiles these are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Waits until all of it is read like this.
    ///
    /// # Errors
    /// When one is not in time.
    pub(crate) async fn are_read_by(&self, api: &Api) -> Result<()> {
        for (id, fate) in &self.0 {
            let what = format!("{id} as {fate:?}, by {}", api.base());
            until(PATIENCE, &what, || is_read(api, id, fate)).await?;
        }
        Ok(())
    }

    fn show(&mut self, id: &str, contact: Value, identifiers: &[(&'static str, &str)]) {
        let identifiers = identifiers
            .iter()
            .map(|(kind, value)| (*kind, (*value).to_owned()));
        let fate = Fate::Shows(json!({ "Contact": contact }), identifiers.collect());
        self.0.push((id.to_owned(), fate));
    }
}

/// Whether a profile is read like this; an error, if not, says how it is.
async fn is_read(api: &Api, id: &str, fate: &Fate) -> Result<Option<()>> {
    let read = api.get(id).await?;
    let (status, body) = (read.status, &read.body);
    match fate {
        Fate::Shows(traits, identifiers) => {
            ensure!(status == 200, "{status} {body}");
            ensure!(covers(&body["traits"], traits), "{body}");
            let has = api.identifiers(id).await?;
            for (kind, value) in identifiers {
                let values = has.get(*kind).map(Vec::as_slice).unwrap_or_default();
                ensure!(values.contains(value), "{kind}: {values:?}");
                let owners = api.owners(kind, value).await?;
                ensure!(owners == [id], "{kind} leads to {owners:?}");
            }
        }
        Fate::Moved(to) => {
            let leads = read.header("canonical-profile-id");
            ensure!(status == 301 && leads == to, "{status}, to {leads}");
        }
        Fate::Gone => ensure!(status == 404, "{status} {body}"),
    }
    Ok(Some(()))
}

/// Whether everything that `part` says is said by `whole`, too.
pub(crate) fn covers(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(name, value)| {
            let same = whole.get(name);
            same.is_some_and(|same| covers(same, value))
        }),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(one, two)| covers(one, two))
        }
        _ => whole == part,
    }
}

fn email() -> String {
    format!("upgraded.{}@example.com", Uuid::new_v4().as_simple())
}

fn phone() -> String {
    let number = 2_000_000 + Uuid::new_v4().as_u128() % 8_000_000;
    format!("+1317{number}")
}

async fn accepted(api: &Api, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
    let answer = api.send(method, path, body.as_ref()).await?;
    ensure!(
        answer.status == 202,
        "{path}: {} {}",
        answer.status,
        answer.body
    );
    Ok(answer)
}

/// One of each kind of write, all through one process; `word` is in every value.
///
/// # Errors
/// When one is not accepted.
pub(crate) async fn written_by(api: &Api, word: &str) -> Result<People> {
    written(api, api, word).await
}

/// The same, where whoever exists was made through `first` and is changed, merged and deleted through `second`.
///
/// # Errors
/// When one is not accepted.
pub(crate) async fn written(first: &Api, second: &Api, word: &str) -> Result<People> {
    let mut writing = Writing {
        first,
        second,
        word,
        people: People::default(),
    };
    writing.changed().await?;
    writing.merged().await?;
    writing.deleted().await?;
    writing.renamed().await?;
    writing.batched().await?;
    Ok(writing.people)
}

struct Writing<'a> {
    first: &'a Api,
    second: &'a Api,
    word: &'a str,
    people: People,
}

impl Writing<'_> {
    fn value(&self, what: &str) -> Value {
        json!(format!("{what}-{}", self.word))
    }

    /// Created, found again, patched, given an identifier.
    async fn changed(&mut self) -> Result<()> {
        let (a, b) = (email(), phone());
        let (given, last, city) = (self.value("Given"), self.value("Last"), self.value("City"));
        let contact = json!({ "email": a, "firstName": self.value("First") });
        let id = self.first.contact(contact).await?;
        let contact = json!({ "email": a, "lastName": last });
        let same = self.second.contact(contact).await?;
        ensure!(same == id, "{same}, not {id}");
        let path = format!("/Profiles/{id}");
        let body = json!({ "traits": { "Contact": { "city": city, "firstName": given } } });
        accepted(self.second, Method::PATCH, &path, Some(body)).await?;
        let body = json!({ "idType": "phone", "value": b });
        let path = format!("{path}/Identifiers");
        accepted(self.second, Method::POST, &path, Some(body)).await?;
        let contact = json!({ "firstName": given, "lastName": last, "city": city });
        let identifiers = [("email", a.as_str()), ("phone", b.as_str())];
        self.people.show(&id, contact, &identifiers);
        Ok(())
    }

    /// Two of the one that the other one joins; the profile that stays, and the other one.
    async fn joined(&self, (a, b): (&str, &str), contact: Value) -> Result<[String; 2]> {
        let one = json!({ "email": a, "firstName": self.value("Older") });
        let one = self.first.contact(one).await?;
        let other = json!({ "phone": b, "city": self.value("Joined") });
        let other = self.first.contact(other).await?;
        let root = self.second.contact(contact).await?;
        let older = one.clone().min(other.clone());
        ensure!(root == older, "{root} stays, not {older}");
        let other = if one == root { other } else { one };
        Ok([root, other])
    }

    async fn merged(&mut self) -> Result<()> {
        let (a, b) = (email(), phone());
        let both = json!({ "email": a, "phone": b, "lastName": self.value("Both") });
        let [root, other] = self.joined((&a, &b), both).await?;
        let contact = json!({
            "firstName": self.value("Older"), "city": self.value("Joined"), "lastName": self.value("Both"),
        });
        let identifiers = [("email", a.as_str()), ("phone", b.as_str())];
        self.people.show(&root, contact, &identifiers);
        self.people.0.push((other, Fate::Moved(root)));
        Ok(())
    }

    /// Joined, and deleted by whoever did not join them; somebody new has the identifier then.
    async fn deleted(&mut self) -> Result<()> {
        let (a, b) = (email(), phone());
        let both = json!({ "email": a, "phone": b });
        let [root, other] = self.joined((&a, &b), both).await?;
        let path = format!("/Profiles/{root}");
        accepted(self.first, Method::DELETE, &path, None).await?;
        self.people.0.push((root, Fate::Gone));
        self.people.0.push((other, Fate::Gone));
        let contact = json!({ "email": a, "firstName": self.value("Again") });
        let again = self.second.contact(contact).await?;
        let contact = json!({ "firstName": self.value("Again") });
        self.people.show(&again, contact, &[("email", &a)]);
        Ok(())
    }

    /// An identifier that is changed, and one that is taken away.
    async fn renamed(&mut self) -> Result<()> {
        let (a, a2, b) = (email(), email(), phone());
        let contact = json!({ "email": a, "phone": b, "city": self.value("Kept") });
        let id = self.first.contact(contact).await?;
        let path = format!("/Profiles/{id}/Identifiers");
        let change = json!({ "idType": "email", "oldValue": a, "newValue": a2 });
        let emails = format!("{path}/email");
        accepted(self.second, Method::PATCH, &emails, Some(change)).await?;
        accepted(self.second, Method::DELETE, &format!("{path}/phone"), None).await?;
        for (kind, value) in [("email", &a), ("phone", &b)] {
            let owners = self.first.owners(kind, value).await?;
            ensure!(owners.is_empty(), "{kind} still leads to {owners:?}");
        }
        let contact = json!({ "city": self.value("Kept") });
        self.people.show(&id, contact, &[("email", &a2)]);
        Ok(())
    }

    /// A batch of ten who are new, and of one who is known and named twice.
    async fn batched(&mut self) -> Result<()> {
        let known = email();
        let mut emails = vec![known.clone()];
        emails.extend((0..10).map(|_| email()));
        let item = |one: &String, what| json!({ "traits": { "Contact": { "email": one, "city": self.value(what) } } });
        let mut items: Vec<Value> = emails.iter().map(|one| item(one, "Batched")).collect();
        items.push(item(&known, "Batched-Last"));
        self.first.contact(json!({ "email": known })).await?;
        let body = json!({ "profiles": items });
        accepted(self.second, Method::PUT, "/Profiles/Bulk", Some(body)).await?;
        for one in &emails {
            let owners = self.first.owners("email", one).await?;
            let [id] = &owners[..] else {
                anyhow::bail!("one of a batch leads to {owners:?}");
            };
            let city = match *one == known {
                true => self.value("Batched-Last"),
                false => self.value("Batched"),
            };
            self.people
                .show(id, json!({ "city": city }), &[("email", one)]);
        }
        Ok(())
    }
}

/// A store of one's own: defined through `first`, changed and used through `second`, and another one that is deleted through
/// `second`. Operations of each are read through the other.
///
/// # Errors
/// When a process does not know what the other did.
pub(crate) async fn defined(first: &Api, second: &Api, word: &str) -> Result<()> {
    let store = first.new_store(&format!("store-{word}")).await?;
    let there = store.at(second);
    let known = |api: Api| async move {
        until(PATIENCE, "the store is known", || async {
            let found = api.define(Method::GET, &api.store_path(), None).await?;
            Ok((found.status == 200).then_some(found.body))
        })
        .await
    };
    let (here, seen) = (known(store.clone()).await?, known(there.clone()).await?);
    ensure!(
        covers(&here, &seen) || covers(&seen, &here),
        "{here}, and {seen}"
    );
    there
        .change_settings(|settings| {
            if let Some(configs) = settings["identifierConfigs"].as_array_mut() {
                configs.push(json!({ "idType": "crm-id" }));
            }
        })
        .await?;
    let group = json!({ "displayName": "Crm", "traits": {
        "id": { "dataType": "STRING", "idTypePromotion": "crm-id" },
        "tier": { "dataType": "STRING" },
    } });
    let path = format!("{}/TraitGroups", store.store_path());
    let answer = there.define(Method::POST, &path, Some(&group)).await?;
    ensure!(answer.status == 202, "{} {}", answer.status, answer.body);
    let operation = format!("/Operations/{}", answer.header("operation-id"));
    for api in [&store, &there] {
        let read = api.define(Method::GET, &operation, None).await?;
        ensure!(
            read.body["status"] == "COMPLETED",
            "{} {}",
            read.status,
            read.body
        );
    }
    let traits = json!({ "Crm": { "id": word, "tier": format!("tier-{word}") } });
    let id = until(PATIENCE, "the group is known", || async {
        let created = store.create(traits.clone()).await?;
        created.accepted_id().map(Some)
    })
    .await?;
    for api in [&store, &there] {
        api.until_trait(&id, ("Crm", "tier"), json!(format!("tier-{word}")))
            .await?;
        ensure!(api.owners("crm-id", word).await? == [id.as_str()]);
    }

    let doomed = first.new_store(&format!("doomed-{word}")).await?;
    doomed.contact(json!({ "email": email() })).await?;
    let there = doomed.at(second);
    known(there.clone()).await?;
    let path = doomed.store_path();
    let deleted = there.define(Method::DELETE, &path, None).await?;
    let operation = deleted.header("operation-id");
    ensure!(
        deleted.status == 202 && !operation.is_empty(),
        "{}",
        deleted.body
    );
    until(PATIENCE, "the purge", || async {
        let path = format!("/Operations/{operation}");
        let read = doomed.define(Method::GET, &path, None).await?;
        Ok((read.body["status"] == "COMPLETED").then_some(()))
    })
    .await
    .context(path)
}
