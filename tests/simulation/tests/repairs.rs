//! A read repairs the rows that it selects, and no others: of a batch in flight one row may be there for good, and the rest
//! never (`docs/adr/0012-a-mark-counts-with-its-member-row.md`).

use std::sync::{Arc, Mutex};

use kith_domain::settings::IdentitySettings;
use kith_profiles::Profiles;
use kith_profiles::ports::{CellWrite, Select};
use kith_profiles::read::Located;
use kith_simulation::case::{Op, store};
use kith_simulation::client::{Caller, Notes, Process};
use kith_simulation::executor::Executor;
use kith_simulation::ports::{Shared, lock, parts};
use kith_simulation::world::{Statement, World};

/// Runs what is in flight, in order, until a statement of this client is one that `stops` picks, or nothing is left.
fn run(
    world: &Shared,
    executor: &mut Executor,
    client: usize,
    stops: impl Fn(&Statement) -> bool,
) -> Option<u64> {
    loop {
        executor.settle();
        let mut world = lock(world);
        let of_client = |flight: &u64| {
            world
                .flight(*flight)
                .is_some_and(|one| one.client == client)
        };
        let open: Vec<u64> = world
            .in_flight()
            .into_iter()
            .map(|(flight, _)| flight)
            .collect();
        let flight = open.into_iter().find(of_client)?;
        if world
            .flight(flight)
            .is_some_and(|one| stops(&one.statement))
        {
            return Some(flight);
        }
        world.execute(flight);
    }
}

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
    let store = Arc::new(store(IdentitySettings::default()));
    let world: Shared = Arc::new(Mutex::new(World::default()));
    let mut executor = Executor::default();
    let caller = Caller {
        store: Arc::clone(&store),
        notes: Notes::default(),
        known: Arc::default(),
    };
    let process = |client| Arc::new(Profiles::new(parts(&world, client, None)));
    let mut send = |client, number, identifiers: &[usize]| {
        let (caller, process): (_, Arc<Process>) = (caller.clone(), process(client));
        let op = Op::Create(identifiers.to_vec());
        executor.spawn(async move { caller.send(&process, number, &op).await })
    };
    // Two people, and their merge up to its copy. Then somebody looks for the younger one.
    let (merging, looking) = (3, 4);
    send(1, 1, &[0]);
    send(2, 2, &[1]);
    assert_eq!(run(&world, &mut executor, 1, |_| false), None);
    assert_eq!(run(&world, &mut executor, 2, |_| false), None);
    let mut send = |client, number, identifiers: &[usize]| {
        let (caller, process): (_, Arc<Process>) = (caller.clone(), process(client));
        let op = Op::Create(identifiers.to_vec());
        executor.spawn(async move { caller.send(&process, number, &op).await })
    };
    let merge = send(merging, 3, &[0, 1]);
    send(looking, 4, &[1]);
    let copy = run(&world, &mut executor, merging, is_copy).expect("a merge copies members");
    let look =
        run(&world, &mut executor, looking, asks_for_a_mark).expect("a find passes the link");
    lock(&world).execute_early(look, &[copy]);
    assert_eq!(run(&world, &mut executor, looking, |_| false), None);
    // The merge crashes, and the rest of its copy is lost.
    executor.crash(merge);
    lock(&world).lose(copy);

    let root = lock(&world)
        .claims()
        .values()
        .filter_map(|claim| claim.profile)
        .min()
        .expect("somebody is there");
    let listed = Arc::new(Mutex::new(None));
    let (place, reader) = (Arc::clone(&listed), process(5));
    executor.spawn(async move {
        *place.lock().expect("one thread") = reader.identifiers(&store, root).await.ok();
    });
    assert_eq!(run(&world, &mut executor, 5, |_| false), None);
    let listed = listed.lock().expect("one thread").take();
    let Some(Located::Here(identifiers)) = listed else {
        panic!("{root} is canonical: {listed:?}");
    };
    assert_eq!(identifiers.len(), 2, "both members: {identifiers:?}");
}
