//! Numbers that have to go together: of one pod, of several objects, and of manifests and services.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::event::record_bytes_max;
use kith_kafka::KafkaConfig;
use kith_runtime::config::{ByteSize, table};
use kith_tests::servers::workspace;
use serde::Deserialize;

use crate::objects::{OVERLAYS, Object, SERVICES, parsed, rendered, the};
use crate::pods::{cores, mebibytes};
use crate::tools::text;

/// What a service does after its stages: the last spans, and the end of the process.
const AFTER_GRACE: Duration = Duration::from_secs(2 + 3);
/// How long the proxies of a cluster take to hear that a pod is on its way out.
const HEARD: Duration = Duration::from_secs(5);
/// What `ingest-api` does after its last answer: connections are closed (3.5 s at most), and the last records are acknowledged or
/// given up (4 s).
const AFTER_ANSWERS: Duration = Duration::from_millis(3_500 + 4_000);

fn seconds(object: &Object, pointer: &str) -> Result<Duration> {
    object.number(pointer).map(Duration::from_secs)
}

#[test]
fn a_pod_has_time_to_end_by_itself() -> Result<()> {
    for overlay in OVERLAYS {
        let objects = rendered(overlay)?;
        for service in SERVICES {
            let deployment = the(&objects, "Deployment", service)?;
            let settings = deployment.settings(&objects)?;
            let grace: Duration = settings.get(&table::SHUTDOWN_GRACE)?;
            let container = deployment.container()?;
            let pre_stop = match service {
                "ingest-api" => seconds(&container, "/lifecycle/preStop/sleep/seconds")?,
                // Nobody calls it.
                _ => Duration::ZERO,
            };
            let pod = seconds(
                deployment,
                "/spec/template/spec/terminationGracePeriodSeconds",
            )?;
            ensure!(
                pod >= pre_stop + grace + AFTER_GRACE,
                "{service}: {pod:?} for {pre_stop:?} and {grace:?}"
            );
            if service == "ingest-api" {
                ensure!(pre_stop >= HEARD, "{pre_stop:?}");
                let deadline: Duration = settings.get(&table::REQUEST_DEADLINE)?;
                ensure!(
                    grace >= deadline + AFTER_ANSWERS,
                    "{grace:?} for {deadline:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn probes_are_patient_with_life_and_quick_with_readiness() -> Result<()> {
    let objects = rendered("production")?;
    for service in SERVICES {
        let container = the(&objects, "Deployment", service)?.container()?;
        let mut lasts = BTreeMap::new();
        for probe in ["startup", "liveness", "readiness"] {
            let number = |field: &str| seconds(&container, &format!("/{probe}Probe/{field}"));
            let (every, limit) = (number("periodSeconds")?, number("timeoutSeconds")?);
            ensure!(limit <= every, "{service}: {probe} overtakes itself");
            let failures = container.number(&format!("/{probe}Probe/failureThreshold"))?;
            lasts.insert(probe, every * u32::try_from(failures)?);
        }
        // A page of memory that is swapped in, a neighbour: nothing to be killed for. `/livez` itself waits 15 s and more.
        ensure!(lasts["liveness"] >= Duration::from_secs(30), "{lasts:?}");
        ensure!(lasts["startup"] >= Duration::from_secs(30), "{lasts:?}");
        ensure!(lasts["readiness"] <= Duration::from_secs(10), "{lasts:?}");
    }
    Ok(())
}

#[test]
fn there_are_never_more_workers_than_partitions() -> Result<()> {
    let objects = rendered("production")?;
    let worker = the(&objects, "Deployment", "trait-worker")?;
    let settings = worker.settings(&objects)?;
    let partitions: u16 = settings.get(&table::KAFKA_TOPIC_PARTITIONS)?;
    let scaled = the(&objects, "ScaledObject", "trait-worker")?;
    ensure!(scaled.number("/spec/maxReplicaCount")? == u64::from(partitions));
    ensure!(scaled.number("/spec/minReplicaCount")? >= 2);
    // It counts the lag of the group that the workers are, on the topic that they read.
    let trigger = |field: &str| scaled.text(&format!("/spec/triggers/0/metadata/{field}"));
    for (field, setting) in [
        ("bootstrapServers", &table::KAFKA_BOOTSTRAP),
        ("consumerGroup", &table::KAFKA_GROUP),
        ("topic", &table::KAFKA_TRAITS_TOPIC),
    ] {
        ensure!(Some(trigger(field)) == settings.text(setting), "{field}");
    }
    ensure!(scaled.text("/spec/triggers/0/type") == "kafka");
    ensure!(trigger("allowIdleConsumers") == "false");
    // Who says how many there are says it alone.
    for service in SERVICES {
        let deployment = the(&objects, "Deployment", service)?;
        ensure!(deployment.at("/spec/replicas").is_null(), "{service}");
    }
    Ok(())
}

#[test]
fn a_drain_always_leaves_one_that_answers() -> Result<()> {
    let objects = rendered("production")?;
    let hpa = the(&objects, "HorizontalPodAutoscaler", "ingest-api")?;
    let scaled = the(&objects, "ScaledObject", "trait-worker")?;
    for (scaler, least) in [
        (hpa, hpa.number("/spec/minReplicas")?),
        (scaled, scaled.number("/spec/minReplicaCount")?),
    ] {
        let name = scaler.text("/spec/scaleTargetRef/name");
        let budget = the(&objects, "PodDisruptionBudget", name)?;
        ensure!(budget.number("/spec/maxUnavailable")? < least, "{name}");
        let deployment = the(&objects, "Deployment", name)?;
        let rolling = "/spec/strategy/rollingUpdate";
        ensure!(deployment.number(&format!("{rolling}/maxUnavailable"))? == 0);
        ensure!(deployment.number(&format!("{rolling}/maxSurge"))? >= 1);
    }
    Ok(())
}

#[test]
fn what_is_in_front_waits_longer_than_the_service() -> Result<()> {
    let objects = rendered("production")?;
    let ingest = the(&objects, "Deployment", "ingest-api")?;
    let settings = ingest.settings(&objects)?;
    let deadline: Duration = settings.get(&table::REQUEST_DEADLINE)?;
    let route = the(&objects, "HTTPRoute", "ingest-api")?;
    let limit = |field: &str| -> Result<Duration> {
        let text = route.text(&format!("/spec/rules/0/timeouts/{field}"));
        let seconds = text.strip_suffix('s').context("not in seconds")?;
        Ok(Duration::from_secs(seconds.parse()?))
    };
    let (all, one) = (limit("request")?, limit("backendRequest")?);
    ensure!(deadline < one && one <= all, "{deadline:?} {one:?} {all:?}");
    // Redirects lead back to where the request came in.
    let host = route.text("/spec/hostnames/0");
    let public = format!("https://{host}");
    ensure!(
        settings.text(&table::PUBLIC_URL) == Some(public.as_str()),
        "{host}"
    );
    let gateway = the(&objects, "Gateway", "kith")?;
    ensure!(gateway.text("/spec/listeners/0/hostname") == host);
    Ok(())
}

#[test]
fn the_example_of_a_broker_is_what_production_asks_for() -> Result<()> {
    let objects = rendered("production")?;
    let settings = the(&objects, "Deployment", "trait-worker")?.settings(&objects)?;
    let number = |setting| -> Result<u64> { Ok(settings.get::<u64>(setting)?) };
    let replicas = number(&table::KAFKA_REPLICATION_FACTOR)?;
    let in_sync = number(&table::KAFKA_MIN_INSYNC_REPLICAS)?;
    ensure!((replicas, in_sync) == (3, 2));
    let retention: Duration = settings.get(&table::KAFKA_RETENTION)?;
    let body: ByteSize = settings.get(&table::BODY_BYTES_MAX)?;
    let mut topics = KafkaConfig::default().topics;
    topics.record_bytes_max = record_bytes_max(body.as_usize()).max(topics.record_bytes_max);

    let example = parsed(&text("kubernetes/examples/kafka.yaml")?)?;
    let traits = settings
        .text(&table::KAFKA_TRAITS_TOPIC)
        .context("no topic")?;
    for (name, bytes) in [
        (traits.to_owned(), topics.record_bytes_max),
        (format!("{traits}.dead"), topics.dead_letter_bytes_max()),
    ] {
        let topic = the(&example, "KafkaTopic", &name)?;
        ensure!(topic.number("/spec/partitions")? == number(&table::KAFKA_TOPIC_PARTITIONS)?);
        ensure!(topic.number("/spec/replicas")? == replicas);
        let config = |field: &str| topic.number(&format!("/spec/config/{field}"));
        ensure!(config("min.insync.replicas")? == in_sync);
        ensure!(u128::from(config("retention.ms")?) == retention.as_millis());
        ensure!(
            config("max.message.bytes")? == bytes as u64,
            "{name}: {bytes}"
        );
        ensure!(topic.text("/spec/config/cleanup.policy") == "delete");
    }
    let kafka = the(&example, "Kafka", "kith")?;
    let config = |field: &str| kafka.number(&format!("/spec/kafka/config/{field}"));
    ensure!(config("default.replication.factor")? == replicas);
    ensure!(config("min.insync.replicas")? == in_sync);
    let pool = the(&example, "KafkaNodePool", "brokers")?;
    ensure!(pool.number("/spec/replicas")? >= replicas);
    let user = the(&example, "KafkaUser", "kith")?;
    let given = settings.text(&table::KAFKA_SASL_USERNAME);
    ensure!(given == Some(user.name()));
    let mechanism = settings
        .text(&table::KAFKA_SASL_MECHANISM)
        .unwrap_or_default();
    ensure!(user.text("/spec/authentication/type") == mechanism.to_ascii_lowercase());
    Ok(())
}

#[test]
fn the_example_of_a_database_is_what_production_asks_for() -> Result<()> {
    let objects = rendered("production")?;
    let settings = the(&objects, "Deployment", "ingest-api")?.settings(&objects)?;
    let example = parsed(&text("kubernetes/examples/scylla.yaml")?)?;
    let cluster = the(&example, "ScyllaCluster", "kith")?;
    let centre = cluster.text("/spec/datacenter/name");
    ensure!(settings.text(&table::CQL_LOCAL_DC) == Some(centre));
    // A copy in each rack, and a rack a zone.
    let racks = cluster.list("/spec/datacenter/racks");
    let copies: u64 = settings.get(&table::CQL_REPLICATION_FACTOR)?;
    ensure!((copies, racks.len()) == (3, 3));
    let service = format!("{}-client.scylla.svc:9042", cluster.name());
    ensure!(settings.text(&table::CQL_NODES) == Some(service.as_str()));
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Sizing {
    factor: f64,
    #[serde(flatten)]
    services: BTreeMap<String, Planned>,
}

#[derive(Debug, Deserialize)]
struct Planned {
    per_second: f64,
    processor: String,
    memory: String,
}

#[derive(Debug, Deserialize)]
struct Figures {
    cases: Vec<Figure>,
}

#[derive(Debug, Deserialize)]
struct Figure {
    case: String,
    value: f64,
    unit: Option<String>,
}

impl Figures {
    fn figure(&self, case: &str, units: &str) -> Result<f64> {
        let figure = self.cases.iter().find(|figure| figure.case == case);
        let figure = figure.with_context(|| format!("no figure {case}"))?;
        if let Some(unit) = &figure.unit {
            ensure!(unit.starts_with(units), "{case} is in {unit}, not {units}");
        }
        Ok(figure.value)
    }

    fn of_the_benchmark() -> Result<Self> {
        let figures = std::fs::read_to_string(workspace().join("docs/benchmarks/figures.json"))?;
        Ok(serde_json::from_str(&figures)?)
    }
}

/// Sentences of `docs/sizing.md` that say what was measured: a `#` for each number, and its figure.
const SIZED: [(&str, &[&str]); 7] = [
    (
        "# ms known, # ms new, of one core",
        &[
            "standalone-create.known_64_callers_processor",
            "standalone-create.new_64_callers_processor",
        ],
    ),
    (
        "# ms a request of a known person with two identifiers, # ms a record; # and # of a new one",
        &[
            "pipeline-create.known_2_ingest_processor",
            "pipeline-create.known_2_worker_processor",
            "pipeline-create.new_2_ingest_processor",
            "pipeline-create.new_2_worker_processor",
        ],
    ),
    (
        "# MiB, # MiB at the most in `pipeline-create`, # MiB of a worker that is behind",
        &[
            "pipeline-create.ingest_memory_at_most",
            "pipeline-create.worker_memory_at_most",
            "worker-drain.worker_memory_at_most",
        ],
    ),
    ("(# MiB at 1,000,000", &["standalone-growth.data"]),
    (
        "100,000 x # ms = 42 cores",
        &["pipeline-create.known_2_ingest_processor"],
    ),
    (
        "91,000 x # ms = 17 cores",
        &["pipeline-create.known_2_worker_processor"],
    ),
    (
        "(m: # new or # known a second",
        &[
            "standalone-create.new_64_callers_rate",
            "standalone-create.known_64_callers_rate",
        ],
    ),
];
/// How far such a number may be from its figure, as a part of it: less than a machine that is shared differs from day to day, and
/// the figures with it.
const SIZED_WITHIN: f64 = 0.25;

/// The numbers of a text where it says this, with a number for each `#`.
fn numbers_of(text: &str, says: &str) -> Result<Vec<f64>> {
    let parts: Vec<&str> = says.split('#').collect();
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    'places: for (start, _) in text.char_indices() {
        let (mut rest, mut numbers) = (&text[start..], Vec::new());
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                let end = rest.find(|c| !is_of_number(c)).unwrap_or(rest.len());
                let (number, after) = rest.split_at(end);
                let Ok(number) = number.replace(',', "").parse() else {
                    continue 'places;
                };
                numbers.push(number);
                rest = after;
            }
            let Some(after) = rest.strip_prefix(part) else {
                continue 'places;
            };
            rest = after;
        }
        return Ok(numbers);
    }
    anyhow::bail!("nothing says {says:?}")
}

#[test]
fn what_sizing_says_was_measured_is_what_the_benchmark_measured() -> Result<()> {
    let sizing = std::fs::read_to_string(workspace().join("docs/sizing.md"))?;
    let figures = Figures::of_the_benchmark()?;
    for (says, names) in SIZED {
        let numbers = numbers_of(&sizing, says)?;
        ensure!(numbers.len() == names.len(), "{says}: {numbers:?}");
        for (number, name) in numbers.into_iter().zip(names) {
            let figure = figures.figure(name, "")?;
            ensure!(
                (number - figure).abs() <= SIZED_WITHIN * figure,
                "docs/sizing.md says {number} of {name}, which is {figure}"
            );
        }
    }
    Ok(())
}

#[test]
fn requests_are_what_the_benchmark_measured_times_the_factor() -> Result<()> {
    let sizing: Sizing = toml::from_str(&text("kubernetes/sizing.toml")?)?;
    let figures = Figures::of_the_benchmark()?;
    let objects = rendered("production")?;
    for service in SERVICES {
        let planned = &sizing.services[service];
        let milliseconds = figures.figure(&planned.processor, "ms")?;
        let memory = figures.figure(&planned.memory, "MiB")? * sizing.factor;
        let processor = planned.per_second * milliseconds / 1_000.0 * sizing.factor;
        let container = the(&objects, "Deployment", service)?.container()?;
        let requested = |resource: &str| {
            container
                .text(&format!("/resources/requests/{resource}"))
                .to_owned()
        };
        for (what, requested, computed) in [
            ("cpu", cores(&requested("cpu"))?, processor),
            ("memory", mebibytes(&requested("memory"))?, memory),
        ] {
            ensure!(
                computed <= requested && requested < 2.0 * computed,
                "{service} requests {requested} of {what}; computed: {computed}"
            );
        }
    }
    Ok(())
}
