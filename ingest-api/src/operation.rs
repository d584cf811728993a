//! The operations of the API, one row each. [`routes`](crate::routes) is made from this table, and so is the description that
//! the service serves ([`openapi`](crate::openapi)): what is routed is described, and what is described is routed.

use actix_web::http::Method;
use serde::Serialize;

/// The name of an operation, spelt as clients are generated from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Name {
    ListStores,
    CreateStore,
    FetchStore,
    PatchStore,
    DeleteStore,
    ListTraitGroups,
    CreateTraitGroup,
    FetchTraitGroup,
    PatchTraitGroup,
    DeleteTraitGroup,
    FetchIdentityResolutionSettings,
    UpdateIdentityResolutionSettings,
    FetchOperation,
    ListProfiles,
    CreateProfile,
    FetchProfile,
    PatchProfileTraits,
    DeleteProfile,
    CreateProfilesLookup,
    UpdateProfilesBulk,
    ListProfileTraits,
    /// Our own: the contract has no such operation.
    ExplainProfile,
    ListProfileIdentifiers,
    CreateProfileIdentifier,
    FetchProfileIdentifier,
    PatchProfileIdentifier,
    DeleteProfileIdentifier,
}

/// The method of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The method as the framework has it.
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// A group of operations, as people look for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Section {
    Stores,
    #[serde(rename = "Trait groups")]
    TraitGroups,
    #[serde(rename = "Identity resolution settings")]
    Settings,
    Operations,
    Profiles,
    Traits,
    Identifiers,
}

/// A path and what can be done there.
#[derive(Debug)]
pub(crate) struct Place {
    /// With its parameters in braces.
    pub(crate) path: &'static str,
    pub(crate) section: Section,
    /// None: the path is a word of the contract that has no operation here, and no id either.
    pub(crate) operations: &'static [Operation],
}

/// One operation: what it takes and what it answers. What follows from its path and method is not said again.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) name: Name,
    pub(crate) verb: Verb,
    /// What it does, for people: a few words.
    pub(crate) summary: &'static str,
    /// Whether a credential that may only read is refused.
    pub(crate) writes: bool,
    pub(crate) query: &'static [Query],
    /// Whether `If-Match` says which version is to be changed.
    pub(crate) has_version: bool,
    pub(crate) body: Option<Body>,
    pub(crate) success: Success,
    /// Whether it is refused (409) for what is there already.
    pub(crate) conflicts: bool,
}

/// A parameter of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Query {
    /// `pageSize`, `pageToken` and `orderBy`.
    Paging,
    /// `traitGroups`: names of groups, with commas between them.
    TraitGroups,
    /// `removeAll`.
    RemoveAll,
    /// `includeTraits`, and what it is if it is left out.
    IncludeTraits(bool),
}

/// The body of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body {
    /// The name of its schema.
    pub(crate) schema: &'static str,
    /// Whether there must be one.
    pub(crate) is_required: bool,
}

