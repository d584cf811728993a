//! What the ports stand for: tables, a log, and the statements that are in flight.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::task::Waker;

use kith_domain::event::{Event, PurgeEvent, Scope, TraitEvent};
use kith_domain::id::{ClaimId, DefinitionId, ProfileId, ProfileKey, RequestId, StoreId};
use kith_domain::identifier::ClaimKey;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_domain::traits::TraitCell;
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, CellWrite, Claim, Conditional, IdentRow, LinkEvidence, LinkRow,
    LogRecord, NewRecord, Node, NodeRead, Offset, Order, Outcome, OwnerRows, Owners, OwnersRead,
    Partition, Pointer, Select, SharedClaim, Standing, Verdict, VerdictRow, Verdicts,
};

use crate::topic::Topic;

mod broken;

pub use broken::Broken;
use broken::Shadow;

/// One statement in flight.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Statement {
    /// A claim's read.
    ReadClaim(ClaimKey),
    /// A read of a value's owners.
    ReadOwners(OwnersRead),
    /// A node's read.
    ReadNode(NodeRead),
    /// The second half of a node's read whose verdict was absent: the pointer and the mark, a moment later.
    ReadStatics(ProfileKey),
    /// A read of a node's links with their evidence.
    ReadLinks(ProfileKey),
    /// A conditional statement.
    Attempt(Conditional),
    /// A read of cells.
    ReadCells(CellRead),
    /// The second half of a read of cells by an engine that reads member rows first: the rest, a moment later.
    ReadMarks(CellRead, Vec<ProfileId>),
    /// A plain batch.
    WriteCells(CellBatch),
    /// The removal of a partition of cells.
    Purge(ProfileKey, Micros),
    /// The removal of a row of the listing.
    Unlist(ProfileKey),
    /// A row of the listing.
    List(ProfileKey),
    /// A page of the listing.
    Page(StoreId, Order, Option<ProfileId>, usize),
    /// A store's control row.
    ReadStore(StoreId),
    /// Whether a store was deleted.
    ReadStatus(StoreId),
    /// A record for the log.
    Publish(NewRecord),
    /// A dead letter: the record at this place.
    Bury(Partition, Offset),
    /// A consumer's question for what is new. It waits until something is.
    Fetch(usize),
    /// A consumer's wait for its end.
    Stop,
    /// A pause.
    Sleep,
}

impl Statement {
    /// Whether it changes something: it may then stay without an answer, and be applied late or never.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::Attempt(_)
            | Self::WriteCells(_)
            | Self::Purge(..)
            | Self::List(_)
            | Self::Unlist(_)
            | Self::Publish(_)
            | Self::Bury(..) => true,
            Self::ReadClaim(_)
            | Self::ReadOwners(_)
            | Self::ReadNode(_)
            | Self::ReadStatics(_)
            | Self::ReadLinks(_)
            | Self::ReadCells(_)
            | Self::ReadMarks(..)
            | Self::Page(..)
            | Self::ReadStore(_)
            | Self::ReadStatus(_)
            | Self::Fetch(_)
            | Self::Stop
            | Self::Sleep => false,
        }
    }
}

/// The answer to a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To [`Statement::ReadClaim`].
    Claim(Option<Claim>),
    /// To [`Statement::ReadOwners`].
    Owners(Owners),
    /// To [`Statement::ReadNode`] and [`Statement::ReadStatics`].
    Node(Node),
    /// To [`Statement::ReadLinks`].
    Links(Vec<LinkEvidence>),
    /// To [`Statement::Attempt`].
    Outcome(Outcome),
    /// To [`Statement::ReadCells`].
    Rows(CellRows),
    /// To [`Statement::Page`].
    Page(Vec<ProfileId>),
    /// To [`Statement::ReadStore`].
    Store(Box<Option<StoreRecord>>),
    /// To [`Statement::ReadStatus`].
    Deleted(bool),
    /// To the rest.
    Done,
    /// No answer in time: a plain write or a publish may have been applied.
    Failed,
}

/// A statement in flight, or answered and not yet collected.
#[derive(Debug, Clone)]
pub struct Flight {
    /// Whose it is.
    pub client: usize,
    /// What it says.
    pub statement: Statement,
    /// Its answer.
    pub reply: Option<Reply>,
    /// Nobody waits for it any more: it may yet be applied, or never.
    pub is_orphan: bool,
    waker: Option<Waker>,
}

