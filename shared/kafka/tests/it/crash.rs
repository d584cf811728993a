//! Members in processes of their own, so that they can be killed and frozen.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use kith_kafka::KafkaConfig;
use kith_profiles::error::PortError;
use kith_profiles::ports::{NextOffset, TraitSource};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::{
    Member, PATIENCE, SESSION, committed, config, eventually, log, publish_numbers,
};

const TOPIC: &str = "KITH_TEST_CHILD_TOPIC";

/// Not a test by itself: the process that others kill. It takes what it gets, commits nothing, and says what it is told.
#[tokio::test]
#[ignore = "started by other tests, with a topic in its environment"]
async fn child() {
    let Ok(topic) = std::env::var(TOPIC) else {
        return;
    };
    let mut config = config(2);
    config.consumer.group.clone_from(&topic);
    config.traits_topic = topic;
    let mut member = Member::join(&config);
    let mut stdout = std::io::stdout();
    let (mut records, mut assigned, mut lost) = (0, 0, 0);
    loop {
        match member.step(PATIENCE).await {
            None | Some(Ok(()) | Err(PortError::Unavailable { .. })) => {}
            Some(Err(error)) => panic!("{error:?}"),
        }
        if member.assigned.len() > assigned {
            writeln!(stdout, "child: assigned").unwrap();
        }
        assigned = member.assigned.len();
        if member.records.len() > records {
            records = member.records.len();
            writeln!(stdout, "child: records {records}").unwrap();
        }
        if member.lost.len() > lost {
            lost = member.lost.len();
            // What a stage still had in flight, late: it was finished up to offset 1 when the process froze.
            let late: Vec<_> = member
                .lost
                .iter()
                .map(|p| (*p, NextOffset::new(1)))
                .collect();
            member.source.commit(&late).unwrap();
            writeln!(stdout, "child: lost").unwrap();
        }
    }
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(config: &KafkaConfig) -> Self {
        assert_eq!(config.traits_topic, config.consumer.group);
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["crash::child", "--exact", "--ignored", "--nocapture"])
            .env(TOPIC, &config.traits_topic)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let stdout = child.stdout.take().expect("piped");
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
        }
    }

    async fn until(&mut self, line: &str) {
        let reading = async {
            while let Some(read) = self.lines.next_line().await.expect("its output") {
                if read == line {
                    return;
                }
            }
            panic!("it ended before it said {line:?}");
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .unwrap_or_else(|_| panic!("it never said {line:?}"));
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("running").to_string();
        let status = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .await
            .expect("kill");
        assert!(status.success());
    }
}

#[tokio::test]
async fn the_partitions_of_a_killed_member_move_after_its_session_and_nothing_is_lost() {
    let config = config(2);
    let log = log(&config).await;
    publish_numbers(&log, 8, 0..50).await;
    let mut process = Process::start(&config);
    process.until("child: records 50").await;
    process.child.kill().await.unwrap();

    let start = Instant::now();
    let mut member = Member::join(&config);
    member.until_assigned(2).await;
    let took = start.elapsed();
    assert!(took > SESSION / 2, "{took:?}: nobody waited for the dead");
    assert!(took < 3 * SESSION, "{took:?}");
    member.until_records(50).await;
    member.close().await;
}

#[tokio::test]
async fn a_member_frozen_beyond_its_session_hears_that_it_lost_and_changes_nothing() {
    let config = config(2);
    let log = log(&config).await;
    publish_numbers(&log, 8, 0..50).await;
    let mut process = Process::start(&config);
    process.until("child: records 50").await;
    process.signal("STOP").await;

    let mut member = Member::join(&config);
    member.until_records(50).await;
    member.commit_all();
    eventually(
        "committed",
        || committed(&config),
        |c| c.values().sum::<i64>() == 50,
    )
    .await;
    process.signal("CONT").await;
    tokio::join!(
        process.until("child: lost"),
        member.run_for(Duration::from_secs(1))
    );
    // It comes back as any new member does.
    tokio::join!(process.until("child: assigned"), member.until_assigned(1));
    assert_eq!(committed(&config).values().sum::<i64>(), 50);
    member.close().await;
    process.child.kill().await.unwrap();
}
