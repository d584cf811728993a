//! What the services say that they did: statements, records published and records consumed, from their own metrics.

use std::collections::BTreeMap;

use anyhow::Result;
use kith_runtime::metrics::names;
use kith_scylla::STATEMENT_SECONDS;
use kith_tests::exposition::series;
use kith_tests::process::{Process, metric};

/// Something that a request has done for it, by the server that does it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// A request parsed and answered.
    Http,
    /// A statement, by its two labels.
    Statement {
        /// What it does.
        operation: String,
        /// Its table.
        collection: String,
    },
    /// A record that all replicas have.
    Produce,
    /// A record that a consumer was given.
    Consume,
}

impl Work {
    /// A statement.
    #[must_use]
    pub fn statement(operation: &str, collection: &str) -> Self {
        Self::Statement {
            operation: operation.to_owned(),
            collection: collection.to_owned(),
        }
    }

    /// Its name in figures.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Http => "http".to_owned(),
            Self::Statement {
                operation,
                collection,
            } => format!("{collection}_{operation}"),
            Self::Produce => "produce".to_owned(),
            Self::Consume => "consume".to_owned(),
        }
    }
}

/// How often each was done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts(pub BTreeMap<Work, f64>);

impl Counts {
    /// What these processes have done since they started.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn of(processes: &[&Process]) -> Result<Self> {
        let mut counts = Self::default();
        for process in processes {
            counts.read(&process.metrics().await?)?;
        }
        Ok(counts)
    }

    fn read(&mut self, page: &str) -> Result<()> {
        let name = format!("{STATEMENT_SECONDS}_count");
        let statements = series(page)?.into_iter().filter_map(|one| {
            let label = |name| one.labels.get(name);
            let work = Work::statement(label("operation")?, label("collection")?);
            (one.name == name).then_some((work, one.value))
        });
        let produced = metric(page, &format!("{}_count", names::PUBLISH_SECONDS));
        let consumed = metric(page, names::LOG_RECORDS);
        for (work, count) in
            statements.chain([(Work::Produce, produced), (Work::Consume, consumed)])
        {
            *self.0.entry(work).or_default() += count;
        }
        Ok(())
    }

    /// The statements on one table.
    #[must_use]
    pub fn on(&self, table: &str) -> f64 {
        let counts = self.0.iter();
        counts
            .filter(|(work, _)| matches!(work, Work::Statement { collection, .. } if collection == table))
            .map(|(_, count)| count)
            .sum()
    }

    /// What was done since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let more = self.0.iter().map(|(work, count)| {
            let done = count - before.0.get(work).copied().unwrap_or_default();
            (work.clone(), done)
        });
        Self(more.filter(|(_, done)| *done > 0.0).collect())
    }

    /// The share of each of so many requests, which were parsed and answered.
    #[must_use]
    pub fn of_each(mut self, requests: usize) -> Self {
        for count in self.0.values_mut() {
            *count /= requests as f64;
        }
        self.0.insert(Work::Http, 1.0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_counted_by_their_labels_whatever_their_outcome() {
        let page = "kith_db_statement_seconds_count{operation=\"read\",collection=\"node\",outcome=\"ok\"} 7\n\
                    kith_db_statement_seconds_count{operation=\"claim\",collection=\"claim\",outcome=\"applied\"} 2\n\
                    kith_db_statement_seconds_count{operation=\"claim\",collection=\"claim\",outcome=\"refused\"} 1\n\
                    kith_db_statement_seconds_sum{operation=\"read\",collection=\"node\",outcome=\"ok\"} 0.5\n\
                    kith_publish_seconds_count{outcome=\"acknowledged\"} 4\n\
                    kith_log_records_total{outcome=\"applied\"} 3\n\
                    kith_log_records_total{outcome=\"dead\"} 1\n";
        let mut before = Counts::default();
        before.read(page).unwrap();
        let expected = [
            (Work::statement("claim", "claim"), 3.0),
            (Work::statement("read", "node"), 7.0),
            (Work::Produce, 4.0),
            (Work::Consume, 4.0),
        ];
        assert_eq!(before.0, expected.into());

        let mut after = before.clone();
        after
            .read("kith_publish_seconds_count{outcome=\"acknowledged\"} 6\n")
            .unwrap();
        let each = after.since(&before).of_each(3);
        assert_eq!(each.0, [(Work::Http, 1.0), (Work::Produce, 2.0)].into());
    }

    #[test]
    fn statements_are_counted_by_their_table() {
        let page = "kith_db_statement_seconds_count{operation=\"read\",collection=\"node\",outcome=\"ok\"} 7\n\
                    kith_db_statement_seconds_count{operation=\"link\",collection=\"node\",outcome=\"applied\"} 2\n\
                    kith_db_statement_seconds_count{operation=\"read_up\",collection=\"listing\",outcome=\"ok\"} 3\n\
                    kith_db_statement_seconds_count{operation=\"read\",collection=\"listing_bucket\",outcome=\"ok\"} 1\n\
                    kith_db_statement_seconds_sum{operation=\"read\",collection=\"node\",outcome=\"ok\"} 0.5\n";
        let mut counts = Counts::default();
        counts.read(page).unwrap();
        assert_eq!(counts.on("node"), 9.0);
        assert_eq!(counts.on("listing"), 3.0);
        assert_eq!(counts.on("cells"), 0.0);
    }
}