/// Tables, log and flights.
#[derive(Debug, Clone, Default)]
pub struct World {
    claims: BTreeMap<ClaimKey, Claim>,
    owners: BTreeMap<ClaimKey, Owners>,
    nodes: BTreeMap<ProfileKey, Node>,
    /// Why links were made. Nobody decides by it, so it is no part of what a world is told apart by.
    links: BTreeMap<ProfileKey, Vec<LinkEvidence>>,
    cells: BTreeMap<ProfileKey, CellRows>,
    /// What was written to each partition: what a removal leaves of its rows is made from it.
    written: BTreeMap<ProfileKey, Vec<CellBatch>>,
    /// Removals of partitions, as long as they are remembered.
    purged: BTreeMap<ProfileKey, Micros>,
    forgotten: BTreeMap<(ProfileKey, ClaimId), Micros>,
    ident_times: BTreeMap<(ProfileKey, ClaimId), Micros>,
    listing: BTreeSet<ProfileKey>,
    /// A condition that is left out.
    pub broken: Option<Broken>,
    /// What a broken engine keeps of former states.
    shadow: Shadow,
    /// Stores by id.
    pub stores: BTreeMap<StoreId, StoreRecord>,
    /// Stores that were deleted.
    pub deleted_stores: BTreeSet<StoreId>,
    /// Every trait event that reached the log.
    pub log: Vec<TraitEvent>,
    /// Every purge event that reached the log.
    pub purges: Vec<PurgeEvent>,
    /// The stamp of every request whose event reached the log.
    pub stamps: BTreeMap<RequestId, Micros>,
    /// Records that reached the log and are no events.
    pub poison: usize,
    /// Every profile that was ever claimed for, and the request that did it first: it made the id.
    pub made: BTreeMap<ProfileId, RequestId>,
    /// Conditional statements whose outcome stayed unknown.
    pub unknowns: u64,
    /// Writes that were applied.
    pub changes: u64,
    /// The last CLAIM that gave each identifier to somebody, released or not.
    pub added: BTreeMap<ClaimKey, Claim>,
    /// A request that gave two stamps, if any did.
    pub restamped: Option<RequestId>,
    /// The log, as consumers see it.
    pub topic: Topic,
    /// Records that were put aside.
    buried: BTreeSet<(Partition, Offset)>,
    flights: BTreeMap<u64, Flight>,
    next_flight: u64,
    /// Steps so far: simulated time.
    pub steps: u64,
    /// How far each client's wall clock is off, in microseconds.
    pub skews: BTreeMap<usize, i64>,
    /// The last id that was counted; where a client counts for itself, it begins at a number of its own.
    pub last_id: u128,
}

impl World {
    /// Puts a statement in flight.
    pub fn depart(&mut self, client: usize, statement: Statement) -> u64 {
        self.next_flight += 1;
        self.on_departure(&statement);
        let flight = Flight {
            client,
            statement,
            reply: None,
            is_orphan: false,
            waker: None,
        };
        self.flights.insert(self.next_flight, flight);
        self.next_flight
    }

    /// Takes the answer, if it is there; else the waker is kept.
    pub fn collect(&mut self, flight: u64, waker: &Waker) -> Option<Reply> {
        let entry = self.flights.get_mut(&flight)?;
        match entry.reply.take() {
            Some(reply) => {
                self.flights.remove(&flight);
                Some(reply)
            }
            None => {
                entry.waker = Some(waker.clone());
                None
            }
        }
    }

    /// Nobody waits for this one any more. A read is forgotten; a write may yet be applied.
    pub fn abandon(&mut self, flight: u64) {
        let Some(entry) = self.flights.get_mut(&flight) else {
            return;
        };
        if entry.statement.is_write() && entry.reply.is_none() {
            entry.is_orphan = true;
            entry.waker = None;
        } else {
            self.flights.remove(&flight);
        }
    }

