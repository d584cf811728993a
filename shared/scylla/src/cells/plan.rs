//! Which statements a read of one profile needs: one for all kinds that are wanted whole, one for all single rows.

use kith_profiles::ports::Select;

use super::row::{CLOCK, IDENT, Key, LINK, MEMBER, ROOT, TRAIT};

/// Rows named by one statement. ScyllaDB takes a hundred at most (`max_clustering_key_restrictions_per_query`).
const ROWS_MAX: usize = 50;

/// What to ask of one partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Kinds wanted whole, without repetition.
    pub(super) kinds: Vec<&'static str>,
    rows: Vec<Key>,
}

impl Plan {
    /// Links and members always come from one statement: both kinds are in one list, which is read in the order of the
    /// key. A page that shows a mark is then followed, never preceded, by the rows that were written with it.
    ///
    /// Clock and root are kinds with a single row. They ride along with other kinds where there are any, and with other
    /// rows where there are not.
    pub(super) fn new(select: &[Select]) -> Self {
        let mut plan = Self::default();
        for kind in select.iter().filter_map(whole) {
            plan.want(kind);
        }
        let mut single = Vec::new();
        for select in select {
            match select {
                Select::Clock => single.push(Key::alone(CLOCK)),
                Select::Root => single.push(Key::alone(ROOT)),
                Select::Ident(id_type, value, claim) => {
                    single.push(Key::ident(id_type, value, *claim))
                }
                Select::Link(child, token) => single.push(Key::link(*child, *token)),
                Select::Idents | Select::LinksAndMembers | Select::Traits => {}
            }
        }
        let whole_already = !plan.kinds.is_empty();
        for key in single {
            if whole_already && (key.kind() == CLOCK || key.kind() == ROOT) {
                plan.want(key.kind());
            } else if !plan.kinds.contains(&key.kind()) && !plan.rows.contains(&key) {
                plan.rows.push(key);
            }
        }
        plan
    }

    fn want(&mut self, kind: &'static str) {
        let together = [kind, MEMBER];
        for kind in if kind == LINK {
            &together[..]
        } else {
            &together[..1]
        } {
            if !self.kinds.contains(kind) {
                self.kinds.push(kind);
            }
        }
    }

    /// Single rows, in lists that one statement may name.
    pub(super) fn exact(&self) -> impl Iterator<Item = Vec<(&str, &str, &str, &str)>> {
        self.rows
            .chunks(ROWS_MAX)
            .map(|keys| keys.iter().map(Key::columns).collect())
    }
}

fn whole(select: &Select) -> Option<&'static str> {
    match select {
        Select::Idents => Some(IDENT),
        Select::LinksAndMembers => Some(LINK),
        Select::Traits => Some(TRAIT),
        Select::Clock | Select::Root | Select::Ident(..) | Select::Link(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use kith_domain::id::{ClaimId, LinkToken, ProfileId};
    use kith_domain::identifier::{IdType, IdentifierValue};
    use uuid::Uuid;

    use super::*;

    fn ident(n: u128) -> Select {
        Select::Ident(
            IdType::new("email"),
            IdentifierValue::new("a@example.com"),
            ClaimId::from_uuid(Uuid::from_u128(n)),
        )
    }

    fn link(n: u128) -> Select {
        Select::Link(
            ProfileId::from_uuid(Uuid::from_u128(n)),
            LinkToken::from_uuid(Uuid::from_u128(n)),
        )
    }

    fn exact_kinds(plan: &Plan) -> Vec<Vec<&str>> {
        plan.exact()
            .map(|keys| keys.into_iter().map(|(kind, ..)| kind).collect())
            .collect()
    }

    #[test]
    fn links_and_members_are_one_statement() {
        let plan = Plan::new(&[Select::LinksAndMembers]);
        assert_eq!(plan.kinds, ["link", "member"]);
        assert!(plan.exact().next().is_none());
    }

    #[test]
    fn single_rows_are_one_statement() {
        let plan = Plan::new(&[
            Select::Clock,
            ident(1),
            ident(2),
            ident(1),
            Select::Root,
            link(1),
        ]);
        assert!(plan.kinds.is_empty());
        assert_eq!(
            exact_kinds(&plan),
            [["clock", "ident", "ident", "root", "link"]]
        );
    }

    #[test]
    fn the_clock_rides_with_whole_kinds() {
        let plan = Plan::new(&[Select::Clock, Select::Traits, Select::Root]);
        assert_eq!(plan.kinds, ["trait", "clock", "root"]);
        assert!(plan.exact().next().is_none());
    }

    #[test]
    fn no_row_is_asked_for_twice() {
        let plan = Plan::new(&[
            ident(1),
            link(1),
            Select::Idents,
            Select::LinksAndMembers,
            Select::Idents,
        ]);
        assert_eq!(plan.kinds, ["ident", "link", "member"]);
        assert!(plan.exact().next().is_none());
        let plan = Plan::new(&[ident(1), Select::LinksAndMembers]);
        assert_eq!(exact_kinds(&plan), [["ident"]]);
    }

    #[test]
    fn a_list_is_as_long_as_a_server_takes() {
        let many: Vec<_> = (0..120).map(ident).collect();
        let lengths: Vec<_> = Plan::new(&many).exact().map(|keys| keys.len()).collect();
        assert_eq!(lengths, [50, 50, 20]);
    }
}
