//! A client as a function of the answers that it has seen.
//!
//! Futures cannot be copied, but what a client does next follows from its answers alone: it counts its ids for itself and
//! its clock stands still. So a client is kept as the tree of its answers. What is open at a node and what was noted there is
//! found out once, by running the shipped code through the answers that lead to it; from then on it is looked up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kith_domain::id::ProfileId;
use kith_domain::store::StoreRecord;
use kith_profiles::Profiles;
use kith_profiles::environment::Omission;

use crate::case::Op;
use crate::client::{Caller, Note, Notes, take};
use crate::executor::Executor;
use crate::ports::{Shared, lock, parts};
use crate::world::{Reply, Statement, World};

/// Ids of one client: each begins where no other comes.
const IDS_EACH: u128 = 1 << 32;

/// Who a client is.
#[derive(Debug, Clone)]
pub struct Role {
    /// The place of its ids among those of others: who comes first is older.
    pub rank: usize,
    /// How far its clock is off, in microseconds.
    pub skew: i64,
    /// Its requests, one after another.
    pub ops: Vec<Op>,
    /// The first request's number; the others follow.
    pub number: u128,
    /// Whom the owners of these identifiers are known to be.
    pub known: Arc<BTreeMap<usize, ProfileId>>,
    /// A step that is left out.
    pub omission: Option<Omission>,
}

/// A client after some answers.
#[derive(Debug)]
pub struct Node {
    /// Its statements in flight, in document order; none if it has ended.
    pub open: Vec<(u64, Statement)>,
    /// What it noted since the node before.
    pub notes: Vec<Note>,
    /// Writes in flight that it has given up since the node before.
    pub given_up: Vec<Statement>,
    /// From which node, by which answer to which statement; `None` for the first half of a read.
    from: Option<(usize, u64, Option<Reply>)>,
    next: Vec<(u64, Option<Reply>, usize)>,
}

/// A client with all that is known of it.
#[derive(Debug)]
pub struct Client {
    role: Role,
    store: Arc<StoreRecord>,
    nodes: Vec<Node>,
    live: Option<Live>,
}

/// A client that runs, at the node where it is.
#[derive(Debug)]
struct Live {
    at: usize,
    world: Shared,
    executor: Executor,
    notes: Notes,
}

impl Client {
    /// A client that has sent its first request.
    #[must_use]
    pub fn new(role: Role, store: &Arc<StoreRecord>) -> Self {
        let mut client = Self {
            role,
            store: Arc::clone(store),
            nodes: Vec::new(),
            live: None,
        };
        let live = client.start();
        client.arrive(live, None);
        client
    }

    /// A node.
    #[must_use]
    pub fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    /// How many nodes are known.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Where an answer to an open statement leads; `None` if only the first half of a read was done.
    pub fn advance(&mut self, node: usize, flight: u64, reply: Option<Reply>) -> usize {
        let known = self.nodes[node].next.iter();
        let mut known = known.filter(|(at, given, _)| *at == flight && *given == reply);
        if let Some((_, _, next)) = known.next() {
            return *next;
        }
        let Some(reply) = reply else {
            return self.halve(node, flight);
        };
        let mut live = match self.live.take() {
            Some(live) if live.at == node => live,
            Some(_) | None => self.resume(node),
        };
        live.give(flight, reply.clone());
        self.arrive(live, Some((node, flight, Some(reply))))
    }

    /// The second half of a read is open instead of the first. The client itself notices nothing.
    fn halve(&mut self, node: usize, flight: u64) -> usize {
        let mut open = self.nodes[node].open.clone();
        for (at, statement) in &mut open {
            if let (true, Statement::ReadNode(read)) = (*at == flight, &*statement) {
                *statement = Statement::ReadStatics(read.at);
            }
        }
        if let Some(live) = self.live.as_mut().filter(|live| live.at == node) {
            live.at = self.nodes.len();
        }
        self.push(open, Vec::new(), Vec::new(), Some((node, flight, None)))
    }

