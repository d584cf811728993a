//! Rows of identity, cells, listing and control.

use kith_domain::id::{LinkToken, OwnersStamp, ProfileId, ProfileKey, StoreId};
use kith_domain::store::StoreRecord;
use kith_domain::traits::CellBytes;
use kith_profiles::ports::{Claim, Pointer, Verdict};
use uuid::Uuid;

use super::Checked;
use crate::database::View;
use crate::definitions;
use crate::error::ReadError;
use crate::layout::key::{self, CellName};
use crate::layout::read::Reader;
use crate::layout::row::{
    IdentCell, LinkCell, NodeRow, Number, OwnerCell, Row, TimeCell, ValueCell, VerdictCell,
};
use crate::layout::{CorruptRow, Space};
use crate::seal::Seal;

/// Whether a row could be looked up, and whether it is one of ours.
type Looked = Result<Result<(), CorruptRow>, ReadError>;

/// Looks at one row.
pub(super) fn row(
    view: &View,
    checked: &mut Checked,
    space: Space,
    key: &[u8],
    value: &[u8],
) -> Looked {
    match space {
        Space::Claims => {
            checked.claims += u64::from(key.len() != key::OWNERS_STAMP_BYTES);
            Ok(claim(key, value))
        }
        Space::Nodes => node(view, checked, key, value),
        Space::Cells => Ok(cell(checked, key, value)),
        Space::Listing => {
            checked.profiles += 1;
            Ok(key::profile_of(key).and_then(|_| nothing(value)))
        }
        Space::Control => Ok(control(checked, key, value)),
        Space::Meta => Ok(meta(key, value)),
        // Have an order to be looked at, too: `log`.
        Space::Log | Space::Groups => Ok(Ok(())),
    }
}

fn claim(key: &[u8], value: &[u8]) -> Result<(), CorruptRow> {
    match key.len() {
        key::CLAIM_BYTES => Claim::decode(value).map(drop),
        key::OWNERS_STAMP_BYTES => OwnersStamp::decode(value).map(drop),
        _ => {
            key::owner_of(key)?;
            OwnerCell::decode(value).map(drop)
        }
    }
}

/// A pointer leads to an older profile, so that every walk ends; who is linked points at the profile that says so.
fn node(view: &View, checked: &mut Checked, key: &[u8], value: &[u8]) -> Looked {
    let read = || {
        let at = profile_key(key)?;
        Ok(match key::is_node(key) {
            true => (at, NodeOrVerdict::Node(NodeRow::decode(value)?)),
            false => {
                let (child, token) = key::verdict_name(key)?;
                let verdict = VerdictCell::decode(value)?.verdict;
                (at, NodeOrVerdict::Verdict(child, token, verdict))
            }
        })
    };
    let (at, row) = match read() {
        Ok(row) => row,
        Err(corrupt) => return Ok(Err(corrupt)),
    };
    match row {
        NodeOrVerdict::Node(node) => {
            if node.pointer.is_some_and(|to| to.parent >= at.profile) {
                checked.finding(|| format!("{} points at a profile that is not older", at.profile));
            }
        }
        NodeOrVerdict::Verdict(child, token, Verdict::Linked) => {
            checked.links += 1;
            let child_key = key::node(&ProfileKey {
                profile: child,
                ..at
            });
            // A row that cannot be read is found when its turn comes.
            let node = view.get(Space::Nodes, &child_key)?;
            let node = node.and_then(|bytes| NodeRow::decode(&bytes).ok());
            let expected = Pointer {
                parent: at.profile,
                token,
            };
            if node.and_then(|node| node.pointer) != Some(expected) {
                checked.finding(|| {
                    format!(
                        "{child} is linked at {} and does not point there",
                        at.profile
                    )
                });
            }
        }
        NodeOrVerdict::Verdict(_, _, Verdict::Void) => {}
    }
    Ok(Ok(()))
}

enum NodeOrVerdict {
    Node(NodeRow),
    Verdict(ProfileId, LinkToken, Verdict),
}

fn profile_key(key: &[u8]) -> Result<ProfileKey, CorruptRow> {
    let mut rest = Reader::new(key);
    Ok(ProfileKey {
        store: StoreId::from_uuid(rest.uuid()?),
        profile: ProfileId::from_uuid(rest.uuid()?),
    })
}

fn cell(checked: &mut Checked, key: &[u8], value: &[u8]) -> Result<(), CorruptRow> {
    match key::cell(key)? {
        CellName::Clock | CellName::Member(_) | CellName::Purged => {
            TimeCell::decode(value).map(drop)
        }
        CellName::Root => {
            let ancestor = ValueCell::decode(value)?.value;
            Uuid::from_slice(&ancestor)
                .map(drop)
                .map_err(|_| CorruptRow)
        }
        CellName::Ident(..) => IdentCell::decode(value).map(drop),
        CellName::Link(..) => LinkCell::decode(value).map(drop),
        CellName::Trait(_) => {
            checked.traits += 1;
            let stored = ValueCell::decode(value)?.value;
            let read = CellBytes::from_stored(stored).decode();
            read.map(drop).map_err(|_| CorruptRow)
        }
    }
}

fn control(checked: &mut Checked, key: &[u8], value: &[u8]) -> Result<(), CorruptRow> {
    match key::control(key)? {
        key::ControlName::Store(id) => {
            checked.stores += 1;
            // Nothing stands for a store that was deleted.
            if value.is_empty() {
                return Ok(());
            }
            let record: StoreRecord = serde_json::from_slice(value).map_err(|_| CorruptRow)?;
            (record.id == id).then_some(()).ok_or(CorruptRow)
        }
        key::ControlName::AccountStore => definitions::is_account_row(value),
        key::ControlName::Revision => Uuid::from_slice(value).map(drop).map_err(|_| CorruptRow),
        key::ControlName::Operation => definitions::kept(value).map(drop),
    }
}

fn meta(key: &[u8], value: &[u8]) -> Result<(), CorruptRow> {
    match key {
        key::COMMIT => Seal::decode(value).map(drop),
        key::PARTITIONS => Number::decode(value).map(drop),
        key::TOKEN_KEY => <[u8; 32]>::try_from(value)
            .map(drop)
            .map_err(|_| CorruptRow),
        _ => Err(CorruptRow),
    }
}

fn nothing(value: &[u8]) -> Result<(), CorruptRow> {
    value.is_empty().then_some(()).ok_or(CorruptRow)
}
