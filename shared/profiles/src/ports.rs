//! What the use cases need from the world, and what each need promises on atomicity, order and durability.
//!
//! Statements that may go in parallel are one call (a *round*). An engine may run the statements of a round in any order
//! and at once; answers come back in the order of the statements.
//!
//! Three table families never mix (`engineering.md` 3.1): identity ([`Identity`]) and control ([`Control`]) are written by
//! conditional statements only, cells and listing ([`Cells`], [`Listing`]) by plain ones with explicit times only.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use kith_domain::id::{
    AccountSid, ClaimId, DefinitionId, DeleteId, LinkToken, OwnersStamp, ProfileId, ProfileKey,
    RequestId, StoreId,
};
use kith_domain::identifier::{ClaimKey, IdType, IdentifierValue};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitCell};
use uuid::Uuid;

use crate::error::{ClockUnsound, PortError, PublishError};

mod definitions;

pub use definitions::{
    Account, AccountStore, AccountWrite, Definitions, StorePart, StoreWrite, TokenKey, Written,
};

/// When a write is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Visible at once to every read; on stable storage no later than any later [`Durability::Durable`] write or publish of
    /// this process. For all writes of a request but its last.
    Ordered,
    /// On stable storage before the call returns. An engine whose every write is durable treats both alike.
    Durable,
}

// ---------------------------------------------------------------------------------------------------------------- identity

/// Who owns an identifier (`identity-protocol.md` 2, table `claim`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The owner, as it was when the claim was taken; `None` when released.
    pub profile: Option<ProfileId>,
    /// The id of the last taking or release.
    pub id: ClaimId,
    /// When the value was added to the profile, by the person's own clock (`trait-order.md` R2).
    pub added_at: Micros,
    /// The place of the value in its request: document order.
    pub place: u16,
    /// The request that wrote this.
    pub by_request: RequestId,
}

/// One of the owners of a value that several may own (`identity-protocol.md` 11, table `shared_claim`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SharedClaim {
    /// The owner, as it was when the row was added.
    pub profile: ProfileId,
    /// Whether the row was released: the profile has the value no more.
    pub released: bool,
    /// The id of the last adding or release.
    pub id: ClaimId,
    /// When the value was added to the profile, by the person's own clock (`trait-order.md` R2).
    pub added_at: Micros,
    /// The place of the value in its request: document order.
    pub place: u16,
    /// The request that wrote this.
    pub by_request: RequestId,
}

/// One read of the owners of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnersRead {
    /// Which value.
    pub key: ClaimKey,
    /// Which rows.
    pub rows: OwnerRows,
}

/// Which of a value's owners a read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnerRows {
    /// The row of this profile, without the stamp.
    Of(ProfileId),
    /// All of them, released ones included, with the stamp.
    All,
}

/// The owners of a value. All fields empty: nobody ever had it.
///
/// The stamp is not newer than any row: a change that the rows do not show, or show in part, came after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Owners {
    /// The stamp of the last change, where all rows were asked for.
    pub stamp: Option<OwnersStamp>,
    /// The rows that were asked for and are there, in no order.
    pub rows: Vec<SharedClaim>,
}

/// A pointer of a merged (or merging) profile at its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pointer {
    /// The parent: an older profile.
    pub parent: ProfileId,
    /// Names this pointer; the verdict at the parent is under it.
    pub token: LinkToken,
}

/// What a parent decided about one pointer at it. Never changes once written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The child is a member of the parent's set.
    Linked,
    /// The pointer means nothing: the child is still a root.
    Void,
}

/// One read of a profile's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeRead {
    /// Which node.
    pub at: ProfileKey,
    /// The verdicts wanted beside the node's own pointer and mark.
    pub verdicts: Verdicts,
}

/// Which verdict rows of a node a read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdicts {
    /// None.
    None,
    /// The one under this child and token.
    Of(ProfileId, LinkToken),
    /// All of them: the profile's children.
    All,
}

