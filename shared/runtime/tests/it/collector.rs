//! A collector that keeps what it is sent, over gRPC or HTTP.

use std::sync::{Arc, Mutex};

use actix_web::web::{Bytes, Data, post};
use actix_web::{App, HttpResponse, HttpServer};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use tonic::{Request, Response, Status};

/// What arrived.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Received {
    /// How many spans of this name.
    pub(crate) fn spans(&self, name: &str) -> usize {
        let requests = self.0.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes
            .flat_map(|scope| &scope.spans)
            .filter(|span| span.name == name)
            .count()
    }

    /// An attribute of the resource that sent them.
    pub(crate) fn resource(&self, key: &str) -> Option<String> {
        use opentelemetry_proto::tonic::common::v1::any_value::Value;
        let requests = self.0.lock().unwrap();
        let resource = requests
            .first()?
            .resource_spans
            .first()?
            .resource
            .as_ref()?;
        let attribute = resource.attributes.iter().find(|one| one.key == key)?;
        let Value::StringValue(text) = attribute.value.as_ref()?.value.as_ref()? else {
            panic!("{key} is no text: {attribute:?}");
        };
        Some(text.clone())
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Starts one; it ends with the tests. Its endpoint.
pub(crate) fn over_grpc(received: Received) -> String {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server =
            tonic::transport::Server::builder().add_service(TraceServiceServer::new(received));
        runtime.block_on(server.serve(address)).unwrap();
    });
    format!("http://{address}")
}

/// Starts one; it ends with the tests. Its endpoint.
pub(crate) fn over_http(received: Received) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let received = Data::new(received);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(received.clone())
                .route("/v1/traces", post().to(take))
        });
        let server = server
            .workers(1)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run();
        tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(server)
            .unwrap();
    });
    format!("http://{address}")
}

async fn take(received: Data<Received>, body: Bytes) -> HttpResponse {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    received.0.lock().unwrap().push(request);
    HttpResponse::Ok()
        .content_type("application/x-protobuf")
        .body(ExportTraceServiceResponse::default().encode_to_vec())
}
