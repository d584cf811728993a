//! The part of PromQL that our rules and dashboards are written in, read far enough to say which series a query needs.
//!
//! It is strict: what it does not know is an error, so that no query passes unread. Whether a query is valid is `promtool`'s
//! to say. Grouping stands in front (`sum by (job) (...)`), and matching of two sides is by all labels.

use anyhow::{Context, Result, bail, ensure};

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Like,
    /// `!~`
    NotLike,
}

/// One comparison of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// How it is compared,
    pub compare: Compare,
    /// and with what.
    pub value: String,
}

impl Matcher {
    /// The values that the label is to have, if they are spelt out: of a pattern each alternative, unless one is more than plain.
    #[must_use]
    pub fn wanted(&self) -> Vec<&str> {
        let plain = |text: &&str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_-/. ".contains(c))
        };
        let values: Vec<&str> = match self.compare {
            Compare::Equal => vec![&self.value],
            Compare::Like => self.value.split('|').collect(),
            Compare::NotEqual | Compare::NotLike => Vec::new(),
        };
        let is_pattern =
            self.compare == Compare::Like && values.iter().any(|one| one.contains('.'));
        if is_pattern || !values.iter().all(plain) {
            return Vec::new();
        }
        values
    }
}

/// A selector of series, where it stands in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The name of the metric.
    pub metric: String,
    /// What its labels are compared with.
    pub matchers: Vec<Matcher>,
    /// The labels that the groupings around it keep.
    pub grouped_by: Vec<String>,
}

const AGGREGATIONS: [&str; 5] = ["sum", "max", "min", "avg", "count"];
const WORDS: [&str; 4] = ["and", "or", "unless", "bool"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    Text(String),
    Number,
    /// A range, brackets included.
    Range,
    Mark(String),
}

fn tokens(query: &str) -> Result<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let (token, length) = if first.is_whitespace() {
            (None, first.len_utf8())
        } else if first.is_ascii_alphabetic() || first == '_' || first == ':' {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            (Some(Token::Name(rest[..length].to_owned())), length)
        } else if first.is_ascii_digit() {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            (Some(Token::Number), length)
        } else if first == '"' {
            let end = rest[1..].find('"').context("a text without an end")?;
            ensure!(!rest[..=end].contains('\\'), "escapes are not read");
            (Some(Token::Text(rest[1..=end].to_owned())), end + 2)
        } else if first == '[' {
            let end = rest.find(']').context("a range without an end")?;
            (Some(Token::Range), end + 1)
        } else {
            let two = ["=~", "!~", "!=", "==", ">=", "<="];
            let mark = two.into_iter().find(|mark| rest.starts_with(mark));
            let mark = mark.unwrap_or(&rest[..first.len_utf8()]);
            ensure!(
                mark.len() == 2 || "(){},=<>+-*/".contains(mark),
                "{mark:?} is not read"
            );
            (Some(Token::Mark(mark.to_owned())), mark.len())
        };
        found.extend(token);
        rest = &rest[length..];
    }
    Ok(found)
}

struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Reader {
    fn takes(&mut self, mark: &str) -> bool {
        let is_it = matches!(self.tokens.peek(), Some(Token::Mark(found)) if found == mark);
        if is_it {
            self.tokens.next();
        }
        is_it
    }

    fn needs(&mut self, mark: &str) -> Result<()> {
        let next = self.tokens.peek().cloned();
        ensure!(self.takes(mark), "{mark} is wanted, not {next:?}");
        Ok(())
    }

    fn name(&mut self) -> Result<String> {
        match self.tokens.next() {
            Some(Token::Name(name)) => Ok(name),
            other => bail!("a name is wanted, not {other:?}"),
        }
    }

    /// Names between round brackets.
    fn labels(&mut self) -> Result<Vec<String>> {
        self.needs("(")?;
        let mut labels = vec![self.name()?];
        while self.takes(",") {
            labels.push(self.name()?);
        }
        self.needs(")")?;
        Ok(labels)
    }

    /// What stands in curly brackets behind a name, if anything does.
    fn matchers(&mut self) -> Result<Vec<Matcher>> {
        let mut matchers = Vec::new();
        if !self.takes("{") {
            return Ok(matchers);
        }
        loop {
            let label = self.name()?;
            let compare = match self.tokens.next() {
                Some(Token::Mark(mark)) => match mark.as_str() {
                    "=" => Compare::Equal,
                    "!=" => Compare::NotEqual,
                    "=~" => Compare::Like,
                    "!~" => Compare::NotLike,
                    other => bail!("{other} compares no labels"),
                },
                other => bail!("a comparison is wanted, not {other:?}"),
            };
            let Some(Token::Text(value)) = self.tokens.next() else {
                bail!("{label} is compared with no text");
            };
            matchers.push(Matcher {
                label,
                compare,
                value,
            });
            if self.takes("}") {
                return Ok(matchers);
            }
            self.needs(",")?;
        }
    }
}

