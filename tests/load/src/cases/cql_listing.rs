//! Listing on a CQL database with many profiles: what a page costs there.

use anyhow::{Context, Result, ensure};
use kith_domain::id::StoreId;
use kith_profiles::ports::Control;
use kith_scylla::{Cql, CqlConfig, Dialect};
use kith_tests::pair::{Pair, Shape};
use kith_tests::process::Process;
use kith_tests::servers::{Place, cql_nodes, kafka_bootstrap};

use crate::caller::{Caller, STORE};
use crate::counted::Counts;
use crate::figure::Figure;
use crate::population::listed;
use crate::prefill::{Extent, PlainWriter, prefill};
use crate::settings::Settings;
use crate::walk::{PAGE_MAX, again, walk};

pub(super) const ABOUT: &str = "One `ingest-api` on one Cassandra node, with `--profiles` profiles in one month, half of them merged or deleted as above. Rows of \
plain tables are written through the ports; those of conditional ones by plain statements, before anybody reads them. Claims and cells, which a \
listing does not read, are not written. Statements are those that the service counts itself, less those of its catalogue \
of stores. One walk gives every live profile once, in order, and nobody else.";

const NAME: &str = "cql-listing";
/// Pages of the size that a caller gets who names none.
const PAGE_DEFAULT: usize = 50;
/// The tables that a listing reads.
const TABLES: [&str; 4] = ["listing_bucket", "listing", "node", "cells"];

pub(super) async fn run(settings: &Settings) -> Result<Vec<Figure>> {
    let place = Place::on(cql_nodes()?, kafka_bootstrap()?);
    place.migrate().await?;
    let writer = PlainWriter::connect(&place.cql_nodes, &place.keyspace).await?;
    fill(&place, &writer, settings.profiles, Extent::Listed).await?;
    let mut figures = partitions(&writer, settings.profiles).await?;
    drop(writer);

    let shape = Shape {
        ingests: 1,
        ..Shape::default()
    }
    .with("RUST_LOG", "info");
    let pair = Pair::at(&shape, &place).await?;
    let caller = Caller::new(pair.api().base())?;
    let service = pair.ingests.first().context("a service")?;
    let before = Counts::of(&[service]).await?;
    let found = walk(&caller, listed(settings.profiles)).await?;
    figures.extend(per_page("walk_page_of_1000", service, &before, found.pages).await?);
    figures.push(shown(
        "walk_page_of_1000_p50",
        found.times.quantile_ms(0.5),
        "ms",
    ));
    figures.push(shown(
        "walk_page_of_1000_p99",
        found.times.quantile_ms(0.99),
        "ms",
    ));
    let middle = found.middle.as_deref();
    for (what, size, token) in [
        ("first_page_of_50", PAGE_DEFAULT, None),
        ("middle_page_of_50", PAGE_DEFAULT, middle),
        ("first_page_of_1000", PAGE_MAX, None),
        ("middle_page_of_1000", PAGE_MAX, middle),
    ] {
        let before = Counts::of(&[service]).await?;
        let taken = again(&caller, size, token, settings.pages).await?;
        // One more was asked for, to compare the others with.
        let pages = u64::try_from(settings.pages)? + 1;
        figures.extend(per_page(what, service, &before, pages).await?);
        figures.push(shown(&format!("{what}_p50"), taken.quantile_ms(0.5), "ms"));
        figures.push(shown(&format!("{what}_p99"), taken.quantile_ms(0.99), "ms"));
    }
    pair.stop().await?;
    Ok(figures)
}

/// A keyspace with so many profiles.
pub(super) async fn fill(
    place: &Place,
    writer: &PlainWriter,
    profiles: u64,
    extent: Extent,
) -> Result<()> {
    let config = CqlConfig {
        nodes: place.cql_nodes.clone(),
        keyspace: place.keyspace.parse()?,
        dialect: Dialect::Cassandra,
        request_timeout: std::time::Duration::from_secs(30),
        ..CqlConfig::default()
    };
    let cql = Cql::connect(&config).await?;
    let store: StoreId = STORE.parse()?;
    let store = cql.store(store).await?.context("the development store")?;
    prefill(&cql, writer, &store, profiles, extent).await
}

/// How the rows of the listing lie in partitions. All must be there.
async fn partitions(writer: &PlainWriter, profiles: u64) -> Result<Vec<Figure>> {
    let counts = writer.listing_partitions().await?;
    let rows: u64 = counts.iter().sum();
    ensure!(rows == profiles, "{rows} rows of {profiles} profiles");
    let number = |count: u64| count as f64;
    let most = counts.iter().max().copied().unwrap_or_default();
    Ok(vec![
        shown(
            "partitions",
            number(u64::try_from(counts.len())?),
            "partitions",
        ),
        shown("rows_of_the_largest_partition", number(most), "rows"),
    ])
}

async fn per_page(
    what: &str,
    service: &Process,
    before: &Counts,
    pages: u64,
) -> Result<Vec<Figure>> {
    let after = Counts::of(&[service]).await?;
    let pages = pages as f64;
    let mut figures = Vec::new();
    let mut all = 0.0;
    for table in TABLES {
        let sent = (after.on(table) - before.on(table)) / pages;
        all += sent;
        figures.push(shown(
            &format!("{what}_statements_on_{table}"),
            sent,
            "statements",
        ));
    }
    ensure!(all >= 1.0, "no statements were counted");
    figures.push(shown(&format!("{what}_statements"), all, "statements"));
    Ok(figures)
}

fn shown(what: &str, value: f64, unit: &str) -> Figure {
    Figure::shown(&format!("{NAME}.{what}"), value, unit)
}
