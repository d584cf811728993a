//! The plain rows of a profile: one partition, rows of several kinds.

mod plan;
mod row;
mod split;

use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, StreamExt};
use kith_domain::id::ProfileKey;
use kith_domain::time::Micros;
use kith_profiles::error::PortError;
use kith_profiles::ports::{CellBatch, CellRead, CellRows, CellWrite, Cells, Durability};
use scylla::response::query_result::QueryRowsResult;

use self::plan::Plan;
use self::row::{Bound, CellRow};
use self::split::Split;
use crate::identity::partition;
use crate::send::{Corrupt, one_partition_batch};
use crate::session::Cql;
use crate::statements::CELLS_BATCH;

/// Parts of one large batch under way at once. All go to one partition, and so to the same three nodes.
const PARTS_AT_ONCE: usize = 4;

impl Cells for Cql {
    async fn read(&self, reads: &[CellRead]) -> Result<Vec<CellRows>, PortError> {
        try_join_all(reads.iter().map(|read| self.read_one(read))).await
    }

    async fn write(&self, batches: &[CellBatch], _: Durability) -> Result<(), PortError> {
        // Not `try_join_all`: what was sent is waited for, so that nothing is still under way when the caller goes on.
        let written = join_all(batches.iter().map(|batch| self.write_one(batch))).await;
        written.into_iter().collect()
    }

    async fn purge(
        &self,
        profiles: &[ProfileKey],
        time: Micros,
        _: Durability,
    ) -> Result<(), PortError> {
        let purges = profiles.iter().map(|at| async move {
            let (store, profile) = partition(*at);
            let values = (time.as_micros(), store, profile);
            self.send(&self.0.statements.cells_purge, values).await
        });
        let purged = join_all(purges).await;
        purged.into_iter().try_for_each(|sent| sent.map(drop))
    }
}

impl Cql {
    async fn read_one(&self, read: &CellRead) -> Result<CellRows, PortError> {
        let plan = Plan::new(&read.select);
        let (store, profile) = partition(read.at);
        let statements = &self.0.statements;

        let kinds = async {
            let mut rows = CellRows::default();
            if !plan.kinds.is_empty() {
                let values = (store, profile, &plan.kinds);
                self.pages(&statements.cells_kinds, values, |page| {
                    absorb(&mut rows, read.at, page)
                })
                .await?;
            }
            Ok(rows)
        };
        let exact = async {
            let mut rows = CellRows::default();
            for keys in plan.exact() {
                let values = (store, profile, keys);
                self.pages(&statements.cells_rows, values, |page| {
                    absorb(&mut rows, read.at, page)
                })
                .await?;
            }
            Ok::<_, PortError>(rows)
        };
        let (mut rows, exact) = futures_util::try_join!(kinds, exact)?;
        // The plan never asks both for the same row.
        rows.clock = rows.clock.or(exact.clock);
        rows.root = rows.root.or(exact.root);
        rows.idents.extend(exact.idents);
        rows.links.extend(exact.links);
        Ok(rows)
    }

    async fn write_one(&self, batch: &CellBatch) -> Result<(), PortError> {
        let Split { parts, last } = split::split(&batch.writes);
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| self.write_part(batch.at, batch.time, part))
            .collect();
        let sent: Vec<_> = stream::iter(parts)
            .buffer_unordered(PARTS_AT_ONCE)
            .collect()
            .await;
        sent.into_iter().collect::<Result<(), _>>()?;
        self.write_part(batch.at, batch.time, last).await
    }

    async fn write_part(
        &self,
        at: ProfileKey,
        time: Micros,
        writes: Vec<&CellWrite>,
    ) -> Result<(), PortError> {
        let statements = &self.0.statements;
        let mut bound: Vec<_> = writes
            .into_iter()
            .map(|write| Bound::new(at, time, write))
            .collect();
        let prepared = |bound: &Bound<'_>| match bound {
            Bound::Put(_) => &statements.cells_put,
            Bound::Forget(_) => &statements.cells_forget,
        };
        if bound.len() > 1 {
            let mut batch = one_partition_batch();
            for one in &bound {
                batch.append_statement(prepared(one).statement.clone());
            }
            return self.send_batch(&CELLS_BATCH, batch, bound).await;
        }
        match bound.pop() {
            Some(one) => self.send(prepared(&one), one).await.map(|_| ()),
            None => Ok(()),
        }
    }
}

fn absorb(rows: &mut CellRows, at: ProfileKey, page: &QueryRowsResult) -> Result<(), Corrupt> {
    for row in page.rows::<CellRow<'_>>()? {
        row::absorb(rows, row?).map_err(|Corrupt(detail)| Corrupt(format!("{at:?}: {detail}")))?;
    }
    Ok(())
}
