//! The example of a proxy, in a real nginx: as far as addresses and certificates it is the file that is shipped.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_runtime::config::{ByteSize, table};
use kith_tests::api::{ACCOUNT, STORE, TOKEN};
use kith_tests::pair::{Pair, Shape};
use kith_tests::privacy;
use kith_tests::process::free_address;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::machine::default;
use crate::tools::{prints, runs, text, tool};

/// The host that the example is for.
const HOST: &str = "kith.example.com";
/// By then it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is around the example on a machine, without a folder of the system's, in one process.
const AROUND: &str = "daemon off;\nmaster_process off;\npid pid;\nevents {}\nhttp {\n    access_log off;\n    client_body_temp_path body;\n    \
                      proxy_temp_path proxy;\n    fastcgi_temp_path fastcgi;\n    uwsgi_temp_path uwsgi;\n    scgi_temp_path scgi;\n    \
                      include kith.conf;\n}\n";

/// The example with another word in a place where it has to have one.
fn replaced(conf: &str, from: &str, to: &str) -> Result<String> {
    ensure!(conf.contains(from), "no {from}");
    Ok(conf.replace(from, to))
}

/// The example on addresses of its own, in a folder with everything that it names.
fn set_up(dir: &Path, http: SocketAddr, https: SocketAddr, servers: &[SocketAddr]) -> Result<()> {
    let of_system = |name: &str| format!("/etc/ssl/kith/{name}");
    let here = |name: &str| dir.join(name).display().to_string();
    let servers: Vec<String> = servers.iter().map(|one| format!("server {one};")).collect();
    let mut conf = text("proxy/nginx.conf")?;
    for (from, to) in [
        ("listen 80;", format!("listen {http};")),
        ("listen 443 ", format!("listen {https} ")),
        // Not every machine has IPv6; a socket takes the same parameters.
        ("listen [::]:80;", format!("listen unix:{};", here("80"))),
        ("listen [::]:443 ", format!("listen unix:{} ", here("443"))),
        (&of_system("fullchain.pem"), here("fullchain.pem")),
        (&of_system("privkey.pem"), here("privkey.pem")),
        ("server 127.0.0.1:8080;", servers.join("\n")),
    ] {
        conf = replaced(&conf, from, &to)?;
    }
    fs::write(dir.join("kith.conf"), conf)?;
    fs::write(dir.join("nginx.conf"), AROUND)?;
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            &format!("/CN={HOST}"),
            "-addext",
            &format!("subjectAltName=DNS:{HOST}"),
        ])
        .args([
            "-keyout",
            &here("privkey.pem"),
            "-out",
            &here("fullchain.pem"),
        ]);
    prints(openssl, "").map(drop)
}

/// nginx on a folder that was set up.
fn nginx(dir: &Path) -> Result<Command> {
    let mut nginx = tool("bin/nginx")?;
    nginx
        .arg("-p")
        .arg(dir)
        .args(["-c", "nginx.conf", "-e", "stderr"]);
    Ok(nginx)
}

/// A running nginx. Dropping it ends it.
struct Proxy {
    http: SocketAddr,
    https: SocketAddr,
    child: Child,
    dir: TempDir,
}

impl Proxy {
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of a test may sleep between two questions"
    )]
    fn start(servers: &[SocketAddr]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (http, https) = (free_address()?, free_address()?);
        set_up(dir.path(), http, https, servers)?;
        let log = dir.path().join("log");
        let child = nginx(dir.path())?
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let mut proxy = Self {
            http,
            https,
            child,
            dir,
        };
        let start = Instant::now();
        while std::net::TcpStream::connect(https).is_err() {
            let ended = proxy.child.try_wait()?;
            ensure!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "no nginx: {ended:?}\n{}",
                fs::read_to_string(&log)?
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(proxy)
    }

    /// What `curl` is answered by this address under this host's name.
    fn answer(
        &self,
        address: SocketAddr,
        scheme: &str,
        path: &str,
        more: &[&str],
        body: &str,
    ) -> Result<Answer> {
        let port = address.port();
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "30",
            "--include",
            "--http2",
        ])
        .arg("--cacert")
        .arg(self.dir.path().join("fullchain.pem"))
        .args(["--resolve", &format!("{HOST}:{port}:{}", address.ip())])
        .args(["--user", &format!("{ACCOUNT}:{TOKEN}")])
        .args(more)
        .arg(format!("{scheme}://{HOST}:{port}/v1/Stores/{STORE}{path}"));
        let said = prints(curl, body)?.replace("\r\n", "\n");
        let (head, body) = said.split_once("\n\n").context("no head")?;
        Ok(Answer {
            head: head.to_lowercase(),
            body: body.to_owned(),
        })
    }

    fn get(&self, path: &str) -> Result<Answer> {
        self.answer(self.https, "https", path, &[], "")
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let more = [
            "--request",
            method,
            "--header",
            "Content-Type: application/json",
            "--data-binary",
            "@-",
        ];
        self.answer(self.https, "https", path, &more, body)
    }

    /// Creates a profile; its id.
    fn create(&self, contact: &Value) -> Result<String> {
        let body = json!({ "traits": { "Contact": contact } });
        privacy::sent(&body);
        let answer = self.send("POST", "/Profiles", &body.to_string())?;
        answer.is(202)?;
        let body: Value = serde_json::from_str(&answer.body)?;
        Ok(body["id"].as_str().context("no id")?.to_owned())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What came back: the head in small letters, as HTTP/2 has it anyway.
#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn is(&self, status: u16) -> Result<()> {
        ensure!(
            self.head.starts_with(&format!("http/2 {status}")),
            "{self:?}"
        );
        Ok(())
    }

    fn header(&self, name: &str) -> Result<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let (_, value) = lines
            .find(|(found, _)| *found == name)
            .with_context(|| format!("no {name}: {self:?}"))?;
        Ok(value)
    }
}

