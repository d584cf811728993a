//! A stage for examples at the level of use cases: one store on an engine, its log kept until a test applies it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use kith_domain::body::{TraitsBody, WriteSet, validate};
use kith_domain::event::Event;
use kith_domain::id::{DefinitionId, ProfileId, RequestId, StoreId};
use kith_domain::identifier::{ClaimSecret, IdType, Identifier};
use kith_domain::schema::{DataType, TraitDefinition, TraitGroup, contact_group};
use kith_domain::settings::{IdentitySettings, LimitPolicy};
use kith_domain::store::{Places, StoreRecord, StoreStatus, profile_traits};
use kith_domain::time::Micros;
use kith_profiles::Profiles;
use kith_profiles::apply::{apply, fold};
use kith_profiles::bulk::Bulk;
use kith_profiles::change::Target;
use kith_profiles::create::Create;
use kith_profiles::environment::{Environment, Parts};
use kith_profiles::error::PublishError;
use kith_profiles::ports::{Database, NewRecord, TraitLog};
use kith_profiles::purge::Purge;
use kith_profiles::read::Located;
use kith_profiles::retries::RetryBudget;
use kith_runtime::clock::{SystemClock, SystemIds};
use serde_json::{Value, json};
use uuid::Uuid;

/// A log that keeps what went through it, so that a test says when it is applied.
#[derive(Debug, Clone)]
pub struct Kept<L> {
    inner: L,
    records: Arc<Mutex<Vec<NewRecord>>>,
}

impl<L: TraitLog> TraitLog for Kept<L> {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        self.inner.publish(record.clone()).await?;
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(record);
        Ok(())
    }
}

/// What a stage is built from.
pub type Of<D, L> = Parts<D, Kept<L>, SystemClock, SystemIds>;

/// One store of its own on an engine.
#[derive(Debug)]
pub struct Stage<D: Database, L: TraitLog + 'static> {
    /// The use cases.
    pub profiles: Profiles<Of<D, L>>,
    /// The store that they are used on.
    pub store: Arc<StoreRecord>,
    records: Arc<Mutex<Vec<NewRecord>>>,
}

fn definition(data_type: DataType, promotion: Option<&str>) -> TraitDefinition {
    TraitDefinition {
        id: DefinitionId::from_uuid(Uuid::new_v4()),
        data_type,
        description: None,
        validation_rule: None,
        id_type_promotion: promotion.map(IdType::new),
    }
}

/// A trait group: names of traits, their types, and what each is promoted to.
#[must_use]
pub fn group(name: &str, traits: &[(&str, DataType, Option<&str>)]) -> TraitGroup {
    TraitGroup {
        name: name.into(),
        description: None,
        version: 1,
        created_at: Micros::from_micros(1_700_000_000_000_000),
        traits: traits
            .iter()
            .map(|(name, data_type, promotion)| {
                ((*name).to_owned(), definition(*data_type, *promotion))
            })
            .collect(),
    }
}

/// The store of an example: default settings and `Contact`, changed as the example says.
#[must_use]
#[expect(clippy::expect_used, reason = "the account is written here")]
pub fn store(change: impl FnOnce(&mut IdentitySettings)) -> Arc<StoreRecord> {
    let mut settings = IdentitySettings::default();
    change(&mut settings);
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    Arc::new(StoreRecord {
        id: StoreId::from_uuid(Uuid::now_v7()),
        account: "AC00000000000000000000000000000000"
            .parse()
            .expect("an account"),
        display_name: "examples".into(),
        description: None,
        status: StoreStatus::Active,
        version: 1,
        settings,
        settings_version: 1,
        schema_version: 1,
        claim_secret: ClaimSecret::from_bytes(secret),
        groups: vec![
            contact_group(Micros::from_micros(1_700_000_000_000_000), || {
                DefinitionId::from_uuid(Uuid::new_v4())
            }),
            group("Work", &[("mail", DataType::String, Some("email"))]),
            group(
                "Loyalty",
                &[
                    ("tier", DataType::String, None),
                    ("points", DataType::Number, None),
                ],
            ),
            group("Crm", &[("legacyId", DataType::Number, Some("legacyId"))]),
        ],
        places: Places::default(),
    })
}