/// A profile's node. All fields empty: a node never written, which is a live root.
///
/// Where the verdict asked for is absent, an engine may read the pointer and the mark a moment later than the verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Node {
    /// The profile's own pointer.
    pub pointer: Option<Pointer>,
    /// The deletion that killed it.
    pub dead: Option<DeleteId>,
    /// The verdicts that were asked for and are there, in no order.
    pub verdicts: Vec<VerdictRow>,
}

/// One verdict row of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerdictRow {
    /// The child that pointed here.
    pub child: ProfileId,
    /// With which pointer.
    pub token: LinkToken,
    /// What was decided.
    pub verdict: Verdict,
}

/// One link of a node, with when and why it was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LinkEvidence {
    /// The child that was joined to the node.
    pub child: ProfileId,
    /// By which pointer.
    pub token: LinkToken,
    /// When, by the clock of whoever decided.
    pub decided_at: Micros,
    /// Why: as [`Conditional::Link`] gave it.
    pub evidence: Bytes,
}

/// A conditional statement (`identity-protocol.md` 3). Each writes a fresh id and names the exact id it replaces, so it may
/// be sent again unchanged, and once refused it can never succeed later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Conditional {
    /// CLAIM: take an identifier. Condition: the claim's id is `expected`.
    Claim {
        /// Whose claim.
        key: ClaimKey,
        /// The id read; `None` if there was no row.
        expected: Option<ClaimId>,
        /// The fresh id.
        id: ClaimId,
        /// The new owner.
        profile: ProfileId,
        /// When the value is added, by the person's clock.
        added_at: Micros,
        /// Place of the value in its request.
        place: u16,
        /// This request.
        by_request: RequestId,
    },
    /// RELEASE: free an identifier. Condition: the claim's id is `expected`. The row stays, without an owner.
    Release {
        /// Whose claim.
        key: ClaimKey,
        /// The id read.
        expected: ClaimId,
        /// The fresh id.
        id: ClaimId,
        /// This request.
        by_request: RequestId,
    },
    /// ADD: an owner of a value that several may own. Condition: the row's id is `expected`, and the stamp is as read if
    /// the caller says how.
    Share {
        /// Which value.
        key: ClaimKey,
        /// The owner.
        profile: ProfileId,
        /// The id of the row read; `None` if there was none.
        expected: Option<ClaimId>,
        /// The stamp read, where nothing may have changed since; its inner `None` if nobody ever had the value.
        as_read: Option<Option<OwnersStamp>>,
        /// The fresh id.
        id: ClaimId,
        /// The fresh stamp.
        stamp: OwnersStamp,
        /// When the value is added, by the person's clock.
        added_at: Micros,
        /// Place of the value in its request.
        place: u16,
        /// This request.
        by_request: RequestId,
    },
    /// RELEASE of one owner of a value that several may own. Condition: the row's id is `expected`. The row stays, released.
    Unshare {
        /// Which value.
        key: ClaimKey,
        /// The owner.
        profile: ProfileId,
        /// The id read.
        expected: ClaimId,
        /// The fresh id.
        id: ClaimId,
        /// The fresh stamp.
        stamp: OwnersStamp,
        /// This request.
        by_request: RequestId,
    },
    /// POINT: make `child` point at an older root. Condition: not dead, and the pointer is as read.
    Point {
        /// The node that is written.
        child: ProfileKey,
        /// The token of the pointer read; `None` if there was none.
        expected: Option<LinkToken>,
        /// The older root.
        parent: ProfileId,
        /// The fresh token.
        token: LinkToken,
    },
    /// LINK: the verdict `linked` in the parent's node. Condition: no verdict under this child and token, the parent not
    /// dead, and the parent's own pointer as read.
    Link {
        /// The node that is written.
        parent: ProfileKey,
        /// The child that points here.
        child: ProfileId,
        /// With which pointer.
        token: LinkToken,
        /// The token of the parent's own pointer as read: `None`, or one that was seen void.
        expected: Option<LinkToken>,
        /// Now.
        decided_at: Micros,
        /// Why the two were joined: encoded evidence, opaque to engines.
        evidence: Bytes,
    },
    /// VOID: the verdict `void` in the parent's node. Condition: no verdict under this child and token.
    Void {
        /// The node that is written.
        parent: ProfileKey,
        /// The child that points here.
        child: ProfileId,
        /// With which pointer.
        token: LinkToken,
        /// Now.
        decided_at: Micros,
    },
    /// KILL: the mark of a deletion on a root. Condition: not dead, and the pointer is as read.
    Kill {
        /// The node that is written.
        profile: ProfileKey,
        /// The token of the pointer read; `None` if there was none.
        expected: Option<LinkToken>,
        /// The fresh id.
        id: DeleteId,
    },
}

