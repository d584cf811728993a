//! What figures were measured with: the compiler, and the servers of a case that needs any.

use std::path::Path;
use std::process::Command;

use kith_tests::servers::workspace;

use crate::cases::Case;

/// Where Debian puts the releases of PostgreSQL, a folder each.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// Names and versions. What cannot be told is left out.
#[must_use]
pub fn versions(case: Case) -> Vec<String> {
    let mut found: Vec<String> = compiler().into_iter().collect();
    if case.needs_servers() {
        found.extend(of_jars("Apache Kafka", "kafka", "kafka_2.13"));
        found.extend(of_jars("Apache Cassandra", "cassandra", "cassandra-all"));
    }
    if case.name().contains("postgres") {
        found.extend(postgresql());
    }
    found
}

/// The compiler of this checkout.
#[must_use]
pub fn compiler() -> Option<String> {
    said("rustc", "--version")
}

/// What a command says of itself.
fn said(command: impl AsRef<std::ffi::OsStr>, argument: &str) -> Option<String> {
    let output = Command::new(command).arg(argument).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The version of a server that `deploy/local` starts: the one that it fetches, by checksum.
fn of_jars(product: &str, folder: &str, artifact: &str) -> Option<String> {
    let path = workspace()
        .join("deploy/local")
        .join(folder)
        .join("pom.xml");
    let version = version_of(&std::fs::read_to_string(path).ok()?, artifact)?;
    Some(format!("{product} {version}"))
}

/// The version of an artifact in a file of Maven's.
fn version_of(pom: &str, artifact: &str) -> Option<String> {
    let (_, rest) = pom.split_once(&format!("<artifactId>{artifact}</artifactId>"))?;
    let (_, rest) = rest.split_once("<version>")?;
    let (version, _) = rest.split_once("</version>")?;
    Some(version.trim().to_owned())
}

/// The newest one that is installed.
fn postgresql() -> Option<String> {
    let releases = std::fs::read_dir(POSTGRESQL).ok()?;
    let newest = releases
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max()?;
    let server = Path::new(POSTGRESQL)
        .join(newest.to_string())
        .join("bin/postgres");
    said(server, "--version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_named_and_servers_only_where_they_are_needed() {
        let of = |case| versions(case).join(", ");
        assert!(of(Case::StandaloneBulk).starts_with("rustc 1."));
        assert!(!of(Case::StandaloneBulk).contains("Kafka"));
        let both = of(Case::CqlListing);
        assert!(
            both.contains("Apache Kafka 4.") && both.contains("Apache Cassandra 5."),
            "{both}"
        );
    }
}
