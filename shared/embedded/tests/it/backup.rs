use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use kith_domain::id::LinkToken;
use kith_embedded::{CopyError, Embedded, OpenError, restore, verify};
use kith_profiles::ports::{
    CellWrite, Conditional, Durability, Identity, Outcome, TraitLog, TraitSource,
};

use crate::harness::{
    Home, LIMIT, at, cells, definition, event, is_quiet, micros, open, options, payloads, record,
    records, text, write,
};

const TASKS: usize = 8;

/// Opens a copy as a process would, with every byte of it checked first.
fn open_whole(dir: &Path) -> Embedded {
    let mut options = options(dir, &Arc::new(AtomicI64::new(1_000_000_000_000_000)));
    options.check_bytes = u64::MAX;
    open(&options)
}

fn go_on(_: kith_embedded::Copied) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// For ever two rows of one commit, then a record; `done` is how many records were acknowledged.
async fn work(engine: Embedded, task: usize, done: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let log = engine.log();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let value = text(&format!("{n} {}", "x".repeat(2000)));
        let rows = [1, 2].map(|d| CellWrite::Trait(definition(d), value.clone()));
        let profile = at(((task as u128) << 64) | u128::from(n));
        write(&engine, profile, 1, rows.into(), Durability::Ordered).await;
        log.publish(record(&task.to_string(), &format!("{task} {n}")))
            .await
            .unwrap();
        n += 1;
        done.store(n, Ordering::SeqCst);
    }
}

/// How many records each task has in the log of a copy, after a check that they are the first ones, in order.
async fn records_of(copy: &Embedded) -> [u64; TASKS] {
    let mut source = copy.log().consumer("check");
    event(&mut source).await;
    let waiting: u64 = source.lag().iter().map(|lag| lag.records).sum();
    let found = records(&mut source, usize::try_from(waiting).unwrap()).await;
    assert!(is_quiet(&mut source).await);
    let mut counts = [0; TASKS];
    for payload in payloads(&found) {
        let (task, n) = payload.split_once(' ').unwrap();
        let count = &mut counts[task.parse::<usize>().unwrap()];
        assert_eq!(n.parse::<u64>().unwrap(), *count, "task {task}");
        *count += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_writers_has_all_that_was_acknowledged_before_it_and_whole_commits_only() {
    let home = Home::new();
    let engine = home.open();
    let done: [Arc<AtomicU64>; TASKS] = Default::default();
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for (task, done) in done.iter().enumerate() {
        tasks.spawn(work(
            engine.clone(),
            task,
            Arc::clone(done),
            Arc::clone(&stop),
        ));
    }
    let acknowledged = || done.each_ref().map(|done| done.load(Ordering::SeqCst));
    let until = Instant::now() + LIMIT;
    while acknowledged().iter().any(|n| *n < 300) {
        assert!(Instant::now() < until, "{:?}", acknowledged());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    let target = home.path().with_file_name("copy");
    let before = acknowledged();
    let copied = {
        let (engine, target) = (engine.clone(), target.clone());
        tokio::task::spawn_blocking(move || engine.backup(&target, go_on))
    };
    let copied = copied.await.unwrap().unwrap();
    let after = acknowledged();
    stop.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| before < after),
        "writers were held up: {before:?} {after:?}"
    );
    let acknowledged_rows = 3 * before.iter().sum::<u64>();
    assert!(copied.rows >= acknowledged_rows, "{copied:?} of {before:?}");

    let copy = open_whole(&target);
    let found = records_of(&copy).await;
    for task in 0..TASKS {
        assert!(found[task] >= before[task], "{found:?} of {before:?}");
        // One more may be on its way: its rows are there and its record is not.
        for n in 0..found[task] + 2 {
            let rows = cells(&copy, at(((task as u128) << 64) | u128::from(n))).await;
            let expected = if n < found[task] {
                2
            } else {
                rows.traits.len()
            };
            assert_eq!(rows.traits.len(), expected, "task {task}, {n}");
            assert!(matches!(expected, 0 | 2), "half a commit: {task}, {n}");
        }
    }
    // It is a store like any other.
    write(&copy, at(1), 2, vec![CellWrite::Clock], Durability::Durable).await;
    drop(copy);
    drop(open_whole(&target));
}

#[tokio::test]
async fn a_copy_of_a_copy_is_the_same_and_groups_go_on_where_they_were() {
    let home = Home::new();
    let engine = home.open();
    let log = engine.log();
    for n in 0..20 {
        log.publish(record("k", &n.to_string())).await.unwrap();
    }
    let mut source = log.consumer("group");
    let read = records(&mut source, 20).await;
    let last = read.last().unwrap();
    source
        .commit(&[(read[9].partition, read[9].offset.next())])
        .unwrap();
    source.close(LIMIT).await.unwrap();

    let [first, second] = ["first", "second"].map(|name| home.path().with_file_name(name));
    let copied = engine.backup(&first, go_on).unwrap();
    let copy = open_whole(&first);
    assert_eq!(copy.backup(&second, go_on).unwrap(), copied);
    let again = open_whole(&second);
    let mut source = again.log().consumer("group");
    let rest = records(&mut source, 10).await;
    assert_eq!(payloads(&rest)[0], "10");
    assert_eq!(rest.last().unwrap().offset, last.offset);
}

#[tokio::test]
async fn a_backup_that_is_refused_or_given_up_leaves_nothing() {
    let home = Home::new();
    let engine = home.open();
    write(
        &engine,
        at(1),
        1,
        vec![CellWrite::Clock],
        Durability::Durable,
    )
    .await;
    let target = home.path().with_file_name("copy");

    let given_up = engine.backup(&target, |_| ControlFlow::Break(()));
    assert!(matches!(given_up, Err(CopyError::GivenUp)), "{given_up:?}");

    for inside in [home.path().join("copy"), home.path().join("a/b/copy")] {
        let refused = engine.backup(&inside, go_on);
        assert!(
            matches!(refused, Err(CopyError::Inside { .. })),
            "{refused:?}"
        );
        assert!(!inside.exists());
    }
    let refused = engine.backup(&home.path(), go_on);
    assert!(
        matches!(refused, Err(CopyError::Inside { .. })),
        "{refused:?}"
    );

    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("notes"), "mine").unwrap();
    let refused = engine.backup(&target, go_on);
    assert!(
        matches!(refused, Err(CopyError::NotEmpty { .. })),
        "{refused:?}"
    );
    std::fs::remove_file(target.join("notes")).unwrap();

    let names: Vec<_> = std::fs::read_dir(target.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "data and copy: {names:?}");

    engine.close().await.unwrap();
    let closed = engine.backup(&target, go_on);
    assert!(matches!(closed, Err(CopyError::GivenUp)), "{closed:?}");
    drop(engine);
    let engine = home.open();
    engine.backup(&target, go_on).unwrap();
    drop(open_whole(&target));
}

