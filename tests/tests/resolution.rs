//! The worked examples of `memory-api.md` 10 about resolution, validation and batches, at the level of use cases, on both
//! engines' pairs. What an example says about statuses and bodies is in the suite over HTTP.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::body::{TraitsBody, validate};
use kith_domain::id::ProfileId;
use kith_domain::identifier::IdType;
use kith_domain::settings::{IdentifierConfig, LimitPolicy};
use kith_kafka::KafkaLog;
use kith_profiles::change::Removal;
use kith_profiles::explain::{Explanation, Merge};
use kith_profiles::ports::{Claim, Database, TraitLog};
use kith_profiles::read::Located;
use kith_scylla::Cql;
use kith_tests::engines::{embedded, kafka_topics, migrated_cql};
use kith_tests::servers::cql_nodes;
use kith_tests::stage::{Make, Stage, limit, store};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use uuid::Uuid;

const A: &str = "a@example.com";
const B: &str = "+13175550100";
const C: &str = "c";
const W: &str = "whatsapp:+13175550100";

/// One trial an example; the pair is opened by the first that runs.
macro_rules! trials {
    ($runtime:expr, $pair:literal, $open:expr) => {
        trials!($runtime, $pair, $open, [
            e01_new,
            e02_repeat,
            e03_second_identifier,
            e04_two_profiles_merged_by_one_request,
            e05_survivor_is_the_earliest_not_the_highest_rule,
            e06_three_way_merge,
            e07_chain_merge,
            e09_two_merged_families_meet,
            e10_same_result_in_another_order,
            e11_email_equivalence,
            e12_phone_equivalence,
            e13_type_boundaries,
            a_merge_is_explained_by_what_its_request_carried,
            an_explanation_outlives_the_values_that_it_names,
            e21_no_identifier,
            e22_identifier_of_the_wrong_type,
            e23_not_normalisable,
            e24_undefined_trait,
            e25_reading_a_merged_away_id,
            e33_bulk_with_overlap,
            e35_concurrent_creates,
            a_batch_meets_who_is_known_and_may_be_sent_again,
            values_of_a_batch_age_in_document_order,
            a_lower_limit_holds_from_the_next_request_that_adds,
            a_type_that_is_new_matches_from_the_next_request,
        ])
    };
    ($runtime:expr, $pair:literal, $open:expr, [$($example:ident),* $(,)?]) => {{
        let pair = Arc::new(OnceCell::new());
        [$({
            let (runtime, pair, open) = (Arc::clone($runtime), Arc::clone(&pair), $open.clone());
            Trial::test(concat!($pair, "::", stringify!($example)), move || {
                let run = async {
                    let (database, log) = opened(&pair, open()).await?;
                    $example(&|store| Stage::new(database.clone(), log.clone(), &store)).await
                };
                let done = runtime.block_on(run);
                done.map_err(|error| Failed::from(format!("{error:#}")))
            })
        }),*]
    }};
}

async fn opened<P>(pair: &OnceCell<P>, open: impl Future<Output = Result<P>>) -> Result<&P> {
    pair.get_or_try_init(|| open).await
}

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new()?);
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let standalone = move || {
        let data = data.clone();
        async move {
            let engine = embedded(&data)?;
            let log = engine.log();
            Ok((engine, log))
        }
    };
    let servers = || async {
        let database = Cql::connect(&migrated_cql(cql_nodes()?).await?).await?;
        let log = KafkaLog::new(&kafka_topics().await?)?;
        log.warm(Duration::from_secs(30))
            .await
            .context("the broker")?;
        Ok((database, log))
    };
    let mut all = Vec::new();
    all.extend(trials!(&runtime, "standalone", standalone));
    all.extend(trials!(&runtime, "servers", servers));
    let conclusion = libtest_mimic::run(&arguments, all);
    drop(dir);
    conclusion.exit()
}

async fn claim<D: Database, L: TraitLog + 'static>(s: &Stage<D, L>, email: &str) -> Result<Claim> {
    let key = s
        .store
        .claim_secret
        .claim_key(&s.identifier("email", email)?);
    let claim = s.database().claims(&[key]).await?.pop().flatten();
    claim.context("no claim")
}

