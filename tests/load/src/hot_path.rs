//! The domain's part of a create, piece by piece, for counting its instructions: `make instructions`.
//!
//! A count, unlike a time, is the same on a busy machine, so that a review can see what a change costs. It is the rules alone,
//! with the system's allocator; there is no I/O in them.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use ingest_api::development_store;
use kith_domain::body::{FieldError, TraitsBody, WriteSet, validate};
use kith_domain::event::TraitEvent;
use kith_domain::id::{ProfileId, RequestId};
use kith_domain::matching::{Match, candidates};
use kith_domain::settings::Normalization;
use kith_domain::store::StoreRecord;
use kith_domain::traits::{CellBytes, TraitCell, join};
use kith_profiles::ports::Ids;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::caller::ACCOUNT;
use crate::population::{internal, profile};

/// What a caller says of a person: the body of the benchmark's creates.
const BODY: &str = r#"{"traits":{"Contact":{"email":" Person-1@Example.com ","phone":"+1 (317) 555-0001","firstName":"Person 1"}}}"#;

/// A piece of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The body, from bytes.
    ParseBody,
    /// The body against the store's definitions, with its identifiers normalised.
    Validate,
    /// An e-mail address alone.
    NormalizeEmail,
    /// A phone number alone.
    NormalizePhone,
    /// The keys of both identifiers.
    ClaimKeys,
    /// Whom they name, of the owners that were found.
    Match,
    /// The event, to bytes.
    EncodeEvent,
    /// The event, from bytes.
    DecodeEvent,
    /// Cells of a profile, from bytes.
    DecodeCells,
    /// Cells of two members of one person to those that count, with a copy of them.
    Join,
}

impl Piece {
    /// All of them, in the order of a request.
    pub const ALL: [Self; 10] = [
        Self::ParseBody,
        Self::Validate,
        Self::NormalizeEmail,
        Self::NormalizePhone,
        Self::ClaimKeys,
        Self::Match,
        Self::EncodeEvent,
        Self::DecodeEvent,
        Self::DecodeCells,
        Self::Join,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ParseBody => "parse-body",
            Self::Validate => "validate",
            Self::NormalizeEmail => "normalize-email",
            Self::NormalizePhone => "normalize-phone",
            Self::ClaimKeys => "claim-keys",
            Self::Match => "match",
            Self::EncodeEvent => "encode-event",
            Self::DecodeEvent => "decode-event",
            Self::DecodeCells => "decode-cells",
            Self::Join => "join",
        }
    }
}

/// What the pieces work on.
#[derive(Debug)]
pub struct HotPath {
    store: StoreRecord,
    body: TraitsBody,
    writes: WriteSet,
    matches: Vec<Match>,
    event: TraitEvent,
    record: Vec<u8>,
    cells: Vec<(ProfileId, TraitCell)>,
}

impl HotPath {
    /// Two identifiers and a name of a person whose two profiles were merged.
    ///
    /// # Errors
    /// When the rules refuse what is made here.
    pub fn new() -> Result<Self> {
        let time = profile(1).created_at();
        let store = development_store(ACCOUNT.parse()?, time, &Counted::default());
        let body = TraitsBody::parse(BODY.as_bytes())?;
        let writes = checked(&body, &store)?;
        let owners = writes.identifiers.iter().zip(1..);
        let matches = owners.map(|(identifier, owner)| Match {
            id_type: identifier.id_type.clone(),
            owner: profile(owner),
        });
        let matches: Vec<Match> = matches.collect();
        let values = writes.writes.iter();
        let traits: Vec<_> = values
            .map(|one| (one.definition, CellBytes::from(&one.write)))
            .collect();
        let cells = [1, 2].into_iter().flat_map(|n| {
            let cell = move |(definition, value): &(_, CellBytes)| TraitCell {
                definition: *definition,
                value: value.clone(),
                time: profile(n).created_at(),
            };
            let cells: Vec<_> = traits.iter().map(|one| (profile(n), cell(one))).collect();
            cells
        });
        let cells = cells.collect();
        let event = TraitEvent {
            store: store.id,
            profile: profile(1),
            stamp: time,
            request: RequestId::from_uuid(internal(1, 1)),
            schema_version: 1,
            traits,
        };
        let record = event.encode();
        Ok(Self {
            store,
            body,
            writes,
            matches,
            event,
            record,
            cells,
        })
    }

    /// Does a piece so many times.
    ///
    /// # Errors
    /// When the rules refuse something.
    pub fn run(&self, piece: Piece, rounds: u64) -> Result<()> {
        for _ in 0..rounds {
            self.once(piece)?;
        }
        Ok(())
    }

