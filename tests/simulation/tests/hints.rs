//! A hint skips profiles, and their clock rows with them: whoever wrote there and failed has left its stamp where a find that
//! skips them begins (`docs/adr/0013-clock-rows-where-a-find-began.md`). Seeds meet this once in tens of thousands of
//! schedules; here it is written by hand.

use kith_domain::settings::IdentitySettings;
use kith_profiles::apply::fold;
use kith_profiles::environment::Omission;
use kith_profiles::ports::CellWrite;
use kith_simulation::case::Op;
use kith_simulation::ports::lock;
use kith_simulation::quiet::visible;
use kith_simulation::script::Script;
use kith_simulation::world::Statement;

/// The client on the fast host.
const WRITER: usize = 1;
/// Everybody else.
const OTHER: usize = 2;
/// How far the writer's clock is ahead, in µs.
const AHEAD: i64 = 60_000_000;
/// The numbers of the attempt that fails, and of what is sent once its retry was answered.
const ATTEMPT: u128 = 50;
const LATER: u128 = 60;

fn create(identifiers: &[usize]) -> Op {
    Op::Create(identifiers.to_vec())
}

/// C was merged into B. A writer finds B from C, where it stops.
fn a_writer_at_a_member(omission: Option<Omission>) -> (Script, usize) {
    let mut script = Script::new(IdentitySettings::default(), omission);
    lock(&script.world).skews.insert(WRITER, AHEAD);
    for (number, identifiers) in (1..).zip([&[0][..], &[1], &[2], &[1, 2]]) {
        script.whole(OTHER, number, create(identifiers));
    }
    let attempt = script.send(WRITER, ATTEMPT, create(&[2]));
    let stamps = script.run(WRITER, |statement| {
        matches!(statement, Statement::WriteCells(_))
    });
    stamps.expect("a create writes its clock row");
    // B is merged away meanwhile, and the next one leaves a hint at C that skips it.
    script.whole(OTHER, 10, create(&[0, 1]));
    script.whole(OTHER, 11, create(&[2]));
    (script, attempt)
}

/// What the one live profile shows once the log was applied: the numbers of the requests whose values these are.
fn shown(script: &Script) -> String {
    let mut world = lock(&script.world);
    for event in world.log.clone() {
        for batch in fold([event]) {
            world.apply_whole(Statement::WriteCells(batch));
        }
    }
    let visible = visible(&world, script.store.id);
    let values = visible.values().flat_map(|traits| traits.values());
    values
        .map(|cell| String::from_utf8_lossy(cell.value.as_slice()).into_owned())
        .collect()
}

fn after_the_attempt_failed(omission: Option<Omission>) -> String {
    let (mut script, attempt) = a_writer_at_a_member(omission);
    // The writer comes as far as its event, and not to its second look.
    let publish = |statement: &Statement| matches!(statement, Statement::Publish(_));
    let event = script.run(WRITER, publish).expect("a create publishes");
    lock(&script.world).execute(event);
    script.crash(attempt);
    // Its retry, and one more, by way of the hint.
    script.whole(OTHER, ATTEMPT + 1, create(&[2]));
    script.whole(OTHER, LATER, create(&[2]));
    shown(&script)
}

#[test]
fn a_failed_attempt_does_not_outlive_its_retry_over_a_hint() {
    let shown = after_the_attempt_failed(None);
    assert!(shown.contains(&format!("value-{LATER}")), "{shown}");
    let shown = after_the_attempt_failed(Some(Omission::ClocksOfStarts));
    assert!(
        shown.contains(&format!("value-{ATTEMPT}")),
        "nobody misses the step: {shown}"
    );
}

/// How many values were written, or published, before the clock row of every start was there.
fn written_too_early(omission: Option<Omission>) -> usize {
    let (mut script, _) = a_writer_at_a_member(omission);
    let others = lock(&script.world)
        .cells()
        .values()
        .filter_map(|rows| rows.clock)
        .max();
    let others = others.expect("somebody is there");
    let mut early = 0;
    loop {
        let is_value = |write: &CellWrite| matches!(write, CellWrite::Trait(..));
        let shows = |statement: &Statement| {
            let is_written = matches!(statement, Statement::WriteCells(batch)
                if batch.writes.iter().any(is_value));
            is_written || matches!(statement, Statement::Publish(_))
        };
        let Some(flight) = script.run(WRITER, shows) else {
            return early;
        };
        let mut world = lock(&script.world);
        let clocks = world.cells().values().filter_map(|rows| rows.clock);
        // The profile's and its start's.
        early += usize::from(clocks.filter(|clock| *clock > others).count() < 2);
        world.execute(flight);
    }
}

#[test]
fn what_is_read_at_once_waits_for_every_clock_row() {
    assert_eq!(written_too_early(None), 0);
    assert_eq!(written_too_early(Some(Omission::ValuesAfterClocks)), 1);
    assert_eq!(written_too_early(Some(Omission::ClocksOfStarts)), 2);
}