/// One profile an identifier: email, phone, and whatever else is named, in this order.
async fn apart<D: Database, L: TraitLog + 'static, const N: usize>(
    s: &Stage<D, L>,
    contacts: [Value; N],
) -> Result<[ProfileId; N]> {
    let mut profiles = Vec::with_capacity(N);
    for contact in contacts {
        profiles.push(s.contact(contact).await?);
    }
    ensure!(
        profiles.is_sorted(),
        "ids are not in the order of their making"
    );
    profiles
        .try_into()
        .map_err(|_| anyhow::anyhow!("as many as asked for"))
}

async fn e01_new<D: Database, L: TraitLog + 'static>(make: Make<'_, D, L>) -> Result<()> {
    let s = make(store(|_| {}));
    let p1 = s
        .contact(json!({ "email": "Ada@Example.com", "firstName": "Ada" }))
        .await?;
    s.has(p1, &[("email", &["ada@example.com"])]).await?;
    let looked_up = s.identifier("email", " ADA@example.com")?;
    ensure!(looked_up.value.expose() == "ada@example.com");
    ensure!(s.owners("email", " ADA@example.com").await? == [p1]);
    ensure!(s.traits(p1).await? == json!({ "Contact": { "email": "Ada@Example.com" } }));
    s.apply().await?;
    ensure!(s.traits(p1).await?["Contact"]["firstName"] == "Ada");
    Ok(())
}

async fn e02_repeat<D: Database, L: TraitLog + 'static>(make: Make<'_, D, L>) -> Result<()> {
    let s = make(store(|_| {}));
    let body = json!({ "email": A, "firstName": "Ada" });
    let p1 = s.contact(body.clone()).await?;
    let before = claim(&s, A).await?;
    s.is(body, p1).await?;
    s.has(p1, &[("email", &[A])]).await?;
    s.merged(&[], p1).await?;
    ensure!(
        claim(&s, A).await? == before,
        "the value keeps its first age"
    );
    Ok(())
}

async fn e03_second_identifier<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let p1 = s.contact(json!({ "email": A })).await?;
    s.is(json!({ "email": A, "phone": B }), p1).await?;
    s.has(p1, &[("email", &[A]), ("phone", &[B])]).await?;
    s.is(json!({ "phone": B }), p1).await
}

async fn e04_two_profiles_merged_by_one_request<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let [p1, p2] = apart(&s, [json!({ "email": A }), json!({ "phone": B })]).await?;
    s.is(json!({ "email": A, "phone": B }), p1).await?;
    s.has(p1, &[("email", &[A]), ("phone", &[B])]).await?;
    ensure!(s.owners("phone", B).await? == [p1]);
    s.merged(&[p2], p1).await
}

async fn e05_survivor_is_the_earliest_not_the_highest_rule<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let [p1, p2] = apart(&s, [json!({ "phone": B }), json!({ "email": A })]).await?;
    s.is(json!({ "email": A, "phone": B }), p1).await?;
    s.merged(&[p2], p1).await
}

/// An e-mail address, a phone number and a third value, each on a profile of its own.
async fn three<D: Database, L: TraitLog + 'static>(
    s: &Stage<D, L>,
    third: Value,
) -> Result<[ProfileId; 3]> {
    apart(s, [json!({ "email": A }), json!({ "phone": B }), third]).await
}

async fn e06_three_way_merge<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let [p1, p2, p3] = three(&s, json!({ "whatsapp": W })).await?;
    s.is(json!({ "email": A, "phone": B, "whatsapp": W }), p1)
        .await?;
    s.has(p1, &[("email", &[A]), ("phone", &[B]), ("whatsapp", &[W])])
        .await?;
    s.merged(&[p2, p3], p1).await
}

async fn e07_chain_merge<D: Database, L: TraitLog + 'static>(make: Make<'_, D, L>) -> Result<()> {
    let s = make(store(|_| {}));
    let [p1, p2, p3] = three(&s, json!({ "chatId": C })).await?;
    s.is(json!({ "phone": B, "chatId": C }), p2).await?;
    ensure!(s.leads(p3).await? == Some(p2));
    s.is(json!({ "email": A, "phone": B }), p1).await?;
    ensure!(s.owners("chat", C).await? == [p1]);
    s.merged(&[p2, p3], p1).await
}

