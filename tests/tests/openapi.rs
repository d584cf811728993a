//! The description that the service gives of itself, against the vendor's.

use anyhow::{Context, Result, ensure};
use kith_tests::differences::{Chosen, differences};
use kith_tests::facts::{facts, operations};
use kith_tests::servers::workspace;
use serde_json::Value;

#[test]
fn every_difference_from_the_vendors_description_was_chosen() -> Result<()> {
    let folder = workspace().join("tests/contract/vendor");
    let theirs = std::fs::read_to_string(folder.join("twilio_memory_v1.json"))
        .with_context(|| format!("run `{}/fetch`", folder.display()))?;
    let theirs: Value = serde_json::from_str(&theirs)?;
    let chosen = std::fs::read_to_string(folder.join("differences.toml"))?;
    let ours = ingest_api::description(None);
    let both = &operations(&theirs) & &operations(&ours);
    ensure!(both.len() == 26, "{both:?}");
    let (theirs, ours) = (facts(&theirs, &both)?, facts(&ours, &both)?);
    // A comparison that finds nothing would agree with everything.
    ensure!(
        theirs.len() > 1_000 && ours.len() > 1_000,
        "facts are missing"
    );
    let wrong = Chosen::read(&chosen)?.wrong(&differences(&theirs, &ours))?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
