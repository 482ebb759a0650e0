//! TLS toward the server: who is let in, what a handler sees of the client, and certificates that change while it serves.

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::client::SendRequest;
use headwater_http2::{
    Http2Client, Http2ClientConfig, Http2Server, Http2ServerConfig, ServerCounters,
};
use headwater_rpc::{
    CallOptions, Client, Metadata, Peer, Router, Server, ServerConfig,
    tls::{ClientCertificates, Pem, ServerTlsConfig},
};
use http::{Method, Request};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::Instant,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

const ECHO: &str = "/t.T/Echo";
/// Beyond this a case hangs.
const HANG: Duration = Duration::from_secs(20);

/// An authority that signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("valid");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("valid"))
    }

    fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("valid");
        let certificate = params.signed_by(&key, &self.0).expect("valid");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

/// A directory that is gone with this.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let name = format!("headwater-http2-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("it can be made");
        Self(path)
    }

    /// Replaces a file at once, as one should.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, new) = (self.0.join(name), self.0.join("new"));
        fs::write(&new, text).expect("it can be written");
        fs::rename(&new, &path).expect("it can be renamed");
        path
    }

    fn identity(&self, identity: &Identity) -> ServerTlsConfig {
        let certificate = self.write("cert.pem", &identity.certificate);
        ServerTlsConfig::new(certificate, self.write("key.pem", &identity.key))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The system cleans up as well.
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Fixture {
    addr: SocketAddr,
    counters: ServerCounters,
    peers: mpsc::UnboundedReceiver<Peer>,
}

async fn serve(tls: ServerTlsConfig) -> Fixture {
    let (seen, peers) = mpsc::unbounded_channel();
    let router = Router::new();
    router.stream(ECHO, move |call| {
        let seen = seen.clone();
        async move {
            seen.send(call.peer.clone()).expect("the test listens");
            // The client that is gone needs no end.
            let _ = call.sender.finish(Ok(()), Metadata::new());
        }
    });
    let transport = Http2Server::bind("127.0.0.1:0", Http2ServerConfig::default()).await;
    let transport = transport.expect("a free port on loopback").with_tls(tls);
    let transport = transport.expect("good certificates");
    let (addr, counters) = (transport.local_addr(), transport.counters());
    let server = Server::new(transport, router, ServerConfig::default());
    tokio::spawn(async move { server.serve().await });
    Fixture {
        addr,
        counters,
        peers,
    }
}

/// What a client trusts, shows and asks for.
struct Dialer<'a> {
    trusts: &'a Authority,
    shows: Option<&'a Identity>,
    alpn: &'a [&'a [u8]],
}

impl<'a> Dialer<'a> {
    const fn new(trusts: &'a Authority) -> Self {
        Self {
            trusts,
            shows: None,
            alpn: &[b"h2"],
        }
    }

    async fn dial(&self, addr: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.trusts.pem().as_bytes());
        roots.add(root.expect("PEM")).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match self.shows {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
                let chain: Result<Vec<_>, _> = chain.collect();
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
                config
                    .with_client_auth_cert(chain.expect("PEM"), key.expect("PEM"))
                    .expect("they belong together")
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// A connection on which calls are answered; with TLS 1.3 a refusal shows only after the client's handshake.
    async fn connect(&self, addr: SocketAddr) -> Result<SendRequest<Bytes>, String> {
        let stream = self.dial(addr).await.map_err(|error| error.to_string())?;
        let handshake = h2::client::handshake(stream).await;
        let (client, connection) = handshake.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        call(&client).await.map(|()| client)
    }

    async fn is_refused(&self, addr: SocketAddr, why: &str) {
        let connected = tokio::time::timeout(HANG, self.connect(addr)).await;
        let connected = connected.unwrap_or_else(|_| panic!("{why}: neither in nor out"));
        assert!(connected.is_err(), "{why}: it was let in");
    }
}

async fn call(client: &SendRequest<Bytes>) -> Result<(), String> {
    let ready = client.clone().ready().await;
    let mut client = ready.map_err(|error| error.to_string())?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("https://localhost{ECHO}"))
        .header("content-type", "application/grpc")
        .body(())
        .expect("valid");
    let sent = client.send_request(request, true);
    let (response, _) = sent.map_err(|error| error.to_string())?;
    let response = response.await.map_err(|error| error.to_string())?;
    assert_eq!(response.status(), 200, "an answer");
    Ok(())
}

fn server_certificate(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().expect("a server shows one");
    chain[0].clone().into_owned()
}

fn der(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("PEM")
}

/// S4-68: trust roots: who trusts the authority connects, and who does not, does not.
#[tokio::test]
async fn s4_68_a_server_proves_who_it_is() {
    let (authority, other) = (Authority::new(), Authority::new());
    let directory = Directory::new("proves");
    let mut fixture = serve(directory.identity(&authority.sign("localhost"))).await;
    let client = Dialer::new(&authority).connect(fixture.addr).await;
    client.expect("it is trusted");
    let peer = fixture.peers.recv().await.expect("a call");
    assert!(peer.certificates().is_empty(), "none was asked for");
    assert!(peer.remote().starts_with("ipv4:127.0.0.1:"), "{peer}");
    let strangers = Dialer::new(&other);
    strangers
        .is_refused(fixture.addr, "another authority")
        .await;
}