async fn a_merge_is_explained_by_what_its_request_carried<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let [p1, p2, p3] = three(&s, json!({ "chatId": C })).await?;
    s.is(json!({ "phone": B, "chatId": C }), p2).await?;
    // The third value is new: it is claimed for the survivor by the request that merges.
    s.is(json!({ "email": A, "phone": B, "whatsapp": W }), p1)
        .await?;
    for merged in [p2, p3] {
        let located = s.profiles.explain(&s.store, merged).await?;
        ensure!(located == Located::Moved(p1), "{located:?}");
    }
    let explanation = explanation(&s, p1).await?;
    ensure!(explanation.members == [p1, p2, p3], "{explanation:?}");
    let origins: Vec<_> = explanation
        .identifiers
        .iter()
        .map(|one| (one.id_type.as_str(), one.value.expose(), one.member))
        .collect();
    let expected = [
        ("email", A, p1),
        ("phone", B, p2),
        ("chat", C, p3),
        ("whatsapp", W, p1),
    ];
    ensure!(origins == expected, "{origins:?}");
    let [first, second] = explanation.merges.as_slice() else {
        anyhow::bail!("{:?}", explanation.merges)
    };
    ensure!((first.profile, first.into) == (p3, p2), "{first:?}");
    ensure!((second.profile, second.into) == (p2, p1), "{second:?}");
    ensure!(first.at < second.at);
    ensure!(carried(first)? == [("phone", Some((B, p2))), ("chat", Some((C, p3)))]);
    let whole = [
        ("email", Some((A, p1))),
        ("phone", Some((B, p2))),
        ("whatsapp", Some((W, p1))),
    ];
    ensure!(carried(second)? == whole, "{second:?}");
    let by = |id_type: &str| {
        let mut all = explanation.identifiers.iter();
        all.find(|one| one.id_type.as_str() == id_type)
            .map(|one| one.request)
    };
    let reason = second.reason.as_ref().context("no reason")?;
    ensure!(by("whatsapp") == Some(reason.request) && by("phone") != Some(reason.request));
    ensure!(reason.settings_version == s.store.settings_version);
    Ok(())
}

async fn an_explanation_outlives_the_values_that_it_names<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let [p1, p2] = apart(&s, [json!({ "email": A }), json!({ "phone": B })]).await?;
    s.is(json!({ "email": A, "phone": B }), p1).await?;
    let phone = IdType::new("phone");
    s.profiles
        .remove_identifiers(&s.target(p1), &phone, Removal::All)
        .await?;
    let explanation = explanation(&s, p1).await?;
    ensure!(explanation.members == [p1, p2], "{explanation:?}");
    ensure!(explanation.identifiers.len() == 1, "{explanation:?}");
    let [merge] = explanation.merges.as_slice() else {
        anyhow::bail!("{:?}", explanation.merges)
    };
    ensure!(carried(merge)? == [("email", Some((A, p1))), ("phone", None)]);

    s.profiles.delete(&s.target(p1)).await?;
    for gone in [p1, p2, ProfileId::from_uuid(Uuid::now_v7())] {
        let located = s.profiles.explain(&s.store, gone).await?;
        ensure!(located == Located::Gone, "{located:?}");
    }
    Ok(())
}

async fn explanation<D: Database, L: TraitLog + 'static>(
    s: &Stage<D, L>,
    profile: ProfileId,
) -> Result<Explanation> {
    match s.profiles.explain(&s.store, profile).await? {
        Located::Here(explanation) => Ok(explanation),
        elsewhere @ (Located::Moved(_) | Located::Gone) => anyhow::bail!("{elsewhere:?}"),
    }
}

/// Type, and value and member of what is still there.
type CarriedBy<'a> = (&'a str, Option<(&'a str, ProfileId)>);

/// What a merge's request carried.
fn carried(merge: &Merge) -> Result<Vec<CarriedBy<'_>>> {
    let reason = merge.reason.as_ref().context("no reason")?;
    let carried = reason.identifiers.iter().map(|one| {
        let held = one.held.as_ref();
        let held = held.map(|(value, member)| (value.expose(), *member));
        (one.id_type.as_str(), held)
    });
    Ok(carried.collect())
}

async fn e09_two_merged_families_meet<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let [p1, p2, p3, p4] = apart(
        &s,
        [
            json!({ "email": A }),
            json!({ "phone": B }),
            json!({ "chatId": C }),
            json!({ "whatsapp": W }),
        ],
    )
    .await?;
    s.is(json!({ "email": A, "chatId": C }), p1).await?;
    s.is(json!({ "phone": B, "whatsapp": W }), p2).await?;
    s.is(json!({ "whatsapp": W, "chatId": C }), p1).await?;
    s.merged(&[p2, p3, p4], p1).await
}

