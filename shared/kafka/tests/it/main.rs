//! The log on a real broker (`KITH_TEST_KAFKA_BOOTSTRAP`; without it every test fails), and on the client library's mock
//! where a broker cannot be made to fail on demand. Every test has topics and groups of its own.

mod consume;
mod crash;
mod dead_letter;
mod group;
mod harness;
mod mock;
mod pause;
mod publish;
mod reader;
mod topics;
mod trouble;