/// How a conditional statement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// It was not, and never will be: what stood there instead.
    Refused(Standing),
    /// It may have been applied, now or at any later time. Send the same statement again, or give up and say so.
    Unknown,
}

/// The columns of a refused statement's condition, as they stood. An engine that cannot tell leaves a field empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Standing {
    /// CLAIM, RELEASE, ADD: the id of the claim or of the row.
    pub claim_id: Option<ClaimId>,
    /// LINK, VOID: the verdict.
    pub verdict: Option<Verdict>,
    /// POINT, LINK, KILL: the mark.
    pub dead: Option<DeleteId>,
    /// POINT, LINK, KILL: the token of the node's own pointer.
    pub parent_token: Option<LinkToken>,
}

/// Claims and nodes: the only truth about who is who.
///
/// Reads see every acknowledged write, may see one in flight, and are monotone: what one read saw, later reads see.
pub trait Identity: Send + Sync {
    /// Reads claims. One answer a key, in the order of the keys; `None` where there is no row.
    ///
    /// # Errors
    /// [`PortError`]; nothing was changed.
    fn claims(
        &self,
        keys: &[ClaimKey],
    ) -> impl Future<Output = Result<Vec<Option<Claim>>, PortError>> + Send;

    /// Reads owners of values that several may own. One answer a read, in order; a value nobody ever had is the default.
    ///
    /// # Errors
    /// [`PortError`]; nothing was changed.
    fn owners(
        &self,
        reads: &[OwnersRead],
    ) -> impl Future<Output = Result<Vec<Owners>, PortError>> + Send;

    /// Reads nodes. One answer a read, in order; a node never written is the default.
    ///
    /// # Errors
    /// [`PortError`]; nothing was changed.
    fn nodes(
        &self,
        reads: &[NodeRead],
    ) -> impl Future<Output = Result<Vec<Node>, PortError>> + Send;

    /// Reads the links of nodes, with their evidence: every `linked` verdict, in no order, and nothing of a void one. One
    /// answer a node, in order; empty where there is none. Nothing is decided by what this says: [`nodes`](Self::nodes) is
    /// for that, and does not carry the evidence along.
    ///
    /// # Errors
    /// [`PortError`]; nothing was changed.
    fn links(
        &self,
        of: &[ProfileKey],
    ) -> impl Future<Output = Result<Vec<Vec<LinkEvidence>>, PortError>> + Send;

    /// Tries conditional statements, each atomic by itself, in any order and at once. One outcome a statement, in order.
    fn attempt(
        &self,
        statements: &[Conditional],
        durability: Durability,
    ) -> impl Future<Output = Vec<Outcome>> + Send;
}

// ------------------------------------------------------------------------------------------------------------------- cells

/// Which rows of a profile's cells a read wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Select {
    /// The clock row.
    Clock,
    /// The hint at an ancestor.
    Root,
    /// The row of one identifier under one claim.
    Ident(IdType, IdentifierValue, ClaimId),
    /// All identifier rows.
    Idents,
    /// The row of one link.
    Link(ProfileId, LinkToken),
    /// All link rows and all member rows, in one statement: a read that sees a link settled sees the member rows that
    /// were written in its batch.
    LinksAndMembers,
    /// All traits.
    Traits,
}

/// One read of a profile's cells: one partition, any number of selections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CellRead {
    /// Which profile.
    pub at: ProfileKey,
    /// Which rows.
    pub select: Vec<Select>,
}

