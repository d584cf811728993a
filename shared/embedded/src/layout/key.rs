//! Keys: pure functions from ids to bytes, and back where a scan needs it.

use std::ops::Range;

use kith_domain::id::{
    AccountSid, ClaimId, DefinitionId, LinkToken, OperationId, ProfileId, ProfileKey, StoreId,
};
use kith_domain::identifier::{ClaimKey, IdType, IdentifierValue};
use uuid::Uuid;

use super::CorruptRow;
use super::read::Reader;

/// Where the seal of the last commit is (`meta`).
pub(crate) const COMMIT: &[u8] = b"commit";
/// Where the number of the log's partitions is (`meta`).
pub(crate) const PARTITIONS: &[u8] = b"partitions";
/// Where the key of page tokens is (`meta`).
pub(crate) const TOKEN_KEY: &[u8] = b"token key";
/// A row that every keyspace may have; shorter than every other key, so no scan meets it.
pub(crate) const ANCHOR: &[u8] = &[0xff];

/// How long the part of a cell's key is that names the profile.
pub(crate) const PARTITION_BYTES: usize = 32;

/// How long the key of a claim is, and that of the stamp of a value's owners.
pub(crate) const CLAIM_BYTES: usize = 32;
pub(crate) const OWNERS_STAMP_BYTES: usize = 33;

const OWNERS_ROW: u8 = 0;
const OWNER_ROW: u8 = 1;
const NODE_ROW: u8 = 0;
const VERDICT_ROW: u8 = 1;
const STORE_ROW: u8 = 0;
const ACCOUNT_ROW: u8 = 1;
const REVISION_ROW: u8 = 2;
const OPERATION_ROW: u8 = 3;

/// The kinds of rows of a profile's cells, in the order in which they sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CellKind {
    /// The clock row.
    Clock = 0,
    /// The hint at an ancestor.
    Root = 1,
    /// An identifier.
    Ident = 2,
    /// A link.
    Link = 3,
    /// A member.
    Member = 4,
    /// A trait.
    Trait = 5,
    /// Until when the partition was removed.
    Purged = 6,
}

/// The key of a claim.
pub(crate) fn claim(key: &ClaimKey) -> Vec<u8> {
    key.as_bytes().to_vec()
}

/// The stamp of a value's owners. Longer than the key of a claim to the same value, so that both can be there.
pub(crate) fn owners_stamp(key: &ClaimKey) -> Vec<u8> {
    let mut bytes = claim(key);
    bytes.push(OWNERS_ROW);
    bytes
}

/// The prefix of a value's owners.
pub(crate) fn owners(key: &ClaimKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(49);
    bytes.extend_from_slice(key.as_bytes());
    bytes.push(OWNER_ROW);
    bytes
}

/// One owner of a value.
pub(crate) fn owner(key: &ClaimKey, profile: ProfileId) -> Vec<u8> {
    let mut bytes = owners(key);
    bytes.extend_from_slice(profile.as_uuid().as_bytes());
    bytes
}

/// The profile of an owner's key.
pub(crate) fn owner_of(key: &[u8]) -> Result<ProfileId, CorruptRow> {
    let mut rest = Reader::after(key, 33)?;
    let profile = ProfileId::from_uuid(rest.uuid()?);
    rest.end(profile)
}

/// The prefix of everything in a profile's partition.
pub(crate) fn cell_partition(at: &ProfileKey) -> Vec<u8> {
    let mut key = Vec::with_capacity(80);
    key.extend_from_slice(at.store.as_uuid().as_bytes());
    key.extend_from_slice(at.profile.as_uuid().as_bytes());
    key
}

/// The row of a node's pointer and mark.
pub(crate) fn node(at: &ProfileKey) -> Vec<u8> {
    let mut key = cell_partition(at);
    key.push(NODE_ROW);
    key
}

/// Whether a key of a node is that of its pointer and mark, and not of a verdict.
pub(crate) fn is_node(key: &[u8]) -> bool {
    key.len() == 33 && key.last() == Some(&NODE_ROW)
}

/// The prefix of a node's verdicts.
pub(crate) fn verdicts(at: &ProfileKey) -> Vec<u8> {
    let mut key = cell_partition(at);
    key.push(VERDICT_ROW);
    key
}

/// One verdict of a node.
pub(crate) fn verdict(at: &ProfileKey, child: ProfileId, token: LinkToken) -> Vec<u8> {
    pair(verdicts(at), child, token)
}

/// The prefix of one kind of a profile's cells; the whole key where there is one row of the kind.
pub(crate) fn cells_of(at: &ProfileKey, kind: CellKind) -> Vec<u8> {
    let mut key = cell_partition(at);
    key.push(kind as u8);
    key
}