async fn e10_same_result_in_another_order<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let (low, high) = (
        json!({ "phone": B, "whatsapp": W }),
        json!({ "email": A, "whatsapp": W }),
    );
    for low_first in [true, false] {
        let s = make(store(|_| {}));
        let [p1, p2, p3] = three(&s, json!({ "whatsapp": W })).await?;
        if low_first {
            s.is(low.clone(), p2).await?;
            s.is(high.clone(), p1).await?;
        } else {
            s.is(high.clone(), p1).await?;
            s.is(low.clone(), p1).await?;
        }
        s.has(p1, &[("email", &[A]), ("phone", &[B]), ("whatsapp", &[W])])
            .await?;
        s.merged(&[p2, p3], p1).await?;
    }
    Ok(())
}

async fn e11_email_equivalence<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let p1 = s.contact(json!({ "email": " Ada@EXAMPLE.com" })).await?;
    for same in ["ada@example.com", "ada @example.com"] {
        s.is(json!({ "email": same }), p1).await?;
    }
    for other in ["ada+x@example.com", "a.da@example.com"] {
        ensure!(s.contact(json!({ "email": other })).await? != p1, "{other}");
    }
    ensure!(s.listed().await?.len() == 3);
    Ok(())
}

async fn e12_phone_equivalence<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let p1 = s.contact(json!({ "phone": "1-317-555-6789" })).await?;
    for same in ["(317) 555-6789", "3175556789", "+1 317 555 6789"] {
        s.is(json!({ "phone": same }), p1).await?;
    }
    s.has(p1, &[("phone", &["+13175556789"])]).await?;
    let abroad = s.contact(json!({ "phone": "+6591305079" })).await?;
    let home = s.contact(json!({ "phone": "6591305079" })).await?;
    s.has(abroad, &[("phone", &["+6591305079"])]).await?;
    s.has(home, &[("phone", &["+16591305079"])]).await
}

async fn e13_type_boundaries<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let five = apart(
        &s,
        [
            json!({ "whatsapp": "whatsapp:+6591305079" }),
            json!({ "phone": "+6591305079" }),
            json!({ "whatsapp": "+6591305079" }),
            json!({ "chatId": "Bob" }),
            json!({ "chatId": "bob" }),
        ],
    )
    .await?;
    ensure!(s.listed().await? == five);
    s.has(five[0], &[("whatsapp", &["whatsapp:+6591305079"])])
        .await?;
    s.has(five[3], &[("chat", &["Bob"])]).await
}

async fn e21_no_identifier<D: Database, L: TraitLog + 'static>(make: Make<'_, D, L>) -> Result<()> {
    let s = make(store(|_| {}));
    for nothing in ["{}", r#"{"traits": {}}"#] {
        ensure!(
            TraitsBody::parse(nothing.as_bytes())?.is_empty(),
            "{nothing}"
        );
    }
    for contact in [
        json!({ "firstName": "Ada" }),
        json!({ "email": "" }),
        json!({ "email": null, "firstName": "Ada" }),
    ] {
        // A create takes none of these: it asks for an identifier.
        let writes = s.writes(&json!({ "Contact": contact }))?;
        ensure!(
            writes.identifiers.is_empty() && !writes.writes.is_empty(),
            "{contact}"
        );
    }
    nothing_is_there(&s).await
}

async fn nothing_is_there<D: Database, L: TraitLog + 'static>(s: &Stage<D, L>) -> Result<()> {
    ensure!(s.listed().await?.is_empty() && s.published() == 0);
    for (id_type, value) in [("email", A), ("phone", B)] {
        ensure!(s.owners(id_type, value).await?.is_empty(), "{id_type}");
    }
    Ok(())
}

/// Refused whole, with these fields named.
fn refused<D: Database, L: TraitLog + 'static>(
    s: &Stage<D, L>,
    traits: &Value,
    fields: &[&str],
) -> Result<()> {
    let body = json!({ "traits": traits }).to_string();
    let body = TraitsBody::parse(body.as_bytes())?;
    let Err(errors) = validate(&body, &s.store.groups, &s.store.settings) else {
        anyhow::bail!("not refused");
    };
    let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    ensure!(named == fields, "{named:?}");
    Ok(())
}