    /// The statements that may run next: those waited for, and those given up.
    #[must_use]
    pub fn in_flight(&self) -> Vec<(u64, bool)> {
        let open = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.reply.is_none() && self.may_run(&flight.statement));
        open.map(|(id, flight)| (*id, flight.is_orphan)).collect()
    }

    /// Some statements wait for something.
    fn may_run(&self, statement: &Statement) -> bool {
        if let Statement::Fetch(member) = statement {
            return self.topic.has_event(*member);
        }
        *statement != Statement::Stop || self.topic.is_over
    }

    /// Whether a statement of another client than this one is in flight too.
    #[must_use]
    pub fn is_overlapped(&self, client: usize) -> bool {
        self.flights
            .values()
            .any(|flight| flight.client != client && flight.reply.is_none())
    }

    /// One in flight.
    #[must_use]
    pub fn flight(&self, flight: u64) -> Option<&Flight> {
        self.flights.get(&flight)
    }

    /// Drops a statement that nobody waits for: it is never applied.
    pub fn lose(&mut self, flight: u64) {
        self.flights.remove(&flight);
    }

    /// Runs a statement and answers it.
    pub fn execute(&mut self, flight: u64) {
        self.steps += 1;
        let Some(entry) = self.flights.get(&flight) else {
            return;
        };
        let statement = entry.statement.clone();
        if entry.is_orphan {
            self.flights.remove(&flight);
            self.apply_whole(statement);
            return;
        }
        let (statement, rest) = self.bend(statement);
        if let (Some(rest), Some(entry)) = (rest, self.flights.get_mut(&flight)) {
            entry.statement = rest;
            self.apply(&statement);
            return;
        }
        if let Some(reply) = self.apply(&statement) {
            self.answer(flight, reply);
        } else if let (Statement::ReadNode(read), Some(entry)) =
            (statement, self.flights.get_mut(&flight))
        {
            entry.statement = Statement::ReadStatics(read.at);
        }
    }

    /// Plain writes in flight that a plain read may see before they are acknowledged: those to the same partition.
    #[must_use]
    pub fn visible_early(&self, flight: u64) -> Vec<u64> {
        let Some(Statement::ReadCells(read)) = self.flights.get(&flight).map(|one| &one.statement)
        else {
            return Vec::new();
        };
        let writes = self.flights.iter().filter(|(_, one)| {
            let is_same =
                matches!(&one.statement, Statement::WriteCells(batch) if batch.at == read.at);
            is_same && one.reply.is_none()
        });
        writes.map(|(flight, _)| *flight).collect()
    }

    /// Answers a plain read that sees these writes in flight. What it sees every later read sees, because it is repaired
    /// before the answer; but it is only the rows that this read selected, while the rest of a batch stays in flight, and may
    /// be lost (`identity-protocol.md` 1).
    pub fn execute_early(&mut self, flight: u64, writes: &[u64]) {
        let statement = self.flights.get(&flight).map(|one| one.statement.clone());
        if let Some(Statement::ReadCells(read)) = statement {
            for write in writes {
                let write = self.flights.get(write).map(|one| &one.statement);
                if let Some(Statement::WriteCells(batch)) = write {
                    let mut seen = batch.clone();
                    seen.writes
                        .retain(|write| read.select.iter().any(|one| selects(one, write)));
                    if !seen.writes.is_empty() {
                        self.write_cells(&seen);
                    }
                }
            }
        }
        self.execute(flight);
    }

    /// Whether what a record says is done for good.
    #[must_use]
    pub fn is_done(&self, record: &LogRecord) -> bool {
        match Event::decode(&record.payload) {
            Ok(Event::Traits(event)) => {
                let at = ProfileKey {
                    store: event.store,
                    profile: event.profile,
                };
                let rows = self.cells.get(&at);
                let is_written = |definition: &DefinitionId| {
                    let mut traits = rows.into_iter().flat_map(|rows| &rows.traits);
                    traits.any(|cell| cell.definition == *definition && cell.time >= event.stamp)
                };
                self.root_of(at).is_none()
                    || event
                        .traits
                        .iter()
                        .all(|(definition, _)| is_written(definition))
            }
            Ok(Event::Purge(event)) => {
                let is_empty = |rows: &CellRows| *rows == CellRows::default();
                event.key().is_none_or(|at| self.root_of(at).is_some())
                    || event
                        .key()
                        .and_then(|at| self.cells.get(&at))
                        .is_none_or(is_empty)
            }
            Err(_) => self.buried.contains(&(record.partition, record.offset)),
        }
    }

    /// Answers a write without an answer: it is applied now, or stays in flight without anybody waiting for it.
    pub fn execute_unknown(&mut self, flight: u64, applied: bool) {
        self.steps += 1;
        let Some(entry) = self.flights.get(&flight) else {
            return;
        };
        let (client, statement) = (entry.client, entry.statement.clone());
        self.answer(flight, Self::unknown(&statement));
        if applied {
            let former = self.former(&statement);
            self.apply_whole(statement);
            self.keep(former);
        } else {
            let ghost = self.depart(client, statement);
            self.abandon(ghost);
        }
    }

    /// Answers a statement with this, whatever the tables say.
    pub fn answer(&mut self, flight: u64, reply: Reply) {
        self.unknowns += u64::from(matches!(reply, Reply::Outcome(Outcome::Unknown)));
        if let Some(entry) = self.flights.get_mut(&flight) {
            entry.reply = Some(reply);
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    /// A counter, as the source of ids.
    pub fn count(&mut self) -> u128 {
        self.last_id += 1;
        self.last_id
    }

    /// What an answer is that never comes.
    #[must_use]
    pub fn unknown(statement: &Statement) -> Reply {
        if matches!(statement, Statement::Attempt(_)) {
            Reply::Outcome(Outcome::Unknown)
        } else {
            Reply::Failed
        }
    }

    /// Applies a statement that nobody waits for, whatever an engine makes of it.
    pub fn apply_whole(&mut self, statement: Statement) {
        let (statement, rest) = self.bend(statement);
        self.apply(&statement);
        if let Some(rest) = rest {
            self.apply(&rest);
        }
    }

    /// Applies a statement. `None`: a node's read whose verdict is absent goes on with a second read.
    pub fn apply(&mut self, statement: &Statement) -> Option<Reply> {
        self.changes += u64::from(statement.is_write());
        match statement {
            Statement::Attempt(conditional) => {
                self.on_settled(conditional);
                return Some(Reply::Outcome(self.attempt(conditional)));
            }
            Statement::WriteCells(batch) => self.write_cells(batch),
            Statement::Purge(at, time) => self.purge(*at, *time),
            Statement::List(at) => {
                self.listing.insert(*at);
            }
            Statement::Unlist(at) => {
                self.listing.remove(at);
            }
            Statement::Publish(record) => {
                match Event::decode(&record.payload) {
                    Ok(Event::Traits(event)) => {
                        // A batch has an event for each of its people, who carry other traits.
                        let is_again = |former: &&TraitEvent| {
                            former.request == event.request
                                && former.profile == event.profile
                                && former.traits == event.traits
                        };
                        let former = self.log.iter().find(is_again);
                        if former.is_some_and(|former| former.stamp != event.stamp) {
                            self.restamped = Some(event.request);
                        }
                        self.stamps.insert(event.request, event.stamp);
                        self.log.push(event);
                    }
                    Ok(Event::Purge(event)) => self.purges.push(event),
                    Err(_) => self.poison += 1,
                }
                self.topic.append(record);
            }
            Statement::Bury(partition, offset) => {
                self.buried.insert((*partition, *offset));
            }
            Statement::ReadClaim(_)
            | Statement::ReadNode(_)
            | Statement::ReadStatics(_)
            | Statement::ReadLinks(_)
            | Statement::ReadCells(_)
            | Statement::ReadMarks(..)
            | Statement::Page(..)
            | Statement::ReadStore(_)
            | Statement::ReadStatus(_)
            | Statement::ReadOwners(_)
            | Statement::Fetch(_)
            | Statement::Stop
            | Statement::Sleep => return self.read(statement),
        }
        Some(Reply::Done)
    }

    /// The answer to a statement that changes nothing; of others it says only that they are done. `None` as of
    /// [`World::apply`].
    #[must_use]
    pub fn read(&self, statement: &Statement) -> Option<Reply> {
        Some(match statement {
            Statement::ReadClaim(key) => Reply::Claim(self.seen_claim(*key)),
            Statement::ReadOwners(read) => Reply::Owners(self.read_owners(*read)),
            Statement::ReadNode(read) => return self.read_node(*read).map(Reply::Node),
            Statement::ReadStatics(at) => {
                let mut node = self.seen_node(*at, false);
                node.verdicts.clear();
                Reply::Node(node)
            }
            Statement::ReadLinks(at) => {
                Reply::Links(self.links.get(at).cloned().unwrap_or_default())
            }
            Statement::ReadCells(read) => Reply::Rows(self.read_cells(read)),
            Statement::ReadMarks(read, members) => {
                let mut rows = self.read_cells(read);
                rows.members.clone_from(members);
                Reply::Rows(rows)
            }
            Statement::Page(store, order, after, limit) => {
                Reply::Page(self.page(*store, *order, *after, *limit))
            }
            Statement::ReadStore(store) => Reply::Store(Box::new(self.stores.get(store).cloned())),
            Statement::ReadStatus(store) => Reply::Deleted(self.deleted_stores.contains(store)),
            Statement::Sleep
            | Statement::Fetch(_)
            | Statement::Stop
            | Statement::Bury(..)
            | Statement::Attempt(_)
            | Statement::WriteCells(_)
            | Statement::Purge(..)
            | Statement::List(_)
            | Statement::Unlist(_)
            | Statement::Publish(_) => Reply::Done,
        })
    }

    fn read_owners(&self, read: OwnersRead) -> Owners {
        let mut owners = self.owners.get(&read.key).cloned().unwrap_or_default();
        if let OwnerRows::Of(profile) = read.rows {
            owners.stamp = None;
            owners.rows.retain(|row| row.profile == profile);
        }
        owners
    }

    fn read_node(&self, read: NodeRead) -> Option<Node> {
        let whole = self.seen_node(read.at, read.verdicts == Verdicts::All);
        let verdicts = match read.verdicts {
            Verdicts::None => Vec::new(),
            Verdicts::All => whole.verdicts.clone(),
            Verdicts::Of(child, token) if self.broken == Some(Broken::UndecidedFollowed) => {
                let verdict = Verdict::Linked;
                vec![VerdictRow {
                    child,
                    token,
                    verdict,
                }]
            }
            Verdicts::Of(child, token) => {
                let row = whole
                    .verdicts
                    .iter()
                    .find(|row| row.child == child && row.token == token)?;
                vec![*row]
            }
        };
        Some(Node { verdicts, ..whole })
    }

    fn attempt(&mut self, statement: &Conditional) -> Outcome {
        match statement {
            Conditional::Claim {
                key,
                expected,
                id,
                profile,
                added_at,
                place,
                by_request,
            } => {
                let claim = Claim {
                    profile: Some(*profile),
                    id: *id,
                    added_at: *added_at,
                    place: *place,
                    by_request: *by_request,
                };
                let outcome = self.set_claim(*key, *expected, claim);
                if outcome == Outcome::Applied {
                    self.made.entry(*profile).or_insert(*by_request);
                    self.added.insert(*key, claim);
                }
                outcome
            }
            Conditional::Release {
                key,
                expected,
                id,
                by_request,
            } => {
                let Some(held) = self.claims.get(key).copied() else {
                    return Outcome::Refused(Standing::default());
                };
                let claim = Claim {
                    profile: None,
                    id: *id,
                    by_request: *by_request,
                    ..held
                };
                self.set_claim(*key, Some(*expected), claim)
            }
            Conditional::Share {
                key,
                profile,
                expected,
                as_read,
                id,
                stamp,
                added_at,
                place,
                by_request,
            } => {
                let row = SharedClaim {
                    profile: *profile,
                    released: false,
                    id: *id,
                    added_at: *added_at,
                    place: *place,
                    by_request: *by_request,
                };
                let owners = self.owners.entry(*key).or_default();
                let standing = owners.rows.iter().find(|old| old.profile == *profile);
                let claim_id = standing.map(|old| old.id);
                if claim_id != *expected || as_read.is_some_and(|read| read != owners.stamp) {
                    return Outcome::Refused(Standing {
                        claim_id,
                        ..Standing::default()
                    });
                }
                owners.rows.retain(|old| old.profile != *profile);
                owners.rows.push(row);
                owners.stamp = Some(*stamp);
                Outcome::Applied
            }
            Conditional::Unshare {
                key,
                profile,
                expected,
                id,
                stamp,
                by_request,
            } => {
                let owners = self.owners.entry(*key).or_default();
                let row = owners.rows.iter_mut().find(|row| row.profile == *profile);
                match row {
                    Some(row) if row.id == *expected => {
                        row.released = true;
                        row.id = *id;
                        row.by_request = *by_request;
                        owners.stamp = Some(*stamp);
                        Outcome::Applied
                    }
                    other => Outcome::Refused(Standing {
                        claim_id: other.map(|row| row.id),
                        ..Standing::default()
                    }),
                }
            }
            Conditional::Point {
                child,
                expected,
                parent,
                token,
            } => self.on_node(*child, *expected, None, true, |node| {
                node.pointer = Some(Pointer {
                    parent: *parent,
                    token: *token,
                });
            }),
            Conditional::Link {
                parent,
                child,
                token,
                expected,
                decided_at,
                evidence,
            } => {
                let row = VerdictRow {
                    child: *child,
                    token: *token,
                    verdict: Verdict::Linked,
                };
                let outcome = self.on_node(*parent, *expected, Some(row), false, |node| {
                    write_verdict(&mut node.verdicts, row);
                });
                if outcome == Outcome::Applied {
                    self.links.entry(*parent).or_default().push(LinkEvidence {
                        child: *child,
                        token: *token,
                        decided_at: *decided_at,
                        evidence: evidence.clone(),
                    });
                }
                outcome
            }
            Conditional::Void {
                parent,
                child,
                token,
                ..
            } => {
                let node = self.nodes.entry(*parent).or_default();
                let row = VerdictRow {
                    child: *child,
                    token: *token,
                    verdict: Verdict::Void,
                };
                let stands = node
                    .verdicts
                    .iter()
                    .find(|old| old.child == *child && old.token == *token);
                if let Some(stands) = stands {
                    return Outcome::Refused(Standing {
                        verdict: Some(stands.verdict),
                        ..Standing::default()
                    });
                }
                write_verdict(&mut node.verdicts, row);
                Outcome::Applied
            }
            Conditional::Kill {
                profile,
                expected,
                id,
            } => self.on_node(*profile, *expected, None, false, |node| {
                node.dead = Some(*id)
            }),
        }
    }

    fn set_claim(&mut self, key: ClaimKey, expected: Option<ClaimId>, claim: Claim) -> Outcome {
        let standing = self.claims.get(&key).map(|claim| claim.id);
        // The owner alone: whoever was read to have it, or not to.
        let is_any = self.broken == Some(Broken::ReleaseAnyClaim) && claim.profile.is_none();
        let by_owner = self.broken == Some(Broken::ClaimByOwner) && {
            let owner = self.claims.get(&key).and_then(|claim| claim.profile);
            owner.is_some() == expected.is_some() || owner.is_none()
        };
        if standing != expected && !by_owner && !is_any {
            return Outcome::Refused(Standing {
                claim_id: standing,
                ..Standing::default()
            });
        }
        self.claims.insert(key, claim);
        Outcome::Applied
    }

    /// POINT, LINK and KILL: not dead, the pointer as read, and no verdict under `row`.
    fn on_node(
        &mut self,
        at: ProfileKey,
        expected: Option<kith_domain::id::LinkToken>,
        row: Option<VerdictRow>,
        is_point: bool,
        write: impl FnOnce(&mut Node),
    ) -> Outcome {
        let node = self.nodes.entry(at).or_default();
        let verdict = row.and_then(|row| {
            let stands = node
                .verdicts
                .iter()
                .find(|old| old.child == row.child && old.token == row.token);
            stands.map(|old| old.verdict)
        });
        let parent_token = node.pointer.map(|pointer| pointer.token);
        let is_link = row.is_some();
        let ignores_pointer = is_link && self.broken == Some(Broken::LinkIgnoresPointer);
        let ignores_dead = match self.broken {
            Some(Broken::LinkIgnoresDead) => is_link,
            Some(Broken::PointIgnoresDead) => is_point,
            _ => false,
        };
        let is_dead = node.dead.is_some() && !ignores_dead;
        let is_other = parent_token != expected && !ignores_pointer;
        if is_dead || is_other || verdict.is_some() {
            return Outcome::Refused(Standing {
                claim_id: None,
                verdict,
                dead: node.dead,
                parent_token,
            });
        }
        write(node);
        Outcome::Applied
    }

    fn read_cells(&self, read: &CellRead) -> CellRows {
        let Some(whole) = self.cells.get(&read.at) else {
            let mut rows = CellRows::default();
            self.bend_rows(read, &mut rows);
            return rows;
        };
        let mut rows = CellRows::default();
        for select in &read.select {
            match select {
                Select::Clock => rows.clock = whole.clock,
                Select::Root => rows.root = whole.root,
                Select::Ident(id_type, value, claim) => rows.idents.extend(
                    whole
                        .idents
                        .iter()
                        .filter(|row| {
                            row.id_type == *id_type && row.value == *value && row.claim == *claim
                        })
                        .cloned(),
                ),
                Select::Idents => rows.idents.clone_from(&whole.idents),
                Select::Link(child, token) => rows.links.extend(
                    whole
                        .links
                        .iter()
                        .filter(|row| row.child == *child && row.token == *token),
                ),
                Select::LinksAndMembers => {
                    rows.links.clone_from(&whole.links);
                    rows.members.clone_from(&whole.members);
                }
                Select::Traits => rows.traits.clone_from(&whole.traits),
            }
        }
        self.bend_rows(read, &mut rows);
        rows
    }

    fn write_cells(&mut self, batch: &CellBatch) {
        if self
            .purged
            .get(&batch.at)
            .is_some_and(|time| *time >= batch.time)
        {
            return;
        }
        let written = self.written.entry(batch.at).or_default();
        if !written.contains(batch) {
            written.push(batch.clone());
        }
        self.write_rows(batch);
    }

    /// What was written at or before the time goes, and stays away for as long as the removal is remembered.
    fn purge(&mut self, at: ProfileKey, time: Micros) {
        let time = self.purge_time(at, time);
        let purged = self.purged.entry(at).or_insert(time);
        *purged = (*purged).max(time);
        self.cells.remove(&at);
        self.forgotten.retain(|(profile, _), _| *profile != at);
        self.ident_times.retain(|(profile, _), _| *profile != at);
        let mut left = self.written.remove(&at).unwrap_or_default();
        left.retain(|batch| batch.time > time);
        for batch in &left {
            self.write_rows(batch);
        }
        self.written.insert(at, left);
    }

    /// Forgets every removal of a partition, as a database does when its grace for late writes is over.
    pub fn forget_purges(&mut self) {
        self.purged.clear();
    }

    fn write_rows(&mut self, batch: &CellBatch) {
        let rows = self.cells.entry(batch.at).or_default();
        for write in &batch.writes {
            match write {
                CellWrite::Clock => rows.clock = rows.clock.max(Some(batch.time)),
                CellWrite::Ident(row) => {
                    let at = (batch.at, row.claim);
                    if self
                        .forgotten
                        .get(&at)
                        .is_some_and(|time| *time >= batch.time)
                    {
                        continue;
                    }
                    let time = self.ident_times.entry(at).or_insert(batch.time);
                    *time = (*time).max(batch.time);
                    write_ident(&mut rows.idents, row);
                }
                CellWrite::Link(row) => write_link(&mut rows.links, *row),
                CellWrite::Member(profile) => {
                    if let Err(place) = rows.members.binary_search(profile) {
                        rows.members.insert(place, *profile);
                    }
                }
                CellWrite::Root(ancestor) => rows.root = Some(*ancestor),
                CellWrite::Trait(definition, value) => {
                    let cell = TraitCell {
                        definition: *definition,
                        value: value.clone(),
                        time: batch.time,
                    };
                    write_trait(&mut rows.traits, *definition, cell);
                }
                CellWrite::ForgetIdent(_, _, claim) => {
                    let at = (batch.at, *claim);
                    let time = self.forgotten.entry(at).or_insert(batch.time);
                    *time = (*time).max(batch.time);
                    if self
                        .ident_times
                        .get(&at)
                        .is_none_or(|written| *written <= batch.time)
                    {
                        rows.idents.retain(|row| row.claim != *claim);
                    }
                }
            }
        }
    }

    fn page(
        &self,
        store: StoreId,
        order: Order,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Vec<ProfileId> {
        let ids = self
            .listing
            .iter()
            .filter(|key| key.store == store)
            .map(|key| key.profile);
        match order {
            Order::Ascending => ids
                .filter(|id| after.is_none_or(|after| *id > after))
                .take(limit)
                .collect(),
            Order::Descending => ids
                .rev()
                .filter(|id| after.is_none_or(|after| *id < after))
                .take(limit)
                .collect(),
        }
    }

    /// Names what tables and log hold, however it came about: equal for equal contents.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut state = DefaultHasher::new();
        self.claims.hash(&mut state);
        self.owners.hash(&mut state);
        self.deleted_stores.hash(&mut state);
        self.nodes.hash(&mut state);
        self.cells.hash(&mut state);
        self.purged.hash(&mut state);
        self.forgotten.hash(&mut state);
        self.ident_times.hash(&mut state);
        self.listing.hash(&mut state);
        self.stamps.hash(&mut state);
        self.made.hash(&mut state);
        self.added.hash(&mut state);
        self.poison.hash(&mut state);
        // In any order.
        let batches = self.written.values().flatten();
        batches
            .map(hash_of)
            .fold(0, u64::wrapping_add)
            .hash(&mut state);
        let events = self.log.iter().map(hash_of);
        events.fold(0, u64::wrapping_add).hash(&mut state);
        let purges = self.purges.iter().map(hash_of);
        purges.fold(0, u64::wrapping_add).hash(&mut state);
        state.finish()
    }

    // ------------------------------------------------------------------------------------------ what predicates look at

    /// The same tables, with everybody crashed and all that was in flight lost.
    #[must_use]
    pub fn crashed(&self) -> Self {
        let mut world = self.clone();
        world.flights.clear();
        world
    }

    /// Whether a profile is in its store's listing.
    #[must_use]
    pub fn is_listed(&self, at: ProfileKey) -> bool {
        self.listing.contains(&at)
    }

    /// Every node.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<ProfileKey, Node> {
        &self.nodes
    }

    /// Every node, to be written as no statement would.
    pub fn nodes_mut(&mut self) -> &mut BTreeMap<ProfileKey, Node> {
        &mut self.nodes
    }

    /// Every claim.
    #[must_use]
    pub fn claims(&self) -> &BTreeMap<ClaimKey, Claim> {
        &self.claims
    }

    /// The owners of every value that several may own.
    #[must_use]
    pub fn owners(&self) -> &BTreeMap<ClaimKey, Owners> {
        &self.owners
    }

    /// Every partition of cells.
    #[must_use]
    pub fn cells(&self) -> &BTreeMap<ProfileKey, CellRows> {
        &self.cells
    }

    /// Whoever is dead, has rows, and whose set was to be purged.
    #[must_use]
    pub fn unpurged(&self) -> Vec<ProfileKey> {
        let rows = self
            .cells
            .iter()
            .filter(|(_, rows)| **rows != CellRows::default());
        let dead = rows.filter(|(at, _)| self.root_of(**at).is_none());
        let is_purged = |at: &ProfileKey| {
            self.purges
                .iter()
                .any(|event| event.scope == Scope::Set(self.top_of(*at).profile))
        };
        dead.map(|(at, _)| *at).filter(is_purged).collect()
    }

    /// Where the links of a profile end, dead or alive.
    fn top_of(&self, mut at: ProfileKey) -> ProfileKey {
        while let Some(parent) = self.parent_of(at) {
            at.profile = parent;
        }
        at
    }

    /// The parent that a profile is linked to.
    fn parent_of(&self, at: ProfileKey) -> Option<ProfileId> {
        let pointer = self.nodes.get(&at)?.pointer?;
        let profile = pointer.parent;
        let parent = self.nodes.get(&ProfileKey { profile, ..at })?;
        let is_linked = parent.verdicts.iter().any(|row| {
            row.child == at.profile && row.token == pointer.token && row.verdict == Verdict::Linked
        });
        is_linked.then_some(profile)
    }

    /// The live root that a profile leads to over `linked` verdicts; `None` if the set is dead.
    #[must_use]
    pub fn root_of(&self, mut at: ProfileKey) -> Option<ProfileId> {
        loop {
            if self.nodes.get(&at).is_some_and(|node| node.dead.is_some()) {
                return None;
            }
            match self.parent_of(at) {
                Some(parent) => at.profile = parent,
                None => return Some(at.profile),
            }
        }
    }
}

