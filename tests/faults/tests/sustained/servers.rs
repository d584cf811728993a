//! The servers of a run: those that `make test` started, or a node and a broker of its own; and the site that is on them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use kith_tests::process::free_address;
use kith_tests::servers::{Place, cql_nodes, kafka_bootstrap, workspace};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::site::Site;

/// Where the servers are. Nothing is started before somebody asks; what was started ends with this.
#[derive(Default)]
pub(crate) struct Servers {
    site: OnceCell<Site>,
    found: OnceCell<Found>,
}

#[derive(Debug)]
struct Found {
    nodes: Vec<String>,
    bootstrap: String,
    _own: Option<Own>,
}

impl Servers {
    /// The site of all cases, made for whoever comes first.
    pub(crate) async fn site(&self) -> Result<&Site> {
        let site = Box::pin(async {
            let found = self.found.get_or_try_init(find).await?;
            Site::new(Place::on(found.nodes.clone(), found.bootstrap.clone())).await
        });
        self.site.get_or_try_init(|| site).await
    }
}

async fn find() -> Result<Found> {
    if let (Ok(nodes), Ok(bootstrap)) = (cql_nodes(), kafka_bootstrap()) {
        return Ok(Found {
            nodes,
            bootstrap,
            _own: None,
        });
    }
    let mut environment: Vec<(String, String)> = vec![
        ("NODES".into(), "1".into()),
        ("KITH_LOCAL_MIGRATE".into(), "0".into()),
        ("KITH_LOCAL_COMMITLOG".into(), "batch".into()),
    ];
    let mut port = |name: &str| -> Result<u16> {
        let port = free_address()?.port();
        environment.push((format!("KITH_LOCAL_{name}"), port.to_string()));
        Ok(port)
    };
    for name in [
        "KAFKA_CONTROLLER_PORT",
        "KAFKA_PROXIED_PORT",
        "KAFKA_PROXY_PORT",
        "STORAGE_PORT",
    ] {
        port(name)?;
    }
    let (cql, kafka) = (port("CQL_PORT")?, port("KAFKA_PORT")?);
    let name = format!("kith-sustained-{}", Uuid::new_v4().as_simple());
    let dir = std::env::temp_dir().join(name);
    environment.push(("KITH_LOCAL_DIR".into(), dir.display().to_string()));
    let own = Own { dir, environment };
    let mut up = own.command("up");
    let output = tokio::task::spawn_blocking(move || up.output()).await??;
    ensure!(
        output.status.success(),
        "deploy/local/up: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(Found {
        nodes: vec![format!("127.0.0.1:{cql}")],
        bootstrap: format!("127.0.0.1:{kafka}"),
        _own: Some(own),
    })
}

#[derive(Debug)]
struct Own {
    dir: PathBuf,
    environment: Vec<(String, String)>,
}

impl Own {
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(workspace().join("deploy/local").join(script));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.command("down").arg("--delete").output());
        drop(std::fs::remove_dir_all(&self.dir));
    }
}