/// The rows that a read found. What was not selected is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CellRows {
    /// The clock row.
    pub clock: Option<Micros>,
    /// The hint at an ancestor.
    pub root: Option<ProfileId>,
    /// Identifier rows: a superset of the profile's identifiers, to be checked against the claims.
    pub idents: Vec<IdentRow>,
    /// Link rows.
    pub links: Vec<LinkRow>,
    /// Member rows.
    pub members: Vec<ProfileId>,
    /// Traits, removed ones included.
    pub traits: Vec<TraitCell>,
}

/// A hint that an identifier belongs to the profile: it counts while the claim names this profile and this claim id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdentRow {
    /// The type.
    pub id_type: IdType,
    /// The normalised value.
    pub value: IdentifierValue,
    /// The claim it was written for.
    pub claim: ClaimId,
    /// As in the claim.
    pub added_at: Micros,
    /// Whether limits were enforced after it. Written true, or not at all.
    pub settled: bool,
}

/// Whether limits were enforced and members copied after a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkRow {
    /// The child.
    pub child: ProfileId,
    /// Its pointer.
    pub token: LinkToken,
    /// Written true, or not at all.
    pub settled: bool,
}

/// One plain write to a profile's cells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CellWrite {
    /// The clock row; its value is the time of the batch. Last write wins, so the row is a max register.
    Clock,
    /// An identifier row. With `settled` false the mark is left as it is.
    Ident(IdentRow),
    /// A link row. With `settled` false the mark is left as it is.
    Link(LinkRow),
    /// A member row.
    Member(ProfileId),
    /// The hint at an ancestor.
    Root(ProfileId),
    /// A trait. Of two writes the later time wins, of two with one time the larger bytes.
    Trait(DefinitionId, CellBytes),
    /// Removes an identifier row.
    ForgetIdent(IdType, IdentifierValue, ClaimId),
}

/// Plain writes to one profile's cells under one time: applied together, in one statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CellBatch {
    /// Which profile.
    pub at: ProfileKey,
    /// The time of every cell of the batch (`USING TIMESTAMP`).
    pub time: Micros,
    /// The writes.
    pub writes: Vec<CellWrite>,
}

/// Plain rows of a profile. Every write may be repeated, late or out of order: per cell the newest time wins.
pub trait Cells: Send + Sync {
    /// Whether a read costs by its rows alone, because nobody is asked over a network. Then what may turn out not to be needed is read
    /// after what tells; otherwise beside it, in the same round.
    const IS_NEAR: bool = false;

    /// Reads cells. One answer a read, in order; a partition never written gives empty rows.
    ///
    /// # Errors
    /// [`PortError`]; nothing was changed.
    fn read(
        &self,
        reads: &[CellRead],
    ) -> impl Future<Output = Result<Vec<CellRows>, PortError>> + Send;

