//! `kill -9` of a process that writes, again and again, on one and the same directory.
//!
//! The child is this test binary: it says on its standard output what it was acknowledged. The parent kills it at a random
//! moment, opens the directory, and holds every line against what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use kith_domain::id::{ClaimId, RequestId};
use kith_domain::identifier::ClaimKey;
use kith_embedded::Embedded;
use kith_profiles::ports::{
    CellWrite, Conditional, Durability, Identity, LogEvent, Outcome, Partition, TraitLog,
    TraitSource,
};
use uuid::Uuid;

use crate::harness::{
    Home, LIMIT, at, cells, definition, event, micros, open, options, record, text, write,
};

const ROUNDS: u64 = 50;
const TASKS: u64 = 16;
/// What one write is: its round, its task, its number.
type Id = (u64, u64, u64);

const DIR: &str = "KITH_TEST_KILL_DIR";
const ROUND: &str = "KITH_TEST_KILL_ROUND";

fn profile(id: Id) -> u128 {
    u128::from(id.0) << 64 | u128::from(id.1)
}

fn claim_key(id: Id) -> ClaimKey {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&id.0.to_be_bytes());
    key[8..16].copy_from_slice(&id.1.to_be_bytes());
    key[16..24].copy_from_slice(&id.2.to_be_bytes());
    ClaimKey::from_bytes(key)
}

fn say(what: char, id: Id) {
    let line = format!("ACK {what} {} {} {}\n", id.0, id.1, id.2);
    // One write a line, so that a killed process leaves whole lines.
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// One task of the child: for ever a row, a record or a claim, and what it was told.
async fn work(engine: Embedded, round: u64, task: u64) {
    let log = engine.log();
    for n in 0.. {
        let id = (round, task, n);
        let cell = CellWrite::Trait(definition(u128::from(n)), text(&format!("{id:?}")));
        write(&engine, at(profile(id)), 1, vec![cell], Durability::Ordered).await;
        say('W', id);
        let filler = "x".repeat(usize::try_from(n % 7 * 400).unwrap());
        let payload = format!("{round} {task} {n} {filler}");
        log.publish(record(&format!("{task} {n}"), &payload))
            .await
            .unwrap();
        say('P', id);
        if n % 4 == 0 {
            let claim = Conditional::Claim {
                key: claim_key(id),
                expected: None,
                id: ClaimId::from_uuid(Uuid::from_u128(u128::from(n) + 1)),
                profile: at(profile(id)).profile,
                added_at: micros(1),
                place: 0,
                by_request: RequestId::from_uuid(Uuid::nil()),
            };
            let outcomes = engine.attempt(&[claim], Durability::Durable).await;
            assert_eq!(outcomes, [Outcome::Applied]);
            say('C', id);
        }
    }
}

#[test]
#[ignore = "the child of the test below"]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let round = std::env::var(ROUND).unwrap().parse().unwrap();
    let now = Arc::new(AtomicI64::new(1));
    let engine = open(&options(Path::new(&dir), &now));
    say('O', (round, 0, 0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(work(engine.clone(), round, task));
        }
        tasks.join_all().await;
    });
}

/// When the child is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// So long after it started: while it opens, or hardly later.
    AfterStart(Duration),
    /// So long after it began to write.
    AfterOpen(Duration),
}

/// Runs the child and kills it. What it was acknowledged, by kind.
fn run_and_kill(dir: &Path, round: u64, kill: Kill) -> BTreeMap<char, BTreeSet<Id>> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let mut trouble = child.stderr.take().unwrap();
    let (opened, is_open) = std::sync::mpsc::channel::<()>();
    let killer = std::thread::spawn(move || {
        let after = match kill {
            Kill::AfterStart(after) => after,
            Kill::AfterOpen(after) => {
                // Not open in time, or at its end: killed all the same.
                let _ = is_open.recv_timeout(LIMIT);
                after
            }
        };
        std::thread::park_timeout(after);
        // SIGKILL, on every system that this runs on.
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let mut acknowledged: BTreeMap<char, BTreeSet<Id>> = BTreeMap::new();
    for line in BufReader::new(output).lines() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        // Words of the test harness may stand before ours.
        if !words.any(|word| word == "ACK") {
            continue;
        }
        let words: Vec<_> = words.collect();
        let [what, round, task, n] = words[..] else {
            continue;
        };
        let number = |word: &str| word.parse().unwrap();
        if what == "O" {
            // The killer may have done its work by now.
            let _ = opened.send(());
            continue;
        }
        let id = (number(round), number(task), number(n));
        acknowledged
            .entry(what.chars().next().unwrap())
            .or_default()
            .insert(id);
    }
    killer.join().unwrap();
    let mut said = String::new();
    trouble.read_to_string(&mut said).unwrap();
    assert!(!said.contains("panicked"), "round {round}: {said}");
    acknowledged
}

