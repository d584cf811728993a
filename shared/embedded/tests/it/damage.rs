//! Damaged data directories: each is refused with the name of the file, and nothing in it is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use kith_embedded::{Embedded, Inspection, OpenError, inspect};
use kith_profiles::ports::{CellWrite, Durability};

use crate::harness::{Home, LIMIT, at, cells, definition, once_free, open, options, text, write};

/// Rows of the fixture, most of them in a table, the rest in the journal.
const ROWS: u128 = 260;
const VALUE_BYTES: usize = 60_000;

async fn fill(engine: &Embedded, rows: std::ops::Range<u128>, bytes: usize) {
    let value = "x".repeat(bytes);
    for row in rows {
        let cell = CellWrite::Trait(definition(row), text(&value));
        write(engine, at(1), 1, vec![cell], Durability::Durable).await;
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A closed store with a table, a journal, and a row in every keyspace that matters. Made once.
fn fixture() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = Home::new();
        for rows in [0..ROWS - 10, ROWS - 10..ROWS] {
            // The first one leaves a journal with room for more, the second one a journal without.
            let engine = home.open();
            block_on(fill(&engine, rows, VALUE_BYTES));
            let until = Instant::now() + LIMIT;
            while tables(&home.path()).is_empty() {
                assert!(Instant::now() < until, "no table was written");
                std::thread::park_timeout(std::time::Duration::from_millis(10));
            }
            block_on(engine.close()).unwrap();
        }
        home
    })
}

/// A store with a journal of some kilobytes and no tables of its own.
fn small() -> Home {
    let home = Home::new();
    for rows in [0..4, 4..12] {
        let engine = home.open();
        block_on(fill(&engine, rows, 40));
        block_on(engine.close()).unwrap();
    }
    home
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    let cells = dir.join("store/database/keyspaces/3/tables");
    if cells.exists() {
        files(&cells)
    } else {
        Vec::new()
    }
}

/// Whether the database needs a file: not, if it is a manifest that was replaced and not removed yet.
fn is_needed(file: &Path) -> bool {
    let name = file.file_name().unwrap().to_str().unwrap();
    let current = fs::read(file.with_file_name("current"));
    match (name.strip_prefix('v'), current) {
        (Some(number), Ok(current)) => {
            number.parse() == Ok(u64::from_le_bytes(current[..8].try_into().unwrap()))
        }
        _ => true,
    }
}

fn journal(dir: &Path) -> PathBuf {
    let mut journals = files(&dir.join("store/database"));
    journals.retain(|file| file.extension().is_some_and(|e| e == "jnl"));
    assert_eq!(journals.len(), 1);
    journals.remove(0)
}

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(dir)
        .into_iter()
        .map(|file| {
            let bytes = fs::read(&file).unwrap();
            (file, bytes)
        })
        .collect()
}

/// A copy to be damaged.
struct Copy {
    home: Home,
    path: PathBuf,
}

impl Copy {
    fn of(original: &Home) -> Self {
        Self::of_path(&original.path())
    }

    fn of_path(original: &Path) -> Self {
        let home = Home::new();
        let path = home.path();
        for file in files(original) {
            let to = path.join(file.strip_prefix(original).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&file, &to).unwrap();
        }
        Self { home, path }
    }

    fn try_open(&self) -> Result<Embedded, OpenError> {
        let options = options(&self.path, &self.home.now);
        once_free(|| Embedded::open(options.clone()))
    }

    /// Opens, which must fail and change nothing; who only looks is told the same.
    fn refused(&self) -> OpenError {
        let before = content(&self.path);
        let error = self.try_open().expect_err("it should be refused");
        let seen = once_free(|| inspect(&self.path)).expect_err("so should this");
        assert_eq!(seen.to_string(), error.to_string());
        assert!(content(&self.path) == before, "{error} changed something");
        error
    }

    /// The file that a refusal names as damaged.
    fn damaged(&self) -> PathBuf {
        let error = self.refused();
        let OpenError::Damaged { file, detail } = error else {
            panic!("{error}")
        };
        assert!(!detail.is_empty());
        file
    }

