//! S4-68, the client's half: TLS against a server on rustls, with certificates made for the test.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use headwater_http2::{Http2Client, Http2ClientConfig, Http2Connector};
use headwater_rpc::{
    CallOptions, Client, Code, Metadata, Status,
    channel::{Address, Connection, Connector},
    tls::{ClientIdentity, ClientTls, Pem, TlsClient},
};
use http::{HeaderMap, Response};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

/// A certificate authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM.
struct Certified {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("valid");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("valid");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn certify(&self, name: &str) -> Certified {
        self.certify_until(name, 2100)
    }

    fn certify_until(&self, name: &str, year: i32) -> Certified {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("valid");
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("valid");
        Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client's view: this authority is trusted.
    fn trusted(&self) -> ClientTls {
        ClientTls {
            roots: Some(Pem::Text(self.pem.clone().into())),
            ..ClientTls::default()
        }
    }
}

impl Certified {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        vec![certificate.expect("it was just made")]
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("it was just made")
    }

    fn identity(&self) -> ClientIdentity {
        ClientIdentity {
            certificates: Pem::Text(self.certificate.clone().into()),
            key: Pem::Text(self.key.clone().into()),
        }
    }
}

/// A server with this certificate; with an authority, it asks clients for one of that.
fn server_config(certified: &Certified, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring has them");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let root = CertificateDer::from_pem_slice(authority.pem.as_bytes());
            roots.add(root.expect("valid")).expect("valid");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a root"))
        }
    };
    let config = builder.with_single_cert(certified.chain(), certified.private_key());
    let mut config = config.expect("they belong together");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Serves; tells of every connection by which certificate its client proved itself.
async fn serve(config: ServerConfig) -> (SocketAddr, mpsc::UnboundedReceiver<Option<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (clients, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, clients) = (acceptor.clone(), clients.clone());
            tokio::spawn(async move {
                // A client that is not content hangs up.
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let certificates = stream.get_ref().1.peer_certificates();
                let first = certificates.and_then(<[_]>::first);
                // A test that does not ask has dropped the other end.
                let _ = clients.send(first.map(|certificate| certificate.to_vec()));
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    return;
                };
                while let Some(Ok((_, respond))) = connection.accept().await {
                    answer(respond);
                }
            });
        }
    });
    (address, seen)
}

fn answer(mut respond: h2::server::SendResponse<Bytes>) {
    let response = Response::builder().header("content-type", "application/grpc");
    let response = response.body(()).expect("valid");
    let mut body = respond.send_response(response, false).expect("open");
    body.send_data(Bytes::from_static(&[0, 0, 0, 0, 1, 1]), false)
        .expect("open");
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("valid"));
    body.send_trailers(trailers).expect("open");
}

fn connector(tls: &ClientTls) -> Result<Http2Connector, Status> {
    let config = Http2ClientConfig {
        tls: Some(tls.clone()),
        ..Http2ClientConfig::default()
    };
    Http2Connector::new("localhost", &config)
}

async fn connect(tls: &ClientTls, address: SocketAddr) -> Result<Box<dyn Connection>, Status> {
    let connector = connector(tls).unwrap_or_else(|status| panic!("{status}"));
    connector.connect(&Address::Socket(address)).await
}

/// Why there is no connection.
async fn refusal(tls: &ClientTls, address: SocketAddr) -> String {
    let status = connect(tls, address).await.err().expect("it is refused");
    assert_eq!(status.code, Code::Unavailable, "{status}");
    status.message
}

#[tokio::test]
async fn s4_68_calls_go_over_tls() {
    let authority = Authority::new("the authority");
    let (address, _) = serve(server_config(&authority.certify("localhost"), None)).await;
    let config = Http2ClientConfig {
        tls: Some(authority.trusted()),
        ..Http2ClientConfig::default()
    };
    let url = format!("https://localhost:{}", address.port());
    let transport = Http2Client::new(&url, &config);
    let client = Client::new(transport.unwrap_or_else(|status| panic!("{status}")));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    let (metadata, options) = (Metadata::new(), CallOptions::default());
    let call = client.unary("/t.T/X", metadata, Bytes::new(), options);
    assert_eq!(call.await, Ok(Bytes::from_static(&[1])));
}

