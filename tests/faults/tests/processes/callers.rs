//! Processes that are told to end while they work, and callers who do not wait for their answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join_all;
use kith_domain::identifier::Identifier;
use kith_faults::history::{Asked, Record, Told, value};
use kith_faults::load::identifiers_of;
use kith_faults::row::report;
use kith_faults::stand::{Stand, Wanted, turn};
use kith_tests::api::{ACCOUNT, Api, TOKEN};
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::proxy::{Mode, Proxy};
use kith_tests::servers::Place;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::people::{PATIENCE, until_done};

/// SIGTERM under load: every request that was taken is answered, and what was acknowledged is there; how many.
async fn drains(mut pair: Pair) -> Result<usize> {
    let api = pair.api().clone();
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let api = api.clone();
            tokio::task::spawn(async move {
                let mut acknowledged = Vec::new();
                for i in 0.. {
                    let unique = uuid::Uuid::new_v4();
                    let email = format!("drain.{caller}.{i}.{unique}@example.com");
                    match api.create(json!({ "Contact": { "email": email } })).await {
                        Ok(answer) if answer.status == 202 => acknowledged.push(email),
                        Ok(answer) => anyhow::bail!("{} {}", answer.status, answer.body),
                        // Refused connections are what a stopped server gives. A cut answer would be another error.
                        Err(error) if format!("{error:?}").contains("onnect") => break,
                        Err(error) => return Err(error),
                    }
                }
                Ok(acknowledged)
            })
        })
        .collect();
    until(PATIENCE, "some load", || async {
        Ok((api.list().await?.len() > 24).then_some(()))
    })
    .await?;
    let status = pair.ingests[0].terminate().await?;
    ensure!(status.success(), "{status}");
    let mut acknowledged = Vec::new();
    for caller in callers {
        acknowledged.extend(caller.await??);
    }
    pair.ingests[0].crash_and_restart().await?;
    for email in &acknowledged {
        let owners = api.owners("email", email).await?;
        ensure!(owners.len() == 1, "acknowledged, and has {owners:?}");
    }
    let listed = api.list().await?.len();
    ensure!(
        listed == acknowledged.len(),
        "{listed} of {} listed",
        acknowledged.len()
    );
    pair.stop().await?;
    Ok(acknowledged.len())
}

/// Whether a process says that it ends.
async fn is_draining(pair: &Pair) -> Result<Option<()>> {
    let answer = reqwest::get(format!("http://{}/readyz", pair.ingests[0].admin())).await?;
    Ok(answer
        .text()
        .await?
        .contains("\"draining\":true")
        .then_some(()))
}

