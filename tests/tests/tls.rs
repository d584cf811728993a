//! TLS and authentication at real servers of this suite's own, which take nothing else: both services work by a user and a password,
//! and by a certificate; what is wrong with either is named by `doctor` and at `/readyz`; and nothing secret is in a log.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kith_tests::local::Local;
use kith_tests::pair::{Pair, Shape};
use kith_tests::poll::until;
use kith_tests::privacy;
use kith_tests::process::Process;
use kith_tests::servers::{Place, workspace};
use kith_tests::told::{Told, doctor};
use serde_json::json;
use tempfile::TempDir;

const SERVICES: [&str; 2] = ["ingest-api", "trait-worker"];
/// Doctors at once. More of them would take each other's few seconds.
const AT_ONCE: usize = 6;

/// What `doctor` tells to do about the database.
const NOT_THERE: &str = "see whether it runs where KITH_CQL_NODES says, and wants TLS if and only if KITH_CQL_CA_FILE is set, and a certificate only with KITH_CQL_CERT_FILE";
const NOT_THIS_USER: &str = "set KITH_CQL_USERNAME and KITH_CQL_PASSWORD_FILE to a user of the database and that user's password";
const NOT_TRUSTED: &str = "see whether it speaks TLS, and KITH_CQL_CA_FILE has the authority of its certificate, which names its address by number";
/// And about the log.
const NO_BROKER: &str = "see whether a broker runs where KITH_KAFKA_BOOTSTRAP says, and speaks KITH_KAFKA_SECURITY_PROTOCOL";
const NO_LOGIN: &str = "set KITH_KAFKA_SASL_MECHANISM, KITH_KAFKA_SASL_USERNAME and KITH_KAFKA_SASL_PASSWORD_FILE to what the brokers know";
const NO_TRUST: &str = "see whether KITH_KAFKA_CA_FILE has the authority of the broker's certificate, which names the host in \
     KITH_KAFKA_BOOTSTRAP, and whether it asks for KITH_KAFKA_CERT_FILE";

/// A folder of certificates and passwords, as `deploy/local/certify` makes it.
struct Papers(PathBuf);

impl Papers {
    /// Makes it. What is secret in it is looked for in every log from then on.
    fn make(folder: PathBuf) -> Result<Self> {
        let certify = workspace().join("deploy/local/certify");
        let output = Command::new(certify).arg(&folder).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "certify: {said}");
        for name in ["kafka.password", "cql.password", "client.key"] {
            let secret = std::fs::read_to_string(folder.join(name))?;
            let lines = secret.lines().filter(|line| !line.starts_with("-----"));
            lines.for_each(|line| privacy::sent(&json!(line)));
        }
        Ok(Self(folder))
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

/// Which of a place's variables are others, or none.
type Change<'a> = (&'a str, Option<String>);

fn changed(place: &Place, changes: &[Change<'_>]) -> Place {
    let mut place = place.clone();
    for (name, value) in changes {
        place.environment.retain(|(known, _)| known != name);
        if let Some(value) = value {
            place = place.with(name, value);
        }
    }
    place
}

/// What is wrong with a set-up, where `doctor` finds it, and what it says: how the line goes on after `FAIL`, what is in it, how it ends.
struct Wrong<'a> {
    changes: Vec<Change<'a>>,
    begins: &'a str,
    has: &'a str,
    remedy: &'a str,
}

struct Secured {
    servers: Local,
    /// Where both services are, however they prove who they are.
    place: Place,
    ours: Papers,
    foreign: Papers,
    dir: TempDir,
}