    fn edit(&self, file: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(file).unwrap();
        edit(&mut bytes);
        fs::write(file, bytes).unwrap();
    }
}

fn flip(place: usize) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| bytes[place] ^= 0x10
}

/// Where batches start: after the end of another one.
fn starts(journal: &[u8]) -> Vec<usize> {
    let ends = journal
        .windows(4)
        .enumerate()
        .filter(|(_, w)| w == b"FJL\x03");
    [0].into_iter()
        .chain(ends.map(|(place, _)| place + 4))
        .filter(|place| journal.get(*place) == Some(&1))
        .collect()
}

#[test]
fn the_fixture_opens() {
    let copy = Copy::of(fixture());
    assert!(!tables(&copy.path).is_empty());
    let before = content(&copy.path);
    let seen = once_free(|| inspect(&copy.path)).unwrap();
    assert_eq!(seen, Inspection::Sound);
    assert!(content(&copy.path) == before, "looking changed something");
    let engine = copy.try_open().unwrap();
    assert_eq!(
        block_on(cells(&engine, at(1))).traits.len(),
        usize::try_from(ROWS).unwrap()
    );
}

#[test]
fn every_missing_file_is_named() {
    let copy = Copy::of(fixture());
    let store = copy.path.join("store");
    let mut tried = 0;
    for file in files(&store).into_iter().filter(|file| is_needed(file)) {
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let named = copy.damaged();
        let is_journal = file.extension().is_some_and(|e| e == "jnl");
        let expected = if is_journal {
            store.join("database")
        } else {
            file.clone()
        };
        assert_eq!(named, expected);
        fs::write(&file, bytes).unwrap();
        tried += 1;
    }
    assert!(tried >= 20, "only {tried} files");
    drop(copy.try_open().unwrap());
}

#[test]
fn every_damaged_file_is_named() {
    let copy = Copy::of(fixture());
    for file in files(&copy.path.join("store")) {
        let bytes = fs::read(&file).unwrap();
        // fjall's lock is empty; what was acknowledged is there twice, and has a test of its own.
        if bytes.is_empty() || file.ends_with("acknowledged") || !is_needed(&file) {
            continue;
        }
        for place in [0, bytes.len() / 3, bytes.len() - 2] {
            copy.edit(&file, flip(place));
            let error = copy.refused().to_string();
            // Either by itself, or beside the file that it disagrees with.
            assert!(
                error.contains(file.to_str().unwrap()),
                "byte {place}: {error}"
            );
            fs::write(&file, &bytes).unwrap();
        }
        if file.extension().is_none_or(|e| e != "jnl") {
            copy.edit(&file, |bytes| bytes.truncate(bytes.len() / 2));
            let error = copy.refused().to_string();
            assert!(error.contains(file.to_str().unwrap()), "truncated: {error}");
            fs::write(&file, &bytes).unwrap();
        }
    }
    drop(copy.try_open().unwrap());
}

#[test]
fn every_flipped_byte_of_a_journal_is_seen() {
    let home = small();
    let copy = Copy::of(&home);
    let journal = journal(&copy.path);
    let bytes = fs::read(&journal).unwrap();
    // The number of the very last batch can only grow unseen, which changes nothing.
    let last = starts(&bytes).pop().unwrap();
    for place in (0..bytes.len()).filter(|place| !(last + 5..last + 13).contains(place)) {
        copy.edit(&journal, flip(place));
        let error = copy
            .try_open()
            .expect_err(&format!("byte {place} was not seen"));
        let (OpenError::Damaged { file, .. } | OpenError::LostTail { file, .. }) = error else {
            panic!("byte {place}: {error}")
        };
        assert_eq!(file, journal, "byte {place}");
        fs::write(&journal, &bytes).unwrap();
    }
}