/// Everything new in the log since the last look, after a check that it follows what was seen before.
async fn new_records(engine: &Embedded, next: &mut BTreeMap<Partition, i64>) -> BTreeSet<Id> {
    let mut source = engine.log().consumer("check");
    event(&mut source).await;
    let waiting: u64 = source.lag().iter().map(|lag| lag.records).sum();
    let mut found = BTreeSet::new();
    let mut count = 0;
    while count < waiting {
        let LogEvent::Records(records) = event(&mut source).await else {
            panic!("no records")
        };
        for record in records {
            let next = next.entry(record.partition).or_default();
            assert_eq!(record.offset.as_i64(), *next, "offsets have no gap");
            *next += 1;
            let payload = String::from_utf8(record.payload.to_vec()).unwrap();
            let mut words = payload.split(' ').map(|word| word.parse().unwrap());
            let mut number = || words.next().unwrap();
            found.insert((number(), number(), number()));
            source
                .commit(&[(record.partition, record.offset.next())])
                .unwrap();
            count += 1;
        }
    }
    source.close(LIMIT).await.unwrap();
    found
}

async fn check(
    engine: &Embedded,
    acknowledged: &BTreeMap<char, BTreeSet<Id>>,
    next: &mut BTreeMap<Partition, i64>,
) {
    let none = BTreeSet::new();
    let of = |what| acknowledged.get(&what).unwrap_or(&none);
    let records = new_records(engine, next).await;
    let missing: Vec<_> = of('P').difference(&records).collect();
    assert!(
        missing.is_empty(),
        "acknowledged records are gone: {missing:?}"
    );

    // Acknowledged or not: a record is there only with the row that was written before it.
    let mut rows: BTreeMap<u128, BTreeSet<u128>> = BTreeMap::new();
    for id in of('W').union(&records) {
        let profile = profile(*id);
        if let std::collections::btree_map::Entry::Vacant(slot) = rows.entry(profile) {
            let cells = cells(engine, at(profile)).await;
            slot.insert(
                cells
                    .traits
                    .iter()
                    .map(|c| c.definition.as_uuid().as_u128())
                    .collect(),
            );
        }
        assert!(
            rows[&profile].contains(&u128::from(id.2)),
            "the row of {id:?} is gone"
        );
    }
    for id in of('C') {
        let claims = engine.claims(&[claim_key(*id)]).await.unwrap();
        assert!(claims[0].is_some(), "the claim of {id:?} is gone");
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_fifty_kills() {
    let seed = std::hash::RandomState::new().build_hasher().finish();
    println!("seed {seed}");
    let mut random = seed | 1;
    let mut random = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (mut total, mut without) = (0, 0);
    let began = Instant::now();
    let mut home = Home::new();
    let mut next = BTreeMap::new();
    for round in 0..ROUNDS {
        // A new directory now and then, so that replay does not grow with the rounds.
        if round % 10 == 0 {
            home = Home::new();
            next.clear();
        }
        let kill = if round % 5 == 4 {
            Kill::AfterStart(Duration::from_millis(random() % 300))
        } else {
            Kill::AfterOpen(Duration::from_millis(random() % 150))
        };
        let acknowledged = run_and_kill(&home.path(), round, kill);
        without += u64::from(acknowledged.is_empty());
        total += acknowledged.values().map(BTreeSet::len).sum::<usize>();
        let engine = home.open();
        runtime.block_on(check(&engine, &acknowledged, &mut next));
    }
    println!(
        "{total} acknowledged, {without} rounds without, {:?}",
        began.elapsed()
    );
    assert!(total > 1000, "the child hardly wrote: {total}");
}