/// The selectors of a query, in its order.
///
/// # Errors
/// When something in it is not read.
pub fn selectors(query: &str) -> Result<Vec<Selector>> {
    let mut found = Vec::new();
    let mut reader = Reader {
        tokens: tokens(query)?.into_iter().peekable(),
    };
    // What each bracket that is open keeps.
    let mut open: Vec<Vec<String>> = Vec::new();
    while let Some(token) = reader.tokens.next() {
        match token {
            Token::Number | Token::Range => {}
            Token::Text(text) => bail!("{text:?} stands alone"),
            Token::Mark(mark) => match mark.as_str() {
                "(" => open.push(Vec::new()),
                ")" => ensure!(open.pop().is_some(), "a bracket too many"),
                "{" | "}" => bail!("a selector without a name"),
                _ => {}
            },
            Token::Name(name) if AGGREGATIONS.contains(&name.as_str()) => {
                let next = reader.name().with_context(|| name.clone())?;
                ensure!(next == "by", "{name} {next}: grouping stands in front");
                let labels = reader.labels()?;
                reader.needs("(")?;
                open.push(labels);
            }
            Token::Name(name) if WORDS.contains(&name.as_str()) => {}
            Token::Name(name) if reader.takes("(") => {
                let no_function = ["on", "ignoring", "by", "without"];
                ensure!(!no_function.contains(&name.as_str()), "{name} is not read");
                open.push(Vec::new());
            }
            Token::Name(metric) => found.push(Selector {
                metric,
                matchers: reader.matchers()?,
                grouped_by: open.concat(),
            }),
        }
    }
    ensure!(open.is_empty(), "a bracket is left open");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Vec<(String, Vec<String>, Vec<String>)> {
        let found = selectors(query).unwrap().into_iter();
        let labels = |one: &Selector| one.matchers.iter().map(|m| m.label.clone()).collect();
        found
            .map(|one| (one.metric.clone(), labels(&one), one.grouped_by))
            .collect()
    }

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(|&one| one.to_owned()).collect()
    }

    #[test]
    fn metrics_are_found_with_their_labels_and_groupings() {
        let query = r#"histogram_quantile(0.99, sum by (job, le) (rate(a_bucket{x="1", y=~"b|c"}[5m]))) > 1e3 and d"#;
        assert_eq!(
            read(query),
            [
                ("a_bucket".into(), names(&["x", "y"]), names(&["job", "le"])),
                ("d".into(), vec![], vec![]),
            ]
        );
        assert_eq!(
            read("(sum by (a) (x) or 0 * max by (b) (y)) / job:z:sum unless time() <= bool 3"),
            [
                ("x".into(), vec![], names(&["a"])),
                ("y".into(), vec![], names(&["b"])),
                ("job:z:sum".into(), vec![], vec![]),
            ]
        );
    }

    #[test]
    fn values_that_are_wanted_are_those_spelt_out() {
        let found = selectors(r#"a{b="c", d=~"e|f_g", h=~"5..", i!="j", k=~".*"}"#).unwrap();
        let wanted: Vec<_> = found[0].matchers.iter().map(Matcher::wanted).collect();
        assert_eq!(
            wanted,
            [vec!["c"], vec!["e", "f_g"], vec![], vec![], vec![]]
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for query in [
            "sum(a) by (job)",
            "sum without (job) (a)",
            "a * on (job) b",
            "a + ignoring (x) b",
            r#"{job="x"}"#,
            "rate(a[5m)",
            "rate(a[5m]",
            "a)",
            r#"a{b="\"}"#,
            "a{b}",
            "a @ 5",
            "'a'",
        ] {
            selectors(query).expect_err(query);
        }
    }
}