#[test]
fn a_journal_that_ends_before_what_was_acknowledged_has_lost_its_tail() {
    let home = small();
    let copy = Copy::of(&home);
    let journal = journal(&copy.path);
    let bytes = fs::read(&journal).unwrap();
    let starts = starts(&bytes);
    let acknowledged = starts.len() as u64;
    // Between batches, in the middle of one, and everything; also with zeros behind, as a disk may leave it.
    for (cut, left) in [
        (starts[5], 5),
        (starts[9] + 30, 9),
        (0, 0),
        (bytes.len() - 1, acknowledged - 1),
    ] {
        for zeros in [0, 1000] {
            copy.edit(&journal, |bytes| {
                bytes.truncate(cut);
                bytes.resize(cut + zeros, 0);
            });
            let error = copy.refused();
            if let OpenError::LostTail {
                file,
                acknowledged: a,
                found,
            } = error
            {
                assert_eq!((file, a, found), (journal.clone(), acknowledged, left));
            } else {
                // Half a batch with zeros behind it is no end, but a batch that is broken.
                let OpenError::Damaged { file, .. } = error else {
                    panic!("cut at {cut}: {error}")
                };
                assert!(zeros > 0 && !starts.contains(&cut));
                assert_eq!(file, journal);
            }
            fs::write(&journal, &bytes).unwrap();
        }
    }
}

#[test]
fn what_a_crash_leaves_at_the_end_is_cut_off() {
    let home = small();
    let copy = Copy::of(&home);
    let journal = journal(&copy.path);
    let bytes = fs::read(&journal).unwrap();
    let last = starts(&bytes).pop().unwrap();
    let batch = bytes[last..].to_vec();
    let mut broken = batch.clone();
    broken[60] ^= 1;
    let half = batch[..batch.len() / 2].to_vec();
    let mut zeros = half.clone();
    zeros.resize(half.len() + 5000, 0);
    let mut holes = vec![0; 4096];
    holes.extend(&batch);
    for tail in [
        batch[..1].to_vec(),
        half,
        zeros,
        broken,
        vec![0xee; 700],
        holes,
    ] {
        copy.edit(&journal, |bytes| bytes.extend(&tail));
        let engine = copy.try_open().unwrap();
        assert_eq!(block_on(cells(&engine, at(1))).traits.len(), 12);
        drop(engine);
        assert_eq!(fs::read(&journal).unwrap(), bytes);
    }
    // And it goes on from there.
    let engine = copy.try_open().unwrap();
    block_on(fill(&engine, 12..14, 40));
    drop(engine);
    let engine = copy.try_open().unwrap();
    assert_eq!(block_on(cells(&engine, at(1))).traits.len(), 14);
}

#[test]
fn batches_that_are_missing_twice_there_or_out_of_place_are_seen() {
    let home = small();
    let copy = Copy::of(&home);
    let journal = journal(&copy.path);
    let bytes = fs::read(&journal).unwrap();
    let starts = starts(&bytes);
    let batch = |n: usize| &bytes[starts[n]..starts.get(n + 1).copied().unwrap_or(bytes.len())];
    let missing = [&bytes[..starts[4]], &bytes[starts[5]..]].concat();
    let twice = [&bytes[..starts[5]], batch(4), &bytes[starts[5]..]].concat();
    let swapped = [&bytes[..starts[4]], batch(5), batch(4), &bytes[starts[6]..]].concat();
    let repeated = [&bytes[..], batch(starts.len() - 1)].concat();
    for edited in [missing, twice, swapped, repeated] {
        fs::write(&journal, edited).unwrap();
        assert_eq!(copy.damaged(), journal);
    }
}