/// S4-68: mTLS, and the peer's certificate at the handler.
#[tokio::test]
async fn s4_68_clients_that_must_prove_who_they_are() {
    let (authority, other) = (Authority::new(), Authority::new());
    let directory = Directory::new("mtls");
    let mut tls = directory.identity(&authority.sign("localhost"));
    tls.clients = ClientCertificates::Required(directory.write("ca.pem", &authority.pem()).into());
    let mut fixture = serve(tls).await;
    let (known, stranger) = (authority.sign("app"), other.sign("app"));
    let mut dialer = Dialer::new(&authority);
    dialer.is_refused(fixture.addr, "no certificate").await;
    dialer.shows = Some(&stranger);
    dialer.is_refused(fixture.addr, "a stranger's").await;
    dialer.shows = Some(&known);
    dialer.connect(fixture.addr).await.expect("it is known");
    let peer = fixture.peers.recv().await.expect("a call");
    let expected = Bytes::copy_from_slice(&der(&known));
    assert_eq!(peer.certificates(), [expected], "the end entity first");
    assert!(fixture.peers.try_recv().is_err(), "nobody else got through");
}

/// S4-68: optional certificates: none is fine, a bad one is not.
#[tokio::test]
async fn s4_68_clients_that_may_prove_who_they_are() {
    let (authority, other) = (Authority::new(), Authority::new());
    let directory = Directory::new("optional");
    let mut tls = directory.identity(&authority.sign("localhost"));
    tls.clients = ClientCertificates::Optional(directory.write("ca.pem", &authority.pem()).into());
    let mut fixture = serve(tls).await;
    let (known, stranger) = (authority.sign("app"), other.sign("app"));
    let mut dialer = Dialer::new(&authority);
    for (shows, certificates) in [(None, 0), (Some(&known), 1)] {
        dialer.shows = shows;
        dialer.connect(fixture.addr).await.expect("it is let in");
        let peer = fixture.peers.recv().await.expect("a call");
        assert_eq!(peer.certificates().len(), certificates);
    }
    dialer.shows = Some(&stranger);
    dialer.is_refused(fixture.addr, "a stranger's").await;
}

/// S4-68: the ALPN-required option.
#[tokio::test]
async fn s4_68_alpn_is_required_or_not() {
    let authority = Authority::new();
    let directory = Directory::new("alpn");
    let mut tls = directory.identity(&authority.sign("localhost"));
    let strict = serve(tls.clone()).await;
    tls.alpn_required = false;
    let lax = serve(tls).await;
    let mut dialer = Dialer::new(&authority);
    dialer.alpn = &[b"http/1.1"];
    dialer.is_refused(strict.addr, "HTTP/1.1 only").await;
    dialer.is_refused(lax.addr, "HTTP/1.1 only").await;
    dialer.alpn = &[];
    dialer.is_refused(strict.addr, "no ALPN").await;
    dialer.connect(lax.addr).await.expect("it need not");
    dialer.alpn = &[b"http/1.1", b"h2"];
    let stream = dialer.dial(strict.addr).await.expect("it asks for h2");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

/// S4-68: certificates are replaced without dropping a connection, and bad ones change nothing. The clock is paused where
/// it has to pass the second in which the files are not looked at.
#[tokio::test]
async fn s4_68_reload_without_dropping() {
    let authority = Authority::new();
    let directory = Directory::new("reload");
    let (first, second) = (authority.sign("localhost"), authority.sign("localhost"));
    let fixture = serve(directory.identity(&first)).await;
    let dialer = Dialer::new(&authority);
    let old = dialer.connect(fixture.addr).await.expect("it is trusted");
    let shown = async |_: &str| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::time::resume();
        let stream = dialer.dial(fixture.addr).await.expect("it is trusted");
        server_certificate(&stream)
    };
    assert_eq!(shown("at first").await, der(&first));

    directory.write("cert.pem", "-----BEGIN CERTIFICATE-----\nnonsense");
    assert_eq!(
        shown("a broken file").await,
        der(&first),
        "the old one stays"
    );
    directory.write("cert.pem", &second.certificate);
    assert_eq!(
        shown("half the change").await,
        der(&first),
        "the key is of the old one"
    );
    directory.write("key.pem", &second.key);
    assert_eq!(shown("all of it").await, der(&second), "the new one");
    fs::remove_file(directory.0.join("cert.pem")).expect("it is there");
    assert_eq!(
        shown("no file").await,
        der(&second),
        "the last good one stays"
    );

    call(&old)
        .await
        .expect("the first connection was not dropped");
}

