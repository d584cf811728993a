//! Query parameters (`memory-api.md` 2.4, 6.3). Unknown ones are ignored; a known one given twice is a bad request.

use std::collections::BTreeSet;

use actix_web::web::Query;
use kith_profiles::ports::Order;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, Invalid};
use crate::token::CHARS_MAX;

/// Items of a page if nobody says how many.
pub(crate) const PAGE_SIZE: usize = 50;
/// Profiles of a page at most; a larger number means this one, because official clients turn any limit into a page size.
pub(crate) const PAGE_SIZE_MAX: usize = 1000;
/// Characters of the filter for trait groups.
pub(crate) const FILTER_CHARS_MAX: usize = 256;

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paging {
    /// Items at most.
    pub(crate) size: usize,
    /// In which order.
    pub(crate) order: Order,
    /// Where to go on, unchecked.
    pub(crate) token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenPaging {
    page_size: Option<String>,
    page_token: Option<String>,
    order_by: Option<String>,
}

/// Reads `pageSize`, `pageToken` and `orderBy`.
///
/// # Errors
/// [`ApiError::Invalid`] with every fault.
pub(crate) fn paging(query: &str) -> Result<Paging, ApiError> {
    let given: GivenPaging = parse(query)?;
    let mut errors = Vec::new();
    let mut fault = |field: &str, reason: &'static str| {
        errors.push(kith_domain::body::FieldError {
            field: field.to_owned(),
            reason: reason.into(),
        });
    };
    let size = given
        .page_size
        .map_or(Some(PAGE_SIZE), |text| page_size(&text));
    if size.is_none() {
        fault("pageSize", "must be a whole number from 1 on");
    }
    let order = match given.order_by.as_deref() {
        None | Some("DESC") => Some(Order::Descending),
        Some("ASC") => Some(Order::Ascending),
        Some(_) => None,
    };
    if order.is_none() {
        fault("orderBy", "must be ASC or DESC");
    }
    if given
        .page_token
        .as_ref()
        .is_some_and(|token| token.len() > CHARS_MAX)
    {
        fault("pageToken", "must be at most 4096 characters");
    }
    match (size, order) {
        (Some(size), Some(order)) if errors.is_empty() => Ok(Paging {
            size,
            order,
            token: given.page_token,
        }),
        _ => Err(errors.into()),
    }
}

/// Reads a page size; one that no number of ours can hold is above the maximum, too.
fn page_size(text: &str) -> Option<usize> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = text.parse().unwrap_or(PAGE_SIZE_MAX).min(PAGE_SIZE_MAX);
    (size > 0).then_some(size)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenFilter {
    trait_groups: Option<String>,
}