/// A process with a request under way that its database holds up, and is told to end. `more` is done to it; its exit code, and
/// whether everybody who was acknowledged before is there after the next start.
async fn ended_early(
    told: &[(&str, &str)],
    more: impl AsyncFnOnce(&Pair) -> Result<()>,
) -> Result<(i32, usize)> {
    let place = Place::new()?;
    place.migrate().await?;
    let database = Proxy::start(place.cql_nodes[0].parse()?).await?;
    let mut shape = Shape {
        ingests: 1,
        ..Shape::default()
    };
    for (name, value) in told {
        shape = shape.with(name, value);
    }
    let place = place.through(Some(database.address()), None);
    let mut pair = Pair::at(&shape, &place).await?;
    let api = pair.api().clone();
    let email = |number| format!("early.{number}@example.com");
    let create = |number| {
        let contact = json!({ "email": email(number) });
        let api = &api;
        async move { api.contact(contact).await }
    };
    let known = try_join_all((0..8).map(create)).await?;
    database.set(Mode::Delay(Duration::from_millis(400)));
    let held = tokio::task::spawn({
        let api = api.clone();
        let contact = json!({ "Contact": { "email": email(99) } });
        async move { api.create(contact).await }
    });
    pair.ingests[0]
        .until_metric("kith_http_in_flight", |count| count > 0.0)
        .await?;
    pair.ingests[0].signal("TERM")?;
    until(PATIENCE, "the end begins", || is_draining(&pair)).await?;
    more(&pair).await?;
    let status = pair.ingests[0].exit(PATIENCE).await?;
    let code = status.code().with_context(|| status.to_string())?;
    // Whatever the caller was told, an acknowledgement would have to hold.
    let told = held.await?.ok().filter(|answer| answer.status == 202);
    database.set(Mode::Forward);
    pair.ingests[0].crash_and_restart().await?;
    let mut acknowledged = known;
    for (number, id) in acknowledged.iter().enumerate() {
        let owners = api.owners("email", &email(number)).await?;
        ensure!(owners == [id.clone()], "{owners:?}, not {id}");
    }
    if let Some(answer) = told {
        let id = answer.accepted_id()?;
        let owners = api.owners("email", &email(99)).await?;
        ensure!(owners == [id.as_str()], "{owners:?}, not {id}");
        acknowledged.push(id);
    }
    pair.stop().await?;
    Ok((code, acknowledged.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn row_18_a_process_told_to_end_answers_what_it_took_and_its_exit_code_says_how() -> Result<()>
{
    let _turn = turn().await;
    let one = drains(Pair::standalone(&Shape::single()).await?).await?;
    let two = drains(Pair::servers(&Shape::single()).await?).await?;
    let (second, of_second) = ended_early(&[], async |pair| pair.ingests[0].signal("TERM")).await?;
    ensure!(second == 143, "exit code {second}");
    let short = [
        ("KITH_SHUTDOWN_GRACE", "3s"),
        ("KITH_REQUEST_DEADLINE", "2900ms"),
    ];
    let (grace, of_grace) = ended_early(&short, async |pair| {
        // It stands still until the grace period is over.
        pair.ingests[0].signal("STOP")?;
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        pair.ingests[0].signal("CONT")
    })
    .await?;
    ensure!(grace == 75, "exit code {grace}");
    report(
        18,
        4,
        "exit codes",
        &format!(
            "SIGTERM under load: 0, every request answered ({one} acknowledged by the standalone, {two} by the services); a second SIGTERM: 143; grace exceeded: 75; all {} acknowledged there after the next start",
            one + two + of_second + of_grace
        ),
    )
}

/// When a caller leaves.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    /// In the head of the request.
    InHead,
    /// In its body.
    InBody,
    /// So long after its last byte.
    After(Duration),
}

/// Sends a create, or the beginning of one, and closes the connection; whether an answer was there by then.
async fn send_and_leave(api: &Api, contact: &Map<String, Value>, leaves: Leaves) -> Result<bool> {
    let address: SocketAddr = api.base().trim_start_matches("http://").parse()?;
    let body = json!({ "traits": { "Contact": contact } }).to_string();
    let head = format!(
        "POST /v1/Stores/{}/Profiles HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        api.store(),
        STANDARD.encode(format!("{ACCOUNT}:{TOKEN}")),
        body.len()
    );
    kith_tests::privacy::sent(&Value::Object(contact.clone()));
    let whole = [head.as_bytes(), body.as_bytes()].concat();
    let (part, wait) = match leaves {
        Leaves::InHead => (&whole[..head.len() / 2], Duration::ZERO),
        Leaves::InBody => (&whole[..head.len() + body.len() / 2], Duration::ZERO),
        Leaves::After(wait) => (&whole[..], wait),
    };
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    connection.write_all(part).await?;
    tokio::time::sleep(wait).await;
    Ok(connection.try_read(&mut [0]).is_ok_and(|read| read > 0))
}

/// What a create of these identifiers carries, with the name that says which request it was.
fn contact_of(identifiers: &[Identifier], number: u64) -> Map<String, Value> {
    let mut contact = Map::new();
    for one in identifiers {
        contact.insert(one.id_type.as_str().to_owned(), json!(one.value.expose()));
    }
    contact.insert("firstName".into(), json!(value("firstName", number)));
    contact
}

/// An attempt, as the checker wants it.
pub(crate) fn attempt(number: u64, at: u64, identifiers: &[Identifier], told: Told) -> Record {
    Record {
        number,
        sent: at,
        answered: at + 1,
        sent_ms: 0,
        took_ms: 0,
        asked: Asked::Create {
            identifiers: identifiers.to_vec(),
            traits: vec!["firstName"],
        },
        told,
    }
}

/// Callers leave at every step of a create that makes somebody new, and of one that merges two: every statement takes 40 ms, and they
/// leave 20 ms apart.
#[tokio::test(flavor = "multi_thread")]
async fn row_24_a_caller_who_leaves_at_any_step_leaves_nothing_half_done() -> Result<()> {
    const STEPS: u64 = 30;
    let stand = Stand::start(Wanted::of(1, 1)).await?;
    let api = stand.services.apis[0].clone();
    let mut leaves = vec![Leaves::InHead, Leaves::InBody];
    leaves.extend((0..STEPS).map(|step| Leaves::After(Duration::from_millis(20 * step))));
    let mut history = Vec::new();
    let (mut number, mut clock) = (0, 0);
    // Those of every second round are two people beforehand.
    let mut asked = Vec::new();
    for (round, leaves) in leaves.iter().flat_map(|one| [one, one]).enumerate() {
        let [email, phone, ..] = identifiers_of(round);
        let own = vec![email, phone];
        if round % 2 == 1 {
            for one in &own {
                let one = std::slice::from_ref(one);
                let id = api.contact(Value::Object(contact_of(one, number))).await?;
                history.push(attempt(number, clock, one, Told::Accepted(id.parse()?)));
                (number, clock) = (number + 1, clock + 2);
            }
        }
        asked.push((number, clock, own, *leaves));
        (number, clock) = (number + 1, clock + 2);
    }
    until_done(&stand).await?;
    let began = Instant::now();
    let disturbed = stand.database.disturbed();
    stand.database.set(Mode::Delay(Duration::from_millis(20)));
    let sent = asked.iter().map(|(number, _, own, leaves)| {
        let (api, contact) = (api.clone(), contact_of(own, *number));
        async move { send_and_leave(&api, &contact, *leaves).await }
    });
    let answered = try_join_all(sent).await?;
    let early = answered.iter().filter(|answered| !**answered).count();
    ensure!(
        early * 2 > asked.len(),
        "only {early} left before the answer"
    );
    let left = began.elapsed();
    let ingest = stand.services.ingests[0].lock().await;
    ingest
        .until_metric("kith_http_in_flight", |count| count == 0.0)
        .await?;
    drop(ingest);
    stand.database.set(Mode::Forward);
    let disturbed = stand.database.disturbed() - disturbed;
    // Work of its own that is under way yet ends, too.
    tokio::time::timeout(PATIENCE, until_done(&stand)).await??;

    let (mut whole, mut nothing) = (0, 0);
    for (number, clock, own, leaves) in &asked {
        let mut found = Vec::new();
        for one in own {
            let owners = api.owners(one.id_type.as_str(), one.value.expose()).await?;
            found.extend(owners);
        }
        found.dedup();
        let shown = match found.first() {
            Some(id) => api.get(id).await?.body["traits"]["Contact"]["firstName"].clone(),
            None => Value::Null,
        };
        let is_whole = found.len() == 1 && shown == json!(value("firstName", *number));
        let was_two = found.len() == 2 && shown != json!(value("firstName", *number));
        ensure!(
            is_whole || was_two || found.is_empty(),
            "request {number}, left {leaves:?}: {found:?} with {shown}"
        );
        let is_sent = matches!(leaves, Leaves::After(_));
        whole += usize::from(is_whole);
        nothing += usize::from(!is_whole);
        ensure!(is_sent || !is_whole, "a part of a request was worked on");
        history.push(attempt(*number, *clock, own, Told::Nothing));
    }
    stand.check(&history).await?;
    // The same again, by callers who wait.
    for (number, _, own, _) in &asked {
        let id = api.contact(Value::Object(contact_of(own, *number))).await?;
        history.push(attempt(*number, clock, own, Told::Accepted(id.parse()?)));
        clock += 2;
    }
    until_done(&stand).await?;
    let profiles = stand.check(&history).await?;
    ensure!(profiles == asked.len(), "{profiles} profiles");
    report(
        24,
        asked.len() as u64,
        &format!(
            "connections that the test closed, within {left:.1?}, while {disturbed} chunks to the database were late"
        ),
        &format!(
            "{early} left before the answer; {whole} requests done to their end, {nothing} without a trace, 0 half; sent again by callers who waited, {profiles} people with one profile each, 0 findings"
        ),
    )?;
    stand.stop().await
}