    /// Writes batches, each atomic by itself, in any order and at once. Returns when all are acknowledged.
    ///
    /// # Errors
    /// [`PortError`]: any subset may have been or may yet be applied; writing all of them again is safe.
    fn write(
        &self,
        batches: &[CellBatch],
        durability: Durability,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Removes whole partitions: every row of these profiles that was written at or before `time`, each partition
    /// atomically, in any order and at once. Returns when all are acknowledged.
    ///
    /// A write with a time at or before it that comes later leaves nothing, one with a later time shows. Of two removals the
    /// later time counts. An engine may forget a removal once it is older than its own grace for late writes (CQL:
    /// `gc_grace_seconds`), so whoever writes late looks again.
    ///
    /// # Errors
    /// [`PortError`]: any subset may have been or may yet be removed; removing all of them again is safe.
    fn purge(
        &self,
        profiles: &[ProfileKey],
        time: Micros,
        durability: Durability,
    ) -> impl Future<Output = Result<(), PortError>> + Send;
}

// ----------------------------------------------------------------------------------------------------------------- listing

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// The profiles of a store, by id. Rows are hints: a merged or dead profile may still have one.
pub trait Listing: Send + Sync {
    /// Adds a profile. Plain; repeating it is safe.
    ///
    /// # Errors
    /// [`PortError`]: it may have been applied; repeating is safe.
    fn add(
        &self,
        profile: ProfileKey,
        durability: Durability,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Removes profiles whose rows and set are gone. Whether a repeated [`Listing::add`] that comes later shows is an engine's
    /// own affair: rows are hints.
    ///
    /// # Errors
    /// [`PortError`]: any subset may have been removed; repeating is safe.
    fn remove(
        &self,
        profiles: &[ProfileKey],
        durability: Durability,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Up to `limit` ids strictly after `after` in `order`; from the start if `None`. Fewer than `limit` means the end.
    ///
    /// # Errors
    /// [`PortError`].
    fn page(
        &self,
        store: StoreId,
        order: Order,
        after: Option<ProfileId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ProfileId>, PortError>> + Send;
}

// ----------------------------------------------------------------------------------------------------------------- control

/// Whether a conditional creation took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It did.
    Now,
    /// The resource was there already; nothing was changed.
    Already,
}

/// Stores with their settings and trait groups: conditional statements only, one partition an account and one a store.
pub trait Control: Send + Sync {
    /// Reads a store that is not deleted, whoever owns it: the same statement whether it exists or not. The caller compares the account.
    ///
    /// # Errors
    /// [`PortError`].
    fn store(
        &self,
        store: StoreId,
    ) -> impl Future<Output = Result<Option<StoreRecord>, PortError>> + Send;

    /// Creates a store with everything in its record, and names it in its account. Repeating it is safe.
    ///
    /// # Errors
    /// [`PortError`]: the effect is unknown; repeating is safe.
    fn create_store(
        &self,
        record: &StoreRecord,
    ) -> impl Future<Output = Result<Created, PortError>> + Send;

    /// Deletes a store of this account: from then on it is not there for anybody, and the key of its claims is gone. Its id
    /// is never used again. Whether it was there; repeating it is safe.
    ///
    /// # Errors
    /// [`PortError`]: the effect is unknown; repeating is safe.
    fn delete_store(
        &self,
        account: &AccountSid,
        store: StoreId,
    ) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Whether there was a store that was deleted: not the same as one that is not there, which a log may have come from
    /// elsewhere with.
    ///
    /// # Errors
    /// [`PortError`].
    fn is_deleted(&self, store: StoreId) -> impl Future<Output = Result<bool, PortError>> + Send;
}

// --------------------------------------------------------------------------------------------------------------------- log

/// A header of a record: a name and bytes. Names may repeat; order is kept.
pub type Header = (String, Bytes);

/// A record to be published.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NewRecord {
    /// The key: records with one key keep their order in the log. Ours are profile ids, for batching only.
    pub key: Bytes,
    /// The value.
    pub payload: Bytes,
    /// Headers, the trace context among them.
    pub headers: Vec<Header>,
}

/// The producing half of the trait log: a durable queue, not a sequencer.
pub trait TraitLog: Send + Sync {
    /// Publishes one record. Returns when it is durable in the log; every [`Durability::Ordered`] write that this process
    /// was answered before is durable then, too.
    ///
    /// # Errors
    /// [`PublishError`]; unless it says refused, the record may be there or may yet appear.
    fn publish(&self, record: NewRecord) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// A partition of the trait log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(pub i32);

/// The place of a record in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// Takes a place.
    #[must_use]
    pub const fn new(offset: i64) -> Self {
        Self(offset)
    }

    /// The place as a number.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }

    /// Where reading goes on after this record. The only place where plus one happens.
    #[must_use]
    pub const fn next(self) -> NextOffset {
        NextOffset(self.0 + 1)
    }
}

/// Where reading goes on: what a consumer group commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextOffset(i64);

impl NextOffset {
    /// Takes the offset of the next record to be read.
    #[must_use]
    pub const fn new(offset: i64) -> Self {
        Self(offset)
    }