/// Paused time runs on while everybody waits, so the bound comes at once, and only because it is there.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_comes_is_given_up() {
    let authority = Authority::new();
    let directory = Directory::new("silent");
    let fixture = serve(directory.identity(&authority.sign("localhost"))).await;
    for said in [&b""[..], &[0x16, 3, 1, 2, 0][..]] {
        let mut stream = TcpStream::connect(fixture.addr).await.expect("it listens");
        stream.write_all(said).await.expect("it is open");
        let began = Instant::now();
        let mut rest = Vec::new();
        // A reset is as good an end as a close.
        let _ = stream.read_to_end(&mut rest).await;
        let took = began.elapsed();
        let bounds = Duration::from_secs(10)..Duration::from_secs(11);
        assert!(bounds.contains(&took), "after {said:?} it took {took:?}");
    }
    assert_eq!(fixture.counters.connections(), 0);
}

/// Connections that say nothing keep nobody out, however many they are beside the places for handshakes.
#[tokio::test]
async fn silent_connections_take_no_place_for_a_handshake() {
    let authority = Authority::new();
    let directory = Directory::new("bounded");
    let mut tls = directory.identity(&authority.sign("localhost"));
    tls.handshakes_max = 1;
    tls.handshake_timeout = Duration::from_secs(3600);
    let fixture = serve(tls).await;
    let _silent = TcpStream::connect(fixture.addr).await.expect("it listens");
    while fixture.counters.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let dialer = Dialer::new(&authority);
    let connected = tokio::time::timeout(HANG, dialer.connect(fixture.addr)).await;
    let connected = connected.expect("it waits behind a silent one");
    connected.expect("it is trusted");
}

#[tokio::test]
async fn bytes_that_are_no_tls_end_their_connection_alone() {
    let authority = Authority::new();
    let directory = Directory::new("garbage");
    let fixture = serve(directory.identity(&authority.sign("localhost"))).await;
    let dialer = Dialer::new(&authority);
    let good = dialer.connect(fixture.addr).await.expect("it is trusted");
    let cases = [
        (
            "HTTP/2 in the clear",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
        ("nothing that is known", vec![0xAA; 5000]),
        (
            "a record without an end",
            [[0x16, 3, 1, 0x40, 0].to_vec(), vec![1; 20_000]].concat(),
        ),
    ];
    for (name, bytes) in cases {
        let mut stream = TcpStream::connect(fixture.addr).await.expect("it listens");
        // A server that hangs up in the middle has had enough.
        let _ = stream.write_all(&bytes).await;
        let mut rest = Vec::new();
        let end = tokio::time::timeout(HANG, stream.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "{name}: the connection stays open");
        call(&good).await.expect("it is served on");
    }
    let client = Http2Client::new(
        &format!("http://{}", fixture.addr),
        &Http2ClientConfig::default(),
    );
    let client = Client::new(client.expect("a valid url"));
    let running = client.clone();
    tokio::spawn(async move { running.connect().await });
    let options = CallOptions::default();
    let plain = client.unary(ECHO, Metadata::new(), Bytes::new(), options);
    let plain = tokio::time::timeout(HANG, plain).await.expect("it fails");
    assert!(plain.is_err(), "there is nothing without TLS");
}

#[test]
fn files_that_cannot_be_used_are_named_and_no_key_is_shown() {
    let authority = Authority::new();
    let directory = Directory::new("files");
    let (one, other) = (authority.sign("localhost"), authority.sign("localhost"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let error = |tls: &ServerTlsConfig| {
        let bound = runtime.block_on(Http2Server::bind(
            "127.0.0.1:0",
            Http2ServerConfig::default(),
        ));
        let server = bound.expect("a free port").with_tls(tls.clone());
        let error = server.err().expect("it cannot be used").to_string();
        for secret in one.key.lines().chain(other.key.lines()) {
            assert!(!error.contains(secret), "{error}");
        }
        error
    };
    let good = directory.identity(&one);
    let names = |error: &str, pem: &Pem| {
        let Pem::File(path) = pem else {
            panic!("{pem:?} is no file");
        };
        assert!(error.contains(path.to_str().expect("UTF-8")), "{error}");
    };
    let mut tls = good.clone();
    tls.private_key = directory.write("other.pem", &other.key).into();
    names(&error(&tls), &tls.certificates);
    tls.private_key = directory.write("other.pem", "no key").into();
    names(&error(&tls), &tls.private_key);
    let on_one_line = other.key.replace('\n', "");
    tls.private_key = directory.write("line.pem", &on_one_line).into();
    let told = error(&tls);
    let bytes = format!("{:?}", &on_one_line.as_bytes()[..8]);
    assert!(!told.contains(bytes.trim_matches(['[', ']'])), "{told}");
    assert!(told.ends_with("no private key in PEM"), "{told}");
    tls = good.clone();
    tls.certificates = directory.write("none.pem", "").into();
    names(&error(&tls), &tls.certificates);
    tls.certificates = directory.0.join("missing.pem").into();
    names(&error(&tls), &tls.certificates);
    tls = good;
    tls.clients = ClientCertificates::Required(directory.0.join("missing.pem").into());
    names(&error(&tls), &directory.0.join("missing.pem").into());
}