/// The keys of a profile's cells of these kinds and of those that sort between them.
pub(crate) fn cells_between(at: &ProfileKey, first: CellKind, last: CellKind) -> Range<Vec<u8>> {
    let mut end = cells_of(at, last);
    if let Some(kind) = end.last_mut() {
        *kind += 1;
    }
    cells_of(at, first)..end
}

/// One identifier row. `None` if type and value are too long for a key; the contract's limits are far below.
pub(crate) fn ident(
    at: &ProfileKey,
    id_type: &IdType,
    value: &IdentifierValue,
    claim: ClaimId,
) -> Option<Vec<u8>> {
    let (id_type, value) = (id_type.as_str().as_bytes(), value.expose().as_bytes());
    let mut key = cells_of(at, CellKind::Ident);
    key.extend_from_slice(&u16::try_from(id_type.len()).ok()?.to_be_bytes());
    key.extend_from_slice(id_type);
    key.extend_from_slice(&u16::try_from(value.len()).ok()?.to_be_bytes());
    key.extend_from_slice(value);
    key.extend_from_slice(claim.as_uuid().as_bytes());
    (key.len() <= usize::from(u16::MAX)).then_some(key)
}

/// One link row.
pub(crate) fn link(at: &ProfileKey, child: ProfileId, token: LinkToken) -> Vec<u8> {
    pair(cells_of(at, CellKind::Link), child, token)
}

/// One member row.
pub(crate) fn member(at: &ProfileKey, member: ProfileId) -> Vec<u8> {
    let mut key = cells_of(at, CellKind::Member);
    key.extend_from_slice(member.as_uuid().as_bytes());
    key
}

/// One trait row.
pub(crate) fn trait_cell(at: &ProfileKey, definition: DefinitionId) -> Vec<u8> {
    let mut key = cells_of(at, CellKind::Trait);
    key.extend_from_slice(definition.as_uuid().as_bytes());
    key
}

/// What the rest of a cell's key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CellName {
    /// The clock row.
    Clock,
    /// The hint.
    Root,
    /// An identifier row.
    Ident(IdType, IdentifierValue, ClaimId),
    /// A link row.
    Link(ProfileId, LinkToken),
    /// A member row.
    Member(ProfileId),
    /// A trait row.
    Trait(DefinitionId),
    /// The trace of a removal of the partition.
    Purged,
}

/// Reads a cell's key.
pub(crate) fn cell(key: &[u8]) -> Result<CellName, CorruptRow> {
    let mut rest = Reader::after(key, PARTITION_BYTES)?;
    let name = match rest.u8()? {
        0 => CellName::Clock,
        1 => CellName::Root,
        2 => {
            let id_type = IdType::new(rest.text()?);
            let value = IdentifierValue::new(rest.text()?);
            CellName::Ident(id_type, value, ClaimId::from_uuid(rest.uuid()?))
        }
        3 => {
            let (child, token) = child_and_token(&mut rest)?;
            CellName::Link(child, token)
        }
        4 => CellName::Member(ProfileId::from_uuid(rest.uuid()?)),
        5 => CellName::Trait(DefinitionId::from_uuid(rest.uuid()?)),
        6 => CellName::Purged,
        _ => return Err(CorruptRow),
    };
    rest.end(name)
}

/// Child and token of a verdict's key.
pub(crate) fn verdict_name(key: &[u8]) -> Result<(ProfileId, LinkToken), CorruptRow> {
    let mut rest = Reader::after(key, 33)?;
    let name = child_and_token(&mut rest)?;
    rest.end(name)
}

/// A profile in its store's listing.
pub(crate) fn listing(at: &ProfileKey) -> Vec<u8> {
    cell_partition(at)
}

/// The first and the last key that a store's listing can have.
pub(crate) fn listing_of(store: StoreId) -> (Vec<u8>, Vec<u8>) {
    let at = |profile| {
        listing(&ProfileKey {
            store,
            profile: ProfileId::from_uuid(profile),
        })
    };
    (at(Uuid::nil()), at(Uuid::max()))
}

/// The profile of a listing's key.
pub(crate) fn profile_of(key: &[u8]) -> Result<ProfileId, CorruptRow> {
    let mut rest = Reader::after(key, 16)?;
    let profile = ProfileId::from_uuid(rest.uuid()?);
    rest.end(profile)
}

/// A store's record.
pub(crate) fn store(store: StoreId) -> Vec<u8> {
    let mut key = vec![STORE_ROW];
    key.extend_from_slice(store.as_uuid().as_bytes());
    key
}

/// The prefix of an account's stores.
pub(crate) fn account_stores(account: &AccountSid) -> Vec<u8> {
    of_account(ACCOUNT_ROW, account)
}

