//! The producing half of the log.

use std::sync::Arc;
use std::time::Instant;

use kith_profiles::error::{Cause, PortError, PublishError};
use kith_profiles::ports::{DeadLetter, DeadLetters, Durability, NewRecord, NextOffset, TraitLog};

use super::record::{Prepared, size_of};
use super::source::EmbeddedSource;
use super::{Topic, state};
use crate::engine::{Embedded, Unanswered};
use crate::error::{Closed, NoRoom};
use crate::group::Group;

/// From handing a record to the engine to its being durable. Labels as in `kith_runtime`'s catalogue.
const PUBLISH_SECONDS: &str = "kith_publish_seconds";

/// The trait log of an [`Embedded`] engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    pub(super) engine: Embedded,
}

impl EmbeddedLog {
    pub(crate) const fn new(engine: Embedded) -> Self {
        Self { engine }
    }

    /// A consumer of a group. The first one gets all partitions; one that comes while it lives gets none until that one is
    /// closed or dropped.
    #[must_use]
    pub fn consumer(&self, group: &str) -> EmbeddedSource {
        EmbeddedSource::new(self.engine.clone(), group)
    }

    /// Forgets a consumer group, so that its records are no longer kept for it. False if there is none of that name, or
    /// a consumer has it.
    ///
    /// # Errors
    /// [`PortError`]; repeating is safe.
    pub async fn forget_group(&self, group: &str) -> Result<bool, PortError> {
        const OPERATION: &str = "forget group";
        let shared = Arc::clone(&self.engine.engine.shared);
        let name = group.to_owned();
        self.engine
            .submit(Durability::Durable, 64, move |group| {
                shared.groups.forget(&name, group)
            })
            .await
            .map_err(|error| error.port(OPERATION))
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.engine.engine.shared.options.topic
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.engine.engine.shared.heads.partitions()
    }

    /// Where each partition begins and ends: the first offset that retention has left, and the offset after the last record.
    #[must_use]
    pub fn ends(&self) -> Vec<(NextOffset, NextOffset)> {
        let offset = |number| NextOffset::new(i64::try_from(number).unwrap_or(i64::MAX));
        let ends = self.engine.engine.shared.heads.all();
        ends.map(|(start, next)| (offset(start), offset(next)))
            .collect()
    }

    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        prepared: Prepared,
    ) -> Result<(), PublishError> {
        self.stage(prepared.len(), move |group| {
            state::append(group, topic, partition, prepared);
        })
        .await
    }

    /// Has something of so many bytes appended, all of it or nothing.
    pub(super) async fn stage(
        &self,
        bytes: u64,
        work: impl FnOnce(&mut Group<'_>) + Send + 'static,
    ) -> Result<(), PublishError> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.engine
            .submit(Durability::Durable, bytes, work)
            .await
            .map_err(|error| match error {
                Unanswered::Full => PublishError::Full,
                Unanswered::NoRoom => PublishError::Unavailable(Some(Arc::new(NoRoom) as Cause)),
                Unanswered::Closed => PublishError::Unavailable(Some(Arc::new(Closed) as Cause)),
                Unanswered::Failed(failure) => {
                    PublishError::Unavailable(Some(Arc::new(failure) as Cause))
                }
            })
    }

    /// A record that everything but its place is known of, and the partition that its key names.
    pub(super) fn prepared(&self, record: &NewRecord) -> Result<(u16, Prepared), PublishError> {
        self.check_size(size_of(&record.key, &record.payload, &record.headers))?;
        let partitions = u64::from(self.partitions().max(1));
        let hash = xxhash_rust::xxh3::xxh3_64(&record.key);
        // Below the number of partitions, which is a u16.
        let partition = u16::try_from(hash % partitions).unwrap_or(0);
        Ok((partition, Prepared::record(record)))
    }

    fn check_size(&self, bytes: usize) -> Result<(), PublishError> {
        if bytes > self.engine.engine.shared.options.record_bytes_max {
            return Err(PublishError::TooLarge);
        }
        Ok(())
    }
}

impl TraitLog for EmbeddedLog {
    async fn publish(&self, record: NewRecord) -> Result<(), PublishError> {
        let began = Instant::now();
        let result = match self.prepared(&record) {
            Ok((partition, prepared)) => self.append(Topic::Traits, partition, prepared).await,
            Err(error) => Err(error),
        };
        let outcome = PublishError::outcome(&result);
        metrics::histogram!(PUBLISH_SECONDS, "outcome" => outcome).record(began.elapsed());
        result
    }
}

impl DeadLetters for EmbeddedLog {
    async fn bury(&self, letter: DeadLetter) -> Result<(), PublishError> {
        // No limit of its own: what the log took it must be able to bury.
        self.append(Topic::Dead, 0, Prepared::letter(&letter)).await
    }
}
