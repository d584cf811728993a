//! What a request costs on Kafka and Cassandra, with few profiles and with many, with merges and with traits.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use kith_tests::pair::{Pair, Shape};
use kith_tests::process::Process;
use kith_tests::servers::{Place, cql_nodes, kafka_bootstrap};

use super::cql_listing::fill;
use super::growth_sizes;
use super::standalone_requests::{ALL, with_people};
use crate::figure::Figure;
use crate::prefill::{Extent, PlainWriter};
use crate::requests::{Comparison, People, Site};
use crate::settings::Settings;

pub(super) const ABOUT: &str = "The same as standalone-requests on one Kafka and one Cassandra node, with a keyspace and a pair of services for each size: a hundredth, a tenth and all of a \
tenth of `--growth-profiles`. Rows of conditional tables are written by plain statements, before anybody reads them. Processor time is that of `ingest-api`.";

pub(super) const NAME: &str = "cql-requests";

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let mut stores = Vec::new();
    for profiles in growth_sizes(settings.growth_profiles / 10)
        .into_iter()
        .skip(1)
    {
        let place = Place::on(cql_nodes()?, kafka_bootstrap()?);
        place.migrate().await?;
        let writer = PlainWriter::connect(&place.cql_nodes, &place.keyspace).await?;
        fill(&place, &writer, profiles, Extent::All).await?;
        stores.push((profiles, Pair::at(&shape(), &place).await?));
    }
    let mut sites = Vec::new();
    for (profiles, pair) in &stores {
        sites.push(site(pair, *profiles, People::Population(*profiles), 0)?);
    }
    let comparison = Comparison {
        case: NAME,
        chart: "profiles",
        sites,
        kinds: ALL,
    };
    let limit = Duration::from_millis(settings.growth_ms);
    let mut figures = comparison.figures(settings.repetitions, limit).await?;
    for (_, pair) in stores {
        pair.stop().await?;
    }

    let pair = Pair::servers(&shape()).await?;
    let (address, process) = service(&pair)?;
    let more = with_people(settings, NAME, pair.api(), |at, people, traits| Site {
        at,
        address,
        process,
        people,
        traits,
    });
    figures.extend(more.await?);
    pair.stop().await?;
    Ok(figures)
}

fn shape() -> Shape {
    Shape::single().with("RUST_LOG", "info")
}

fn site(pair: &Pair, at: u64, people: People, traits: u64) -> Result<Site<'_>> {
    let (address, process) = service(pair)?;
    Ok(Site {
        at,
        address,
        process,
        people,
        traits,
    })
}

/// The process that answers, and where.
fn service(pair: &Pair) -> Result<(SocketAddr, &Process)> {
    let base = pair.api().base();
    let address = base.strip_prefix("http://").context("an address")?;
    Ok((address.parse()?, pair.ingests.first().context("a service")?))
}
