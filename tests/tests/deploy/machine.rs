//! One machine: the unit of systemd.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_runtime::config::{FromSetting, Setting, table};

use crate::tools::{deploy, prints, text};

/// How exposed a service may be by systemd's own measure, in tenths: 0 is not at all, 100 entirely.
const EXPOSURE_MAX: u32 = 15;

/// What a setting is by default.
pub(crate) fn default<T: FromSetting>(setting: &Setting) -> Result<T> {
    let text = setting.default.context("no default")?;
    T::from_setting(text).map_err(anyhow::Error::msg)
}

/// What the unit says of a key.
fn value(key: &str) -> Result<String> {
    let unit = text("systemd/kith.service")?;
    let key = format!("{key}=");
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(&key));
    let one = values.next().with_context(|| format!("no {key}"))?;
    ensure!(values.next().is_none(), "{key} twice");
    Ok(one.to_owned())
}

#[test]
fn the_unit_is_exposed_as_little_as_systemd_can_tell() -> Result<()> {
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(["security", "--offline=yes", "--no-pager"])
        .arg(format!("--threshold={EXPOSURE_MAX}"))
        .arg(deploy("systemd/kith.service"));
    // It ends with success up to the threshold.
    let said = prints(analyze, "")?;
    ensure!(said.contains("Overall exposure level"), "{said}");
    Ok(())
}

#[test]
fn the_unit_gives_the_service_time_to_end_and_does_not_repeat_a_wrong_setting() -> Result<()> {
    let grace: Duration = default(&table::SHUTDOWN_GRACE)?;
    let stop = Duration::from_secs(value("TimeoutStopSec")?.parse()?);
    ensure!(stop >= grace + Duration::from_secs(5), "{stop:?}");
    let wrong = kith_runtime::config::EXIT_CONFIG.to_string();
    ensure!(value("RestartPreventExitStatus")? == wrong);
    ensure!(value("ExecStart")? == "/usr/local/bin/kith serve");
    // What it may write to is where its data is.
    let directory = format!("/var/lib/{}", value("StateDirectory")?);
    let environment = value("Environment")?;
    ensure!(
        environment
            .split(' ')
            .any(|one| one == format!("KITH_DATA_DIR={directory}"))
    );
    ensure!(value("ProtectSystem")? == "strict");
    Ok(())
}
