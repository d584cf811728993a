//! People who are made through the API, as callers make them: chains of merges, and people with many traits.

use anyhow::{Context, Result, bail, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kith_tests::api::Api;
use serde_json::{Map, Value, json};

use crate::requests::{GROUP, Person, trait_name, whole};

/// Traits that the group can have: as many as a group takes.
pub const TRAITS_MAX: u64 = 95;
/// How often a create is sent that is refused because it takes too long; each time goes on where the last one stopped.
const TRIES: usize = 20;
/// People made at once.
const AT_ONCE: usize = 8;

/// Defines the group of the traits that people have beside `Contact`.
///
/// # Errors
/// When it is not accepted.
pub async fn define(api: &Api) -> Result<()> {
    let traits: Map<String, Value> = (0..TRAITS_MAX)
        .map(|n| (trait_name(n), json!({ "dataType": "STRING" })))
        .collect();
    api.new_group(GROUP, traits.into()).await
}

/// Somebody whose profile is at the end of so many merges, one after another: the youngest profile was merged into the next
/// older one, that one into the next, and so on. The e-mail address is that of the youngest.
///
/// # Errors
/// When an answer is wrong.
pub async fn chain(api: &Api, merges: u64) -> Result<Person> {
    let mut profiles = Vec::new();
    for n in 0..=merges {
        let email = format!("chain-{merges}-{n}@example.com");
        let phone = format!("+1415{:07}", merges * 1_000 + n);
        let contact = json!({ "email": email, "phone": phone });
        profiles.push((
            create(api, &json!({ "Contact": contact })).await?,
            email,
            phone,
        ));
    }
    // Whoever is older has the smaller id; of one millisecond, chance says who that is.
    profiles.sort();
    let (mut profile, email, _) = profiles.pop().context("a profile")?;
    for (older, _, phone) in profiles.into_iter().rev() {
        let contact = json!({ "email": email, "phone": phone });
        profile = create(api, &json!({ "Contact": contact })).await?;
        ensure!(profile == older, "merged into {profile} instead of {older}");
    }
    Ok(Person { email, profile })
}

/// So many people with so many traits of the group each, all of them visible.
///
/// # Errors
/// When an answer is wrong.
pub async fn with_traits(api: &Api, people: u64, traits: u64) -> Result<Vec<Person>> {
    let newest = traits.checked_sub(1).context("no trait")?;
    let newest = &trait_name(newest);
    stream::iter(0..people)
        .map(|n| async move {
            let email = format!("traits-{traits}-{n}@example.com");
            let said = whole(&json!({ "email": email, "firstName": "Somebody" }), traits);
            let profile = create(api, &said).await?;
            let value = said[GROUP][newest].clone();
            api.until_trait(&profile, (GROUP, newest), value).await?;
            Ok(Person { email, profile })
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Creates, or merges, somebody.
async fn create(api: &Api, traits: &Value) -> Result<String> {
    for _ in 0..TRIES {
        let answer = api.create(traits.clone()).await?;
        if answer.status != 503 {
            return answer.accepted_id();
        }
    }
    bail!("refused {TRIES} times")
}
