//! One example of each operation: what is sent, if it has a body, and what is answered.

use serde_json::Value;

use crate::operation::Name;

/// `{"request": ..., "answer": ...}`
pub(super) fn of(name: Name) -> Value {
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!("examples/", $name, ".json"))
        };
    }
    let text = match name {
        Name::ListStores => file!("ListStores"),
        Name::CreateStore => file!("CreateStore"),
        Name::FetchStore => file!("FetchStore"),
        Name::PatchStore => file!("PatchStore"),
        Name::DeleteStore => file!("DeleteStore"),
        Name::ListTraitGroups => file!("ListTraitGroups"),
        Name::CreateTraitGroup => file!("CreateTraitGroup"),
        Name::FetchTraitGroup => file!("FetchTraitGroup"),
        Name::PatchTraitGroup => file!("PatchTraitGroup"),
        Name::DeleteTraitGroup => file!("DeleteTraitGroup"),
        Name::FetchIdentityResolutionSettings => file!("FetchIdentityResolutionSettings"),
        Name::UpdateIdentityResolutionSettings => file!("UpdateIdentityResolutionSettings"),
        Name::FetchOperation => file!("FetchOperation"),
        Name::ListProfiles => file!("ListProfiles"),
        Name::CreateProfile => file!("CreateProfile"),
        Name::FetchProfile => file!("FetchProfile"),
        Name::PatchProfileTraits => file!("PatchProfileTraits"),
        Name::DeleteProfile => file!("DeleteProfile"),
        Name::CreateProfilesLookup => file!("CreateProfilesLookup"),
        Name::UpdateProfilesBulk => file!("UpdateProfilesBulk"),
        Name::ListProfileTraits => file!("ListProfileTraits"),
        Name::ExplainProfile => file!("ExplainProfile"),
        Name::ListProfileIdentifiers => file!("ListProfileIdentifiers"),
        Name::CreateProfileIdentifier => file!("CreateProfileIdentifier"),
        Name::FetchProfileIdentifier => file!("FetchProfileIdentifier"),
        Name::PatchProfileIdentifier => file!("PatchProfileIdentifier"),
        Name::DeleteProfileIdentifier => file!("DeleteProfileIdentifier"),
    };
    // Tests read every one of them.
    serde_json::from_str(text).unwrap_or_default()
}