/// The answer to a request that is done what it asked for. Schemas by name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Success {
    /// 200.
    Found(&'static str),
    /// 200, with the version in `ETag`.
    Versioned(&'static str),
    /// 200, an operation of the control plane.
    Operation(&'static str),
    /// 202, done.
    Accepted(&'static str),
    /// 202, with where to ask for what became of it.
    Tracked(&'static str),
}

const fn required(schema: &'static str) -> Option<Body> {
    Some(Body {
        schema,
        is_required: true,
    })
}

const fn optional(schema: &'static str) -> Option<Body> {
    Some(Body {
        schema,
        is_required: false,
    })
}

const fn read(name: Name, summary: &'static str, success: Success) -> Operation {
    Operation {
        name,
        verb: Verb::Get,
        summary,
        writes: false,
        query: &[],
        has_version: false,
        body: None,
        success,
        conflicts: false,
    }
}

const fn write(
    name: Name,
    verb: Verb,
    summary: &'static str,
    body: Option<Body>,
    success: Success,
) -> Operation {
    Operation {
        verb,
        writes: true,
        body,
        ..read(name, summary, success)
    }
}

const DONE: Success = Success::Accepted("Accepted");
const TRACKED: Success = Success::Tracked("AcceptedOperation");

/// Every path. The first that matches a request is taken: words before ids.
pub(crate) static PLACES: [Place; 15] = [
    Place {
        path: "/v1/Stores/{storeId}/Profiles",
        section: Section::Profiles,
        operations: &[
            Operation {
                query: &[Query::Paging],
                ..read(
                    Name::ListProfiles,
                    "List the ids of all profiles",
                    Success::Found("ProfileList"),
                )
            },
            write(
                Name::CreateProfile,
                Verb::Post,
                "Create a profile, or find the one that the identifiers name",
                required("ProfileData"),
                Success::Accepted("AcceptedProfile"),
            ),
        ],
    },
    Place {
        path: "/v1/Stores/{storeId}/Profiles/Lookup",
        section: Section::Profiles,
        operations: &[Operation {
            writes: false,
            ..write(
                Name::CreateProfilesLookup,
                Verb::Post,
                "Find profiles by an identifier",
                required("Identifier"),
                Success::Found("LookupResult"),
            )
        }],
    },
    Place {
        path: "/v1/Stores/{storeId}/Profiles/Bulk",
        section: Section::Profiles,
        operations: &[write(
            Name::UpdateProfilesBulk,
            Verb::Put,
            "Create or update many profiles",
            required("ProfileBatch"),
            DONE,
        )],
    },
    Place {
        path: "/v1/Stores/{storeId}/Profiles/Imports",
        section: Section::Profiles,
        operations: &[],
    },
    Place {
        path: "/v1/Stores/{storeId}/Profiles/{profileId}",
        section: Section::Profiles,
        operations: &[
            Operation {
                query: &[Query::TraitGroups],
                ..read(
                    Name::FetchProfile,
                    "Fetch a profile and its traits",
                    Success::Found("Profile"),
                )
            },
            write(
                Name::PatchProfileTraits,
                Verb::Patch,
                "Add, replace and remove traits",
                required("ProfilePatch"),
                DONE,
            ),
            write(
                Name::DeleteProfile,
                Verb::Delete,
                "Delete a profile for good",
                None,
                DONE,
            ),
        ],
    },
    Place {
        path: "/v1/Stores/{storeId}/Profiles/{profileId}/Traits",
        section: Section::Traits,
        operations: &[Operation {
            query: &[Query::Paging, Query::TraitGroups],
            ..read(
                Name::ListProfileTraits,
                "List the traits of a profile, one by one",
                Success::Found("TraitList"),
            )
        }],
    },
    Place {
        path: "/v1/Stores/{storeId}/Profiles/{profileId}/Explain",
        section: Section::Profiles,
        operations: &[read(
            Name::ExplainProfile,
            "Tell who was merged into a profile, where its identifiers came from, and what each merge went by (Kith's own)",
            Success::Found("ProfileExplanation"),
        )],
    },
    Place {
        path: "/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers",
        section: Section::Identifiers,
        operations: &[
            read(
                Name::ListProfileIdentifiers,
                "List the identifiers of a profile",
                Success::Found("IdentifierList"),
            ),
            write(
                Name::CreateProfileIdentifier,
                Verb::Post,
                "Add an identifier",
                required("Identifier"),
                DONE,
            ),
        ],
    },
    Place {
        path: "/v1/Stores/{storeId}/Profiles/{profileId}/Identifiers/{idType}",
        section: Section::Identifiers,
        operations: &[
            read(
                Name::FetchProfileIdentifier,
                "Fetch the identifiers of one type",
                Success::Found("IdentifierSet"),
            ),
            Operation {
                conflicts: true,
                ..write(
                    Name::PatchProfileIdentifier,
                    Verb::Patch,
                    "Replace an identifier by another",
                    required("IdentifierUpdate"),
                    DONE,
                )
            },
            Operation {
                query: &[Query::RemoveAll],
                ..write(
                    Name::DeleteProfileIdentifier,
                    Verb::Delete,
                    "Remove one identifier of a type, or all of them",
                    None,
                    DONE,
                )
            },
        ],
    },
    Place {
        path: "/v1/ControlPlane/Stores",
        section: Section::Stores,
        operations: &[
            Operation {
                query: &[Query::Paging],
                ..read(
                    Name::ListStores,
                    "List the ids of the account's stores",
                    Success::Found("StoreList"),
                )
            },
            write(
                Name::CreateStore,
                Verb::Post,
                "Create a store",
                required("StoreRequest"),
                TRACKED,
            ),
        ],
    },
    Place {
        path: "/v1/ControlPlane/Stores/{storeId}",
        section: Section::Stores,
        operations: &[
            read(
                Name::FetchStore,
                "Fetch a store",
                Success::Versioned("Store"),
            ),
            Operation {
                has_version: true,
                ..write(
                    Name::PatchStore,
                    Verb::Patch,
                    "Change the name or the description of a store",
                    optional("StorePatch"),
                    TRACKED,
                )
            },
            write(
                Name::DeleteStore,
                Verb::Delete,
                "Delete a store and everything in it",
                None,
                TRACKED,
            ),
        ],
    },
    Place {
        path: "/v1/ControlPlane/Stores/{storeId}/TraitGroups",
        section: Section::TraitGroups,
        operations: &[
            Operation {
                query: &[Query::IncludeTraits(false), Query::Paging],
                ..read(
                    Name::ListTraitGroups,
                    "List the trait groups of a store",
                    Success::Found("TraitGroupList"),
                )
            },
            write(
                Name::CreateTraitGroup,
                Verb::Post,
                "Create a trait group",
                required("TraitGroupRequest"),
                TRACKED,
            ),
        ],
    },
    Place {
        path: "/v1/ControlPlane/Stores/{storeId}/TraitGroups/{traitGroupName}",
        section: Section::TraitGroups,
        operations: &[
            Operation {
                query: &[Query::IncludeTraits(true), Query::Paging],
                ..read(
                    Name::FetchTraitGroup,
                    "Fetch a trait group and a page of its traits",
                    Success::Versioned("TraitGroupPage"),
                )
            },
            Operation {
                has_version: true,
                ..write(
                    Name::PatchTraitGroup,
                    Verb::Patch,
                    "Add, replace and remove the definitions of traits",
                    optional("TraitGroupPatch"),
                    TRACKED,
                )
            },
            Operation {
                conflicts: true,
                ..write(
                    Name::DeleteTraitGroup,
                    Verb::Delete,
                    "Delete a trait group and its traits",
                    None,
                    TRACKED,
                )
            },
        ],
    },
    Place {
        path: "/v1/ControlPlane/Stores/{storeId}/IdentityResolutionSettings",
        section: Section::Settings,
        operations: &[
            read(
                Name::FetchIdentityResolutionSettings,
                "Fetch how profiles are told apart",
                Success::Versioned("IdentityResolutionSettings"),
            ),
            Operation {
                has_version: true,
                ..write(
                    Name::UpdateIdentityResolutionSettings,
                    Verb::Put,
                    "Replace how profiles are told apart",
                    required("IdentityResolutionSettingsCore"),
                    TRACKED,
                )
            },
        ],
    },
    Place {
        path: "/v1/ControlPlane/Operations/{operationId}",
        section: Section::Operations,
        operations: &[read(
            Name::FetchOperation,
            "Fetch what became of a write of the control plane",
            Success::Operation("OperationStatus"),
        )],
    },
];
