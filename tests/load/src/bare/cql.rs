//! Statements: the services' own texts and profiles, over a store of ours in the services' tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
use kith_scylla::{Bare, CqlConfig};
use scylla::client::session::Session;
use scylla::response::PagingState;
use scylla::response::query_result::QueryResult;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::MaybeUnset;
use uuid::Uuid;

use crate::calm::calm;
use crate::counted::Work;
use crate::population::{internal, profile};
use crate::step_loop::closed_loop;

/// A row of cells: kind, three parts of a key, value, time, settled.
type CellRow = (
    &'static str,
    String,
    String,
    String,
    MaybeUnset<Vec<u8>>,
    MaybeUnset<i64>,
    MaybeUnset<bool>,
);
/// The values of a row in its statement: store, profile, the row, stamp.
type PutValues = (
    Uuid,
    Uuid,
    &'static str,
    String,
    String,
    String,
    MaybeUnset<Vec<u8>>,
    MaybeUnset<i64>,
    MaybeUnset<bool>,
    i64,
);

/// Identifier types of the development store, in the order in which a request gets them.
const TYPES: [&str; 4] = ["email", "phone", "whatsapp", "chat"];
/// What a link's evidence takes.
const EVIDENCE: [u8; 150] = [b'e'; 150];
/// The time of everything that is written; later ones are newer.
const BASE: i64 = 1_767_225_600_000_000;
/// Which internal id of a person is for what.
const KEY: u64 = 11;
const KEY_REST: u64 = 12;
const CLAIM: u64 = 13;
const TOKEN: u64 = 14;
const TRAIT: u64 = 15;

/// A statement that is measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The claim of a known value.
    ReadClaim,
    /// A claim of a free value.
    Claim,
    /// The columns of a node that is not there: nobody was merged.
    ReadNode,
    /// The verdict on a pointer.
    ReadVerdict,
    /// A whole node.
    ReadWholeNode,
    /// A pointer.
    Point,
    /// A link.
    Link,
    /// Clock, hint and so many identifier rows.
    ReadRows(usize),
    /// All rows of some kinds.
    ReadKinds,
    /// One row.
    Put,
    /// The clock row and so many others.
    PutBatch(usize),
    /// A row of the listing.
    List,
}

impl Kind {
    pub(super) const ALL: [Self; 16] = [
        Self::ReadClaim,
        Self::Claim,
        Self::ReadNode,
        Self::ReadVerdict,
        Self::ReadWholeNode,
        Self::Point,
        Self::Link,
        Self::ReadRows(1),
        Self::ReadRows(2),
        Self::ReadRows(4),
        Self::ReadKinds,
        Self::Put,
        Self::PutBatch(1),
        Self::PutBatch(2),
        Self::PutBatch(4),
        Self::List,
    ];

    /// Its operation and its table, as the services count it.
    pub(super) const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::ReadClaim => ("read", "claim"),
            Self::Claim => ("claim", "claim"),
            Self::ReadNode => ("read", "node"),
            Self::ReadVerdict => ("read_verdict", "node"),
            Self::ReadWholeNode => ("read_all", "node"),
            Self::Point => ("point", "node"),
            Self::Link => ("link", "node"),
            Self::ReadRows(_) => ("read_rows", "cells"),
            Self::ReadKinds => ("read_kinds", "cells"),
            Self::Put => ("put", "cells"),
            Self::PutBatch(_) => ("put_batch", "cells"),
            Self::List => ("put", "listing"),
        }
    }

    /// The one that does this work for a request with so many identifiers.
    pub(super) fn of(work: &Work, identifiers: usize) -> Option<Self> {
        let does = |kind: &Self| {
            let (operation, collection) = kind.labels();
            let is_of = |own| own == identifiers;
            Work::statement(operation, collection) == *work && kind.identifiers().is_none_or(is_of)
        };
        Self::ALL.into_iter().find(does)
    }

    /// Of requests with how many identifiers it is, where that matters.
    pub(super) const fn identifiers(self) -> Option<usize> {
        match self {
            Self::ReadRows(identifiers) | Self::PutBatch(identifiers) => Some(identifiers),
            Self::ReadClaim
            | Self::Claim
            | Self::ReadNode
            | Self::ReadVerdict
            | Self::ReadWholeNode
            | Self::Point
            | Self::Link
            | Self::ReadKinds
            | Self::Put
            | Self::List => None,
        }
    }
}

/// A session, and who is in the tables already.
#[derive(Debug)]
pub(super) struct Statements {
    bare: Bare,
    prepared: Vec<(Kind, PreparedStatement)>,
    store: Uuid,
    /// Known people; those after them are new.
    known: AtomicU64,
    next: AtomicU64,
}

