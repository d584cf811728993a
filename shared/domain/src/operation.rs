//! Operations of the control plane: what a 202 promised, and what became of it (`memory-api.md` 5.4).

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{OperationId, StoreId};
use crate::time::Micros;

/// How long an operation can be asked for after its completion.
pub const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One write of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// Whether it is done.
    pub status: OperationStatus,
    /// When it was accepted.
    pub created_at: Micros,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Micros>,
    /// What it is about.
    pub resource: Resource,
    /// Whether it takes the resource away.
    pub removes: bool,
    /// The release that wrote it, for whoever looks for the cause of something in the middle of an upgrade. Not of those that the
    /// first release wrote: added to what is stored, and passed over by readers that do not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Cow<'static, str>>,
}

/// The release of this code.
const RELEASE: Option<Cow<'static, str>> = Some(Cow::Borrowed(env!("CARGO_PKG_VERSION")));

/// The state of an operation; upper case on the wire. A write that is refused is answered at once and has no operation, so
/// there are no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperationStatus {
    /// In force, and something of it still to be done.
    Running,
    /// Done.
    Completed,
}

/// What an operation is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Resource {
    /// A store.
    Store {
        /// Which.
        store: StoreId,
    },
    /// The identity resolution settings of a store.
    Settings {
        /// Which store.
        store: StoreId,
    },
    /// A trait group.
    Group {
        /// Of which store.
        store: StoreId,
        /// Its name.
        name: String,
    },
}

impl Operation {
    /// An operation that is done as it is accepted.
    #[must_use]
    pub const fn completed(id: OperationId, at: Micros, resource: Resource, removes: bool) -> Self {
        Self {
            id,
            status: OperationStatus::Completed,
            created_at: at,
            completed_at: Some(at),
            resource,
            removes,
            release: RELEASE,
        }
    }

    /// The deletion of a store, which is in force and not done: its profiles are still to be purged.
    #[must_use]
    pub const fn deletion(id: OperationId, at: Micros, store: StoreId) -> Self {
        Self {
            id,
            status: OperationStatus::Running,
            created_at: at,
            completed_at: None,
            resource: Resource::Store { store },
            removes: true,
            release: RELEASE,
        }
    }

    /// The same, done: after it was accepted, whatever the clock of whoever finished it says.
    #[must_use]
    pub fn done(self, at: Micros) -> Self {
        Self {
            status: OperationStatus::Completed,
            completed_at: Some(at.max(self.created_at.next())),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_operation_is_kept_in_this_form() {
        let store = StoreId::from_uuid(Uuid::nil());
        let id = OperationId::from_uuid(Uuid::nil());
        let at = Micros::from_micros(5);
        let running = Operation::deletion(id, at, store);
        let text = serde_json::to_string(&running).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"id":"mem_operation_00000000000000000000000000","status":"RUNNING","createdAt":5,"resource":{{"kind":"store","store":"mem_store_00000000000000000000000000"}},"removes":true,"release":"{}"}}"#,
                env!("CARGO_PKG_VERSION")
            )
        );
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), running);
        let name = "Work".to_owned();
        let done = Operation::completed(id, at, Resource::Group { store, name }, false);
        let text = serde_json::to_string(&done).unwrap();
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), done);
    }

    #[test]
    fn an_operation_is_done_after_it_was_accepted() {
        let id = OperationId::from_uuid(Uuid::nil());
        let running =
            Operation::deletion(id, Micros::from_micros(5), StoreId::from_uuid(Uuid::nil()));
        let done = running.done(Micros::from_micros(3));
        assert_eq!(done.completed_at, Some(Micros::from_micros(6)));
        assert_eq!(done.status, OperationStatus::Completed);
    }
}