async fn e22_identifier_of_the_wrong_type<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    for wrong in [json!(42), json!(["a@x"]), json!({ "v": "a@x" })] {
        let traits = json!({ "Contact": { "email": wrong, "phone": B } });
        refused(&s, &traits, &["traits.Contact.email"])?;
        ensure!(s.create(traits).await.is_err(), "a create takes it");
    }
    nothing_is_there(&s).await
}

async fn e23_not_normalisable<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let traits = json!({ "Contact": { "phone": "12345", "email": A } });
    refused(&s, &traits, &["traits.Contact.phone"])?;
    ensure!(s.create(traits).await.is_err(), "a create takes it");
    ensure!(
        s.owners("phone", "12345").await.is_err(),
        "a lookup takes it"
    );
    nothing_is_there(&s).await
}

async fn e24_undefined_trait<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let undefined = [
        (
            json!({ "Contact": { "email": A, "favouriteColour": "red" } }),
            "traits.Contact.favouriteColour",
        ),
        (
            json!({ "Contact": { "email": A }, "Nowhere": { "x": 1 } }),
            "traits.Nowhere",
        ),
    ];
    for (traits, field) in &undefined {
        refused(&s, traits, &[field])?;
        ensure!(s.create(traits.clone()).await.is_err(), "a create takes it");
    }
    nothing_is_there(&s).await?;
    let p1 = s.contact(json!({ "email": A })).await?;
    s.apply().await?;
    ensure!(
        s.patch(p1, json!({ "favouriteColour": "red" }))
            .await
            .is_err()
    );
    ensure!(s.published() == 0 && s.traits(p1).await? == json!({ "Contact": { "email": A } }));
    Ok(())
}

async fn e25_reading_a_merged_away_id<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let [p1, p2] = apart(&s, [json!({ "email": A }), json!({ "phone": B })]).await?;
    s.is(json!({ "email": A, "phone": B }), p1).await?;
    ensure!(s.profiles.traits(&s.store, p2).await? == Located::Moved(p1));
    ensure!(s.profiles.identifiers(&s.store, p2).await? == Located::Moved(p1));
    ensure!(s.profiles.delete(&s.target(p2)).await? == Located::Moved(p1));
    s.has(p1, &[("email", &[A]), ("phone", &[B])]).await?;
    s.merged(&[p2], p1).await
}

async fn e33_bulk_with_overlap<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    s.bulk(&[
        json!({ "Contact": { "email": A, "firstName": "A" } }),
        json!({ "Contact": { "phone": B } }),
        json!({ "Contact": { "email": A, "phone": B, "firstName": "B" } }),
    ])
    .await?;
    let [p1] = s.listed().await?[..] else {
        anyhow::bail!("not one profile");
    };
    s.has(p1, &[("email", &[A]), ("phone", &[B])]).await?;
    ensure!(s.published() == 1, "one event a group");
    s.apply().await?;
    let person = json!({ "email": A, "phone": B, "firstName": "B" });
    ensure!(s.traits(p1).await? == json!({ "Contact": person }));
    Ok(())
}

async fn e35_concurrent_creates<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let record = store(|_| {});
    // Two processes, which share no flight.
    let (s, t) = (make(Arc::clone(&record)), make(record));
    let (one, two) = tokio::try_join!(
        s.contact(json!({ "email": A })),
        t.contact(json!({ "email": A }))
    )?;
    s.merged(&[one, two], one.min(two)).await
}