/// Whether a read of this would see that write.
fn selects(select: &Select, write: &CellWrite) -> bool {
    match (select, write) {
        (Select::Clock, CellWrite::Clock)
        | (Select::Root, CellWrite::Root(_))
        | (Select::Idents, CellWrite::Ident(_) | CellWrite::ForgetIdent(..))
        | (Select::LinksAndMembers, CellWrite::Link(_) | CellWrite::Member(_))
        | (Select::Traits, CellWrite::Trait(..)) => true,
        (Select::Ident(_, _, wanted), CellWrite::Ident(row)) => row.claim == *wanted,
        (Select::Ident(_, _, wanted), CellWrite::ForgetIdent(_, _, claim)) => claim == wanted,
        (Select::Link(child, token), CellWrite::Link(row)) => {
            row.child == *child && row.token == *token
        }
        _ => false,
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut state = DefaultHasher::new();
    value.hash(&mut state);
    state.finish()
}

// Rows are kept in the order of their keys, as tables do: what was written in another order is the same state.

fn write_verdict(rows: &mut Vec<VerdictRow>, row: VerdictRow) {
    let key = |row: &VerdictRow| (row.child, row.token);
    let place = rows.partition_point(|old| key(old) < key(&row));
    rows.insert(place, row);
}

fn write_ident(rows: &mut Vec<IdentRow>, row: &IdentRow) {
    match rows.binary_search_by_key(&row.claim, |old| old.claim) {
        Ok(place) => rows[place].settled |= row.settled,
        Err(place) => rows.insert(place, row.clone()),
    }
}

fn write_link(rows: &mut Vec<LinkRow>, row: LinkRow) {
    match rows.binary_search_by_key(&(row.child, row.token), |old| (old.child, old.token)) {
        Ok(place) => rows[place].settled |= row.settled,
        Err(place) => rows.insert(place, row),
    }
}

fn write_trait(rows: &mut Vec<TraitCell>, definition: DefinitionId, cell: TraitCell) {
    match rows.binary_search_by_key(&definition, |old| old.definition) {
        Ok(place) if cell.replaces(&rows[place]) => rows[place] = cell,
        Ok(_) => {}
        Err(place) => rows.insert(place, cell),
    }
}
