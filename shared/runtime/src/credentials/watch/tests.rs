use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};

use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::TempDir;

use super::*;
use crate::telemetry::testing::never_alone;

const USER: &str = "AC00000000000000000000000000000001";

fn file_with(secrets: &[&str]) -> String {
    format!("[[account]]\nsid = \"{USER}\"\nauth_token = {secrets:?}\n")
}

/// A file that is watched, and the credentials that go by it.
struct Place {
    directory: TempDir,
    credentials: Credentials,
    watched: Watched,
}

impl Place {
    /// With the file at this path of a directory that `make` fills.
    fn new(name: &str, make: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        let path = directory.path().join(name);
        let credentials = Credentials::read(&path).unwrap();
        Self {
            directory,
            watched: Watched::new(credentials.clone(), path),
            credentials,
        }
    }

    fn plain() -> Self {
        Self::new("credentials.toml", |directory| {
            std::fs::write(directory.join("credentials.toml"), file_with(&["old"])).unwrap();
        })
    }

    fn write(&self, text: &str) {
        std::fs::write(self.directory.path().join("credentials.toml"), text).unwrap();
    }

    fn look(&mut self, times: usize) {
        (0..times).for_each(|_| self.watched.look());
    }

    #[track_caller]
    fn lets_in(&self, secrets: &[&str]) {
        for secret in ["old", "new"] {
            let is_let_in = self.credentials.verify(USER, secret).is_some();
            assert_eq!(is_let_in, secrets.contains(&secret), "{secret}");
        }
    }
}

#[test]
fn a_secret_is_replaced_in_two_steps() {
    let mut place = Place::plain();
    place.lets_in(&["old"]);
    place.write(&file_with(&["old", "new"]));
    place.look(2);
    place.lets_in(&["old", "new"]);
    place.write(&file_with(&["new"]));
    place.look(2);
    place.lets_in(&["new"]);
}

#[test]
fn a_file_that_is_being_written_is_not_taken() {
    let mut place = Place::plain();
    // Each of them is valid by itself.
    for number in 0..5 {
        place.write(&format!("{}# {number}\n", file_with(&["new"])));
        place.look(1);
        place.lets_in(&["old"]);
    }
    place.look(1);
    place.lets_in(&["new"]);
}

#[test]
fn a_file_that_is_broken_or_gone_changes_nothing_until_it_is_right_again() {
    let mut place = Place::plain();
    let no_account = "[[acount]]\n".to_owned();
    let not_text = file_with(&["new"]).replace('[', "\0");
    for text in [String::new(), no_account, not_text] {
        place.write(&text);
        place.look(3);
        place.lets_in(&["old"]);
    }
    std::fs::remove_file(place.directory.path().join("credentials.toml")).unwrap();
    place.look(3);
    place.lets_in(&["old"]);
    place.write(&file_with(&["new"]));
    place.look(2);
    place.lets_in(&["new"]);
}

/// As a kubelet does it: the file is a link through `..data`, which is replaced by renaming another link over it.
#[test]
fn a_mounted_secret_that_is_swapped_is_seen() {
    let version = |directory: &Path, name: &str, secret: &str| {
        std::fs::create_dir(directory.join(name)).unwrap();
        let path = directory.join(name).join("credentials.toml");
        std::fs::write(path, file_with(&[secret])).unwrap();
    };
    let mut place = Place::new("credentials.toml", |directory| {
        version(directory, "..first", "old");
        symlink("..first", directory.join("..data")).unwrap();
        symlink(
            "..data/credentials.toml",
            directory.join("credentials.toml"),
        )
        .unwrap();
    });
    place.lets_in(&["old"]);
    let directory = place.directory.path();
    version(directory, "..second", "new");
    symlink("..second", directory.join("..data_tmp")).unwrap();
    std::fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    std::fs::remove_dir_all(directory.join("..first")).unwrap();
    place.look(2);
    place.lets_in(&["new"]);
}

/// Log lines, for this thread only.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_becomes_of_a_file_is_said_once_and_without_its_values() {
    never_alone();
    let lines = Lines::default();
    let writer = lines.clone();
    let dispatch: tracing::Dispatch = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish()
        .into();
    let recorder = PrometheusBuilder::new().build_recorder();
    let mut place = Place::plain();
    let mut look = |text: &str| {
        place.write(text);
        metrics::with_local_recorder(&recorder, || {
            tracing::dispatcher::with_default(&dispatch, || place.look(4));
        });
        recorder.handle().render()
    };
    let secret = "hunter2";
    let broken = format!("{}auth_token = {secret}\n", file_with(&["old"]));
    assert!(look(&broken).contains("kith_credentials_stale 1"));
    assert!(look(&file_with(&[secret])).contains("kith_credentials_stale 0"));
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("credentials file is refused"), "{lines}");
    assert!(lines.contains("accounts=1 users=1"), "{lines}");
    assert!(!lines.contains(secret), "{lines}");
}
