//! What tonic's generator makes, over tonic-h3, the way its documentation uses it.

use headwater_rpc::tls::DevCertificates;
use tonic::service::Routes;
use tonic_h3::{
    H3Channel,
    quinn::{H3QuinnAcceptor, H3QuinnConnector},
    server::H3Router,
};

use super::endpoints;
use crate::{
    contender::{Orders, on_own_thread},
    rpc::{
        Work,
        over_tonic::{BenchClient, BenchServer, Service, obey},
    },
};

const ALPN: &[u8] = b"h3";

/// A tonic server and a tonic client.
pub(crate) fn start(certificates: &DevCertificates) -> Orders<Work> {
    let (address, bound) = std::sync::mpsc::channel();
    let shown = certificates.clone();
    on_own_thread("server", move || async move {
        let (local, endpoint) = endpoints::server(&shown, ALPN).await;
        address.send(local).expect("waits for it");
        let routes = Routes::new(BenchServer::new(Service));
        let served = H3Router::new(routes).serve(H3QuinnAcceptor::new(endpoint));
        served.await.expect("serves");
    });
    let address = bound.recv().expect("the server listens");
    let (orders, received) = Orders::new();
    let trusted = certificates.clone();
    on_own_thread("client", move || async move {
        let endpoint = endpoints::client(&trusted, ALPN).await;
        let uri: http::Uri = format!("https://{address}").parse().expect("a URL");
        let connector = H3QuinnConnector::new(uri.clone(), endpoints::NAME.to_owned(), endpoint);
        let channel = H3Channel::new(connector, uri, None);
        obey(BenchClient::new(channel), received).await;
    });
    orders
}
