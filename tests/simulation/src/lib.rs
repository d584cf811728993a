//! A deterministic simulator: the shipped use cases and the shipped worker over in-memory ports, where every statement is a
//! scheduling point.
//!
//! One seed is one schedule: which statement runs next, which outcome stays unknown (and lands later, or never), which client
//! is given up, which record is applied when, and again. Nothing here knows of the drivers, and nothing in the use cases
//! knows of this. Start reading at [`run`]; small cases are searched to their end in [`exhaustive`].

pub mod case;
pub mod choices;
pub mod client;
pub mod consumers;
pub mod executor;
pub mod exhaustive;
pub mod history;
pub mod judge;
pub mod linear;
pub mod nonunique;
pub mod ports;
pub mod probe;
pub mod quiet;
pub mod replay;
pub mod run;
pub mod script;
pub mod shrink;
pub mod solo;
pub mod states;
pub mod topic;
pub mod world;
