//! Small cases, searched to their end: every order of statements, with so many outcomes unknown.
//!
//! A state is the world, where each client is in the tree of its answers ([`crate::replay`]), what is in flight with nobody
//! waiting, and what the history says about who was answered before whom was sent. States that were met are not entered
//! again. Statements of one client that are in flight together are executed in document order. A statement without an answer
//! is applied at once, at any later time, or never.
//!
//! In every state the predicates of states are judged; and, because everybody may crash there, whoever has no answer sends
//! its request again, alone, and the predicates of quiet times are judged, with what is in flight lost and with it landing
//! last. A crash of one client needs no step of its own: it is a client that is never chosen again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use kith_domain::id::{ProfileId, ProfileKey};
use kith_domain::settings::IdentitySettings;
use kith_domain::store::StoreRecord;
use kith_profiles::apply::fold;
use kith_profiles::environment::Omission;
use kith_profiles::ports::Outcome;

use crate::case::{Op, identifier, store};
use crate::client::{Note, Recorder};
use crate::history::REPEATED;
use crate::judge::unexplained;
use crate::nonunique::{self, Seen};
use crate::quiet::{quiet_findings, row_findings};
use crate::replay::{Client, Role};
use crate::states::state_findings;
use crate::world::{Broken, Reply, Statement, World};

/// A case to be searched.
#[derive(Debug, Clone)]
pub struct Small {
    /// The settings.
    pub settings: IdentitySettings,
    /// What is done before, one after another.
    pub prelude: Vec<Op>,
    /// What each client does, one after another. Clients are ranked: ids of the first are older than those of the second.
    pub clients: Vec<Vec<Op>>,
    /// How many outcomes may be unknown.
    pub unknown: u8,
    /// Whether everybody's crash, and the repetition of what has no answer, is judged in every state, or at the ends only.
    pub crashes: bool,
    /// Whether one request for everybody is sent after that.
    pub probes: bool,
    /// A step that is left out.
    pub omission: Option<Omission>,
    /// A condition of the engine that is left out.
    pub broken: Option<Broken>,
}