    /// The offset as a number.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

/// A record read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Its partition.
    pub partition: Partition,
    /// Its place there.
    pub offset: Offset,
    /// When the log took it, by the broker's clock; for lag only, order never depends on it.
    pub published_at: Micros,
    /// Its key; empty if it has none.
    pub key: Bytes,
    /// Its value; empty if it has none.
    pub payload: Bytes,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}

/// What a consumer is told.
#[derive(Debug)]
pub enum LogEvent {
    /// Records, in the order of each partition; never of a paused partition or one that is not assigned.
    Records(Vec<LogRecord>),
    /// These partitions are now this consumer's. Reading starts where the group last committed.
    Assigned(Vec<Partition>),
    /// These partitions are asked back. The consumer finishes what is in flight, commits, and calls
    /// [`TraitSource::release`]; nothing more of them is delivered.
    Revoked(Vec<Partition>),
    /// These partitions belong to somebody else already: drop what is in flight, commit nothing.
    Lost(Vec<Partition>),
}

/// How far behind a consumer is on one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Which partition.
    pub partition: Partition,
    /// Records not yet committed.
    pub records: u64,
}

/// The consuming half of the trait log, one per consumer. No callback of a client library leaks.
pub trait TraitSource: Send {
    /// Waits for the next event. Cancel safe: dropping the future loses nothing. Must be called often enough to keep the
    /// membership, also while every partition is paused.
    ///
    /// # Errors
    /// [`PortError`]: a passing trouble is `Unavailable` (call again); `Fatal` ends the process.
    fn next(&mut self) -> impl Future<Output = Result<LogEvent, PortError>> + Send;

    /// Notes that the group has finished everything before these offsets. Sent on within a second, at release and at
    /// close; a crash before that repeats records.
    ///
    /// # Errors
    /// [`PortError`].
    fn commit(&mut self, offsets: &[(Partition, NextOffset)]) -> Result<(), PortError>;

    /// Stops delivery from these partitions; membership is kept.
    ///
    /// # Errors
    /// [`PortError`].
    fn pause(&mut self, partitions: &[Partition]) -> Result<(), PortError>;

    /// Goes on with paused partitions, where delivery stopped.
    ///
    /// # Errors
    /// [`PortError`].
    fn resume(&mut self, partitions: &[Partition]) -> Result<(), PortError>;

    /// Hands revoked partitions back, with what was committed of them sent first.
    ///
    /// # Errors
    /// [`PortError`].
    fn release(
        &mut self,
        partitions: &[Partition],
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Lag of each assigned partition against the group's committed offset, as last known.
    fn lag(&self) -> Vec<Lag>;

    /// Sends what was committed and leaves the group, within `limit`.
    ///
    /// # Errors
    /// [`PortError`].
    fn close(self, limit: Duration) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// A record that no retry can make good, kept as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record: position, key, bytes and headers.
    pub record: LogRecord,
    /// The topic it was read from.
    pub topic: String,
    /// Why: a short label.
    pub reason: &'static str,
}

/// Where invalid records go.
pub trait DeadLetters: Send + Sync {
    /// Keeps a record. Returns when it is durable.
    ///
    /// # Errors
    /// [`PublishError`]; the letter may be there; keeping it again is safe.
    fn bury(&self, letter: DeadLetter) -> impl Future<Output = Result<(), PublishError>> + Send;
}

// ----------------------------------------------------------------------------------------------------------- determinism

/// Time, so that a simulator can set it.
pub trait Clock: Send + Sync {
    /// The wall clock.
    ///
    /// # Errors
    /// [`ClockUnsound`] while the wall clock is not to be trusted for stamps (`trait-order.md` 8).
    fn now(&self) -> Result<Micros, ClockUnsound>;

    /// Time since some fixed start, never going back. For deadlines.
    fn monotonic(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// Chance, so that a simulator can count instead.
pub trait Ids: Send + Sync {
    /// A new profile id: greater than every one that this process made before.
    fn profile(&self) -> ProfileId;

    /// A fresh random id.
    fn random(&self) -> Uuid;
}

/// The database of a use case: identity, cells, listing and control on one engine.
pub trait Database: Identity + Cells + Listing + Control + 'static {}

impl<T: Identity + Cells + Listing + Control + 'static> Database for T {}