const DIR: &str = "KITH_TEST_BACKUP_DIR";
const ROUNDS: u32 = 12;
const ROWS: u128 = 1000;

/// The child: makes one backup after another, and moves each out of the way.
#[test]
#[ignore = "the child of the test below"]
fn backup_child() {
    let Ok(dir) = std::env::var(DIR).map(PathBuf::from) else {
        return;
    };
    let now = Arc::new(AtomicI64::new(1));
    let engine = open(&options(&dir.join("data"), &now));
    writeln!(std::io::stdout().lock(), "OPEN").unwrap();
    loop {
        engine.backup(&dir.join("copy"), go_on).unwrap();
        let name = format!("copy-{}", uuid::Uuid::new_v4());
        std::fs::rename(dir.join("copy"), dir.join(name)).unwrap();
    }
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_backup_leaves_none_that_looks_whole() {
    let home = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(1));
    let engine = open(&options(&home.path().join("data"), &now));
    let value = text(&"x".repeat(4000));
    for n in 0..ROWS {
        let row = CellWrite::Trait(definition(1), value.clone());
        write(&engine, at(n), 1, vec![row], Durability::Ordered).await;
    }
    let began = Instant::now();
    engine.backup(&home.path().join("copy"), go_on).unwrap();
    let takes = began.elapsed();
    engine.close().await.unwrap();
    drop(engine);

    let (mut unfinished, mut whole) = (0, 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "backup::backup_child",
                "--ignored",
                "--nocapture",
            ])
            .env(DIR, home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("OPEN")));
        // From within the first one to within the third.
        std::thread::park_timeout(takes * (2 * round + 1) / 10);
        child.kill().unwrap();
        child.wait().unwrap();
        for entry in std::fs::read_dir(home.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name == "data" {
                continue;
            }
            if name == "copy.making" {
                unfinished += 1;
                continue;
            }
            assert!(name.starts_with("copy"), "{name}");
            let copy = open_whole(&path);
            for n in [0, ROWS / 2, ROWS - 1] {
                assert_eq!(cells(&copy, at(n)).await.traits.len(), 1, "{name}: {n}");
            }
            drop(copy);
            std::fs::remove_dir_all(&path).unwrap();
            whole += 1;
        }
    }
    assert!(unfinished > 0 && whole > 0, "{unfinished} {whole}");
    // What the last one left is in nobody's way.
    let engine = open(&options(&home.path().join("data"), &now));
    engine.backup(&home.path().join("copy"), go_on).unwrap();
    assert!(!home.path().join("copy.making").exists());
}