/// What a search came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Distinct states.
    pub states: usize,
    /// Steps between them.
    pub edges: usize,
    /// States in which nobody waits for anything.
    pub ends: usize,
    /// Distinct crashes of everybody that were judged.
    pub crashes: usize,
    /// The longest way to a state.
    pub longest: usize,
    /// Whether there was nothing left to search.
    pub is_exhausted: bool,
    /// What was found wrong, and the way there.
    pub findings: Vec<String>,
    /// The steps that lead to the finding.
    pub trace: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.is_exhausted {
            "exhausted"
        } else {
            "stopped"
        };
        write!(
            f,
            "{end}: {} states, {} edges, {} ends, {} crashes, longest way {}",
            self.states, self.edges, self.ends, self.crashes, self.longest
        )?;
        for line in self.trace.iter().chain(&self.findings) {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Statements of one request alone at most.
const ALONE_MAX: usize = 400;
/// The number of the last request, for everybody.
const PROBE: u128 = 9_000_000;

/// One state.
#[derive(Debug, Clone)]
struct State {
    world: Arc<World>,
    digest: u64,
    /// Where each client is.
    at: Vec<usize>,
    /// Writes that nobody waits for, in an order of their own.
    late: Vec<Statement>,
    unknown: u8,
    recorder: Arc<Recorder>,
    order: Order,
}

/// Which requests were answered before which were sent: the part of a history that time is made of.
#[derive(Debug, Clone, Default, Hash)]
struct Order {
    before: BTreeMap<u128, BTreeSet<u128>>,
    ended: BTreeSet<u128>,
}

/// How a state was reached.
#[derive(Debug, Clone)]
struct Step {
    client: Option<usize>,
    statement: Statement,
    what: &'static str,
}

struct Search {
    case: Small,
    store: Arc<StoreRecord>,
    clients: Vec<Client>,
    /// Whoever sends again what has no answer, and whoever asks for everybody.
    others: BTreeMap<u128, Client>,
    judged: HashSet<u64>,
    report: Report,
}

/// Searches a case, up to so many states. Ends with the first thing that is wrong.
#[must_use]
pub fn search(case: &Small, states_max: usize) -> Report {
    let store = Arc::new(store(case.settings.clone()));
    let mut world = World::default();
    world.broken = case.broken;
    let mut recorder = Recorder::new(&store);
    for (number, op) in (1..).zip(&case.prelude) {
        let ops = std::slice::from_ref(op);
        let mut client = Client::new(role(case, 0, ops, number, Arc::default()), &store);
        alone(&mut world, &mut client, &mut recorder, &store);
    }
    // Ids of the prelude are counted again for each of its requests, and must not meet.
    let known = Arc::new(known(&world, &store));
    let clients = case.clients.iter().zip(0..).map(|(ops, place)| {
        let number = 1_000 * (place as u128 + 1);
        let role = role(case, FIRST_RANK + place, ops, number, Arc::clone(&known));
        Client::new(role, &store)
    });
    let mut search = Search {
        clients: clients.collect(),
        case: case.clone(),
        store,
        others: BTreeMap::new(),
        judged: HashSet::new(),
        report: Report::default(),
    };
    search.run(world, recorder, states_max);
    search.report
}

/// Ranks of requests before the clients'.
const FIRST_RANK: usize = 100;

fn role(
    case: &Small,
    rank: usize,
    ops: &[Op],
    number: u128,
    known: Arc<BTreeMap<usize, ProfileId>>,
) -> Role {
    let rank = if rank == 0 {
        usize::try_from(number).unwrap_or(0)
    } else {
        rank
    };
    let minutes = i64::try_from(rank).unwrap_or(0) * 60_000_000;
    Role {
        rank,
        // The clocks of those who were there first are ahead, further the later they came; all others are behind, likewise:
        // what was seen decides about order, not the clock.
        skew: if rank < FIRST_RANK { minutes } else { -minutes },
        ops: ops.to_vec(),
        number,
        known,
        omission: case.omission,
    }
}

/// Whom each identifier leads to.
fn known(world: &World, store: &StoreRecord) -> BTreeMap<usize, ProfileId> {
    let owner = |number| {
        let key = store.claim_secret.claim_key(&identifier(store, number));
        let profile = world.claims().get(&key)?.profile?;
        let at = ProfileKey {
            store: store.id,
            profile,
        };
        Some((number, world.root_of(at)?))
    };
    (0..crate::case::IDENTIFIERS.len())
        .filter_map(owner)
        .collect()
}

/// Runs a client to its end with nothing in its way. Whether there was one.
fn alone(
    world: &mut World,
    client: &mut Client,
    recorder: &mut Recorder,
    store: &StoreRecord,
) -> bool {
    let mut at = 0;
    for _ in 0..ALONE_MAX {
        for note in &client.node(at).notes {
            recorder.record(world, store, note.clone());
        }
        let Some((flight, statement)) = client.node(at).open.first().cloned() else {
            return true;
        };
        let reply = world.apply(&statement);
        at = client.advance(at, flight, reply);
    }
    false
}

impl State {
    fn key(&self) -> u64 {
        let mut state = DefaultHasher::new();
        (self.digest, &self.at, self.unknown, &self.order).hash(&mut state);
        for statement in &self.late {
            statement.hash(&mut state);
        }
        self.hash_history(&mut state);
        state.finish()
    }

    /// What a crash of everybody leaves: where clients were is of no matter any more.
    fn left(&self) -> u64 {
        let mut state = DefaultHasher::new();
        (self.digest, &self.order).hash(&mut state);
        for statement in &self.late {
            statement.hash(&mut state);
        }
        self.hash_history(&mut state);
        state.finish()
    }

    /// What the history says beside the order of time.
    fn hash_history(&self, state: &mut DefaultHasher) {
        let history = &self.recorder.history;
        for create in &history.creates {
            let answer = create.answer.map(|(_, profile)| profile);
            (create.request, answer, &create.after).hash(state);
        }
        // In an order of their own: who was sent first is of no matter, but by the order of time.
        let mut calls: Vec<_> = history.calls.iter().collect();
        calls.sort_by_key(|call| call.request);
        for call in calls {
            let told = call.answered.map(|(_, told)| told);
            (call.request, told, call.is_unsure(&self.world)).hash(state);
        }
    }

    fn give_up(&mut self, statement: Statement) {
        self.late.push(statement);
        self.late.sort_by_key(|statement| {
            let mut state = DefaultHasher::new();
            statement.hash(&mut state);
            state.finish()
        });
    }
}

impl Search {
    fn run(&mut self, world: World, recorder: Recorder, states_max: usize) {
        let first = State {
            digest: world.digest(),
            world: Arc::new(world),
            at: vec![0; self.clients.len()],
            late: Vec::new(),
            unknown: self.case.unknown,
            recorder: Arc::new(recorder),
            order: Order::default(),
        };
        let mut met = HashSet::from([first.key()]);
        let mut path: Vec<Step> = Vec::new();
        let mut stack: Vec<(usize, Option<Step>, State)> = vec![(0, None, first)];
        while let Some((depth, step, state)) = stack.pop() {
            path.truncate(depth.saturating_sub(1));
            path.extend(step);
            self.report.states += 1;
            self.report.longest = self.report.longest.max(depth);
            if self.report.states > states_max {
                return;
            }
            let next = self.next(&state);
            let is_end = next.iter().all(|(step, _)| step.client.is_none());
            self.report.ends += usize::from(is_end);
            let mut findings = state_findings(&state.world, &state.recorder.history, &self.store);
            if findings.is_empty()
                && (is_end || self.case.crashes)
                && self.judged.insert(state.left())
            {
                self.report.crashes += 1;
                // The history predicate knows unique values only.
                if !self.has_shared() {
                    let explained = unexplained(&state.world, &state.recorder.history, &self.store);
                    findings.extend(explained.err());
                }
                findings.extend(self.crash(&state));
            }
            if !findings.is_empty() {
                self.report.findings = findings;
                self.report.trace = path.iter().map(ToString::to_string).collect();
                return;
            }
            self.report.edges += next.len();
            for (step, state) in next {
                if met.insert(state.key()) {
                    stack.push((depth + 1, Some(step), state));
                }
            }
        }
        self.report.is_exhausted = true;
    }

    /// Every step from here.
    fn next(&mut self, state: &State) -> Vec<(Step, State)> {
        let mut next = Vec::new();
        for client in 0..self.clients.len() {
            let node = self.clients[client].node(state.at[client]);
            let Some((flight, statement)) = node.open.first().cloned() else {
                continue;
            };
            let step = |what| Step {
                client: Some(client),
                statement: statement.clone(),
                what,
            };
            let (world, reply) = applied(&state.world, &statement);
            let answered = self.answered(state, client, flight, world.as_ref(), reply);
            next.push((step("answered"), answered));
            if state.unknown == 0 || !statement.is_write() {
                continue;
            }
            let unknown = || Some(World::unknown(&statement));
            let mut done = self.answered(state, client, flight, world.as_ref(), unknown());
            done.unknown -= 1;
            next.push((step("applied without an answer"), done));
            let mut left = self.answered(state, client, flight, None, unknown());
            left.unknown -= 1;
            left.give_up(statement.clone());
            next.push((step("left without an answer"), left));
        }
        for place in 0..state.late.len() {
            let mut landed = state.clone();
            let statement = landed.late.remove(place);
            if let (Some((world, digest)), _) = applied(&state.world, &statement) {
                (landed.world, landed.digest) = (world, digest);
            }
            let step = Step {
                client: None,
                statement,
                what: "lands late",
            };
            next.push((step, landed));
        }
        next
    }

    /// The state after an answer.
    fn answered(
        &mut self,
        state: &State,
        client: usize,
        flight: u64,
        world: Option<&(Arc<World>, u64)>,
        reply: Option<Reply>,
    ) -> State {
        let mut next = state.clone();
        // A request is sent with its first statement: until then everything may happen before it.
        let notes = &self.clients[client].node(state.at[client]).notes;
        if let (_, [Note::Begun(number, _), ..]) = sent_later(notes) {
            next.order.before.insert(*number, state.order.ended.clone());
            let notes = sent_later(notes).1.to_vec();
            self.note(&mut next, &notes);
        }
        if let Some((world, digest)) = world {
            (next.world, next.digest) = (Arc::clone(world), *digest);
        }
        if reply == Some(Reply::Outcome(Outcome::Unknown)) {
            let mut world = (*next.world).clone();
            world.unknowns += 1;
            next.world = Arc::new(world);
        }
        let at = self.clients[client].advance(state.at[client], flight, reply);
        next.at[client] = at;
        let node = self.clients[client].node(at);
        for statement in node.given_up.clone() {
            next.give_up(statement);
        }
        let notes = match node.open.is_empty() {
            true => node.notes.clone(),
            false => sent_later(&node.notes).0.to_vec(),
        };
        self.note(&mut next, &notes);
        for note in notes {
            if let Note::Ended(number) = note {
                next.order.ended.insert(number);
            }
        }
        next
    }

    fn note(&self, state: &mut State, notes: &[Note]) {
        if notes.is_empty() {
            return;
        }
        let mut recorder = (*state.recorder).clone();
        for note in notes {
            recorder.record(&state.world, &self.store, note.clone());
        }
        state.recorder = Arc::new(recorder);
    }

    /// Everybody crashes here.
    fn crash(&mut self, state: &State) -> Vec<String> {
        let mut findings = self.repeat(state, false);
        if findings.is_empty() && !state.late.is_empty() {
            findings = self.repeat(state, true);
        }
        findings
    }

    /// Whether a value may be several people's.
    fn has_shared(&self) -> bool {
        let configs = &self.case.settings.identifier_configs;
        configs.iter().any(|config| !config.enforce_unique)
    }

    /// Whoever has no answer sends its request again, alone; what is in flight is lost, or lands after that.
    fn repeat(&mut self, state: &State, lands: bool) -> Vec<String> {
        let mut world = (*state.world).clone();
        let mut recorder = (*state.recorder).clone();
        let mut open = recorder.history.open();
        if state.digest % 2 == 1 {
            open.reverse();
        }
        for (number, op) in open {
            if !self.again(&mut world, &mut recorder, number + REPEATED, &op) {
                return vec![format!("request {number}, sent again, does not end")];
            }
        }
        if lands {
            for statement in &state.late {
                world.apply(statement);
            }
        }
        apply_all(&mut world);
        let mut findings = quiet_findings(&world, &recorder.history, &self.store);
        if self.has_shared() {
            let seen = Seen::of(&recorder.history);
            findings.extend(nonunique::findings(&world, &self.store, &seen, false));
        }
        if findings.is_empty() && self.case.probes {
            for (number, everybody) in (PROBE..).zip([vec![0, 1, 2, 3], vec![4, 5]]) {
                if !self.again(&mut world, &mut recorder, number, &Op::Create(everybody)) {
                    return vec!["a request for everybody does not end".to_owned()];
                }
            }
            apply_all(&mut world);
            findings = quiet_findings(&world, &recorder.history, &self.store);
            findings.extend(row_findings(&world, &self.store));
        }
        findings
    }

    fn again(&mut self, world: &mut World, recorder: &mut Recorder, number: u128, op: &Op) -> bool {
        let rank = 2 * FIRST_RANK + self.others.len();
        let client = self.others.entry(number).or_insert_with(|| {
            let ops = std::slice::from_ref(op);
            let role = role(&self.case, rank, ops, number, Arc::default());
            Client::new(role, &self.store)
        });
        alone(world, client, recorder, &self.store)
    }
}

/// What a client noted until it had its next request ready, and what it notes when it sends it.
fn sent_later(notes: &[Note]) -> (&[Note], &[Note]) {
    let begun = notes
        .iter()
        .position(|note| matches!(note, Note::Begun(..)));
    notes.split_at(begun.unwrap_or(notes.len()))
}

/// The world after a statement, if that changes it, and the answer.
fn applied(world: &World, statement: &Statement) -> (Option<(Arc<World>, u64)>, Option<Reply>) {
    if !statement.is_write() {
        return (None, world.read(statement));
    }
    let mut next = world.clone();
    let reply = next.apply(statement);
    let digest = next.digest();
    (Some((Arc::new(next), digest)), reply)
}

/// Every event of the log, as a worker applies it.
fn apply_all(world: &mut World) {
    for batch in fold(world.log.clone()) {
        world.apply(&Statement::WriteCells(batch));
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client {
            Some(client) => write!(f, "{client}: {} {:?}", self.what, self.statement),
            None => write!(f, "{} {:?}", self.what, self.statement),
        }
    }
}