impl Statements {
    pub(super) async fn new(config: &CqlConfig) -> Result<Self> {
        let bare = Bare::open(config).await?;
        let mut prepared = Vec::new();
        for kind in Kind::ALL {
            let (operation, collection) = match kind.labels() {
                // A batch is made of the statements for one row.
                ("put_batch", collection) => ("put", collection),
                labels => labels,
            };
            let statement = bare.prepare(operation, collection).await?;
            prepared.push((kind, statement.with_context(|| format!("{kind:?}"))?));
        }
        Ok(Self {
            bare,
            prepared,
            store: Uuid::new_v4(),
            known: AtomicU64::new(1),
            next: AtomicU64::new(0),
        })
    }

    fn statement(&self, kind: Kind) -> Result<&PreparedStatement> {
        let found = self.prepared.iter().find(|(one, _)| *one == kind);
        Ok(&found.context("a statement")?.1)
    }

    async fn one(
        &self,
        kind: Kind,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<QueryResult> {
        let session = self.session();
        Ok(session
            .execute_unpaged(self.statement(kind)?, values)
            .await?)
    }

    async fn page(
        &self,
        kind: Kind,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<()> {
        let (session, start) = (self.session(), PagingState::start());
        let statement = self.statement(kind)?;
        let (answer, _) = session
            .execute_single_page(statement, values, start)
            .await?;
        answer.into_rows_result()?;
        Ok(())
    }

    pub(super) fn session(&self) -> &Session {
        self.bare.session()
    }

    /// Sends it once, for whoever is next.
    pub(super) async fn send_next(&self, kind: Kind) -> Result<()> {
        self.send(kind, self.next.fetch_add(1, Ordering::Relaxed))
            .await
    }

    /// Sends it once, for person `n`: a known one where it reads or writes again, a new one where it claims or joins.
    async fn send(&self, kind: Kind, n: u64) -> Result<()> {
        let store = self.store;
        // Neighbours in time are not neighbours in the tables.
        let known = n.wrapping_mul(7_919) % self.known.load(Ordering::Relaxed);
        let (someone, newcomer) = (profile(known).as_uuid(), profile(n).as_uuid());
        match kind {
            Kind::ReadClaim => {
                let answer = self.one(kind, (key(known),)).await?;
                ensure!(answer.into_rows_result()?.rows_num() == 1, "no claim");
            }
            Kind::Claim => {
                let (claim, request) = (internal(n, CLAIM), internal(n, TOKEN));
                let values = (newcomer, claim, BASE, 0, request, key(n), None::<Uuid>);
                is_applied(self.one(kind, values).await?)?;
            }
            Kind::ReadNode => {
                self.one(kind, (store, someone)).await?.into_rows_result()?;
            }
            Kind::ReadVerdict => {
                let (parent, child) = couple(known);
                let values = (couples(store), parent, child, internal(known, TOKEN));
                let answer = self.one(kind, values).await?;
                ensure!(answer.into_rows_result()?.rows_num() == 1, "no verdict");
            }
            Kind::ReadWholeNode => {
                self.page(kind, (couples(store), couple(known).0)).await?;
            }
            Kind::Point => {
                let ((parent, child), token) = (couple(n), internal(n, TOKEN));
                let values = (parent, token, couples(store), child, None::<Uuid>);
                is_applied(self.one(kind, values).await?)?;
            }
            Kind::Link => {
                let ((parent, child), token) = (couple(n), internal(n, TOKEN));
                let at = couples(store);
                let values = (BASE, &EVIDENCE[..], at, parent, child, token, None::<Uuid>);
                is_applied(self.one(kind, values).await?)?;
            }
            Kind::ReadRows(identifiers) => {
                let rows = (0..identifiers).map(|place| ident(known, place));
                let rows = rows.chain([clock(BASE), alone("root")]);
                let keys: Vec<_> = rows.map(|(kind, a, b, c, ..)| (kind, a, b, c)).collect();
                self.page(kind, (store, someone, keys)).await?;
            }
            Kind::ReadKinds => {
                self.page(
                    kind,
                    (store, someone, ["ident", "link", "member"].as_slice()),
                )
                .await?;
            }
            Kind::Put => {
                self.one(kind, put(store, someone, ident(known, 0), stamp(n)))
                    .await?;
            }
            Kind::PutBatch(others) => {
                let rows = (0..others).map(|place| trait_of(n, place, stamp(n)));
                let rows = [clock(stamp(n))].into_iter().chain(rows);
                self.batch(kind, someone, rows, stamp(n)).await?;
            }
            Kind::List => {
                let shard = i16::try_from(n % 8)?;
                let id = newcomer.as_bytes().as_slice();
                self.one(kind, (store, 682, shard, id, stamp(n))).await?;
            }
        }
        Ok(())
    }

    async fn batch(
        &self,
        kind: Kind,
        at: Uuid,
        rows: impl Iterator<Item = CellRow>,
        stamp: i64,
    ) -> Result<()> {
        let (mut batch, statement) = (self.bare.cells_batch(), self.statement(kind)?);
        let values: Vec<PutValues> = rows.map(|row| put(self.store, at, row, stamp)).collect();
        for _ in &values {
            batch.append_statement(statement.clone());
        }
        self.session().batch(&batch, values).await?;
        Ok(())
    }

    /// What is there of a known person: a claim, the clock row, four identifier rows and four traits; and of a couple its link.
    async fn known_person(&self, n: u64) -> Result<()> {
        self.send(Kind::Claim, n).await?;
        self.send(Kind::Link, n).await?;
        let rows = (0..TYPES.len()).flat_map(|place| [ident(n, place), trait_of(n, place, BASE)]);
        let rows = [clock(BASE)].into_iter().chain(rows);
        let at = profile(n).as_uuid();
        self.batch(Kind::PutBatch(4), at, rows, BASE).await
    }
}

/// Makes so many people known.
pub(super) async fn settle(
    statements: &Arc<Statements>,
    people: u64,
    at_once: usize,
) -> Result<()> {
    let shared = Arc::clone(statements);
    let made = closed_loop(vec![(); at_once], Duration::from_secs(600), move |()| {
        let statements = Arc::clone(&shared);
        async move {
            let n = statements.next.fetch_add(1, Ordering::Relaxed);
            if n >= people {
                return Ok(((), None));
            }
            statements.known_person(n).await?;
            Ok(((), Some(())))
        }
    });
    ensure!(
        u64::try_from(made.await?.steps.len())? == people,
        "too slow"
    );
    statements.known.store(people, Ordering::Relaxed);
    Ok(())
}

/// Sends one kind of statement for so long, to a database that does nothing else; how many a second.
pub(super) async fn measure(
    statements: &Arc<Statements>,
    kind: Kind,
    at_once: usize,
    limit: Duration,
) -> Result<f64> {
    calm(statements.session()).await?;
    let shared = Arc::clone(statements);
    let done = closed_loop(vec![(); at_once], limit, move |()| {
        let statements = Arc::clone(&shared);
        async move {
            statements.send_next(kind).await?;
            Ok(((), Some(())))
        }
    });
    let done = done.await.with_context(|| format!("{kind:?}"))?;
    Ok(done.rate())
}

fn is_applied(answer: QueryResult) -> Result<()> {
    // Of a refused one there are more columns, and this fails.
    let (applied,) = answer.into_rows_result()?.single_row::<(bool,)>()?;
    ensure!(applied, "refused");
    Ok(())
}

fn key(n: u64) -> Vec<u8> {
    [internal(n, KEY), internal(n, KEY_REST)]
        .map(Uuid::into_bytes)
        .concat()
}

/// Two profiles that nobody else has: an older one and a younger one.
fn couple(n: u64) -> (Uuid, Uuid) {
    (profile(2 * n).as_uuid(), profile(2 * n + 1).as_uuid())
}

/// The store of couples: in the other one nobody has a node.
fn couples(store: Uuid) -> Uuid {
    Uuid::from_u128(!store.as_u128())
}

fn stamp(n: u64) -> i64 {
    BASE.saturating_add(i64::try_from(n).unwrap_or(i64::MAX))
}

fn alone(kind: &'static str) -> CellRow {
    let unset = (MaybeUnset::Unset, MaybeUnset::Unset, MaybeUnset::Unset);
    (
        kind,
        String::new(),
        String::new(),
        String::new(),
        unset.0,
        unset.1,
        unset.2,
    )
}

fn clock(time: i64) -> CellRow {
    let (kind, a, b, c, value, _, settled) = alone("clock");
    (kind, a, b, c, value, MaybeUnset::Set(time), settled)
}

fn ident(n: u64, place: usize) -> CellRow {
    let (id_type, value) = (TYPES[place].to_owned(), format!("bare-{n}@example.com"));
    let (_, _, _, _, unset, ..) = alone("ident");
    let (time, settled) = (MaybeUnset::Set(BASE), MaybeUnset::Set(true));
    (
        "ident",
        id_type,
        value,
        internal(n, CLAIM).to_string(),
        unset,
        time,
        settled,
    )
}

fn trait_of(n: u64, place: usize, time: i64) -> CellRow {
    let value = TraitWrite::Set(TraitValue::String(format!("bare-{n}@example.com")));
    let value = MaybeUnset::Set(CellBytes::from(&value).as_slice().to_vec());
    let definition = internal(u64::try_from(place).unwrap_or_default(), TRAIT);
    let (_, _, b, c, _, _, settled) = alone("trait");
    (
        "trait",
        definition.to_string(),
        b,
        c,
        value,
        MaybeUnset::Set(time),
        settled,
    )
}

fn put(store: Uuid, at: Uuid, row: CellRow, stamp: i64) -> PutValues {
    let (kind, a, b, c, value, time, settled) = row;
    (store, at, kind, a, b, c, value, time, settled, stamp)
}
