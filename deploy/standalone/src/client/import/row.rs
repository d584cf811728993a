//! What a row says: the item of Bulk that it comes to, and whom it names.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use csv::ByteRecord;
use kith_domain::schema::DataType;
use kith_domain::settings::Normalization;
use serde_json::{Map, Value, json};

use crate::client::cell;
use crate::client::schema::{Column, Schema};

/// What the columns of a file stand for, in their order.
#[derive(Debug)]
pub(super) struct Columns(Vec<Column>);

/// A row that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The line in which it begins.
    pub(super) line: u64,
    /// The item of Bulk.
    pub(super) item: String,
    /// Names of the identifiers in it: equal for equal ones, however they are spelt.
    pub(super) keys: Vec<u64>,
}

impl Columns {
    /// Reads the header.
    ///
    /// # Errors
    /// Why the file cannot be imported, for people.
    pub(super) fn read(header: &ByteRecord, schema: &Schema) -> Result<Self, String> {
        let mut columns: Vec<Column> = Vec::with_capacity(header.len());
        for (place, name) in header.iter().enumerate() {
            let place = place + 1;
            let name = std::str::from_utf8(name)
                .map_err(|_| format!("column {place} of the header is not UTF-8"))?;
            let wrong = |reason: &str| format!("column {place} of the header {reason}");
            let column = schema
                .column(name.trim())
                .map_err(|reason| wrong(&reason))?;
            if columns.contains(&column) {
                return Err(wrong("names the trait of another column"));
            }
            columns.push(column);
        }
        if columns.iter().all(|column| column.promotion.is_none()) {
            return Err("no column of the header is an identifier".to_owned());
        }
        Ok(Self(columns))
    }

    /// Reads a row.
    ///
    /// # Errors
    /// What is wrong with it, without its values.
    pub(super) fn row(&self, line: u64, record: &ByteRecord) -> Result<Row, String> {
        if record.len() != self.0.len() {
            let (is, should) = (record.len(), self.0.len());
            return Err(format!("has {is} cells instead of {should}"));
        }
        let mut groups: Map<String, Value> = Map::new();
        let mut keys = Vec::new();
        for (column, bytes) in self.0.iter().zip(record) {
            let told = |reason: &str| format!("{}.{} {reason}", column.group, column.name);
            let text = std::str::from_utf8(bytes).map_err(|_| told("is not UTF-8"))?;
            let Some(value) = cell::read(column.data_type, text).map_err(told)? else {
                continue;
            };
            keys.extend(key(column, &value));
            let group = groups
                .entry(column.group.clone())
                .or_insert_with(|| json!({}));
            group[&column.name] = value;
        }
        if keys.is_empty() {
            return Err("has no identifier".to_owned());
        }
        let item = json!({ "traits": groups }).to_string();
        Ok(Row { line, item, keys })
    }
}

