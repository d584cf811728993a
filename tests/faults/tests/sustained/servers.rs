//! The servers of a run: those that `make test` started, or a node and a broker of its own; and the site that is on them.

use anyhow::Result;
use kith_tests::local::Local;
use kith_tests::servers::{Place, cql_nodes, kafka_bootstrap};
use tokio::sync::OnceCell;

use crate::site::Site;

/// Where the servers are. Nothing is started before somebody asks; what was started ends with this.
#[derive(Default)]
pub(crate) struct Servers {
    site: OnceCell<Site>,
    found: OnceCell<Found>,
}

#[derive(Debug)]
struct Found {
    nodes: Vec<String>,
    bootstrap: String,
    _own: Option<Local>,
}

impl Servers {
    /// The site of all cases, made for whoever comes first.
    pub(crate) async fn site(&self) -> Result<&Site> {
        let site = Box::pin(async {
            let found = self.found.get_or_try_init(find).await?;
            Site::new(Place::on(found.nodes.clone(), found.bootstrap.clone())).await
        });
        self.site.get_or_try_init(|| site).await
    }
}

async fn find() -> Result<Found> {
    if let (Ok(nodes), Ok(bootstrap)) = (cql_nodes(), kafka_bootstrap()) {
        return Ok(Found {
            nodes,
            bootstrap,
            _own: None,
        });
    }
    let own = Local::start(&[("KITH_LOCAL_COMMITLOG", "batch".to_owned())]).await?;
    Ok(Found {
        nodes: vec![own.cql.clone()],
        bootstrap: own.kafka.clone(),
        _own: Some(own),
    })
}
