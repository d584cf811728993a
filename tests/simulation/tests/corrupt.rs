//! Rows that nobody could have written, appearing in the middle of a request: it ends, and says so.

use std::time::Duration;

use kith_domain::id::{LinkToken, ProfileId, ProfileKey};
use kith_domain::settings::IdentitySettings;
use kith_profiles::error::{PortError, Trouble};
use kith_profiles::ports::{Pointer, Verdict, VerdictRow};
use kith_simulation::ports::lock;
use kith_simulation::solo::{Fate, Solo};
use kith_simulation::world::{Statement, World};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(3_600);
const A: (&str, &str) = ("email", "a@example.com");
const B: (&str, &str) = ("phone", "+13175550100");
const C: (&str, &str) = ("chatId", "c");
const W: (&str, &str) = ("whatsapp", "w");
const N: (&str, &str) = ("firstName", "Ada");

fn created(s: &mut Solo, contact: &[(&str, &str)]) -> ProfileId {
    let (process, create) = (s.process(), s.create(contact, PATIENCE));
    let (accepted, _) = s.run(async move { process.create(create).await });
    accepted.expect("an answer").profile
}

/// Makes a profile point at another one, with the verdict that its pointer has there.
fn point(world: &mut World, child: ProfileKey, parent: ProfileId, verdict: Option<Verdict>) {
    let token = LinkToken::from_uuid(Uuid::from_u128(world.count()));
    let nodes = world.nodes_mut();
    nodes.entry(child).or_default().pointer = Some(Pointer { parent, token });
    let at = ProfileKey {
        profile: parent,
        ..child
    };
    let row = verdict.map(|verdict| VerdictRow {
        child: child.profile,
        token,
        verdict,
    });
    nodes.entry(at).or_default().verdicts.extend(row);
}

fn is_corrupt<T>(answer: &Result<T, Trouble>) -> bool {
    matches!(answer, Err(Trouble::Port(PortError::Corrupt { .. })))
}

#[test]
fn a_second_look_does_not_go_in_a_circle() {
    for is_circle in [false, true] {
        let mut s = Solo::new(IdentitySettings::default());
        let (older, younger) = (created(&mut s, &[B]), created(&mut s, &[A]));
        let key = |profile| ProfileKey {
            store: s.store.id,
            profile,
        };
        let (older, younger) = (key(older), key(younger));
        let (process, create) = (s.process(), s.create(&[A, N], PATIENCE));
        let world = s.world.clone();
        let mut is_planted = false;
        let (answer, _) = s.run_under(
            async move { process.create(create).await },
            move |statement| {
                // Beside the stamped batch: what comes after it reads this.
                if matches!(statement, Statement::WriteCells(_)) && !is_planted {
                    is_planted = true;
                    let mut world = lock(&world);
                    if is_circle {
                        point(&mut world, younger, older.profile, Some(Verdict::Linked));
                        point(&mut world, older, younger.profile, Some(Verdict::Linked));
                    } else {
                        point(&mut world, younger, younger.profile, Some(Verdict::Linked));
                    }
                }
                Fate::Answered
            },
        );
        assert!(is_corrupt(&answer), "circle: {is_circle}");
    }
}

#[test]
fn settling_does_not_pass_a_pointer_at_somebody_younger() {
    let mut s = Solo::new(IdentitySettings::default());
    let [p1, p2, p3, p4] = [[A], [B], [C], [W]].map(|contact| created(&mut s, &contact));
    {
        let mut world = lock(&s.world);
        let key = |profile| ProfileKey {
            store: s.store.id,
            profile,
        };
        point(&mut world, key(p2), p1, None);
        point(&mut world, key(p1), p4, Some(Verdict::Void));
    }
    // Two roots, one with a pointer that has to be settled; nobody asks for its parent but the settling.
    let (process, create) = (s.process(), s.create(&[B, C], PATIENCE));
    let (answer, _) = s.run(async move { process.create(create).await });
    assert!(is_corrupt(&answer));
    let (process, store) = (s.process(), s.store.clone());
    let (read, _) = s.run(async move { process.traits(&store, p3).await });
    assert!(read.is_ok(), "nobody else is touched");
}

#[test]
fn a_chain_that_bites_its_own_end_ends() {
    let mut s = Solo::new(IdentitySettings::default());
    let [p1, p2, p3] = [[A], [B], [C]].map(|contact| created(&mut s, &contact));
    {
        let mut world = lock(&s.world);
        let key = |profile| ProfileKey {
            store: s.store.id,
            profile,
        };
        point(&mut world, key(p3), p2, Some(Verdict::Linked));
        point(&mut world, key(p2), p1, Some(Verdict::Linked));
        point(&mut world, key(p1), p3, Some(Verdict::Linked));
    }
    for profile in [p1, p2, p3] {
        let (process, store) = (s.process(), s.store.clone());
        let (read, cost) = s.run(async move { process.identifiers(&store, profile).await });
        // The first look, and a hop for each of the three at most.
        assert!(is_corrupt(&read) && cost.rounds <= 1 + 3);
    }
}
