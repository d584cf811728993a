//! `doctor` of each binary against set-ups that are broken on purpose: each fault has a line of its own, which names it and
//! ends with what to do; a set-up that is well has none.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kith_domain::event::record_bytes_max;
use kith_tests::api::Api;
use kith_tests::process::{Launch, Process, free_address};
use kith_tests::servers::Place;
use kith_tests::told::{Told, doctor};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use scylla::client::session_builder::SessionBuilder;
use serde_json::json;

/// The binaries on Kafka and a CQL server.
const SERVICES: [&str; 2] = ["ingest-api", "trait-worker"];

/// The `doctor` of a binary on a host whose clock is off by this, in the words of `faketime`. Not by much: the client library of
/// Kafka waits until a time of that clock, by a clock that is right, so that some of its waits are longer by as much, or end at once.
async fn doctor_at(mut launch: Launch, off: &str) -> Result<Told> {
    launch.arguments.push("doctor".into());
    // The clock that only goes forward stays everybody's.
    let launch = launch.with("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let inner = launch.command()?;
    let mut command = Command::new("faketime");
    command.args(["-f", off]).arg(inner.get_program());
    command.args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Told::by(command).await
}

/// It must find the clock, and nothing before it. What comes after it is the log, which such a clock may hold up.
fn tells_of_the_clock(told: &Told) -> Result<()> {
    let is_so = told.failed().first().is_some_and(|line| {
        line.starts_with("FAIL  clock of ")
            && line.contains("this host is 7")
            && line.ends_with(&format!(" ahead; {CLOCK}"))
    });
    ensure!(is_so && told.code == Some(1), told.all());
    Ok(())
}

/// It must say by how much the clock is off, and that this is well. What such a clock does to the log is not looked at.
fn finds_no_fault_with_the_clock(told: &Told) -> Result<()> {
    let line = told.lines.iter().find(|line| line.contains("clock of "));
    let is_so = line.is_some_and(|line| line.starts_with("ok    ") && line.ends_with("s off"));
    ensure!(is_so && !told.all().contains("0ns off"), told.all());
    Ok(())
}

/// The doctors of both services must find these faults there, and no other.
async fn both_find(place: &Place, dir: &Path, faults: &[(&str, &str)]) -> Result<()> {
    let told = async |binary| doctor(place.service(binary, dir)?).await;
    let [ingest, worker] = SERVICES;
    let (ingest, worker) = tokio::try_join!(told(ingest), told(worker))?;
    ingest.finds(faults)?;
    worker.finds(faults)
}

const DATABASE_ANSWERS: &str = "see whether it runs where KITH_CQL_NODES says, and wants TLS if and only if KITH_CQL_CA_FILE is set, and a certificate only with KITH_CQL_CERT_FILE";
const BROKER_ANSWERS: &str = "see whether a broker runs where KITH_KAFKA_BOOTSTRAP says, and speaks KITH_KAFKA_SECURITY_PROTOCOL";
const KEYSPACE: &str = "run `ingest-api migrate`, or set KITH_CQL_KEYSPACE to the right one";
const CLOCK: &str = "set the clock of this host, and keep it with NTP";

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_is_well_passes_until_a_server_is_away_or_the_clock_is_off() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let place = Place::new()?;
    place.migrate().await?;
    let closed = Some(free_address()?);
    let healthy = async |binary| -> Result<()> {
        let well = doctor(place.service(binary, dir.path())?).await?;
        well.is_well(&["settings", "database", "clock of ", "topics", "log"])?;

        let away = place.through(closed, None).service(binary, dir.path())?;
        let database = ("database: the database cannot be reached", DATABASE_ANSWERS);
        doctor(away).await?.finds(&[database])?;
        let away = place.through(None, closed).service(binary, dir.path())?;
        let log = ("log: the log cannot be reached", BROKER_ANSWERS);
        doctor(away).await?.finds(&[log])?;

        let ahead = doctor_at(place.service(binary, dir.path())?, "+7s").await?;
        tells_of_the_clock(&ahead)?;
        // What is stamped late is late everywhere.
        let behind = doctor_at(place.service(binary, dir.path())?, "-7s").await?;
        finds_no_fault_with_the_clock(&behind)
    };
    let [ingest, worker] = SERVICES;
    tokio::try_join!(healthy(ingest), healthy(worker))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_missing_or_of_another_shape_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let place = Place::new()?;
    let keyspace = &place.keyspace;
    let missing = format!("database: there is no keyspace {keyspace}");
    let traits = format!("topics: there is no topic {}", place.topic);
    let dead = format!("topics: there is no topic {}.dead", place.topic);
    let missing: [(&str, &str); 3] = [
        (&missing, KEYSPACE),
        (
            &format!("{traits};"),
            "run `ingest-api migrate`, or set KITH_KAFKA_TRAITS_TOPIC to the right one",
        ),
        (
            &format!("{dead};"),
            "run `ingest-api migrate`, or set KITH_KAFKA_DEAD_LETTER_TOPIC to the right one",
        ),
    ];
    both_find(&place, dir.path(), &missing).await?;

    place.migrate().await?;
    let node = place.cql_nodes.first().context("no node")?;
    let session = SessionBuilder::new().known_node(node).build().await?;
    let change = async |statement: String| session.query_unpaged(statement, ()).await;
    let broken = [
        (
            format!("ALTER TABLE {keyspace}.node DROP evidence"),
            "column node.evidence is missing",
        ),
        (
            format!("ALTER TABLE {keyspace}.claim WITH read_repair = 'NONE'"),
            "table claim has read_repair 'NONE' instead of BLOCKING",
        ),
        (
            format!("DROP TABLE {keyspace}.shared_claim"),
            "table shared_claim is missing",
        ),
        (
            format!("ALTER KEYSPACE {keyspace} WITH durable_writes = false"),
            "the keyspace has durable_writes = false",
        ),
    ];
    for (statement, fault) in broken {
        change(statement).await?;
        session.await_schema_agreement().await?;
        let fault = format!("database: keyspace {keyspace}: {fault};");
        both_find(&place, dir.path(), &[(&fault, KEYSPACE)]).await?;
        // What it says to do is enough.
        place.migrate().await?;
        let told = doctor(place.service("ingest-api", dir.path())?).await?;
        told.is_well(&["database"])?;
    }

    // A column of another type is nobody's to repair.
    change(format!("DROP TABLE {keyspace}.secret")).await?;
    change(format!(
        "CREATE TABLE {keyspace}.secret (name text PRIMARY KEY, value text)"
    ))
    .await?;
    let fault = format!("database: keyspace {keyspace}: column secret.value is text");
    let remedy =
        "these tables are not Kith's, or were changed by hand: set KITH_CQL_KEYSPACE to another";
    both_find(&place, dir.path(), &[(&fault, remedy)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_another_shape_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let place = Place::new()?;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &place.bootstrap)
        .create()?;
    let topic = NewTopic::new(&place.topic, 3, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("retention.ms", "3600000")
        .set("max.message.bytes", "1000000");
    for made in admin.create_topics([&topic], &AdminOptions::new()).await? {
        made.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    // It leaves a topic that is there as it is.
    place.migrate().await?;
    let fault = |fault: &str| format!("topics: topic {}: {fault}", place.topic);
    let faults: [(&str, &str); 4] = [
        (
            &fault("partitions is 3, wanted at least 8"),
            "change the topic with Kafka's tools, or set KITH_KAFKA_TOPIC_PARTITIONS",
        ),
        (
            &fault("cleanup.policy is compact, wanted delete"),
            "change the topic with Kafka's tools",
        ),
        (
            &fault("retention.ms is 3600000, wanted at least 1209600000"),
            "change the topic with Kafka's tools, or set KITH_KAFKA_RETENTION",
        ),
        (
            &fault(&format!(
                "max.message.bytes is 1000000, wanted at least {}",
                record_bytes_max(4 << 20)
            )),
            "change the topic with Kafka's tools, or set KITH_BODY_BYTES_MAX",
        ),
    ];
    both_find(&place, dir.path(), &faults).await
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_wrong_end_it_with_the_name_of_the_setting() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let unknown = dir.path().join("unknown.toml");
    std::fs::write(&unknown, "listne = \"127.0.0.1:0\"\n")?;
    for binary in ["kith", "ingest-api", "trait-worker"] {
        let launch = Launch::new(binary)?;
        let told = doctor(launch.clone().with("KITH_CONFIG", unknown.display())).await?;
        told.is_misconfigured("listne", &format!("not a setting of {binary}"))?;
        let told = doctor(launch.with("KITH_SHUTDOWN_GRACE", "soon")).await?;
        told.is_misconfigured("KITH_SHUTDOWN_GRACE", "soon")?;
    }
    for binary in SERVICES {
        let launch = Launch::new(binary)?;
        let told = doctor(launch.clone().with("KITH_CQL_KEYSPACE", "Not-One")).await?;
        told.is_misconfigured("KITH_CQL_KEYSPACE", "'Not-One' names no keyspace")?;
        let told = doctor(launch.with("KITH_KAFKA_SECURITY_PROTOCOL", "TLS")).await?;
        told.is_misconfigured("KITH_KAFKA_SECURITY_PROTOCOL", "TLS")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_no_use_are_a_fault_with_its_remedy() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let nobody = free_address()?;
    let ingest = Launch::new("ingest-api")?
        .with("KITH_CQL_NODES", nobody)
        .with("KITH_KAFKA_BOOTSTRAP", nobody)
        .with("KITH_LISTEN", free_address()?);
    let kith = standalone(dir.path())?;

    // A file that is not there is told before anything is looked at.
    let missing = dir.path().join("missing.toml");
    for launch in [&kith, &ingest] {
        let launch = launch.clone().with("KITH_CREDENTIALS", missing.display());
        let told = doctor(launch).await?;
        told.is_misconfigured("KITH_CREDENTIALS", "cannot read")?;
    }

    let remedy = "name a readable file of accounts with KITH_CREDENTIALS";
    let servers = [("database: ", DATABASE_ANSWERS), ("log: ", BROKER_ANSWERS)];
    let no_use = [
        servers[0],
        servers[1],
        ("credentials: KITH_CREDENTIALS", remedy),
    ];
    let malformed = dir.path().join("malformed.toml");
    std::fs::write(&malformed, "[[account]]\nsid = \"somebody\"\n")?;
    let with_it = |launch: &Launch| launch.clone().with("KITH_CREDENTIALS", malformed.display());
    doctor(with_it(&ingest)).await?.finds(&no_use)?;
    doctor(ingest).await?.finds(&no_use)?;

    let fault = "credentials: KITH_CREDENTIALS";
    let remedy = format!("{remedy}, or with none listen on loopback only");
    doctor(with_it(&kith)).await?.finds(&[(fault, &remedy)])?;
    let open = kith.with("KITH_LISTEN", "0.0.0.0:0");
    doctor(open).await?.finds(&[(fault, &remedy)])
}

fn standalone(dir: &Path) -> Result<Launch> {
    Ok(Launch::new("kith")?
        .with("KITH_LISTEN", free_address()?)
        .with("KITH_DATA_DIR", dir.join("data").display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standalone_looks_into_its_data_directory() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let launch = standalone(dir.path())?;
    let checks = ["API address", "operator's address", "credentials"];
    let data = dir.path().join("data");
    let well = doctor(launch.clone()).await?;
    well.is_well(&checks)?;
    well.is_well(&[&format!("data directory: {} will be made", data.display())])?;
    ensure!(!data.exists(), "it made something");

    let listen = free_address()?;
    let serving = launch.clone().with("KITH_LISTEN", listen);
    let mut process = Process::start(serving, dir.path())?;
    process.ready().await?;
    let api = Api::new(&format!("http://{listen}"))?;
    api.contact(json!({ "email": "doctor.person@example.com" }))
        .await?;
    // The ports of a neighbour are others, the directory is the same.
    let mut neighbour = standalone(dir.path())?;
    doctor(neighbour.clone()).await?.finds(&[(
        &format!(
            "data directory: {} is in use by another process",
            data.display()
        ),
        "stop that process, or choose another data directory",
    )])?;
    neighbour = neighbour.with("KITH_DATA_DIR", dir.path().join("other").display());
    let taken = neighbour.clone().with("KITH_LISTEN", listen);
    doctor(taken).await?.finds(&[(
        &format!("API address: cannot listen on {listen}"),
        "stop what listens there, or set KITH_LISTEN",
    )])?;
    process.kill()?;
    drop(process);
    let sound = doctor(launch.clone()).await?;
    sound.is_well(&[&format!("data directory: {} is sound", data.display())])?;

    let stamp = data.join("store/layout");
    std::fs::write(&stamp, "something else\n")?;
    doctor(launch.clone()).await?.finds(&[(
        &format!("data directory: {} is damaged: ", stamp.display()),
        "nothing was changed",
    )])?;
    let file = dir.path().join("file");
    std::fs::write(&file, "")?;
    let at_a_file = launch.with("KITH_DATA_DIR", file.display());
    doctor(at_a_file).await?.finds(&[(
        &format!("data directory: {} is no directory", file.display()),
        "remove it, or set KITH_DATA_DIR",
    )])
}
