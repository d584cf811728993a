//! What changes of definitions are refused with (`memory-api.md` 3.3).

use actix_web::http::StatusCode;
use kith_profiles::definitions::Refusal;

use super::{ApiError, Shown};

/// What a refusal looks like; `removing` says that the whole resource was to go.
pub(super) fn refused(refusal: &Refusal, removing: bool) -> Shown {
    let bad = |code, message: &'static str| Shown::new(StatusCode::BAD_REQUEST, code, message);
    match refusal {
        Refusal::NoStore | Refusal::Invalid(_) => ApiError::from(refusal.clone()).shown(),
        Refusal::NoGroup => Shown::new(
            StatusCode::NOT_FOUND,
            520_047,
            "The trait group was not found",
        ),
        Refusal::Stale => Shown::new(
            StatusCode::PRECONDITION_FAILED,
            520_043,
            "If-Match is not the current version",
        ),
        Refusal::StoresMax => bad(520_044, "The account has as many stores as it may have"),
        Refusal::StoreNameTaken => bad(
            520_045,
            "Another store of the account has this display name",
        ),
        Refusal::Protected if removing => Shown::new(
            StatusCode::CONFLICT,
            520_050,
            "The trait group is protected and cannot be deleted",
        ),
        Refusal::Protected => bad(
            520_050,
            "A promoted trait of the group is protected and cannot be changed like this",
        ),
        Refusal::GroupsMax => bad(520_053, "The store has as many trait groups as it may have"),
        Refusal::GroupFull => bad(520_054, "The trait group would have more than 95 traits"),
        Refusal::GroupNameTaken => bad(520_055, "The store has a trait group of this name"),
    }
}
