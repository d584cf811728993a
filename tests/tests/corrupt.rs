//! Rows that no code of ours could have written, put there by hand through the ports: no use case follows them for ever, and
//! whoever needs them says so. On both engines.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kith_domain::id::{ClaimId, LinkToken, ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::IdType;
use kith_domain::time::Micros;
use kith_embedded::EmbeddedLog;
use kith_profiles::change::Removal;
use kith_profiles::error::{PortError, Trouble};
use kith_profiles::ports::{
    CellBatch, CellWrite, Conditional, Database, Durability, Outcome, TraitLog,
};
use kith_profiles::read::Located;
use kith_scylla::Cql;
use kith_tests::engines::{embedded, migrated_cql};
use kith_tests::servers::cql_nodes;
use kith_tests::stage::{Stage, store};
use serde_json::json;
use uuid::Uuid;

const A: &str = "a@example.com";

/// Puts rows there as no use case would.
async fn plant<D: Database, L: TraitLog + 'static>(
    s: &Stage<D, L>,
    statements: &[Conditional],
) -> Result<()> {
    for statement in statements {
        let statement = std::slice::from_ref(statement);
        let outcomes = s.database().attempt(statement, Durability::Durable).await;
        ensure!(outcomes == [Outcome::Applied], "{outcomes:?}");
    }
    Ok(())
}

fn token() -> LinkToken {
    LinkToken::from_uuid(Uuid::new_v4())
}

fn point<D: Database, L: TraitLog + 'static>(
    s: &Stage<D, L>,
    (child, token): (ProfileId, LinkToken),
    parent: ProfileId,
) -> Conditional {
    Conditional::Point {
        child: key(s, child),
        expected: None,
        parent,
        token,
    }
}

/// `expected`: the parent's own pointer.
fn link<D: Database, L: TraitLog + 'static>(
    s: &Stage<D, L>,
    (child, token): (ProfileId, LinkToken),
    parent: ProfileId,
    expected: Option<LinkToken>,
) -> Conditional {
    Conditional::Link {
        parent: key(s, parent),
        child,
        token,
        expected,
        decided_at: Micros::EPOCH,
        evidence: "{}".into(),
    }
}

fn key<D: Database, L: TraitLog + 'static>(s: &Stage<D, L>, profile: ProfileId) -> ProfileKey {
    ProfileKey {
        store: s.store.id,
        profile,
    }
}

/// Every use case about a profile, which has an e-mail address: those that say that they met corrupt data.
async fn refused_by<D: Database, L: TraitLog + 'static>(
    s: &Stage<D, L>,
    profile: ProfileId,
) -> Result<BTreeSet<&'static str>> {
    let all: Vec<(&'static str, BoxFuture<'_, Result<()>>)> = vec![
        ("traits", told(s.profiles.traits(&s.store, profile))),
        (
            "identifiers",
            told(s.profiles.identifiers(&s.store, profile)),
        ),
        (
            "lookup",
            async { s.owners("email", A).await.map(drop) }.boxed(),
        ),
        ("list", async { s.listed().await.map(drop) }.boxed()),
        (
            "create",
            async { s.contact(json!({ "email": A })).await.map(drop) }.boxed(),
        ),
        (
            "attach",
            async {
                s.contact(json!({ "email": A, "chatId": "c" }))
                    .await
                    .map(drop)
            }
            .boxed(),
        ),
        (
            "patch",
            async {
                s.patch(profile, json!({ "firstName": "Ada" }))
                    .await
                    .map(drop)
            }
            .boxed(),
        ),
        (
            "add",
            async {
                let phone = s.identifier("phone", "+13175550100")?;
                s.profiles.add_identifier(&s.target(profile), phone).await?;
                Ok(())
            }
            .boxed(),
        ),
        (
            "change",
            async {
                let (old, new) = (
                    s.identifier("email", A)?,
                    s.identifier("email", "b@example.com")?,
                );
                s.profiles
                    .change_identifier(&s.target(profile), &old, new)
                    .await?;
                Ok(())
            }
            .boxed(),
        ),
        (
            "remove",
            async {
                let (target, email) = (s.target(profile), IdType::new("email"));
                s.profiles
                    .remove_identifiers(&target, &email, Removal::One)
                    .await?;
                Ok(())
            }
            .boxed(),
        ),
        (
            "delete",
            async { Ok(s.profiles.delete(&s.target(profile)).await.map(drop)?) }.boxed(),
        ),
    ];
    let mut refused = BTreeSet::new();
    for (name, work) in all {
        let answer = tokio::time::timeout(Duration::from_secs(10), work).await;
        let Err(error) = answer.with_context(|| format!("{name} does not end"))? else {
            continue;
        };
        match error.downcast_ref::<Trouble>() {
            Some(Trouble::Port(PortError::Corrupt { .. })) => drop(refused.insert(name)),
            _ => return Err(error.context(name)),
        }
    }
    Ok(refused)
}

fn told<'a, T: 'a>(
    work: impl Future<Output = Result<T, Trouble>> + Send + 'a,
) -> BoxFuture<'a, Result<()>> {
    work.map(|answer| Ok(answer.map(drop)?)).boxed()
}