async fn a_batch_meets_who_is_known_and_may_be_sent_again<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let s = make(store(|_| {}));
    let known = json!({ "email": A, "firstName": "Ada", "lastName": "Lovelace" });
    let [p1, p2] = apart(&s, [known, json!({ "chatId": C })]).await?;
    let batch = [
        json!({ "Contact": { "email": A, "firstName": "Augusta" } }),
        json!({ "Contact": { "phone": B, "firstName": "Bob" } }),
        json!({ "Contact": { "chatId": C, "email": A, "lastName": null } }),
    ];
    for _ in 0..2 {
        s.bulk(&batch).await?;
        s.apply().await?;
        let [first, bob] = s.listed().await?[..] else {
            anyhow::bail!("not two profiles");
        };
        ensure!(
            first == p1 && s.leads(p2).await? == Some(p1) && s.owners("phone", B).await? == [bob]
        );
        s.has(p1, &[("email", &[A]), ("chat", &[C])]).await?;
        let ada = json!({ "email": A, "chatId": C, "firstName": "Augusta" });
        ensure!(s.traits(p1).await? == json!({ "Contact": ada }));
        ensure!(s.traits(bob).await?["Contact"]["firstName"] == "Bob");
    }
    // An item may be followed by a deletion, never the other way round: nothing of it comes back.
    ensure!(s.profiles.delete(&s.target(p1)).await? == Located::Here(()));
    s.bulk(&batch[..1]).await?;
    s.apply().await?;
    let [p4] = s.owners("email", A).await?[..] else {
        anyhow::bail!("not one owner");
    };
    ensure!(p4 != p1 && s.leads(p1).await?.is_none());
    ensure!(s.traits(p4).await? == json!({ "Contact": { "email": A, "firstName": "Augusta" } }));
    Ok(())
}

async fn values_of_a_batch_age_in_document_order<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    for (policy, kept) in [
        (LimitPolicy::Fifo, ["x3", "x1"]),
        (LimitPolicy::Lifo, ["x4", "x2"]),
    ] {
        let s = make(store(|settings| limit(settings, "chat", 2, policy)));
        let items = ["x4", "x2", "x3", "x1"]
            .map(|value| json!({ "Contact": { "phone": B, "chatId": value } }));
        s.bulk(&items).await?;
        let [p1] = s.listed().await?[..] else {
            anyhow::bail!("not one profile");
        };
        s.has(p1, &[("chat", &kept), ("phone", &[B])]).await?;
        ensure!(
            s.traits(p1).await?["Contact"]["chatId"] == "x1",
            "{policy:?}"
        );
        ensure!(s.contact(json!({ "chatId": "x4" })).await? != p1 || policy == LimitPolicy::Lifo);
    }
    Ok(())
}

/// Settings change between two requests.
async fn a_lower_limit_holds_from_the_next_request_that_adds<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let before = store(|settings| limit(settings, "chat", 3, LimitPolicy::Fifo));
    let s = make(Arc::clone(&before));
    let p1 = s.contact(json!({ "phone": B, "chatId": "x1" })).await?;
    for value in ["x2", "x3"] {
        s.is(json!({ "phone": B, "chatId": value }), p1).await?;
    }
    let mut after = (*before).clone();
    limit(&mut after.settings, "chat", 1, LimitPolicy::Fifo);
    after.settings_version += 1;
    let s = make(Arc::new(after));
    // Whoever adds nothing evicts nothing.
    s.is(json!({ "phone": B, "chatId": "x1" }), p1).await?;
    s.has(p1, &[("chat", &["x1", "x2", "x3"]), ("phone", &[B])])
        .await?;
    s.is(json!({ "phone": B, "email": A }), p1).await?;
    s.has(p1, &[("chat", &["x3"]), ("email", &[A]), ("phone", &[B])])
        .await?;
    ensure!(
        s.contact(json!({ "chatId": "x1" })).await? != p1,
        "evicted and free"
    );
    Ok(())
}

async fn a_type_that_is_new_matches_from_the_next_request<D: Database, L: TraitLog + 'static>(
    make: Make<'_, D, L>,
) -> Result<()> {
    let before = store(|_| {});
    let s = make(Arc::clone(&before));
    let both = json!({ "Contact": { "email": A }, "Crm": { "legacyId": 7 } });
    let p1 = s.create(both.clone()).await?;
    s.has(p1, &[("email", &[A])]).await?;
    let mut after = (*before).clone();
    let legacy = IdType::new("legacyId");
    after
        .settings
        .identifier_configs
        .push(IdentifierConfig::new(legacy.clone()));
    after.settings.matching_rules.push(legacy);
    after.settings_version += 1;
    let s = make(Arc::new(after));
    ensure!(
        s.owners("legacyId", "7").await?.is_empty(),
        "what was a plain trait names nobody"
    );
    ensure!(s.create(both).await? == p1);
    ensure!(s.create(json!({ "Crm": { "legacyId": 7 } })).await? == p1);
    s.has(p1, &[("email", &[A]), ("legacyId", &["7"])]).await
}
