//! Whoever names a profile that has no clock row looks a second time, at everything that it may have instead
//! (`named`, seed 28,503).

use kith_domain::settings::IdentitySettings;
use kith_profiles::ports::Select;
use kith_simulation::case::Op;
use kith_simulation::linear::Told;
use kith_simulation::ports::lock;
use kith_simulation::script::Script;
use kith_simulation::world::Statement;

/// The clients: who makes the profile and comes no further than its identifier, who names it, and everybody else.
const CREATOR: usize = 1;
const WRITER: usize = 2;
const OTHER: usize = 3;
/// The numbers of the writer's request and of the one that goes through meanwhile.
const WRITE: u128 = 50;
const MEANWHILE: u128 = 60;

/// A second look at a profile without a clock row.
fn looks_again(statement: &Statement) -> bool {
    matches!(statement, Statement::ReadCells(read) if read.select.contains(&Select::Traits))
}

#[test]
fn a_profile_that_was_written_to_between_two_looks_exists() {
    let mut script = Script::new(IdentitySettings::default(), None);
    script.send(CREATOR, 1, Op::Create(vec![2]));
    let is_claim = |statement: &Statement| matches!(statement, Statement::Attempt(_));
    let claim = script.run(CREATOR, is_claim).expect("a create claims");
    lock(&script.world).execute(claim);
    let is_write = |statement: &Statement| matches!(statement, Statement::WriteCells(_));
    let ident = script.run(CREATOR, is_write).expect("and writes the row");
    lock(&script.world).execute(ident);

    script.send(WRITER, WRITE, Op::Patch(2, Vec::new()));
    let look = script.run(WRITER, looks_again).expect("no clock row yet");
    script.whole(OTHER, MEANWHILE, Op::Patch(2, Vec::new()));
    script.whole(OTHER, MEANWHILE + 1, Op::Remove(2));
    lock(&script.world).execute(look);
    script.run(WRITER, |_| false);

    assert_eq!(script.told(MEANWHILE), Some(Told::Done));
    assert_eq!(script.told(WRITE), Some(Told::Done));
}