const EVERYBODY: [&str; 11] = [
    "add",
    "attach",
    "change",
    "create",
    "delete",
    "identifiers",
    "list",
    "lookup",
    "patch",
    "remove",
    "traits",
];

async fn all<D: Database, L: TraitLog + 'static>(make: impl Fn() -> Stage<D, L>) -> Result<()> {
    // A profile that points at itself.
    let s = make();
    let p1 = s.contact(json!({ "email": A })).await?;
    plant(&s, &[point(&s, (p1, token()), p1)]).await?;
    ensure!(
        refused_by(&s, p1).await?.into_iter().eq(EVERYBODY),
        "at itself"
    );

    // It is left out of the list of the others.
    let p2 = s.contact(json!({ "whatsapp": "w" })).await?;
    ensure!(s.listed().await? == [p2], "beside another");
    let p3 = s.contact(json!({ "chatId": "d" })).await?;
    ensure!(s.listed().await? == [p2, p3], "beside others");

    // A circle of two, each linked at the other.
    let s = make();
    let p1 = s.contact(json!({ "email": A })).await?;
    let p2 = s.contact(json!({ "whatsapp": "w" })).await?;
    let (one, two) = ((p1, token()), (p2, token()));
    let circle = [
        point(&s, one, p2),
        point(&s, two, p1),
        link(&s, one, p2, Some(two.1)),
        link(&s, two, p1, Some(one.1)),
    ];
    plant(&s, &circle).await?;
    // A list asks each whether it is merged, and no further: the younger is, and the older is left out.
    let refused = refused_by(&s, p1).await?;
    let but_list = EVERYBODY.into_iter().filter(|name| *name != "list");
    ensure!(refused.into_iter().eq(but_list), "a circle, from the older");
    ensure!(s.listed().await?.is_empty(), "a circle is listed");
    // The younger's own pointer is as it should be; what it leads to is not.
    let from_younger = s.profiles.traits(&s.store, p2).await;
    ensure!(matches!(
        from_younger,
        Err(Trouble::Port(PortError::Corrupt { .. }))
    ));

    // Links of a child that is nobody, of one that points elsewhere, and of the profile itself. Whoever only asks for the root
    // never reads below it.
    let below = ["add", "attach", "change", "identifiers", "remove", "traits"];
    for case in ["nobody", "elsewhere", "itself"] {
        let s = make();
        let p1 = s.contact(json!({ "email": A })).await?;
        let p2 = s.contact(json!({ "whatsapp": "w" })).await?;
        let child = match case {
            "nobody" => ProfileId::from_uuid(Uuid::now_v7()),
            "elsewhere" => p2,
            _ => p1,
        };
        if case == "elsewhere" {
            plant(&s, &[point(&s, (p2, token()), p1)]).await?;
        }
        plant(&s, &[link(&s, (child, token()), p1, None)]).await?;
        let refused = refused_by(&s, p1).await?;
        ensure!(refused.into_iter().eq(below), "{case}");
        ensure!(s.leads(p1).await?.is_none(), "{case}: it can be deleted");
    }

    // A hint at nobody is not followed.
    let s = make();
    let nobody = ProfileId::from_uuid(Uuid::now_v7());
    let p1 = s.contact(json!({ "email": A })).await?;
    let p2 = s.contact(json!({ "whatsapp": "w" })).await?;
    ensure!(s.contact(json!({ "email": A, "whatsapp": "w" })).await? == p1);
    let hint = CellBatch {
        at: key(&s, p2),
        time: Micros::EPOCH.next(),
        writes: vec![CellWrite::Root(nobody)],
    };
    s.database().write(&[hint], Durability::Durable).await?;
    ensure!(s.leads(p2).await? == Some(p1) && s.contact(json!({ "whatsapp": "w" })).await? == p1);
    ensure!(refused_by(&s, p1).await?.is_empty());

    // A claim that names a profile without a row is legal: its request did not come further.
    let s = make();
    let identifier = s.identifier("email", A)?;
    let claim = Conditional::Claim {
        key: s.store.claim_secret.claim_key(&identifier),
        expected: None,
        id: ClaimId::from_uuid(Uuid::new_v4()),
        profile: nobody,
        added_at: Micros::EPOCH.next(),
        place: 0,
        by_request: RequestId::from_uuid(Uuid::new_v4()),
    };
    plant(&s, &[claim]).await?;
    ensure!(s.owners("email", A).await?.is_empty());
    ensure!(s.profiles.traits(&s.store, nobody).await? == Located::Gone);
    ensure!(
        s.contact(json!({ "email": A })).await? == nobody,
        "its repetition completes it"
    );
    ensure!(s.listed().await? == [nobody] && s.owners("email", A).await? == [nobody]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_corrupt_is_followed_on_the_embedded_engine() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let engine = embedded(&dir.path().join("data"))?;
    all(|| Stage::new(engine.clone(), engine.log(), &store(|_| {}))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_corrupt_is_followed_on_cassandra() -> Result<()> {
    let database = Cql::connect(&migrated_cql(cql_nodes()?).await?).await?;
    // What is published is of no matter here.
    let dir = tempfile::tempdir()?;
    let log: EmbeddedLog = embedded(&dir.path().join("data"))?.log();
    all(|| Stage::new(database.clone(), log.clone(), &store(|_| {}))).await
}
