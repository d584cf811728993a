//! The clocks of the database's nodes, for the guard that keeps a host's clock from running ahead (`trait-order.md` 8).

use futures_util::future::join_all;
use kith_domain::time::Micros;
use kith_profiles::error::PortError;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::unprepared::Statement;
use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use crate::error::StatementError;
use crate::send::corrupt;
use crate::session::Cql;
use crate::statements::{Text, Use};

/// `now()` is the one function that both products have under one name.
const NOW: Text = Text {
    word: "now",
    verb: "SELECT",
    table: "system.local",
    span: "SELECT system.local",
    label: "now system.local",
    kind: Use::Read,
    cql: "SELECT now() FROM system.local",
};

/// A node and its clock.
#[derive(Debug, Clone)]
pub struct NodeClock {
    /// The node's address.
    pub node: String,
    /// What its clock said at some moment between the call and the answer.
    pub at: Result<Micros, PortError>,
}

impl Cql {
    /// Asks every node for its clock, all at once, and each by itself.
    ///
    /// One answer a node that the driver knows, in no order. A node that does not answer has its error.
    pub async fn clocks(&self) -> Vec<NodeClock> {
        let state = self.0.session.get_cluster_state();
        let asked = state.get_nodes_info().iter().map(|node| async move {
            NodeClock {
                node: node.address.to_string(),
                at: self.clock_of(NodeIdentifier::Node(node.clone())).await,
            }
        });
        join_all(asked).await
    }

    /// The database's clock: the median of the nodes that answer. Of an even number, the earlier of the middle two, so that
    /// one node of two that runs ahead does not hide a host that does, too.
    ///
    /// # Errors
    /// [`PortError`] if no node answers.
    pub async fn now(&self) -> Result<Micros, PortError> {
        let mut last = None;
        let mut clocks = Vec::new();
        for clock in self.clocks().await {
            match clock.at {
                Ok(at) => clocks.push(at),
                Err(error) => last = Some(error),
            }
        }
        let missing = || PortError::Unavailable {
            operation: NOW.label,
            cause: None,
        };
        median(clocks).ok_or_else(|| last.unwrap_or_else(missing))
    }

    async fn clock_of(&self, node: NodeIdentifier) -> Result<Micros, PortError> {
        let mut statement = Statement::new(NOW.cql);
        statement.set_is_idempotent(true);
        statement.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(node, None)));
        // The table is the node's own: a quorum of it is the node itself.
        statement.set_consistency(scylla::statement::Consistency::One);
        let session = &self.0.session;
        let sending = async {
            let answer = session.query_unpaged(statement, ()).await;
            answer.map_err(StatementError::new)
        };
        let answer = self.0.telemetry.plain(&NOW, sending).await;
        let result = answer.map_err(|e| e.into_port(NOW.label))?;
        let rows = result.into_rows_result().map_err(|e| corrupt(&NOW, e))?;
        let (now,) = rows
            .single_row::<(CqlTimeuuid,)>()
            .map_err(|e| corrupt(&NOW, e))?;
        micros(Uuid::from(now)).ok_or_else(|| corrupt(&NOW, "a time outside all ages"))
    }
}

fn micros(timeuuid: Uuid) -> Option<Micros> {
    let (seconds, nanos) = timeuuid.get_timestamp()?.to_unix();
    let seconds = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    Some(Micros::from_micros(
        seconds.checked_add(i64::from(nanos) / 1_000)?,
    ))
}

fn median(mut clocks: Vec<Micros>) -> Option<Micros> {
    clocks.sort_unstable();
    let middle = clocks.len().checked_sub(1)? / 2;
    clocks.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_leaves_out_one_that_runs_ahead() {
        let at = |times: &[i64]| median(times.iter().copied().map(Micros::from_micros).collect());
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[7]), Some(Micros::from_micros(7)));
        assert_eq!(at(&[9_000, 7]), Some(Micros::from_micros(7)));
        assert_eq!(at(&[8, 9_000, 7]), Some(Micros::from_micros(8)));
    }

    #[test]
    fn a_timeuuid_carries_its_microsecond() {
        // 2024-01-01T00:00:00Z is 0x1eea9bd_... hundreds of nanoseconds since 1582.
        let ticks = (1_704_067_200_u64 + 12_219_292_800) * 10_000_000 + 15;
        let uuid = Uuid::from_fields(
            u32::try_from(ticks & 0xffff_ffff).unwrap(),
            u16::try_from((ticks >> 32) & 0xffff).unwrap(),
            u16::try_from((ticks >> 48) & 0x0fff).unwrap() | 0x1000,
            &[0x80, 0, 0, 0, 0, 0, 0, 1],
        );
        assert_eq!(
            micros(uuid),
            Some(Micros::from_micros(1_704_067_200_000_001))
        );
    }
}
