//! The files of `tests/golden/v1` on a real server: rows of the first release are read by this code, and its statements fit the
//! tables that this code migrates, also with what a later one adds (`docs/formats.md`).

use kith_domain::id::{
    ClaimId, DefinitionId, DeleteId, LinkToken, OperationId, OwnersStamp, ProfileId, ProfileKey,
    RequestId, StoreId,
};
use kith_domain::identifier::{ClaimSecret, IdType, Identifier, IdentifierValue};
use kith_domain::operation::OperationStatus;
use kith_domain::time::Micros;
use kith_domain::traits::{TraitValue, TraitWrite};
use kith_profiles::ports::{
    CellRead, Cells, Control, Definitions, Identity, NodeRead, OwnerRows, OwnersRead, Pointer,
    Select, Verdict, Verdicts,
};
use kith_scylla::{Cql, CqlConfig};
use uuid::Uuid;

use crate::harness::{at, raw, with_cql};

const ROWS: &str = include_str!("../golden/v1/rows.cql");
const STATEMENTS: &str = include_str!("../golden/v1/statements.cql");

const AT: Micros = Micros::from_micros(1_700_000_000_000_000);
const STORE: StoreId =
    StoreId::from_uuid(Uuid::from_u128(0x018b_cfe5_6800_7000_8000_0000_0000_00aa));
const PROFILE: ProfileId =
    ProfileId::from_uuid(Uuid::from_u128(0x018b_cfe5_0000_3820_8000_0000_0000_014d));
const OPERATION: Uuid = Uuid::from_u128(0x018b_cfe5_6800_7000_8000_0000_0000_00bb);
const X: Uuid = Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111);
const Y: Uuid = Uuid::from_u128(0x2222_2222_2222_4222_8222_2222_2222_2222);
const REQUEST: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

/// The statements of a file, in a keyspace.
fn statements(file: &str, config: &CqlConfig) -> Vec<String> {
    let lines = file.lines().filter(|line| !line.starts_with("--"));
    let keyspace = config.keyspace.to_string();
    lines
        .map(|line| line.trim_end_matches(';').replace("{keyspace}", &keyspace))
        .collect()
}