/// Reads `traitGroups`: the names of the groups that are wanted; `None` for all.
///
/// # Errors
/// [`ApiError::Invalid`]: empty, or too long.
pub(crate) fn trait_groups(query: &str) -> Result<Option<BTreeSet<String>>, ApiError> {
    let given: GivenFilter = parse(query)?;
    let Some(text) = given.trait_groups else {
        return Ok(None);
    };
    if !(1..=FILTER_CHARS_MAX).contains(&text.chars().count()) {
        let fault = Invalid::field("traitGroups", "must have 1 to 256 characters");
        return Err(ApiError::Invalid(fault));
    }
    // Blanks around a name cannot be part of it.
    let names = text.split(',').map(|name| name.trim().to_owned());
    Ok(Some(names.collect()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenRemoval {
    remove_all: Option<String>,
}

/// Reads `removeAll`: no, if nobody says.
///
/// # Errors
/// [`ApiError::Invalid`]: neither `true` nor `false`.
pub(crate) fn remove_all(query: &str) -> Result<bool, ApiError> {
    let given: GivenRemoval = parse(query)?;
    match given.remove_all.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::Invalid(Invalid::field(
            "removeAll",
            "must be true or false",
        ))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenInclusion {
    include_traits: Option<String>,
}

/// Reads `includeTraits`, if it is there.
///
/// # Errors
/// [`ApiError::Invalid`]: neither `true` nor `false`.
pub(crate) fn include_traits(query: &str) -> Result<Option<bool>, ApiError> {
    let given: GivenInclusion = parse(query)?;
    match given.include_traits.as_deref() {
        None => Ok(None),
        Some("false") => Ok(Some(false)),
        Some("true") => Ok(Some(true)),
        Some(_) => Err(ApiError::Invalid(Invalid::field(
            "includeTraits",
            "must be true or false",
        ))),
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    // All members are texts: what can fail is one of them given twice.
    let parsed = Query::<T>::from_query(query);
    parsed
        .map(Query::into_inner)
        .map_err(|_| ApiError::Invalid(Invalid::whole("A query parameter is given more than once")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(error: ApiError) -> String {
        let response = actix_web::ResponseError::error_response(&error);
        let body = actix_web::body::MessageBody::try_into_bytes(response.into_body()).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let errors = body["details"]["errors"].as_array().unwrap().iter();
        let fields: Vec<_> = errors
            .map(|e| e["field"].as_str().unwrap().to_owned())
            .collect();
        fields.join(" ")
    }

    #[test]
    fn nothing_said_is_fifty_of_the_newest() {
        let expected = Paging {
            size: 50,
            order: Order::Descending,
            token: None,
        };
        assert_eq!(paging("").unwrap(), expected);
        assert_eq!(
            paging("unknown=1&unknown=2&pageSize=50&orderBy=DESC").unwrap(),
            expected
        );
    }

    #[test]
    fn a_page_size_above_the_maximum_is_clamped() {
        for (text, size) in [("1", 1), ("007", 7), ("1000", 1000), ("1001", 1000)] {
            assert_eq!(paging(&format!("pageSize={text}")).unwrap().size, size);
        }
        let enormous = "9".repeat(100);
        assert_eq!(paging(&format!("pageSize={enormous}")).unwrap().size, 1000);
    }

    #[test]
    fn a_page_size_below_one_or_not_a_number_is_refused() {
        for text in [
            "0", "-1", "", "ten", "1.5", "1e3", "0x10", "%2B5", "NaN", "١",
        ] {
            assert_eq!(
                fields(paging(&format!("pageSize={text}")).unwrap_err()),
                "pageSize"
            );
        }
    }

    #[test]
    fn every_fault_is_told() {
        let long = "A".repeat(4097);
        let error = paging(&format!("pageSize=x&orderBy=asc&pageToken={long}")).unwrap_err();
        assert_eq!(fields(error), "pageSize orderBy pageToken");
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        assert!(paging("pageSize=1&pageSize=1").is_err());
        assert!(trait_groups("traitGroups=a&traitGroups=b").is_err());
    }

    #[test]
    fn everything_goes_only_for_the_word_true() {
        assert!(!remove_all("").unwrap());
        assert!(!remove_all("removeAll=false&x=1").unwrap());
        assert!(remove_all("removeAll=true").unwrap());
        for text in ["", "True", "1", "yes", "true "] {
            let error = remove_all(&format!("removeAll={text}")).unwrap_err();
            assert_eq!(fields(error), "removeAll");
        }
        assert!(remove_all("removeAll=true&removeAll=true").is_err());
    }

    #[test]
    fn traits_are_included_for_the_word_true() {
        assert_eq!(include_traits("x=1").unwrap(), None);
        assert_eq!(include_traits("includeTraits=true").unwrap(), Some(true));
        assert_eq!(include_traits("includeTraits=false").unwrap(), Some(false));
        for text in ["", "TRUE", "1"] {
            let error = include_traits(&format!("includeTraits={text}")).unwrap_err();
            assert_eq!(fields(error), "includeTraits");
        }
    }

    #[test]
    fn a_filter_is_a_list_of_names() {
        assert_eq!(trait_groups("").unwrap(), None);
        let names = trait_groups("traitGroups=Contact,%20Loyalty")
            .unwrap()
            .unwrap();
        assert_eq!(names, ["Contact", "Loyalty"].map(str::to_owned).into());
        for text in [String::new(), "é".repeat(257)] {
            let error = trait_groups(&format!("traitGroups={text}")).unwrap_err();
            assert_eq!(fields(error), "traitGroups");
        }
        assert!(trait_groups(&format!("traitGroups={}", "é".repeat(256))).is_ok());
    }

    proptest! {
        #[test]
        fn a_page_size_is_digits_that_are_not_all_zero(text in "[0-9]{0,30}|[ -~]{0,8}") {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let size = page_size(&text);
            prop_assert_eq!(size.is_some(), digits && text.bytes().any(|byte| byte != b'0'));
            prop_assert!(size.is_none_or(|size| (1..=PAGE_SIZE_MAX).contains(&size)));
        }

        #[test]
        fn no_query_makes_it_panic(
            query in prop_oneof![
                any::<String>(),
                "((pageSize|pageToken|orderBy|traitGroups|removeAll|includeTraits)=?[%0-9a-fA-Z&;+ ]{0,6}&?){0,4}",
            ],
        ) {
            // Each is an answer or a refusal; what is taken keeps to its bounds.
            if let Ok(paging) = paging(&query) {
                prop_assert!((1..=PAGE_SIZE_MAX).contains(&paging.size));
                prop_assert!(paging.token.is_none_or(|token| token.len() <= CHARS_MAX));
            }
            if let Ok(Some(names)) = trait_groups(&query) {
                prop_assert!(names.iter().map(|name| name.chars().count()).sum::<usize>() <= FILTER_CHARS_MAX);
            }
            drop(remove_all(&query));
            drop(include_traits(&query));
        }
    }
}