/// What the example of a proxy says of a directive.
fn directive(name: &str) -> Result<String> {
    let conf = text("proxy/nginx.conf")?;
    let name = format!("{name} ");
    let mut lines = conf.lines().map(str::trim);
    let line = lines.find_map(|line| line.strip_prefix(&name));
    let line = line.with_context(|| format!("no {name}"))?;
    Ok(line.trim_end_matches(';').to_owned())
}

#[test]
fn the_proxy_takes_what_the_service_takes_and_waits_longer() -> Result<()> {
    let bulk: ByteSize = default(&table::BULK_BYTES_MAX)?;
    let taken = directive("client_max_body_size")?;
    let taken: u64 = taken.strip_suffix('m').context("not in MiB")?.parse()?;
    ensure!(taken << 20 == bulk.0, "{taken}");
    let deadline: Duration = default(&table::REQUEST_DEADLINE)?;
    let waits = directive("proxy_read_timeout")?;
    let waits: u64 = waits.strip_suffix('s').context("not in seconds")?.parse()?;
    ensure!(Duration::from_secs(waits) > deadline);
    let listens: String = default(&table::LISTEN)?;
    let server = format!("server {listens};");
    ensure!(text("proxy/nginx.conf")?.contains(&server), "no {server}");
    Ok(())
}

#[test]
fn nginx_accepts_the_example_and_refuses_what_it_does_not_know() -> Result<()> {
    let dir = tempfile::tempdir()?;
    set_up(
        dir.path(),
        free_address()?,
        free_address()?,
        &[free_address()?],
    )?;
    let judged = || -> Result<(bool, String)> {
        let output = runs(nginx(dir.path())?.arg("-t"), "")?;
        Ok((output.status.success(), String::from_utf8(output.stderr)?))
    };
    let (is_accepted, said) = judged()?;
    let has_complaint = ["[warn]", "[error]", "[alert]", "[emerg]"]
        .iter()
        .any(|level| said.contains(level));
    ensure!(is_accepted && !has_complaint, "{said}");

    let file = dir.path().join("kith.conf");
    let right = fs::read_to_string(&file)?;
    for (from, to, because) in [
        (
            "proxy_read_timeout",
            "proxy_read_timeuot",
            "unknown directive",
        ),
        ("non_idempotent", "non_idempotant", "invalid value"),
        ("http://kith;", "http://kiht;", "host not found in upstream"),
    ] {
        fs::write(&file, replaced(&right, from, to)?)?;
        let (is_accepted, said) = judged()?;
        ensure!(!is_accepted && said.contains(because), "{to}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_through_nginx_is_answered_by_kith() -> Result<()> {
    let shape = Shape::single().with("KITH_PUBLIC_URL", format!("https://{HOST}"));
    let pair = Pair::standalone(&shape).await?;
    let base = pair.api().base();
    let kith = base
        .strip_prefix("http://")
        .context("no address")?
        .parse()?;
    // One of the two is away: nobody notices.
    let proxy = Proxy::start(&[free_address()?, kith])?;

    let ada = json!({ "email": "behind.nginx@example.com", "firstName": "Behind-Nginx" });
    let one = proxy.create(&ada)?;
    let other = proxy.create(&json!({ "phone": "+13175550177" }))?;
    ensure!(one != other, "{one}");
    let found = proxy.get(&format!("/Profiles/{one}"))?;
    found.is(200)?;
    ensure!(
        found
            .header("strict-transport-security")?
            .starts_with("max-age="),
        "{found:?}"
    );

    // Redirects lead to where callers come in, whatever the proxy asks.
    let both = json!({ "email": "behind.nginx@example.com", "phone": "+13175550177" });
    let root = proxy.create(&both)?;
    let merged = if root == one { other } else { one };
    let moved = proxy.get(&format!("/Profiles/{merged}"))?;
    moved.is(301)?;
    let location = format!("https://{HOST}/v1/stores/{STORE}/profiles/{root}");
    ensure!(
        moved.header("location")? == location.to_lowercase(),
        "{moved:?}"
    );

    let plain = proxy.answer(proxy.http, "http", "/Profiles", &[], "")?;
    ensure!(plain.head.starts_with("http/1.1 308"), "{plain:?}");
    ensure!(
        plain
            .header("location")?
            .starts_with(&format!("https://{HOST}/")),
        "{plain:?}"
    );

    // The largest body gets through, to be refused for what it is; one byte more does not.
    let bulk: ByteSize = default(&table::BULK_BYTES_MAX)?;
    let largest = usize::try_from(bulk.0)?;
    for (bytes, status) in [(largest, 400), (largest + 1, 413)] {
        proxy
            .send("PUT", "/Profiles/Bulk", &" ".repeat(bytes))?
            .is(status)?;
    }

    let log = fs::read_to_string(proxy.dir.path().join("log"))?;
    privacy::search("the log of nginx", &log)?;
    pair.stop().await
}