async fn identity(cql: &Cql) {
    let identifier = Identifier {
        id_type: IdType::new("email"),
        value: IdentifierValue::new("ada@example.com"),
    };
    let secret: [u8; 32] = std::array::from_fn(|n| u8::try_from(n).unwrap());
    let key = ClaimSecret::from_bytes(secret).claim_key(&identifier);
    let claim = cql.claims(&[key]).await.unwrap()[0].unwrap();
    assert_eq!(claim.profile, Some(PROFILE));
    assert_eq!((claim.id, claim.place), (ClaimId::from_uuid(X), 2));
    assert_eq!(
        (claim.added_at, claim.by_request),
        (AT, RequestId::from_uuid(REQUEST))
    );
    let read = OwnersRead {
        key,
        rows: OwnerRows::All,
    };
    let owners = cql.owners(&[read]).await.unwrap().remove(0);
    assert_eq!(owners.stamp, Some(OwnersStamp::from_uuid(Y)));
    assert_eq!(owners.rows.len(), 1);
    assert!(owners.rows[0].released);

    let key = ProfileKey {
        store: STORE,
        profile: PROFILE,
    };
    let read = NodeRead {
        at: key,
        verdicts: Verdicts::All,
    };
    let node = cql.nodes(&[read]).await.unwrap().remove(0);
    let pointer = Pointer {
        parent: ProfileId::from_uuid(Y),
        token: LinkToken::from_uuid(X),
    };
    assert_eq!(node.pointer, Some(pointer));
    assert_eq!(node.dead, Some(DeleteId::from_uuid(REQUEST)));
    let verdicts = node.verdicts.iter();
    let mut verdicts: Vec<_> = verdicts
        .map(|row| (row.child.as_uuid(), row.verdict))
        .collect();
    verdicts.sort_by_key(|(child, _)| *child);
    assert_eq!(verdicts, [(X, Verdict::Linked), (Y, Verdict::Void)]);
    let links = cql.links(&[key]).await.unwrap().remove(0);
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].decided_at, AT);
    assert!(links[0].evidence.starts_with(br#"{"version":1,"#));
}

async fn cells(cql: &Cql) {
    let read = CellRead {
        at: ProfileKey {
            store: STORE,
            profile: PROFILE,
        },
        select: vec![
            Select::Clock,
            Select::Root,
            Select::Idents,
            Select::LinksAndMembers,
            Select::Traits,
        ],
    };
    let rows = cql.read(&[read]).await.unwrap().remove(0);
    assert_eq!(rows.clock, Some(AT));
    assert_eq!(rows.root, Some(ProfileId::from_uuid(Y)));
    assert_eq!(rows.idents.len(), 1);
    let ident = &rows.idents[0];
    assert_eq!(ident.value.expose(), "ada@example.com");
    assert_eq!((ident.claim, ident.settled), (ClaimId::from_uuid(X), true));
    assert_eq!(ident.added_at, at(AT.as_micros() - 1));
    assert_eq!(rows.links.len(), 1);
    assert!(rows.links[0].settled);
    assert_eq!(rows.links[0].token, LinkToken::from_uuid(Y));
    assert_eq!(rows.members, [ProfileId::from_uuid(X)]);
    assert_eq!(rows.traits.len(), 1);
    let definition: DefinitionId = "018bcfe5-6800-7000-8000-000000000001".parse().unwrap();
    assert_eq!(
        (rows.traits[0].definition, rows.traits[0].time),
        (definition, AT)
    );
    let value = TraitWrite::Set(TraitValue::String("Ada".to_owned()));
    assert_eq!(rows.traits[0].value.decode().unwrap(), value);
}

async fn control(cql: &Cql) {
    let store = cql.store(STORE).await.unwrap().unwrap();
    assert_eq!(
        (store.version, store.settings_version, store.schema_version),
        (3, 2, 5)
    );
    assert_eq!(store.settings.identifier_configs.len(), 3);
    let groups: Vec<_> = store
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .collect();
    assert_eq!(groups, ["Contact", "Loyalty"]);
    let account = cql.account(&store.account).await.unwrap();
    assert_eq!(account.stores.len(), 1);
    assert_eq!(account.stores[0].display_name.as_deref(), Some("Main"));
    let id = OperationId::from_uuid(OPERATION);
    let operation = cql.operation(&store.account, id).await.unwrap().unwrap();
    assert_eq!(operation.status, OperationStatus::Completed);
    assert_eq!(operation.release, None, "nobody wrote it then");
}

#[tokio::test]
async fn rows_of_the_first_release_are_read() {
    with_cql(async |cql, config| {
        let raw = raw(&config).await;
        for statement in statements(ROWS, &config) {
            raw.query_unpaged(statement, ()).await.unwrap();
        }
        identity(&cql).await;
        cells(&cql).await;
        control(&cql).await;
    })
    .await;
}

#[tokio::test]
async fn statements_of_the_first_release_fit_the_tables_of_this_one_and_of_a_later() {
    with_cql(async |_, config| {
        let raw = raw(&config).await;
        let keyspace = &config.keyspace;
        let all = statements(STATEMENTS, &config);
        assert!(all.len() > 40, "{}", all.len());
        for later in [
            String::new(),
            format!("ALTER TABLE {keyspace}.claim ADD later text"),
            format!("ALTER TABLE {keyspace}.node ADD later text STATIC"),
            format!("CREATE TABLE {keyspace}.later (key text PRIMARY KEY)"),
        ] {
            if !later.is_empty() {
                raw.query_unpaged(later, ()).await.unwrap();
            }
            for statement in &all {
                raw.prepare(statement.as_str()).await.unwrap();
            }
        }
    })
    .await;
}