/// The name of the identifier that a value is, if it is one. Values that the service takes for one have one name; that two
/// others share it does no harm.
fn key(column: &Column, value: &Value) -> Option<u64> {
    let (id_type, normalization) = column.promotion.as_ref()?;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let normalized = match normalization.apply(&text) {
        Ok(None) => return None,
        Ok(Some(normalized)) => normalized.expose().to_owned(),
        // The service will refuse it.
        Err(_) => text,
    };
    // One number in several spellings, or as a text in another column.
    let is_number = column.data_type == DataType::Number
        || matches!(normalization, Normalization::Trim | Normalization::None);
    let number: Option<f64> = normalized.trim().parse().ok().filter(|_| is_number);
    let mut hasher = DefaultHasher::new();
    id_type.hash(&mut hasher);
    number
        .map_or(normalized, |number| number.to_string())
        .hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::client::schema::tests::schema;

    fn columns(header: &[&str]) -> Result<Columns, String> {
        Columns::read(&ByteRecord::from(header.to_vec()), &schema())
    }

    fn row(header: &[&str], cells: &[&str]) -> Result<Row, String> {
        columns(header)
            .unwrap()
            .row(7, &ByteRecord::from(cells.to_vec()))
    }

    fn value(row: &Row) -> Value {
        serde_json::from_str(&row.item).unwrap()
    }

    #[test]
    fn a_row_is_an_item_with_the_types_of_its_columns() {
        let header = [
            "Contact.email",
            "Loyalty.points",
            "Loyalty.member",
            "Loyalty.tags",
            "Contact.firstName",
        ];
        let read = row(
            &header,
            &["ada@example.com", "12.5", "TRUE", "[\"a\",1]", ""],
        )
        .unwrap();
        let expected = json!({"traits": {
            "Contact": {"email": "ada@example.com"},
            "Loyalty": {"points": 12.5, "member": true, "tags": ["a", 1]},
        }});
        assert_eq!((read.line, value(&read)), (7, expected));
        let read = row(&header, &["ada@example.com", "\\N", "", "", "\\N"]).unwrap();
        let expected = json!({"traits": {
            "Contact": {"email": "ada@example.com", "firstName": null},
            "Loyalty": {"points": null},
        }});
        assert_eq!(value(&read), expected);
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        let header = ["Contact.email", "Loyalty.points"];
        let cases: [(&[&str], &str); 6] = [
            (&["ada@example.com"], "has 1 cells instead of 2"),
            (&["ada@example.com", "1", "2"], "has 3 cells instead of 2"),
            (
                &["ada@example.com", "many"],
                "Loyalty.points is not a number",
            ),
            (&["", "1"], "has no identifier"),
            (&[" ", "1"], "has no identifier"),
            (&["\\N", "1"], "has no identifier"),
        ];
        for (cells, reason) in cases {
            assert_eq!(row(&header, cells).unwrap_err(), reason);
        }
        let record = ByteRecord::from(vec![&b"ada\xff@example.com"[..], b"1"]);
        let reason = columns(&header).unwrap().row(1, &record).unwrap_err();
        assert_eq!(reason, "Contact.email is not UTF-8");
    }

    #[test]
    fn a_header_that_cannot_be_imported_is_refused_whole() {
        let cases: [(&[&str], &str); 4] = [
            (
                &["Contact.email", "Contact.mail"],
                "column 2 of the header is not defined",
            ),
            (&["email"], "column 1 of the header is no trait"),
            (
                &["Contact.email", "Contact.e-mail", "Contact.email"],
                "column 2",
            ),
            (
                &["Contact.firstName", "Loyalty.points"],
                "no column of the header is",
            ),
        ];
        for (header, reason) in cases {
            let told = columns(header).unwrap_err();
            assert!(told.starts_with(reason), "{told}");
        }
        let told = columns(&["Contact.firstName", "Contact.first_name"]).unwrap_err();
        assert!(
            told.ends_with("names the trait of another column"),
            "{told}"
        );
        assert!(columns(&[" Contact.email ", "Loyalty.legacyId"]).is_ok());
    }

    #[test]
    fn spellings_of_one_identifier_have_one_key() {
        let key = |column: &str, cell: &str| row(&[column], &[cell]).unwrap().keys;
        let same = [
            ("Contact.email", "Ada@Example.com ", "ada@example.com"),
            ("Contact.phone", "(317) 555-0100", "+13175550100"),
            ("Contact.phone", "+49 30 12345", "+493012345"),
            ("Loyalty.legacyId", "1.0", "1"),
            ("Loyalty.legacyId", "1e3", "1000"),
        ];
        for (column, one, other) in same {
            assert_eq!(
                key(column, one),
                key(column, other),
                "{column} {one} {other}"
            );
        }
        let email = key("Contact.email", "3175550100@example.com");
        assert_ne!(email, key("Contact.email", "3175550101@example.com"));
        assert_ne!(key("Contact.email", "7"), key("Loyalty.legacyId", "7"));
        let both = row(
            &["Contact.email", "Contact.phone"],
            &["a@b.c", "3175550100"],
        )
        .unwrap();
        assert_eq!(both.keys.len(), 2);
    }

    proptest! {
        #[test]
        fn any_cells_are_an_item_or_a_reason(
            cells in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..6),
                    "[a-z@. ]{0,6}|[0-9.]{1,4}|\\\\N".prop_map(String::into_bytes),
                ],
                2..5,
            ),
        ) {
            let columns = columns(&["Contact.email", "Loyalty.points", "Contact.phone"]).unwrap();
            match columns.row(3, &ByteRecord::from(cells.clone())) {
                Ok(row) => {
                    prop_assert_eq!(cells.len(), 3);
                    prop_assert!(!row.keys.is_empty());
                    let email = &value(&row)["traits"]["Contact"]["email"];
                    let given = String::from_utf8(cells[0].clone()).unwrap();
                    let expected = if given == cell::REMOVED { "" } else { &given };
                    prop_assert_eq!(email.as_str().unwrap_or_default(), expected);
                }
                Err(reason) => prop_assert!(!reason.is_empty()),
            }
        }

        #[test]
        fn text_arrives_as_it_was_written(first in "\\PC{1,40}") {
            prop_assume!(first != cell::REMOVED);
            let read = row(&["Contact.email", "Contact.firstName"], &["a@b.c", &first]).unwrap();
            prop_assert_eq!(&value(&read)["traits"]["Contact"]["firstName"], &json!(first));
        }
    }
}
