//! The embedded engine through its ports, as the rest of Kith sees it.
//!
//! `cfg(test)` says nothing new to the compiler; it tells clippy that helpers here are tests, too.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod cells;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod definitions;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod journals;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod log;