#[tokio::test]
async fn s4_68_an_authority_that_is_not_trusted_is_refused() {
    for imposter in ["another", "the authority"] {
        let other = Authority::new(imposter);
        let authority = Authority::new("the authority");
        let (address, _) = serve(server_config(&authority.certify("localhost"), None)).await;
        let why = refusal(&other.trusted(), address).await;
        assert!(why.contains("no authority that is trusted"), "{why}");
    }
}

#[tokio::test]
async fn s4_68_an_expired_certificate_is_refused() {
    let authority = Authority::new("the authority");
    let expired = authority.certify_until("localhost", 2001);
    let (address, _) = serve(server_config(&expired, None)).await;
    let why = refusal(&authority.trusted(), address).await;
    assert!(why.contains("has expired"), "{why}");
}

#[tokio::test]
async fn s4_68_another_name_is_refused_unless_it_is_asked_for() {
    let authority = Authority::new("the authority");
    let (address, _) = serve(server_config(&authority.certify("other.test"), None)).await;
    let why = refusal(&authority.trusted(), address).await;
    assert!(why.contains("is not for \"localhost\""), "{why}");
    let named = ClientTls {
        server_name: Some("other.test".to_owned()),
        ..authority.trusted()
    };
    let connected = connect(&named, address).await;
    assert!(connected.is_ok(), "{:?}", connected.err());
}

#[tokio::test]
async fn s4_68_alpn_is_required_unless_it_is_not() {
    let authority = Authority::new("the authority");
    let mut config = server_config(&authority.certify("localhost"), None);
    config.alpn_protocols.clear();
    let (address, _) = serve(config).await;
    let why = refusal(&authority.trusted(), address).await;
    assert!(why.contains("ALPN"), "{why}");
    let lax = ClientTls {
        alpn_required: false,
        ..authority.trusted()
    };
    let connected = connect(&lax, address).await;
    assert!(connected.is_ok(), "{:?}", connected.err());

    let mut config = server_config(&authority.certify("localhost"), None);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (address, _) = serve(config).await;
    let why = refusal(&authority.trusted(), address).await;
    assert!(why.contains("NoApplicationProtocol"), "{why}");
}

#[tokio::test]
async fn s4_68_a_client_proves_who_it_is() {
    let authority = Authority::new("the authority");
    let server = server_config(&authority.certify("localhost"), Some(&authority));
    let (address, mut seen) = serve(server).await;
    let why = refusal(&authority.trusted(), address).await;
    assert!(why.contains("CertificateRequired"), "{why}");

    let client = authority.certify("client.test");
    let proven = ClientTls {
        identity: Some(client.identity()),
        ..authority.trusted()
    };
    let connected = connect(&proven, address).await;
    assert!(connected.is_ok(), "{:?}", connected.err());
    let certificate = seen.recv().await.expect("a connection");
    assert_eq!(certificate.as_deref(), Some(&*client.chain()[0]));
}

#[tokio::test]
async fn s4_68_what_cannot_be_used_is_said_before_any_connection() {
    let authority = Authority::new("the authority");
    let (one, other) = (authority.certify("a.test"), authority.certify("b.test"));
    let mixed = ClientIdentity {
        key: other.identity().key,
        ..one.identity()
    };
    let no_key = ClientIdentity {
        key: Pem::Text(one.certificate.clone().into()),
        ..one.identity()
    };
    let with = |identity| ClientTls {
        identity: Some(identity),
        ..authority.trusted()
    };
    let roots = |pem| ClientTls {
        roots: Some(pem),
        ..ClientTls::default()
    };
    let unnamed = ClientTls {
        server_name: Some("not a name".to_owned()),
        ..authority.trusted()
    };
    let cases = [
        ("no certificate", roots(Pem::Text(b"none".to_vec()))),
        (
            "/nowhere/at/all: ",
            roots(Pem::File("/nowhere/at/all".into())),
        ),
        ("certificate and key", with(mixed)),
        ("no private key in PEM", with(no_key)),
        ("not the name of a server", unnamed),
    ];
    for (expected, tls) in cases {
        let status = connector(&tls).expect_err("it cannot be used");
        assert_eq!(status.code, Code::InvalidArgument);
        assert!(status.message.contains(expected), "{status}");
        let secret = other.key.lines().nth(1).expect("a line of it");
        assert!(
            !status.message.contains(secret),
            "a key was shown: {status}"
        );
    }
}

