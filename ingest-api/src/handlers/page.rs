//! Pages of a list that is at hand whole.

use std::cmp::Ordering;

use kith_profiles::ports::Order;

use crate::query::Paging;
use crate::token::List;

/// Items of a page at most.
pub(crate) const PAGE_SIZE_MAX: usize = 100;

/// One page of all items of a list, and the token of the next one if there is more. It begins after the position that the
/// request's token named. Positions are unique, and their bytes sort as the items do.
pub(super) fn page<T>(
    list: &List<'_>,
    paging: &Paging,
    after: Option<&Vec<u8>>,
    items: Vec<T>,
    position: impl Fn(&T) -> Vec<u8>,
) -> (Vec<T>, Option<String>) {
    let size = paging.size.min(PAGE_SIZE_MAX);
    let (items, has_more) = cut(items, (list.order, size), after, &position);
    let last = items.last().filter(|_| has_more);
    let next_token = last.map(|last| list.token(&position(last)));
    (items, next_token)
}

/// The items of a page, and whether there are more.
fn cut<T, P: Ord>(
    mut items: Vec<T>,
    (order, size): (Order, usize),
    after: Option<&P>,
    position: impl Fn(&T) -> P,
) -> (Vec<T>, bool) {
    items.sort_by_cached_key(&position);
    let wanted = match order {
        Order::Ascending => Ordering::Greater,
        Order::Descending => {
            items.reverse();
            Ordering::Less
        }
    };
    if let Some(after) = after {
        items.retain(|item| position(item).cmp(after) == wanted);
    }
    let has_more = items.len() > size;
    items.truncate(size);
    (items, has_more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_in_both_orders() {
        let all = vec![5, 1, 4, 2, 3];
        for (order, pages) in [
            (Order::Ascending, [vec![1, 2], vec![3, 4], vec![5]]),
            (Order::Descending, [vec![5, 4], vec![3, 2], vec![1]]),
        ] {
            let mut after = None;
            for (at, expected) in pages.into_iter().enumerate() {
                let (items, has_more) = cut(all.clone(), (order, 2), after.as_ref(), |item| *item);
                assert_eq!((&items, has_more), (&expected, at < 2));
                after = items.last().copied();
            }
        }
        let (_, has_more) = cut(all, (Order::Ascending, 5), None, |item| *item);
        assert!(!has_more);
    }
}
