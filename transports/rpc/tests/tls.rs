//! TLS: what is made of certificates, and what happens when their files change. What a handshake comes to is tested by the
//! transports.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use headwater_rpc::{
    Code,
    tls::{
        ClientTls, DevCertificates, Pem, ServerTlsConfig, TlsClient, TlsServer,
        rustls::{
            ClientConnection, ServerConnection,
            pki_types::{CertificateDer, pem::PemObject as _},
        },
    },
};
use tracing_subscriber::fmt::MakeWriter;

const ALPN: &[&[u8]] = &[b"test"];

/// A directory that is gone with this.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let name = format!("headwater-rpc-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("it can be made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("it can be written");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The system cleans up as well.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What was logged, from whichever thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects what this process logs from now on: each test is a process of its own, or the only one that asks.
    fn start() -> Self {
        let log = Self::default();
        let lines = tracing_subscriber::fmt().with_writer(log.clone());
        let set = lines.with_ansi(false).try_init();
        set.expect("nobody else collects");
        log
    }

    fn warnings(&self) -> Vec<String> {
        let log = self.0.lock().expect("nobody panics with it");
        let log = String::from_utf8_lossy(&log);
        let lines = log.lines().filter(|line| line.contains(" WARN "));
        lines.map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A handshake in memory: what each side has agreed to, or why it fails.
async fn handshake(
    client: &TlsClient,
    server: &TlsServer,
) -> Result<(ClientConnection, ServerConnection), String> {
    let name = client.server_name().clone();
    let mut client = ClientConnection::new(client.current().await, name).expect("a name");
    let mut server = ServerConnection::new(server.current().await).expect("a certificate");
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("memory");
        server.read_tls(&mut &wire[..]).expect("memory");
        server
            .process_new_packets()
            .map_err(|error| error.to_string())?;
        wire.clear();
        server.write_tls(&mut wire).expect("memory");
        client.read_tls(&mut &wire[..]).expect("memory");
        client
            .process_new_packets()
            .map_err(|error| error.to_string())?;
    }
    Ok((client, server))
}

fn first(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")
}

fn roots(pem: impl Into<Pem>) -> ClientTls {
    ClientTls {
        roots: Some(pem.into()),
        ..ClientTls::default()
    }
}

#[tokio::test]
async fn made_up_certificates_are_trusted_for_this_machine_and_by_their_own_root_alone() {
    let ours = DevCertificates::generate().expect("they can be made");
    let others = DevCertificates::generate().expect("they can be made");
    let server = TlsServer::new(ours.server(), ALPN).expect("they can be used");
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        let client = TlsClient::new(&ours.client(), host, ALPN).expect("a root and a name");
        let (client, server) = handshake(&client, &server).await.expect(host);
        assert_eq!(client.alpn_protocol(), Some(&b"test"[..]), "{host}");
        assert_eq!(server.alpn_protocol(), Some(&b"test"[..]), "{host}");
    }
    let elsewhere = TlsClient::new(&ours.client(), "example.org", ALPN).expect("a name");
    let refused = handshake(&elsewhere, &server).await;
    assert!(refused.is_err(), "it is for no other machine");
    let strangers = TlsClient::new(&others.client(), "localhost", ALPN).expect("a root");
    let refused = handshake(&strangers, &server).await;
    assert!(
        refused.is_err(),
        "every run has another authority of the same name"
    );
    let shown = format!("{ours:?} {server:?} {:?}", ours.server());
    assert!(!shown.contains("PRIVATE"), "a key was shown: {shown}");
}

/// S4-68: new certificates are taken, bad ones change nothing, and a server and a client say so in the log, once each.
#[tokio::test(start_paused = true)]
async fn s4_68_changed_files_are_taken_and_unusable_ones_are_warned_about_once() {
    let log = Log::start();
    let directory = Directory::new("reload");
    let (old, new) = (pair(), pair());
    let files = ServerTlsConfig::new(
        directory.write("cert.pem", &old.0),
        directory.write("key.pem", &old.1),
    );
    let server = TlsServer::new(files, ALPN).expect("a certificate");
    let trusted = directory.write("roots.pem", &old.0);
    let client = TlsClient::new(&roots(trusted), "localhost", ALPN).expect("a root");
    let before = (server.current().await, client.current().await);
    let current = async || {
        tokio::time::advance(Duration::from_secs(1)).await;
        (server.current().await, client.current().await)
    };

    let same = current().await;
    assert!(Arc::ptr_eq(&same.0, &before.0), "no file has changed");

    directory.write("cert.pem", "nonsense");
    directory.write("roots.pem", "nonsense, too");
    for _ in 0..3 {
        let same = current().await;
        assert!(Arc::ptr_eq(&same.0, &before.0), "the old one is kept");
        assert!(Arc::ptr_eq(&same.1, &before.1), "the old ones are kept");
    }
    let warnings = log.warnings();
    assert_eq!(warnings.len(), 2, "one of each: {warnings:?}");
    for (file, warning) in ["cert.pem", "roots.pem"].iter().zip(&warnings) {
        assert!(warning.contains(file), "it names the file: {warning}");
    }

    directory.write("cert.pem", &new.0);
    directory.write("key.pem", &new.1);
    directory.write("roots.pem", &new.0);
    let after = current().await;
    assert!(!Arc::ptr_eq(&after.0, &before.0), "they can be used again");
    assert!(!Arc::ptr_eq(&after.1, &before.1), "they can be used again");
    let (client, _) = handshake(&client, &server).await.expect("both are new");
    let shown = client.peer_certificates().expect("a server shows one");
    assert_eq!(shown[0], first(&new.0));
    assert_eq!(log.warnings().len(), 2, "nothing more is wrong");
}

/// Within a second, the files are not looked at again.
#[tokio::test(start_paused = true)]
async fn files_are_looked_at_once_a_second() {
    let directory = Directory::new("interval");
    let (old, new) = (pair(), pair());
    let path = directory.write("roots.pem", &old.0);
    let client = TlsClient::new(&roots(path), "localhost", ALPN).expect("a root");
    let before = client.current().await;
    directory.write("roots.pem", &format!("{}{}", old.0, new.0));
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(Arc::ptr_eq(&client.current().await, &before), "too early");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!Arc::ptr_eq(&client.current().await, &before), "it is time");
}

/// A certificate that signs itself, for localhost, and its key, as PEM.
fn pair() -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("valid");
    let certificate = params.self_signed(&key).expect("valid");
    (certificate.pem(), key.serialize_pem())
}

/// S4-68: without authorities to trust there is no TLS; those of the system are trusted if they are built in.
#[test]
fn s4_68_nobody_is_trusted_unless_it_was_said() {
    let client = TlsClient::new(&ClientTls::default(), "localhost", ALPN);
    let refused = client.err().map(|status| (status.code, status.message));
    let because = |why: &str| Some((Code::InvalidArgument, why.to_owned()));
    if cfg!(feature = "native-roots") {
        let none = because("tls: the system has no certificate authorities that can be used");
        assert!(refused.is_none() || refused == none, "{refused:?}");
    } else {
        let none =
            because("tls: no trusted authorities are named, and the system's are not built in");
        assert_eq!(refused, none);
    }
}