/// Sets the limit of a type.
pub fn limit(settings: &mut IdentitySettings, id_type: &str, limit: u16, policy: LimitPolicy) {
    let wanted = IdType::new(id_type);
    for config in settings
        .identifier_configs
        .iter_mut()
        .filter(|config| config.id_type == wanted)
    {
        config.limit = limit;
        config.limit_policy = policy;
    }
}

impl<D: Database, L: TraitLog + 'static> Stage<D, L> {
    /// A stage for this store on an engine.
    pub fn new(database: D, log: L, store: &Arc<StoreRecord>) -> Self {
        let records = Arc::default();
        let log = Kept {
            inner: log,
            records: Arc::clone(&records),
        };
        let parts = Parts {
            database,
            log,
            clock: SystemClock::new(),
            ids: SystemIds,
            retries: RetryBudget::default(),
        };
        Self {
            profiles: Profiles::new(parts),
            store: Arc::clone(store),
            records,
        }
    }

    /// The engine.
    pub fn database(&self) -> &D {
        self.profiles.environment().database()
    }

    /// The writes of a body with these traits.
    ///
    /// # Errors
    /// When it is not valid.
    pub fn writes(&self, traits: &Value) -> Result<WriteSet> {
        let body = json!({ "traits": traits }).to_string();
        let body = TraitsBody::parse(body.as_bytes())?;
        validate(&body, &self.store.groups, &self.store.settings)
            .map_err(|errors| anyhow::anyhow!("{errors:?}"))
    }

    /// A request about this profile.
    #[must_use]
    pub fn target(&self, profile: ProfileId) -> Target {
        Target {
            store: Arc::clone(&self.store),
            profile,
            request: RequestId::from_uuid(Uuid::new_v4()),
            deadline: self
                .profiles
                .environment()
                .deadline_in(Duration::from_secs(20)),
        }
    }

    /// Creates a profile with these traits.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn create(&self, traits: Value) -> Result<ProfileId> {
        // Ids carry the minting host's milliseconds: whoever compares ages leaves some between.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let writes = self.writes(&traits)?;
        let Target {
            store,
            request,
            deadline,
            ..
        } = self.target(ProfileId::from_uuid(Uuid::nil()));
        Ok(self
            .profiles
            .create(Create {
                store,
                writes,
                request,
                deadline,
            })
            .await?
            .profile)
    }

    /// Creates a profile with these traits of `Contact`.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn contact(&self, contact: Value) -> Result<ProfileId> {
        self.create(json!({ "Contact": contact })).await
    }

    /// Sends these traits of `Contact`, which must lead to this profile.
    ///
    /// # Errors
    /// When they lead to another.
    pub async fn is(&self, contact: Value, expected: ProfileId) -> Result<()> {
        let profile = self.contact(contact).await?;
        ensure!(profile == expected, "{profile} instead of {expected}");
        Ok(())
    }

    /// Sends a batch of items, each the traits of a create.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn bulk(&self, items: &[Value]) -> Result<()> {
        let items: Result<Vec<WriteSet>> = items.iter().map(|item| self.writes(item)).collect();
        let Target {
            store,
            request,
            deadline,
            ..
        } = self.target(ProfileId::from_uuid(Uuid::nil()));
        let bulk = Bulk {
            store,
            items: items?,
            request,
            deadline,
        };
        Ok(self.profiles.bulk(bulk).await?)
    }

    /// Checks the identifiers of a profile, all of them.
    ///
    /// # Errors
    /// When there are others.
    pub async fn has(&self, profile: ProfileId, expected: &[(&str, &[&str])]) -> Result<()> {
        let ids = self.ids(profile).await?;
        let expected: BTreeMap<String, Vec<String>> = expected
            .iter()
            .map(|(id_type, values)| {
                let values = values.iter().map(|value| (*value).to_owned());
                ((*id_type).to_owned(), values.collect())
            })
            .collect();
        ensure!(ids == expected, "{profile} has {ids:?}");
        Ok(())
    }

    /// Checks that these ids lead to that one, and that it is the only one listed.
    ///
    /// # Errors
    /// When they do not.
    pub async fn merged(&self, members: &[ProfileId], root: ProfileId) -> Result<()> {
        for member in members {
            let leads = self.leads(*member).await?;
            ensure!(leads == Some(root), "{member} leads to {leads:?}");
        }
        let listed = self.listed().await?;
        ensure!(listed == [root], "listed are {listed:?}");
        Ok(())
    }

    /// Records that were published and not applied.
    #[must_use]
    pub fn published(&self) -> usize {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Patches traits of `Contact`.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn patch(&self, profile: ProfileId, contact: Value) -> Result<Located<()>> {
        let writes = self.writes(&json!({ "Contact": contact }))?;
        Ok(self.profiles.patch(&self.target(profile), &writes).await?)
    }

    /// An identifier by the store's settings.
    ///
    /// # Errors
    /// When it is not valid.
    pub fn identifier(&self, id_type: &str, value: &str) -> Result<Identifier> {
        Ok(self
            .store
            .settings
            .identifier(&IdType::new(id_type), value)?)
    }

    /// Whom a lookup of this value finds.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn owners(&self, id_type: &str, value: &str) -> Result<Vec<ProfileId>> {
        Ok(self
            .profiles
            .lookup(&self.store, self.identifier(id_type, value)?)
            .await?)
    }

    /// The identifiers of a profile, by type.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn ids(&self, profile: ProfileId) -> Result<BTreeMap<String, Vec<String>>> {
        match self.profiles.identifiers(&self.store, profile).await? {
            Located::Here(sets) => Ok(sets
                .into_iter()
                .map(|(id_type, values)| {
                    let values = values
                        .iter()
                        .map(|value| value.expose().to_owned())
                        .collect();
                    (id_type.to_string(), values)
                })
                .collect()),
            other @ (Located::Moved(_) | Located::Gone) => anyhow::bail!("{profile}: {other:?}"),
        }
    }

    /// The values of one type.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn values(&self, profile: ProfileId, id_type: &str) -> Result<Vec<String>> {
        Ok(self.ids(profile).await?.remove(id_type).unwrap_or_default())
    }

    /// Where an id leads: itself, another, or nowhere.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn leads(&self, profile: ProfileId) -> Result<Option<ProfileId>> {
        Ok(match self.profiles.traits(&self.store, profile).await? {
            Located::Here(_) => Some(profile),
            Located::Moved(to) => Some(to),
            Located::Gone => None,
        })
    }

    /// The traits of a profile.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn traits(&self, profile: ProfileId) -> Result<Value> {
        match self.profiles.traits(&self.store, profile).await? {
            Located::Here(joined) => Ok(profile_traits(&self.store, joined, None).into()),
            other @ (Located::Moved(_) | Located::Gone) => anyhow::bail!("{profile}: {other:?}"),
        }
    }

    /// Applies what was published, as a worker would.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn apply(&self) -> Result<()> {
        let records =
            std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner));
        for record in records {
            let parts = self.profiles.environment();
            match Event::decode(&record.payload)? {
                Event::Traits(event) => apply(self.database(), &fold([event])).await?,
                Event::Purge(event) => {
                    let purge = Purge {
                        database: self.database(),
                        log: &parts.log,
                        clock: &parts.clock,
                        ids: &parts.ids,
                    };
                    purge.run(&event).await?;
                }
            }
        }
        Ok(())
    }

    /// The store's listing.
    ///
    /// # Errors
    /// When a use case fails.
    pub async fn listed(&self) -> Result<Vec<ProfileId>> {
        let page = self
            .profiles
            .page(
                &self.store,
                kith_profiles::ports::Order::Ascending,
                None,
                100,
            )
            .await?;
        Ok(page.profiles)
    }
}

/// Makes a stage for a store.
pub type Make<'a, D, L> = &'a (dyn Fn(Arc<StoreRecord>) -> Stage<D, L> + Sync);

/// An address of this name.
#[must_use]
pub fn email(name: &str) -> String {
    format!("{name}@example.com")
}

/// A phone number.
pub const PHONE: &str = "+13175550100";

/// Runs every example on a stage and says which failed.
#[macro_export]
macro_rules! examples {
    ($make:expr, [$($example:ident),* $(,)?]) => {{
        let mut failed: Vec<String> = Vec::new();
        $(
            if let Err(error) = $example($make).await {
                failed.push(format!("{}: {error:#}", stringify!($example)));
            }
        )*
        ::anyhow::ensure!(failed.is_empty(), "{}", failed.join("\n"));
        Ok(())
    }};
}
