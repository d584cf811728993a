//! Redriving: a dead letter goes to the traits topic again, and a receipt says so behind it.

use kith_domain::time::Micros;
use kith_profiles::error::PublishError;
use kith_profiles::letters::Letter;
use kith_profiles::ports::{Offset, Partition};

use crate::letters::receipt_for;
use crate::producer::{KafkaLog, To, acknowledged};

impl KafkaLog {
    /// Publishes the record of a letter as it was: with its own key, bytes and headers, and with its own time if that is known
    /// and not before `kept_since`, since a log removes what is older than its retention. Added is how often that was done.
    ///
    /// # Errors
    /// [`PublishError`], as of every publish. Doing it again is safe.
    pub async fn redrive(&self, letter: &Letter, kept_since: Micros) -> Result<(), PublishError> {
        let headers = letter.redriven_headers();
        let to = To {
            millis: letter
                .published_at
                .filter(|at| *at >= kept_since)
                .map(|at| at.as_micros().div_euclid(1000)),
            ..self.to_traits()
        };
        acknowledged(self.enqueue(to, &letter.key, &letter.payload, &headers)).await
    }

    /// Notes that letters of a partition were redriven.
    ///
    /// # Errors
    /// [`PublishError`]. Doing it again is safe.
    pub async fn receipt(
        &self,
        partition: Partition,
        letters: &[Offset],
    ) -> Result<(), PublishError> {
        let to = To {
            partition: Some(partition),
            ..self.to_letters()
        };
        acknowledged(self.enqueue(to, &[], &[], &[receipt_for(letters)])).await
    }
}
