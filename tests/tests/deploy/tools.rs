//! The tools that read the files.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use kith_tests::servers::workspace;

/// A file or folder of `deploy/`.
pub(crate) fn deploy(path: &str) -> PathBuf {
    workspace().join("deploy").join(path)
}

/// A file of `deploy/`, as it stands.
pub(crate) fn text(path: &str) -> Result<String> {
    let path = deploy(path);
    std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
}

/// A program of `tests/deploy`.
pub(crate) fn tool(path: &str) -> Result<Command> {
    let path = workspace().join("tests/deploy").join(path);
    ensure!(
        path.exists(),
        "{} is missing: run tests/deploy/prepare",
        path.display()
    );
    let mut command = Command::new(path);
    command
        .current_dir(workspace())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// A script of `tests/deploy`.
pub(crate) fn script(name: &str) -> Result<Command> {
    let mut command = tool("venv/bin/python")?;
    command.arg(workspace().join("tests/deploy").join(name));
    Ok(command)
}

/// How a program ends that is given this to read, and what it says.
pub(crate) fn runs(command: &mut Command, input: &str) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    // Whoever refuses its input may not have read all of it.
    drop(writer.join());
    Ok(output)
}

/// What a program prints that is given this to read. It has to end with success.
pub(crate) fn prints(mut command: Command, input: &str) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = runs(&mut command, input)?;
    let (said, complained) = (String::from_utf8(stdout)?, String::from_utf8(stderr)?);
    ensure!(
        status.success(),
        "{command:?}: {status}\n{said}{complained}"
    );
    Ok(said)
}