/// The revision of an account.
pub(crate) fn account_revision(account: &AccountSid) -> Vec<u8> {
    of_account(REVISION_ROW, account)
}

/// The prefix of an account's operations. Their ids sort by age.
pub(crate) fn account_operations(account: &AccountSid) -> Vec<u8> {
    of_account(OPERATION_ROW, account)
}

/// One operation of an account.
pub(crate) fn operation(account: &AccountSid, operation: OperationId) -> Vec<u8> {
    let mut key = account_operations(account);
    key.extend_from_slice(operation.as_uuid().as_bytes());
    key
}

/// What a key of `control` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlName {
    /// A store's record.
    Store(StoreId),
    /// A store of an account.
    AccountStore,
    /// An account's revision.
    Revision,
    /// An operation of an account.
    Operation,
}

/// Reads a key of `control`.
pub(crate) fn control(key: &[u8]) -> Result<ControlName, CorruptRow> {
    let mut rest = Reader::new(key);
    let kind = rest.u8()?;
    if kind == STORE_ROW {
        let id = StoreId::from_uuid(rest.uuid()?);
        return rest.end(ControlName::Store(id));
    }
    let account = usize::from(rest.u8()?);
    rest.take(account)?;
    let name = match kind {
        ACCOUNT_ROW => rest.uuid().map(|_| ControlName::AccountStore)?,
        REVISION_ROW => ControlName::Revision,
        OPERATION_ROW => rest.uuid().map(|_| ControlName::Operation)?,
        _ => return Err(CorruptRow),
    };
    rest.end(name)
}

fn of_account(kind: u8, account: &AccountSid) -> Vec<u8> {
    let account = account.as_str().as_bytes();
    let mut key = Vec::with_capacity(2 + account.len() + 16);
    key.push(kind);
    // An account's id has 34 characters (`AccountSid`).
    key.push(u8::try_from(account.len()).unwrap_or(u8::MAX));
    key.extend_from_slice(account);
    key
}

/// That an account has a store.
pub(crate) fn account_store(account: &AccountSid, store: StoreId) -> Vec<u8> {
    let mut key = account_stores(account);
    key.extend_from_slice(store.as_uuid().as_bytes());
    key
}

/// The store that an account's row names.
pub(crate) fn store_of_account(key: &[u8], account: &AccountSid) -> Result<StoreId, CorruptRow> {
    let mut rest = Reader::after(key, account_stores(account).len())?;
    let store = StoreId::from_uuid(rest.uuid()?);
    rest.end(store)
}

/// What was trimmed before a partition's first record. Sorts before the records.
pub(crate) fn edge(topic: u8, partition: u16) -> Vec<u8> {
    let mut key = Vec::with_capacity(11);
    key.push(topic);
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

/// A record of the log.
pub(crate) fn record(topic: u8, partition: u16, offset: u64) -> Vec<u8> {
    let mut key = edge(topic, partition);
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

/// Topic and partition of a key of the log, and the offset if it is a record's.
pub(crate) fn log(key: &[u8]) -> Result<(u8, u16, Option<u64>), CorruptRow> {
    let mut rest = Reader::new(key);
    let (topic, partition) = (rest.u8()?, rest.u16()?);
    if rest.rest().is_empty() {
        return Ok((topic, partition, None));
    }
    let offset = rest.u64()?;
    rest.end((topic, partition, Some(offset)))
}

/// The offset in a record's key.
pub(crate) fn offset_of(key: &[u8]) -> Result<u64, CorruptRow> {
    let mut rest = Reader::after(key, 3)?;
    let offset = rest.u64()?;
    rest.end(offset)
}

/// Where a consumer group goes on in a partition.
pub(crate) fn group(partition: u16, name: &str) -> Vec<u8> {
    let mut key = partition.to_be_bytes().to_vec();
    key.extend_from_slice(name.as_bytes());
    key
}

/// Partition and name of a group's row.
pub(crate) fn group_name(key: &[u8]) -> Result<(u16, &str), CorruptRow> {
    let mut rest = Reader::new(key);
    let partition = rest.u16()?;
    let name = std::str::from_utf8(rest.rest()).map_err(|_| CorruptRow)?;
    Ok((partition, name))
}

fn pair(mut key: Vec<u8>, child: ProfileId, token: LinkToken) -> Vec<u8> {
    key.extend_from_slice(child.as_uuid().as_bytes());
    key.extend_from_slice(token.as_uuid().as_bytes());
    key
}

fn child_and_token(rest: &mut Reader<'_>) -> Result<(ProfileId, LinkToken), CorruptRow> {
    Ok((
        ProfileId::from_uuid(rest.uuid()?),
        LinkToken::from_uuid(rest.uuid()?),
    ))
}

#[cfg(test)]
mod tests;