#[test]
fn a_journal_that_is_gone_from_the_front_is_missed() {
    let home = small();
    let copy = Copy::of(&home);
    let journal = journal(&copy.path);
    let bytes = fs::read(&journal).unwrap();
    let database = copy.path.join("store/database");
    let number: u64 = journal
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let next = database.join(format!("{}.jnl", number + 1));

    // Two journals, as after a rotation: fine.
    let cut = starts(&bytes)[6];
    fs::write(&journal, &bytes[..cut]).unwrap();
    fs::write(&next, &bytes[cut..]).unwrap();
    let both = Copy::of_path(&copy.path);
    drop(both.try_open().unwrap());

    // Without the first one, the tables do not reach up to the second.
    fs::remove_file(&journal).unwrap();
    assert_eq!(copy.damaged(), database);
    // And with an empty second one nothing is left of what was acknowledged.
    fs::write(&next, b"").unwrap();
    assert!(matches!(copy.refused(), OpenError::LostTail { file, found: 0, .. } if file == next));
    // A gap between journals is named.
    fs::write(&journal, &bytes[..cut]).unwrap();
    fs::rename(&next, database.join(format!("{}.jnl", number + 2))).unwrap();
    assert_eq!(copy.damaged(), next);
    // A finished journal has no torn end.
    fs::write(&journal, &bytes[..cut - 3]).unwrap();
    fs::remove_file(database.join(format!("{}.jnl", number + 2))).unwrap();
    fs::write(&next, &bytes[cut..]).unwrap();
    assert_eq!(copy.damaged(), journal);
}

#[test]
fn files_of_another_copy_are_not_taken_for_ours() {
    let home = small();
    let (one, other) = (Copy::of(&home), Copy::of(&home));
    for (copy, bytes) in [(&one, 50), (&other, 51)] {
        let engine = copy.try_open().unwrap();
        block_on(fill(&engine, 20..25, bytes));
    }
    // The same number of commits, but not the same ones.
    fs::copy(
        other.path.join("store/acknowledged"),
        one.path.join("store/acknowledged"),
    )
    .unwrap();
    assert_eq!(one.damaged(), journal(&one.path));
    // An older database under a newer note, as when only half of a backup is put back.
    let older = Copy::of(&home);
    fs::copy(
        other.path.join("store/acknowledged"),
        older.path.join("store/acknowledged"),
    )
    .unwrap();
    assert!(matches!(older.refused(), OpenError::LostTail { .. }));
}

#[test]
fn the_note_of_what_was_acknowledged_stands_one_torn_slot() {
    let copy = Copy::of(&small());
    let note = copy.path.join("store/acknowledged");
    copy.edit(&note, flip(600));
    let engine = copy.try_open().unwrap();
    block_on(fill(&engine, 20..23, 40));
    drop(engine);
    drop(copy.try_open().unwrap());
    copy.edit(&note, |bytes| {
        bytes[9] ^= 1;
        bytes[521] ^= 1;
    });
    assert_eq!(copy.damaged(), note);
}

#[test]
fn a_newer_layout_is_left_to_a_newer_version() {
    let copy = Copy::of(&small());
    let layout = copy.path.join("store/layout");
    fs::write(&layout, "kith embedded layout 2\n").unwrap();
    let error = copy.refused();
    let OpenError::Newer {
        file,
        found,
        supported,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((file, found, supported), (layout, 2, 1));
}

#[test]
fn a_store_that_was_never_finished_is_made_again() {
    let home = Home::new();
    let making = home.path().join("making/database/keyspaces");
    fs::create_dir_all(&making).unwrap();
    fs::write(making.join("half"), b"a file").unwrap();
    drop(home.open());
    assert!(!home.path().join("making").exists());
    drop(home.open());
}

#[test]
fn damage_in_a_table_that_was_not_checked_at_start_ends_the_engine() {
    let copy = Copy::of(fixture());
    let table = tables(&copy.path).remove(0);
    let middle = usize::try_from(fs::metadata(&table).unwrap().len()).unwrap() / 2;
    copy.edit(&table, flip(middle));
    let mut options = options(&copy.path, &copy.home.now);
    options.check_bytes = 1000;
    let engine = open(&options);
    let failure = block_on(async { tokio::time::timeout(LIMIT, engine.failed()).await });
    assert_eq!(
        failure.unwrap().to_string(),
        "embedded engine stopped: check of tables"
    );
}
