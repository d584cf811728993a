//! The rules of Kith: what the contract and the protocols say, and nothing that reads a clock, a disk, a network or chance.
//!
//! Start reading at [`body`] for what a request may say, [`matching`] for whom it names, and [`traits`] for how values
//! merge. Nothing here may depend on a runtime or an engine.

pub mod body;
pub mod event;
pub mod id;
pub mod identifier;
mod json;
pub mod matching;
pub mod normalize;
mod object;
pub mod operation;
pub mod schema;
pub mod settings;
pub mod store;
pub mod time;
pub mod traits;