/// Without authorities to trust there is no TLS, and the url is refused before any call. Whether those of the system are
/// built in is for the whole build to say, not for this crate: so it is as TLS itself has it.
#[test]
fn s4_68_somebody_has_to_be_trusted() {
    let client = Http2Client::new("https://localhost", &Http2ClientConfig::default());
    let tls = TlsClient::new(&ClientTls::default(), "localhost", &[b"h2"]);
    assert_eq!(client.map(drop), tls.map(drop));
}

/// Files in a directory of the test's own.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let name = format!("headwater-http2-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a place for files");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file as it was so many seconds ago: clocks of file systems are coarse.
    fn write(&self, name: &str, text: &str, seconds_ago: u64) -> Pem {
        let path = self.path(name);
        fs::write(&path, text).expect("the directory is there");
        set_age(&path, seconds_ago);
        Pem::File(path)
    }
}

fn set_age(path: &Path, seconds_ago: u64) {
    let file = fs::File::options().write(true).open(path);
    let modified = SystemTime::now() - Duration::from_secs(seconds_ago);
    let set = file.and_then(|file| file.set_modified(modified));
    set.expect("the file is ours");
}

/// Over the second in which the files are not looked at again.
async fn pass_interval() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// S4-68: a new certificate is shown from the next connection on, and nothing of the old one is dropped.
#[tokio::test]
async fn s4_68_a_changed_identity_is_taken_without_dropping() {
    let authority = Authority::new("the authority");
    let server = server_config(&authority.certify("localhost"), Some(&authority));
    let (address, mut seen) = serve(server).await;
    let address = Address::Socket(address);
    let files = Files::new("identity");
    let (old, new) = (authority.certify("old.test"), authority.certify("new.test"));
    let tls = ClientTls {
        identity: Some(ClientIdentity {
            certificates: files.write("client.pem", &old.certificate, 60),
            key: files.write("client.key", &old.key, 60),
        }),
        ..authority.trusted()
    };
    let connector = connector(&tls).unwrap_or_else(|status| panic!("{status}"));
    let first = connector.connect(&address).await;
    let first = first.unwrap_or_else(|status| panic!("{status}"));
    let shown = seen.recv().await.expect("a connection");
    assert_eq!(shown.as_deref(), Some(&*old.chain()[0]));

    // Half of a change is no identity: the old one still serves.
    files.write("client.pem", &new.certificate, 30);
    pass_interval().await;
    let second = connector.connect(&address).await;
    assert!(second.is_ok(), "{:?}", second.err());
    let shown = seen.recv().await.expect("a connection");
    assert_eq!(shown.as_deref(), Some(&*old.chain()[0]));

    files.write("client.key", &new.key, 30);
    pass_interval().await;
    let third = connector.connect(&address).await;
    assert!(third.is_ok(), "{:?}", third.err());
    let shown = seen.recv().await.expect("a connection");
    assert_eq!(shown.as_deref(), Some(&*new.chain()[0]));

    let closed = tokio::time::timeout(Duration::ZERO, first.closed());
    assert!(closed.await.is_err(), "the first connection was dropped");
}

/// S4-68: so are the authorities that are trusted.
#[tokio::test]
async fn s4_68_changed_roots_are_taken() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (address, _) = serve(server_config(&new.certify("localhost"), None)).await;
    let address = Address::Socket(address);
    let files = Files::new("roots");
    let tls = ClientTls {
        roots: Some(files.write("roots.pem", &old.pem, 60)),
        ..ClientTls::default()
    };
    let connector = connector(&tls).unwrap_or_else(|status| panic!("{status}"));
    assert!(connector.connect(&address).await.is_err());
    files.write("roots.pem", &format!("{}{}", old.pem, new.pem), 30);
    pass_interval().await;
    let connected = connector.connect(&address).await;
    assert!(connected.is_ok(), "{:?}", connected.err());
}