impl Secured {
    async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let ours = Papers::make(dir.path().join("ours"))?;
        let foreign = Papers::make(dir.path().join("foreign"))?;
        let settings = [("KITH_LOCAL_TLS", ours.0.display().to_string())];
        let servers = Local::start(&settings).await?;
        Ok(Self {
            place: Place::on(vec![servers.cql.clone()], servers.kafka.clone()),
            servers,
            ours,
            foreign,
            dir,
        })
    }

    /// A place that is reached by user and password.
    fn by_password(&self) -> Place {
        self.at_database(self.place.clone())
            .with("KITH_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
            .with("KITH_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
            .with("KITH_KAFKA_SASL_USERNAME", "kith")
            .with(
                "KITH_KAFKA_SASL_PASSWORD_FILE",
                self.ours.file("kafka.password"),
            )
            .with("KITH_KAFKA_CA_FILE", self.ours.file("ca.pem"))
    }

    /// A place where both servers ask for a certificate.
    fn by_certificate(&self) -> Place {
        let bootstrap = self.servers.kafka_proxied.clone();
        let place = self.place.clone();
        self.at_database(Place { bootstrap, ..place })
            .with("KITH_CQL_CERT_FILE", self.ours.file("client.crt"))
            .with("KITH_CQL_KEY_FILE", self.ours.file("client.key"))
            .with("KITH_KAFKA_SECURITY_PROTOCOL", "SSL")
            .with("KITH_KAFKA_CA_FILE", self.ours.file("ca.pem"))
            .with("KITH_KAFKA_CERT_FILE", self.ours.file("client.crt"))
            .with("KITH_KAFKA_KEY_FILE", self.ours.file("client.key"))
    }

    fn at_database(&self, place: Place) -> Place {
        place
            .with("KITH_CQL_USERNAME", "kith")
            .with("KITH_CQL_PASSWORD_FILE", self.ours.file("cql.password"))
            .with("KITH_CQL_CA_FILE", self.ours.file("ca.pem"))
    }

    /// From now on the database asks its clients for a certificate.
    async fn ask_for_certificates(&self) -> Result<()> {
        std::fs::write(self.ours.0.join("cql.clients"), "")?;
        self.servers.node("cassandra1", "stop").await?;
        self.servers.node("cassandra1", "start").await
    }

    /// A create is accepted there, and its trait comes to be seen.
    async fn works(&self, place: &Place, name: &str) -> Result<()> {
        place.migrate().await?;
        let well = SERVICES.map(|binary| async move {
            let told = self.doctor(place, binary).await?;
            told.is_well(&["settings", "database", "clock of ", "topics", "log"])
        });
        try_join_all(well).await?;
        let pair = Pair::at(&Shape::single(), place).await?;
        let email = format!("{name}@example.com");
        let contact = json!({ "email": email, "firstName": name });
        let profile = pair.api().contact(contact).await?;
        let shown = ("Contact", "firstName");
        pair.api().until_trait(&profile, shown, json!(name)).await?;
        pair.stop().await
    }

    async fn doctor(&self, place: &Place, binary: &str) -> Result<Told> {
        let told = doctor(place.service(binary, self.dir.path())?).await?;
        privacy::search(&format!("doctor of {binary}"), &told.all())?;
        Ok(told)
    }

    /// Each of these is found by both services' doctors, and nothing else.
    async fn finds(&self, place: &Place, faults: &[Wrong<'_>]) -> Result<()> {
        let cases = faults.iter().flat_map(|wrong| {
            let case = move |binary| async move {
                let told = self.doctor(&changed(place, &wrong.changes), binary).await?;
                told.finds(&[(wrong.begins, wrong.remedy)])?;
                let line = told.failed()[0];
                ensure!(line.contains(wrong.has), "no {:?}: {line}", wrong.has);
                Ok(())
            };
            SERVICES.map(case)
        });
        stream::iter(cases)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Both services start there, say at `/readyz` that they wait for this and why, and go on doing so.
    async fn waits_for(&self, place: &Place, condition: &str, reason: &str) -> Result<()> {
        let waiting = SERVICES.map(|binary| async move {
            let launch = place.service(binary, self.dir.path())?;
            let url = format!("http://{}/readyz", launch.admin);
            let mut process = Process::start(launch, self.dir.path())?;
            let waits = || async {
                let answer = reqwest::get(&url).await?;
                let (status, said) = (answer.status().as_u16(), answer.text().await?);
                let is_told = said.contains(condition) && said.contains(reason);
                ensure!(status == 503 && is_told, "{binary}: {status} {said}");
                anyhow::Ok(Some(()))
            };
            until(Duration::from_secs(20), "a reason", &waits).await?;
            // Longer than between two tries.
            tokio::time::sleep(Duration::from_secs(2)).await;
            waits().await?;
            // Nothing that it sent is in what it said.
            process.terminate().await.map(drop)
        });
        try_join_all(waiting).await.map(drop)
    }

    /// Files that are no use end both services at the start, and `doctor`: what would be found wrong at the first connection is
    /// found before it.
    async fn needs_no_server_to_refuse(&self, place: &Place) -> Result<()> {
        for (setting, path) in [
            ("KITH_CQL_CA_FILE", self.ours.file("cql.password")),
            ("KITH_CQL_KEY_FILE", self.foreign.file("client.key")),
            ("KITH_KAFKA_CA_FILE", self.ours.file("cql.password")),
            ("KITH_KAFKA_KEY_FILE", self.foreign.file("client.key")),
        ] {
            let place = &changed(place, &[(setting, Some(path))]);
            let refused = SERVICES.map(|binary| async move {
                let told = self.doctor(place, binary).await?;
                told.is_misconfigured(setting, "")?;
                let launch = place.service(binary, self.dir.path())?;
                let mut process = Process::start(launch, self.dir.path())?;
                let status = process.exit(Duration::from_secs(10)).await?;
                let code = status.code();
                ensure!(code == Some(78), "{binary} with {setting}: {status}");
                process.check_log().context(setting)
            });
            try_join_all(refused).await?;
        }
        Ok(())
    }
}

fn file(path: String) -> Option<String> {
    Some(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn services_work_over_tls_by_what_proves_them_and_nothing_less() -> Result<()> {
    let secured = Secured::start().await?;
    let foreign = &secured.foreign;
    let place = secured.by_password();
    secured.works(&place, "Passworded").await?;

    let database = |changes, has, remedy| Wrong {
        changes,
        begins: "database: ",
        has,
        remedy,
    };
    let log = |changes, has, remedy| Wrong {
        changes,
        begins: "log: the log cannot be reached: ",
        has,
        remedy,
    };
    let foreign_ca = || file(foreign.file("ca.pem"));
    let untrusted = "certificate verify failed";
    let wrong_password = ("KITH_CQL_PASSWORD_FILE", file(foreign.file("cql.password")));
    let wrong_login = (
        "KITH_KAFKA_SASL_PASSWORD_FILE",
        file(foreign.file("kafka.password")),
    );
    let faults = [
        database(
            vec![("KITH_CQL_CA_FILE", foreign_ca())],
            untrusted,
            NOT_TRUSTED,
        ),
        database(
            vec![("KITH_CQL_CA_FILE", None)],
            "cannot be reached",
            NOT_THERE,
        ),
        database(
            vec![wrong_password.clone()],
            "does not let this user in",
            NOT_THIS_USER,
        ),
        database(
            vec![
                ("KITH_CQL_USERNAME", None),
                ("KITH_CQL_PASSWORD_FILE", None),
            ],
            "does not let this user in",
            NOT_THIS_USER,
        ),
        log(
            vec![("KITH_KAFKA_CA_FILE", foreign_ca())],
            untrusted,
            NO_TRUST,
        ),
        log(vec![wrong_login.clone()], "invalid credentials", NO_LOGIN),
        log(
            vec![("KITH_KAFKA_SASL_MECHANISM", Some("SCRAM-SHA-256".into()))],
            "SCRAM-SHA-512",
            NO_LOGIN,
        ),
        log(
            vec![
                ("KITH_KAFKA_SECURITY_PROTOCOL", Some("PLAINTEXT".into())),
                ("KITH_KAFKA_SASL_MECHANISM", None),
                ("KITH_KAFKA_SASL_USERNAME", None),
                ("KITH_KAFKA_SASL_PASSWORD_FILE", None),
                ("KITH_KAFKA_CA_FILE", None),
            ],
            "",
            NO_BROKER,
        ),
    ];
    let foreign_authority = [("KITH_CQL_CA_FILE", foreign_ca())];
    let (nobody, no_login, untrusting) = (
        changed(&place, &[wrong_password]),
        changed(&place, &[wrong_login]),
        changed(&place, &foreign_authority),
    );
    tokio::try_join!(
        secured.finds(&place, &faults),
        secured.waits_for(&nobody, "database", "does not let this user in"),
        secured.waits_for(&no_login, "log", "unavailable"),
        secured.waits_for(&untrusting, "database", "no TLS"),
    )?;

    let place = secured.by_certificate();
    tokio::try_join!(
        secured.ask_for_certificates(),
        secured.needs_no_server_to_refuse(&place),
    )?;
    secured.works(&place, "Certified").await?;
    let stranger = |certificate, key| {
        vec![
            (certificate, file(foreign.file("client.crt"))),
            (key, file(foreign.file("client.key"))),
        ]
    };
    let nobody = |certificate, key| vec![(certificate, None), (key, None)];
    let (cql, kafka) = (
        ("KITH_CQL_CERT_FILE", "KITH_CQL_KEY_FILE"),
        ("KITH_KAFKA_CERT_FILE", "KITH_KAFKA_KEY_FILE"),
    );
    let faults = [
        database(nobody(cql.0, cql.1), "cannot be reached", NOT_THERE),
        database(stranger(cql.0, cql.1), "cannot be reached", NOT_THERE),
        log(nobody(kafka.0, kafka.1), "alert", NO_TRUST),
        log(stranger(kafka.0, kafka.1), "alert", NO_TRUST),
    ];
    let uncertified = changed(&place, &nobody(kafka.0, kafka.1));
    tokio::try_join!(
        secured.finds(&place, &faults),
        secured.waits_for(&uncertified, "log", "unavailable"),
    )?;
    Ok(())
}
