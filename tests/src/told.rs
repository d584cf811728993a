//! What the `doctor` of a binary says.

use std::process::{Command, Output};

use anyhow::{Result, ensure};

use crate::process::Launch;

/// What a `doctor` said, and how it ended.
#[derive(Debug)]
pub struct Told {
    /// The exit code.
    pub code: Option<i32>,
    /// What it printed.
    pub lines: Vec<String>,
    /// What it wrote to standard error.
    pub on_error: String,
}

impl Told {
    /// Runs a command that is a `doctor`.
    ///
    /// # Errors
    /// When it cannot be run, or said something that is no text.
    pub async fn by(mut command: Command) -> Result<Self> {
        let output: Output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8(output.stdout)?;
        Ok(Self {
            code: output.status.code(),
            lines: said.lines().map(str::to_owned).collect(),
            on_error: String::from_utf8(output.stderr)?,
        })
    }

    /// Everything, for a message.
    #[must_use]
    pub fn all(&self) -> String {
        format!(
            "exit {:?}\n{}\n{}",
            self.code,
            self.lines.join("\n"),
            self.on_error
        )
    }

    /// The lines of faults.
    #[must_use]
    pub fn failed(&self) -> Vec<&String> {
        let lines = self.lines.iter();
        lines.filter(|line| line.starts_with("FAIL")).collect()
    }

    /// It must find nothing, and these checks must be among those that were made.
    ///
    /// # Errors
    /// When it did not.
    pub fn is_well(&self, checks: &[&str]) -> Result<()> {
        ensure!(self.code == Some(0) && self.failed().is_empty(), self.all());
        for check in checks {
            let begin = format!("ok    {check}");
            let is_there = self.lines.iter().any(|line| line.starts_with(&begin));
            ensure!(is_there, "no line {begin:?}: {}", self.all());
        }
        Ok(())
    }

    /// It must find these faults and no other, in this order: how the line begins after `FAIL`, and how it ends.
    ///
    /// # Errors
    /// When it did not.
    pub fn finds(&self, faults: &[(&str, &str)]) -> Result<()> {
        let failed = self.failed();
        let is_so = failed.len() == faults.len()
            && failed.iter().zip(faults).all(|(line, (fault, remedy))| {
                line.starts_with(&format!("FAIL  {fault}"))
                    && line.ends_with(&format!("; {remedy}"))
            });
        ensure!(is_so, "not {faults:#?}: {}", self.all());
        ensure!(self.code == Some(1), self.all());
        Ok(())
    }

    /// It must end at the settings, with one line on standard error that begins like this and has this in it.
    ///
    /// # Errors
    /// When it did not.
    pub fn is_misconfigured(&self, setting: &str, reason: &str) -> Result<()> {
        let line = self.on_error.trim_end();
        let is_so = self.code == Some(78)
            && line.lines().count() == 1
            && line.starts_with(setting)
            && line.contains(reason);
        ensure!(is_so, "not {setting} {reason}: {}", self.all());
        Ok(())
    }
}

/// Runs the `doctor` of a binary.
///
/// # Errors
/// When it cannot be run.
pub async fn doctor(mut launch: Launch) -> Result<Told> {
    launch.arguments.push("doctor".into());
    Told::by(launch.command()?).await
}
