//! The command as a process, and certificates for it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use headwater_rpc::tls::{ClientIdentity, Pem};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// The running service. It ends with this.
pub(crate) struct Service {
    child: Child,
    /// What it printed, up to the line that says that it is ready.
    pub(crate) printed: Vec<String>,
}

impl Service {
    /// Runs the command with these arguments until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_headwater"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command was built");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut service = Self {
            child,
            printed: Vec::new(),
        };
        for line in stdout.lines() {
            service.printed.push(line.expect("text"));
            if service.ready().starts_with("ready") {
                return service;
            }
        }
        panic!("it ended before it was ready: {:?}", service.printed);
    }

    /// The line that names the addresses.
    fn ready(&self) -> &str {
        self.printed.last().map_or("", String::as_str)
    }

    /// Where it takes upstreams.
    pub(crate) fn upstreams(&self) -> Vec<String> {
        let words = self.ready().split(' ');
        let urls = words.filter_map(|word| word.strip_prefix("upstream="));
        urls.map(str::to_owned).collect()
    }

    pub(crate) fn connection_string(&self) -> &str {
        let prefix = "connection string: ";
        let mut lines = self.printed.iter();
        let found = lines.find_map(|line| line.strip_prefix(prefix));
        found.expect("it is printed")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority that signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("valid");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("valid"))
    }

    pub(crate) fn pem(&self) -> Pem {
        Pem::Text(self.0.pem().into_bytes())
    }

    /// A certificate of this name, and its key.
    pub(crate) fn sign(&self, name: &str) -> ClientIdentity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("valid");
        let certificate = params.signed_by(&key, &self.0).expect("valid");
        ClientIdentity {
            certificates: Pem::Text(certificate.pem().into_bytes()),
            key: Pem::Text(key.serialize_pem().into_bytes()),
        }
    }
}

/// A folder that is gone with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let name = format!("headwater-command-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("it can be made");
        Self(path)
    }

    /// Writes a file, and gives its path.
    pub(crate) fn write(&self, name: &str, pem: &Pem) -> String {
        let Pem::Text(text) = pem else {
            panic!("what was made up is text");
        };
        let path = self.0.join(name);
        fs::write(&path, text).expect("it can be written");
        path.to_str().expect("the test's names are text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system cleans up as well.
        let _ = fs::remove_dir_all(&self.0);
    }
}
