//! Everything that a process says of a store's profiles, to be held against what another one says.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kith_tests::api::Api;
use reqwest::Method;
use serde_json::{Value, json};

use crate::people::covers;

/// How many reads at once.
const READERS: usize = 16;

/// What is said of each profile that is listed, in the order of the list.
#[derive(Debug, Clone)]
pub(crate) struct View {
    listed: Vec<String>,
    of_each: BTreeMap<String, Value>,
}

impl View {
    /// Asks for everything. Nothing else may be under way.
    ///
    /// # Errors
    /// When something is not answered 200.
    pub(crate) async fn by(api: &Api) -> Result<Self> {
        let listed = api.list().await?;
        let of_each = stream::iter(listed.clone())
            .map(|id| async move {
                let mut said = Vec::new();
                for path in ["", "/Identifiers", "/Traits", "/Explain"] {
                    let path = format!("/Profiles/{id}{path}");
                    let read = api.send(Method::GET, &path, None).await?;
                    ensure!(read.status == 200, "{path}: {} {}", read.status, read.body);
                    said.push(read.body);
                }
                anyhow::Ok((id, json!(said)))
            })
            .buffer_unordered(READERS)
            .try_collect()
            .await?;
        Ok(Self { listed, of_each })
    }

    /// How many profiles are listed.
    pub(crate) fn count(&self) -> usize {
        self.listed.len()
    }

    /// Checks that the newer of two releases says everything that the older one says.
    ///
    /// # Errors
    /// With the profile of which it does not.
    pub(crate) fn is_said_by(&self, newer: &Self) -> Result<()> {
        ensure!(self.listed == newer.listed, "the lists differ");
        for (id, said) in &self.of_each {
            let newer = newer.of_each.get(id).unwrap_or(&Value::Null);
            ensure!(covers(newer, said), "{id}: {said}, and then {newer}");
        }
        Ok(())
    }
}
