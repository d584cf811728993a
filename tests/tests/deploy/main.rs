//! The files of `deploy/`, read by the tools that will read them one day, and held against each other and against the services: their
//! settings, their defaults, their ports.
//!
//! The tools are in `tests/deploy`, where `make test` puts them. Nothing here needs a network, a container engine or a cluster; `proxy`
//! starts the nginx and a `kith`. What `cluster` asks of a real Kubernetes API server is left to `make verify-deploy`, which builds one.

mod api_server;
mod cluster;
mod compose;
mod images;
mod lint;
mod machine;
mod network;
mod numbers;
mod objects;
mod pods;
mod proxy;
mod references;
mod tls;
mod tools;
