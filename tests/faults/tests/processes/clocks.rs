//! Clocks that differ, and events in any order.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::event::TraitEvent;
use kith_domain::id::DefinitionId;
use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
use kith_faults::broker::{Broker, Stored};
use kith_faults::cluster::Services;
use kith_faults::load::Drawn;
use kith_faults::row::{is_skipped, report};
use kith_faults::run::Callers;
use kith_faults::stand::{Stand, Wanted};
use kith_tests::engines::now;
use kith_tests::poll::until;
use kith_tests::tables::Tables;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;

use crate::people::{PATIENCE, Person, until_done};

/// How far the clocks are apart.
const APART: Duration = Duration::from_secs(600);

/// The definition and the cell of a name that an event writes.
fn cell_of(event: &TraitEvent, name: &str) -> Option<(DefinitionId, CellBytes)> {
    let wanted = TraitWrite::Set(TraitValue::String(name.to_owned()));
    let mut traits = event.traits.iter();
    let is_wanted = |cell: &CellBytes| matches!(cell.decode(), Ok(found) if found == wanted);
    traits.find(|(_, cell)| is_wanted(cell)).cloned()
}

/// The records of events, with them.
fn events(records: &[Stored]) -> Vec<(Stored, TraitEvent)> {
    let event = |one: &Stored| TraitEvent::decode(one.payload.as_deref().unwrap_or_default());
    let with = |one: &Stored| Some((one.clone(), event(one).ok()?));
    records.iter().filter_map(with).collect()
}

/// Two names under one stamp, which come to two people in either order: both show the same one; which.
async fn ties(stand: &Stand, pairs: usize) -> Result<usize> {
    let broker = Broker::of(&stand.place);
    let api = &stand.services.apis[0];
    let people = Person::many(api, 2 * pairs, "before-tie").await?;
    let named = Person::many(api, 1, "tie-one").await?;
    named[0].clone().rename(api, "tie-two").await?;
    until_done(stand).await?;
    let events = events(&broker.records().await?);
    let cell = |name| events.iter().find_map(|(_, event)| cell_of(event, name));
    let cells = [cell("tie-one"), cell("tie-two")].map(|cell| cell.context("a cell"));
    let [one, two] = cells;
    let (one, two) = (one?, two?);
    let newest = events.iter().map(|(_, event)| event.stamp).max();
    let stamp = newest.context("a stamp")?.plus(Duration::from_millis(1));
    let mut sent = Vec::new();
    for (number, person) in people.iter().enumerate() {
        let of_person = |(_, event): &&(Stored, TraitEvent)| event.profile.to_string() == person.id;
        let (stored, event) = events.iter().find(of_person).context("an event")?;
        let order = if number % 2 == 0 {
            [&one, &two]
        } else {
            [&two, &one]
        };
        for cell in order {
            let event = TraitEvent {
                stamp,
                traits: vec![cell.clone()],
                ..event.clone()
            };
            sent.push(Stored {
                payload: Some(event.encode()),
                ..stored.clone()
            });
        }
        // The two of one poll would be folded before they meet the database.
        if number % 2 == 0 {
            broker.send(&sent[sent.len() - 2..sent.len() - 1]).await?;
            until_done(stand).await?;
            broker.send(&sent[sent.len() - 1..]).await?;
        } else {
            broker.send(&sent[sent.len() - 2..]).await?;
        }
        until_done(stand).await?;
    }
    let mut shown = Vec::new();
    for person in &people {
        let body = api.get(&person.id).await?.body;
        shown.push(body["traits"]["Contact"]["firstName"].clone());
    }
    let is_tie = shown[0] == json!("tie-one") || shown[0] == json!("tie-two");
    ensure!(
        is_tie && shown.iter().all(|one| *one == shown[0]),
        "{shown:?}"
    );
    Ok(sent.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_17_clocks_apart_and_events_in_any_order_leave_the_newest_values() -> Result<()> {
    const WRITES: usize = 20;
    if is_skipped(17) {
        return Ok(());
    }
    let stand = Stand::start(Wanted::of(1, 2)).await?;
    let broker = Broker::of(&stand.place);
    // `faketime` does not do: the log's client waits by the wall clock, and never gets to its broker.
    let behind = stand
        .place
        .launch("mutant-ingest-api")?
        .with("MUTANT", "none")
        .with("MUTANT_CLOCK_BEHIND_MS", APART.as_millis());
    let mut all = Services::launch(vec![behind], Vec::new()).await?;
    all.apis.push(stand.services.apis[0].clone());
    let mix = Drawn {
        reads: 20,
        new_of_ten: 2,
    };
    let callers = Callers::start(&all, 17, 8, mix);
    until(PATIENCE, "some load", || async {
        Ok((callers.acknowledged() > 300).then_some(()))
    })
    .await?;
    let history = callers.end().await?;
    until_done(&stand).await?;
    let profiles = stand.check(&history).await?;
    let acknowledged = history.iter().filter(|one| one.is_acknowledged()).count();

    let first = Person::new_once(&all.apis[0], "first-name").await?;
    until_done(&stand).await?;
    let events = events(&broker.records().await?);
    let of_first = |(_, event): &&(Stored, TraitEvent)| event.profile.to_string() == first.id;
    let (_, event) = events.iter().find(of_first).context("an event")?;
    let stamp = event.stamp;
    let skew = now().as_micros() - stamp.as_micros();
    let skew = Duration::from_micros(u64::try_from(skew)?);
    ensure!(skew > APART, "its first stamp is {skew:?} behind");

    // One after another, each process in turn: the last write wins, whatever its process takes for the time.
    let mut people = Person::many(&all.apis[1], 8, "before-turns").await?;
    people.push(first);
    for number in 0..WRITES {
        for person in &mut people {
            let name = format!("name-number-{number}");
            person.rename(&all.apis[number % 2], &name).await?;
        }
    }
    until_done(&stand).await?;
    for person in &people {
        person.check(&all.apis[0]).await?;
    }
    let tied = ties(&stand, 4).await?;

    // Everything again in another order and in other partitions.
    let before = Tables::of(&stand.place).await?;
    let mut again = broker.records().await?;
    again.shuffle(&mut StdRng::seed_from_u64(17));
    for record in &mut again {
        record.partition = (record.partition + 3) % 8;
    }
    broker.send(&again).await?;
    until_done(&stand).await?;
    let after = Tables::of(&stand.place).await?;
    before.is(&after)?;
    report(
        17,
        1 + u64::try_from(tied + again.len())?,
        &format!("a first stamp that is {skew:.0?} old, and the broker's count of records"),
        &format!(
            "{} writes by it and a right clock in turn, the last one won each time, {acknowledged} acknowledged at once, 0 findings; {tied} events of equal times, the same winner in either order; {} events again in another order and other partitions, no cell changed; {profiles} profiles",
            WRITES * people.len(),
            again.len()
        ),
    )?;
    all.stop().await?;
    stand.stop().await
}
