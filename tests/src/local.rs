//! A node of the database and a broker of one suite's own, by the scripts of `deploy/local`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use uuid::Uuid;

use crate::process::free_address;
use crate::servers::workspace;

/// The servers. Dropping them stops them and removes their data.
#[derive(Debug)]
pub struct Local {
    dir: PathBuf,
    environment: Vec<(String, String)>,
    /// Where the node is.
    pub cql: String,
    /// Where the broker is.
    pub kafka: String,
    /// Where its second listener is.
    pub kafka_proxied: String,
}

impl Local {
    /// Starts them on free ports, with more settings of `deploy/local/up`, and waits until both answer.
    ///
    /// # Errors
    /// When one does not; with the end of its log.
    pub async fn start(settings: &[(&str, String)]) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("kith-local-{}", Uuid::new_v4().as_simple()));
        let mut environment: Vec<(String, String)> = vec![
            ("NODES".into(), "1".into()),
            ("KITH_LOCAL_DIR".into(), dir.display().to_string()),
            ("KITH_LOCAL_MIGRATE".into(), "0".into()),
        ];
        let given = settings.iter();
        environment.extend(given.map(|(name, value)| ((*name).to_owned(), value.clone())));
        let mut port = |name: &str| -> Result<String> {
            let address = free_address()?;
            environment.push((format!("KITH_LOCAL_{name}"), address.port().to_string()));
            Ok(address.to_string())
        };
        for name in ["KAFKA_CONTROLLER_PORT", "KAFKA_PROXY_PORT", "STORAGE_PORT"] {
            port(name)?;
        }
        let (cql, kafka) = (port("CQL_PORT")?, port("KAFKA_PORT")?);
        let kafka_proxied = port("KAFKA_PROXIED_PORT")?;
        let local = Self {
            dir,
            environment,
            cql,
            kafka,
            kafka_proxied,
        };
        run(local.command("up", &[])).await?;
        Ok(local)
    }

    /// `deploy/local/node NAME ACTION` on these servers.
    ///
    /// # Errors
    /// When it fails.
    pub async fn node(&self, name: &str, action: &str) -> Result<()> {
        run(self.command("node", &[name, action])).await
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(workspace().join("deploy/local").join(script));
        command.args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        drop(self.command("down", &["--delete"]).output());
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

async fn run(mut command: Command) -> Result<()> {
    let (output, command) =
        tokio::task::spawn_blocking(move || (command.output(), command)).await?;
    let output = output?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
