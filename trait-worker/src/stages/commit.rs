//! Commit: tells the log how far everything is done.

use kith_profiles::ports::TraitSource;

use super::Otherwise;
use crate::ledger::Ledger;

/// The stage's name, in metrics and errors.
pub(crate) const STAGE: &str = "commit";

/// Commits every frontier that moved. The log sends them on by itself, at a release or at the close at the latest.
pub(crate) fn commit<S: TraitSource>(source: &mut S, ledger: &mut Ledger) -> Result<(), Otherwise> {
    let moved = ledger.uncommitted();
    if moved.is_empty() {
        return Ok(());
    }
    source
        .commit(&moved)
        .map_err(|error| Otherwise::from_port(STAGE, error))?;
    ledger.committed(&moved);
    Ok(())
}
