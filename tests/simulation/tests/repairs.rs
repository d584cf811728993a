//! A read repairs the rows that it selects, and no others: of a batch in flight one row may be there for good, and the rest
//! never (`docs/adr/0012-a-mark-counts-with-its-member-row.md`).

use std::sync::Arc;

use kith_domain::settings::IdentitySettings;
use kith_profiles::ports::{CellWrite, Select};
use kith_profiles::read::Located;
use kith_simulation::case::Op;
use kith_simulation::ports::lock;
use kith_simulation::script::Script;
use kith_simulation::world::Statement;

fn is_copy(statement: &Statement) -> bool {
    matches!(statement, Statement::WriteCells(batch)
        if batch.writes.iter().any(|write| matches!(write, CellWrite::Link(_))))
}

fn asks_for_a_mark(statement: &Statement) -> bool {
    matches!(statement, Statement::ReadCells(read)
        if read.select.iter().any(|one| matches!(one, Select::Link(..))))
}

#[test]
fn a_mark_that_was_seen_without_its_members_hides_nobody() {
    let mut script = Script::new(IdentitySettings::default(), None);
    let create = |identifiers: &[usize]| Op::Create(identifiers.to_vec());
    // Two people, and their merge up to its copy. Then somebody looks for the younger one.
    let (merging, looking) = (3, 4);
    script.whole(1, 1, create(&[0]));
    script.whole(2, 2, create(&[1]));
    let merge = script.send(merging, 3, create(&[0, 1]));
    script.send(looking, 4, create(&[1]));
    let copy = script
        .run(merging, is_copy)
        .expect("a merge copies members");
    let look = script
        .run(looking, asks_for_a_mark)
        .expect("a find passes the link");
    lock(&script.world).execute_early(look, &[copy]);
    assert_eq!(script.run(looking, |_| false), None);
    // The merge crashes, and the rest of its copy is lost.
    script.crash(merge);
    lock(&script.world).lose(copy);

    let root = lock(&script.world)
        .claims()
        .values()
        .filter_map(|claim| claim.profile)
        .min()
        .expect("somebody is there");
    let (reader, store) = (script.process(5), Arc::clone(&script.store));
    let listed = script.ask(5, async move { reader.identifiers(&store, root).await });
    let Ok(Located::Here(identifiers)) = listed else {
        panic!("{root} is canonical: {listed:?}");
    };
    assert_eq!(identifiers.len(), 2, "both members: {identifiers:?}");
}