    fn push(
        &mut self,
        open: Vec<(u64, Statement)>,
        notes: Vec<Note>,
        given_up: Vec<Statement>,
        from: Option<(usize, u64, Option<Reply>)>,
    ) -> usize {
        let number = self.nodes.len();
        if let Some((node, flight, reply)) = &from {
            let next = &mut self.nodes[*node].next;
            next.push((*flight, reply.clone(), number));
        }
        self.nodes.push(Node {
            open,
            notes,
            given_up,
            from,
            next: Vec::new(),
        });
        number
    }

    fn arrive(&mut self, mut live: Live, from: Option<(usize, u64, Option<Reply>)>) -> usize {
        let open = live.open();
        let notes = take(&live.notes);
        let given_up = live.given_up();
        live.at = self.nodes.len();
        self.live = Some(live);
        self.push(open, notes, given_up, from)
    }

    fn start(&self) -> Live {
        let world = Arc::new(Mutex::new(World::default()));
        {
            let mut world = lock(&world);
            world.last_id = IDS_EACH * self.role.rank as u128;
            world.skews.insert(self.role.rank, self.role.skew);
        }
        let notes = Notes::default();
        let caller = Caller {
            store: Arc::clone(&self.store),
            notes: Arc::clone(&notes),
            known: Arc::clone(&self.role.known),
        };
        let process = Profiles::new(parts(&world, self.role.rank, self.role.omission));
        let (number, ops) = (self.role.number, self.role.ops.clone());
        let mut executor = Executor::default();
        executor.spawn(async move {
            for (number, op) in (number..).zip(&ops) {
                caller.send(&process, number, op).await;
            }
        });
        let mut live = Live {
            at: 0,
            world,
            executor,
            notes,
        };
        live.settle();
        live
    }

    /// Runs a client through the answers that lead to a node.
    fn resume(&self, node: usize) -> Live {
        let mut answers = Vec::new();
        let mut at = node;
        while let Some((before, flight, reply)) = &self.nodes[at].from {
            answers.extend(reply.as_ref().map(|reply| (*flight, reply)));
            at = *before;
        }
        let mut live = self.start();
        for (flight, reply) in answers.into_iter().rev() {
            live.give(flight, reply.clone());
        }
        // Both were taken when the nodes were first met.
        drop((take(&live.notes), live.given_up()));
        live.at = node;
        live
    }
}

impl Live {
    fn give(&mut self, flight: u64, reply: Reply) {
        lock(&self.world).answer(flight, reply);
        self.settle();
    }

    /// Runs until every statement in flight is one that the world answers: nobody waits for a pause here.
    fn settle(&mut self) {
        loop {
            self.executor.settle();
            let mut world = lock(&self.world);
            let open = world.in_flight().into_iter().map(|(flight, _)| flight);
            let pauses: Vec<u64> = open
                .filter(|flight| {
                    let flight = world.flight(*flight);
                    flight.is_some_and(|flight| flight.statement == Statement::Sleep)
                })
                .collect();
            if pauses.is_empty() {
                return;
            }
            for flight in pauses {
                world.answer(flight, Reply::Done);
            }
        }
    }

    /// Takes the writes that nobody waits for any more.
    fn given_up(&self) -> Vec<Statement> {
        let mut world = lock(&self.world);
        let mut statements = Vec::new();
        for (flight, is_orphan) in world.in_flight() {
            if is_orphan {
                statements.extend(world.flight(flight).map(|flight| flight.statement.clone()));
                world.lose(flight);
            }
        }
        statements
    }

    fn open(&self) -> Vec<(u64, Statement)> {
        let world = lock(&self.world);
        let open = world
            .in_flight()
            .into_iter()
            .filter(|(_, is_orphan)| !is_orphan);
        open.filter_map(|(flight, _)| Some((flight, world.flight(flight)?.statement.clone())))
            .collect()
    }
}
