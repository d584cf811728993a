//! The few ways in which statements are sent: each with its span, its measure, and its error or outcome.

use std::fmt;
use std::ops::ControlFlow;

use kith_profiles::error::PortError;
use scylla::deserialize::row::DeserializeRow;
use scylla::response::PagingState;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::serialize::batch::BatchValues;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};

use crate::error::StatementError;
use crate::outcome::{Answer, Decision};
use crate::session::Cql;
use crate::statements::{Prepared, Text};

/// Rows in a page. A row of cells may hold a few KiB, so a page stays in the low megabytes.
pub(crate) const PAGE_ROWS: i32 = 1_000;

impl Cql {
    /// Reads at most one row.
    pub(crate) async fn one<R>(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow + Send,
    ) -> Result<Option<R>, PortError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let result = self.send(prepared, values).await?;
        let rows = rows_of(&prepared.text, result)?;
        rows.maybe_first_row()
            .map_err(|e| corrupt(&prepared.text, e))
    }

    /// Reads all pages, and hands each over as it comes, in the order of the key. A page is refused by saying why.
    pub(crate) async fn pages(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow + Send + Sync,
        mut page: impl FnMut(&QueryRowsResult) -> Result<(), Corrupt> + Send,
    ) -> Result<(), PortError> {
        let text = &prepared.text;
        let mut statement = prepared.statement.clone();
        statement.set_page_size(PAGE_ROWS);
        let mut state = PagingState::start();
        loop {
            // A span and a measure a page: each is a round trip, and its time is the database's and not ours.
            let session = &self.0.session;
            let sending = async {
                let answer = session
                    .execute_single_page(&statement, &values, state)
                    .await;
                answer.map_err(StatementError::new)
            };
            let answer = self.0.telemetry.plain(text, sending).await;
            let (result, next) = answer.map_err(|e| e.into_port(text.label))?;
            page(&rows_of(text, result)?).map_err(|Corrupt(detail)| corrupt(text, detail))?;
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => return Ok(()),
                ControlFlow::Continue(next) => state = next,
            }
        }
    }

    /// Sends a read of few rows, or a plain write.
    pub(crate) async fn send(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow + Send,
    ) -> Result<QueryResult, PortError> {
        let session = &self.0.session;
        let sending = async {
            let answer = session.execute_unpaged(&prepared.statement, values).await;
            answer.map_err(StatementError::new)
        };
        let answer = self.0.telemetry.plain(&prepared.text, sending).await;
        answer.map_err(|e| e.into_port(prepared.text.label))
    }

    /// Sends plain writes to one partition in one batch.
    pub(crate) async fn send_batch(
        &self,
        text: &Text,
        mut batch: Batch,
        values: impl BatchValues + Send + Sync,
    ) -> Result<(), PortError> {
        batch.set_is_idempotent(true);
        batch.set_execution_profile_handle(Some(self.0.profiles.plain.clone()));
        let session = &self.0.session;
        let sending = async {
            session
                .batch(&batch, values)
                .await
                .map_err(StatementError::new)
        };
        let answer = self.0.telemetry.plain(text, sending).await;
        answer.map(|_| ()).map_err(|e| e.into_port(text.label))
    }

    /// Tries a conditional statement, once.
    pub(crate) async fn attempt(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow + Send,
    ) -> Decision {
        let session = &self.0.session;
        let sending = async {
            let answer = session.execute_unpaged(&prepared.statement, values).await;
            answer.map(Answer::read).map_err(StatementError::new)
        };
        decide(
            self.0
                .telemetry
                .conditional(&prepared.text, sending, Answer::applied)
                .await,
        )
    }

    /// Tries a batch of conditional statements on one partition, once.
    pub(crate) async fn attempt_batch(
        &self,
        text: &Text,
        mut batch: Batch,
        values: impl BatchValues + Send + Sync,
    ) -> Decision {
        batch.set_is_idempotent(false);
        batch.set_execution_profile_handle(Some(self.0.profiles.conditional.clone()));
        let session = &self.0.session;
        let sending = async {
            let answer = session.batch(&batch, values).await;
            answer.map(Answer::read).map_err(StatementError::new)
        };
        decide(
            self.0
                .telemetry
                .conditional(text, sending, Answer::applied)
                .await,
        )
    }
}

/// Why a row cannot be one of ours; no values, ids at most.
pub(crate) struct Corrupt(pub(crate) String);

impl<E: std::error::Error> From<E> for Corrupt {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn decide(answer: Option<Answer>) -> Decision {
    match answer {
        None => Decision::Unknown,
        Some(answer) if answer.applied() == Some(true) => Decision::Applied,
        Some(answer) => Decision::Refused(answer),
    }
}

fn rows_of(text: &Text, result: QueryResult) -> Result<QueryRowsResult, PortError> {
    result.into_rows_result().map_err(|e| corrupt(text, e))
}

pub(crate) fn corrupt(text: &Text, detail: impl fmt::Display) -> PortError {
    metrics::counter!("kith_corrupt_rows_total", "kind" => "row").increment(1);
    PortError::Corrupt {
        operation: text.label,
        detail: detail.to_string(),
    }
}

/// An empty batch for one partition. `UNLOGGED`, for there is one mutation and nothing to be kept in step.
pub(crate) fn one_partition_batch() -> Batch {
    Batch::new(BatchType::Unlogged)
}
