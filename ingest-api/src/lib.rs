//! The HTTP service of Kith: the profile side of the Conversation Memory v1 API, over the use cases of `kith-profiles`.
//!
//! A request passes, from outside in: the connection ([`server`], [`wire`]), its trace and span ([`span`]), authentication
//! and the form of answers ([`answer`]), the routes ([`routes`]), and a handler, which takes the steps of [`call`] in the
//! order of the contract. Nothing here knows an engine, a claim or a stamp; no identifier, trait value or body may reach
//! a log line, a span, a metric or an error.
//!
//! To run it: build a [`Service`], [`bind`] it, [`Bound::serve`] it. Start reading at [`routes`].

#![cfg_attr(
    not(test),
    expect(
        rustdoc::private_intra_doc_links,
        reason = "the header is for readers of the code, too"
    )
)]

mod admission;
mod answer;
mod app;
mod audit;
mod auth;
mod body;
mod call;
mod development;
mod error;
mod etag;
mod handlers;
mod haste;
mod openapi;
mod operation;
mod public;
mod query;
mod rate;
mod redirect;
mod routes;
mod server;
#[cfg(feature = "servers")]
pub mod servers;
mod span;
mod text_body;
mod token;
mod wire;

pub use admission::{Admission, Bounds};
pub use app::{Limits, Service, public_url};
pub use development::{DEVELOPMENT_STORE, development_store};
pub use openapi::description;
pub use server::{BindError, Bound, bind};