/// Two profiles of which the younger points at the older one, with or without the older one's word for it.
async fn pointed(engine: &Embedded, parent: u128, child: u128, is_linked: bool) {
    let token = LinkToken::from_uuid(uuid::Uuid::from_u128(child));
    let mut statements = vec![Conditional::Point {
        child: at(child),
        expected: None,
        parent: at(parent).profile,
        token,
    }];
    if is_linked {
        statements.push(Conditional::Link {
            parent: at(parent),
            child: at(child).profile,
            token,
            expected: None,
            decided_at: micros(1),
            evidence: b"{}".as_slice().into(),
        });
    }
    for statement in statements {
        let outcomes = engine.attempt(&[statement], Durability::Durable).await;
        assert_eq!(outcomes, [Outcome::Applied]);
    }
}

#[tokio::test]
async fn verify_counts_rows_and_finds_those_that_cannot_be_true_together() {
    let home = Home::new();
    let engine = home.open();
    pointed(&engine, 1, 2, true).await;
    pointed(&engine, 3, 4, false).await;
    for n in 1..=4 {
        let rows = vec![CellWrite::Trait(definition(1), text("secret"))];
        write(&engine, at(n), 1, rows, Durability::Durable).await;
    }
    let log = engine.log();
    for n in 0..5 {
        log.publish(record("k", &n.to_string())).await.unwrap();
    }
    let refused = verify(&home.path());
    assert!(
        matches!(refused, Err(CopyError::Files(OpenError::InUse { .. }))),
        "{refused:?}"
    );
    drop(log);
    drop(engine);
    let checked = verify(&home.path()).unwrap();
    assert_eq!(
        (checked.wrong, checked.findings.len()),
        (0, 0),
        "{checked:?}"
    );
    assert_eq!((checked.links, checked.traits, checked.records), (1, 4, 5));

    // What no code of ours writes: a pointer at a younger profile.
    let engine = home.open();
    pointed(&engine, 9, 5, false).await;
    drop(engine);
    let checked = verify(&home.path()).unwrap();
    assert_eq!(checked.wrong, 1);
    assert!(checked.findings[0].contains("not older"), "{checked:?}");
    assert!(!format!("{checked:?}").contains("secret"));

    // A restore does not hide it.
    let place = home.path().with_file_name("restored");
    let refused = restore(&home.path(), &place);
    assert!(
        matches!(refused, Err(CopyError::Wrong { .. })),
        "{refused:?}"
    );
    assert!(!place.exists());

    let nothing = verify(&place);
    assert!(
        matches!(nothing, Err(CopyError::NoStore { .. })),
        "{nothing:?}"
    );
    assert!(!place.exists());
}

#[tokio::test]
async fn a_backup_is_restored_whole_or_not_at_all() {
    let home = Home::new();
    let engine = home.open();
    for n in 0..200 {
        let rows = vec![CellWrite::Trait(definition(1), text(&"x".repeat(500)))];
        write(&engine, at(n), 1, rows, Durability::Durable).await;
    }
    let backup = home.path().with_file_name("backup");
    engine.backup(&backup, go_on).unwrap();

    let refused = restore(&backup, &home.path());
    assert!(
        matches!(refused, Err(CopyError::Files(OpenError::InUse { .. }))),
        "{refused:?}"
    );
    drop(engine);
    let refused = restore(&backup, &home.path());
    assert!(
        matches!(refused, Err(CopyError::NotEmpty { .. })),
        "{refused:?}"
    );

    let place = home.path().with_file_name("restored");
    let checked = restore(&backup, &place).unwrap();
    assert_eq!((checked.traits, checked.wrong), (200, 0));
    let restored = open_whole(&place);
    for n in 0..200 {
        assert_eq!(cells(&restored, at(n)).await.traits.len(), 1, "{n}");
    }
    drop(restored);

    // One bit of a backup, anywhere in the journal that holds its rows.
    let journal = backup.join("store/database/0.jnl");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[5000] ^= 4;
    std::fs::write(&journal, &bytes).unwrap();
    let place = home.path().with_file_name("again");
    for refused in [restore(&backup, &place), verify(&backup)] {
        let Err(CopyError::Files(OpenError::Damaged { file, .. })) = &refused else {
            panic!("{refused:?}")
        };
        assert_eq!(file, &journal);
    }
    assert!(!place.exists());
    assert!(!home.path().with_file_name("again.making").exists());
}
