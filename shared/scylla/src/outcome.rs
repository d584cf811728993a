//! What came back from a conditional statement.
//!
//! Cassandra answers an applied statement with `[applied]` alone, a refused one with the columns of its condition, and one
//! refused because the row is absent with `[applied]` alone again; ScyllaDB always adds the old row (`engineering.md` 3.1).
//! So columns are found by name, and only `[applied]` must be there.

use kith_domain::id::{ClaimId, DeleteId, LinkToken};
use kith_profiles::ports::{Outcome, Standing, Verdict};
use scylla::response::query_result::QueryResult;
use scylla::value::{CqlValue, Row};
use uuid::Uuid;

/// The first row of an answer.
#[derive(Debug, Default)]
pub(crate) struct Answer(Vec<(String, CqlValue)>);

/// How a conditional statement ended, with the answer where it was refused.
#[derive(Debug)]
pub(crate) enum Decision {
    Applied,
    Refused(Answer),
    Unknown,
}

impl Answer {
    /// Reads an answer. One that has no row, or a row that cannot be read, is empty; then `[applied]` is missing, too.
    ///
    /// A batch has a row a statement on ScyllaDB, all with the same `[applied]`: the first one says it.
    pub(crate) fn read(result: QueryResult) -> Self {
        let Ok(rows) = result.into_rows_result() else {
            return Self::default();
        };
        let Ok(Some(row)) = rows.maybe_first_row::<Row>() else {
            return Self::default();
        };
        let names = rows
            .column_specs()
            .iter()
            .map(|spec| spec.name().to_owned());
        let columns = names.zip(row.columns);
        Self(
            columns
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&CqlValue> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }

    /// Whether the statement was applied; `None` if the answer does not say.
    pub(crate) fn applied(&self) -> Option<bool> {
        self.get("[applied]")?.as_boolean()
    }

    pub(crate) fn uuid(&self, name: &str) -> Option<Uuid> {
        self.get(name)?.as_uuid()
    }

    pub(crate) fn smallint(&self, name: &str) -> Option<i16> {
        self.get(name)?.as_smallint()
    }

    fn standing(&self) -> Standing {
        Standing {
            claim_id: self.uuid("claim_id").map(ClaimId::from_uuid),
            verdict: self.get("verdict").and_then(|v| verdict(v.as_text()?)),
            dead: self.uuid("dead").map(DeleteId::from_uuid),
            parent_token: self.uuid("parent_token").map(LinkToken::from_uuid),
        }
    }
}

impl From<Decision> for Outcome {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Applied => Self::Applied,
            Decision::Refused(answer) => Self::Refused(answer.standing()),
            Decision::Unknown => Self::Unknown,
        }
    }
}

/// A verdict as it is stored.
pub(crate) fn verdict(text: &str) -> Option<Verdict> {
    match text {
        "linked" => Some(Verdict::Linked),
        "void" => Some(Verdict::Void),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[(&str, CqlValue)]) -> Answer {
        Answer(
            columns
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.clone()))
                .collect(),
        )
    }

    #[test]
    fn the_standing_row_is_found_by_name() {
        let (dead, token) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let refused = answer(&[
            ("parent_token", CqlValue::Uuid(token)),
            ("[applied]", CqlValue::Boolean(false)),
            ("dead", CqlValue::Uuid(dead)),
            ("verdict", CqlValue::Text("void".to_owned())),
        ]);
        assert_eq!(refused.applied(), Some(false));
        let standing = refused.standing();
        assert_eq!(standing.dead, Some(DeleteId::from_uuid(dead)));
        assert_eq!(standing.parent_token, Some(LinkToken::from_uuid(token)));
        assert_eq!(standing.verdict, Some(Verdict::Void));
        assert_eq!(standing.claim_id, None);
    }

    #[test]
    fn an_absent_row_stands_for_nothing() {
        let refused = answer(&[("[applied]", CqlValue::Boolean(false))]);
        assert_eq!(refused.standing(), Standing::default());
    }

    #[test]
    fn an_answer_without_the_word_says_nothing() {
        assert_eq!(Answer::default().applied(), None);
        assert_eq!(answer(&[("[applied]", CqlValue::Int(1))]).applied(), None);
    }
}