    fn once(&self, piece: Piece) -> Result<()> {
        match piece {
            Piece::ParseBody => drop(black_box(TraitsBody::parse(black_box(BODY.as_bytes()))?)),
            Piece::Validate => drop(black_box(checked(black_box(&self.body), &self.store)?)),
            Piece::NormalizeEmail => {
                let email = Normalization::Email.apply(black_box(" Person-1@Example.com "))?;
                drop(black_box(email).context("no address")?);
            }
            Piece::NormalizePhone => {
                let phone = Normalization::Phone.apply(black_box("+1 (317) 555-0001"))?;
                drop(black_box(phone).context("no number")?);
            }
            Piece::ClaimKeys => {
                for identifier in black_box(&self.writes.identifiers) {
                    black_box(self.store.claim_secret.claim_key(identifier));
                }
            }
            Piece::Match => {
                let named = candidates(&self.store.settings, true, black_box(&self.matches));
                ensure!(black_box(named).len() == 2, "not the two owners");
            }
            Piece::EncodeEvent => drop(black_box(black_box(&self.event).encode())),
            Piece::DecodeEvent => drop(black_box(TraitEvent::decode(black_box(&self.record))?)),
            Piece::DecodeCells => {
                for (_, cell) in black_box(&self.cells) {
                    drop(black_box(cell.value.decode()?));
                }
            }
            Piece::Join => {
                let joined = join(black_box(&self.cells).iter().cloned());
                ensure!(black_box(joined).len() == 3, "not the three traits");
            }
        }
        Ok(())
    }
}

fn checked(body: &TraitsBody, store: &StoreRecord) -> Result<WriteSet> {
    let refused = |faults: Vec<FieldError>| anyhow::anyhow!("refused: {} faults", faults.len());
    validate(body, &store.groups, &store.settings).map_err(refused)
}

/// Ids that are the same in every run.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl Counted {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Ids for Counted {
    fn profile(&self) -> ProfileId {
        profile(self.next())
    }

    fn random(&self) -> Uuid {
        internal(self.next(), 0)
    }
}

/// Instructions of one round of each piece, as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// The compiler.
    pub rustc: String,
    /// By the piece's name.
    pub pieces: BTreeMap<String, u64>,
}

impl Instructions {
    /// What a review has to see: a line for each piece, with what is kept, what was counted, and the difference in percent.
    #[must_use]
    pub fn against(&self, kept: &Self) -> Vec<String> {
        let line = |(piece, now): (&String, &u64)| match kept.pieces.get(piece) {
            Some(before) if before == now => format!("{piece}: {now}, as before"),
            Some(before) => {
                let (before, now) = (*before as f64, *now as f64);
                let change = 100.0 * (now - before) / before;
                format!("{piece}: {now}, was {before} ({change:+.1} %)")
            }
            None => format!("{piece}: {now}, new"),
        };
        self.pieces.iter().map(line).collect()
    }
}

/// Instructions of one round, of the counts of two runs that differ in their rounds alone: what a process does beside them is in
/// both.
///
/// # Errors
/// When more rounds took fewer instructions.
pub fn of_one_round(few: (u64, u64), many: (u64, u64)) -> Result<u64> {
    let more = many.1.checked_sub(few.1).context("fewer instructions")?;
    let rounds = many.0.checked_sub(few.0).filter(|rounds| *rounds > 0);
    Ok(more / rounds.context("no more rounds")?)
}

/// The count in what callgrind says.
#[must_use]
pub fn collected(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use kith_domain::time::Micros;

    use super::*;

    #[test]
    fn every_piece_can_be_done_again_and_again() {
        let path = HotPath::new().unwrap();
        for piece in Piece::ALL {
            path.run(piece, 3).unwrap();
        }
    }

    #[test]
    fn what_the_pieces_work_on_is_a_whole_create() {
        let path = HotPath::new().unwrap();
        assert_eq!(path.writes.identifiers.len(), 2);
        assert_eq!(
            path.writes.identifiers[0].value.expose(),
            "person-1@example.com"
        );
        assert_eq!(path.writes.identifiers[1].value.expose(), "+13175550001");
        assert_eq!(TraitEvent::decode(&path.record).unwrap(), path.event);
        assert!(path.event.stamp > Micros::EPOCH);
    }

    #[test]
    fn what_a_process_does_beside_its_rounds_is_not_counted() {
        assert_eq!(of_one_round((10, 5_000), (30, 9_000)).unwrap(), 200);
        assert!(of_one_round((10, 9_000), (30, 5_000)).is_err());
        assert!(of_one_round((10, 9_000), (10, 9_500)).is_err());
    }

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        let said = "==7== Callgrind\n==7== Events    : Ir\n==7== Collected : 123456\n==7== \n";
        assert_eq!(collected(said), Some(123_456));
        assert_eq!(collected("==7== nothing"), None);
    }

    #[test]
    fn a_difference_is_told_in_percent() {
        let of = |count| Instructions {
            rustc: String::new(),
            pieces: BTreeMap::from([("join".to_owned(), count)]),
        };
        assert_eq!(of(110).against(&of(100)), ["join: 110, was 100 (+10.0 %)"]);
        assert_eq!(of(100).against(&of(100)), ["join: 100, as before"]);
        assert_eq!(
            of(100).against(&Instructions::default()),
            ["join: 100, new"]
        );
    }
}
