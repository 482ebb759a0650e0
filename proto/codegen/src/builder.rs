//! What is generated, and where to.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use prost_types::FileDescriptorSet;
use protox::Compiler;

use crate::{
    descriptors,
    error::Error,
    generate::{Generator, Settings},
    names::Names,
};

/// Generates clients and services, otherwise than by the defaults.
pub struct Builder {
    out_dir: Option<PathBuf>,
    config: prost_build::Config,
    renamed: BTreeMap<String, String>,
    pw_rpc_names: bool,
    settings: Settings,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The defaults: clients and services, in `OUT_DIR`, with protocol buffers as codec.
    pub fn new() -> Self {
        Self {
            out_dir: None,
            config: prost_build::Config::new(),
            renamed: BTreeMap::new(),
            pw_rpc_names: false,
            settings: Settings::default(),
        }
    }

    /// Where the code goes. Default: `OUT_DIR`, as cargo sets it for a `build.rs`.
    #[must_use]
    pub fn out_dir(mut self, out_dir: impl Into<PathBuf>) -> Self {
        self.out_dir = Some(out_dir.into());
        self
    }

    /// Whether clients are generated. Default: yes.
    #[must_use]
    pub const fn client(mut self, yes: bool) -> Self {
        self.settings.client = yes;
        self
    }

    /// Whether services are generated. Default: yes.
    #[must_use]
    pub const fn server(mut self, yes: bool) -> Self {
        self.settings.server = yes;
        self
    }

    /// Whether the descriptors hold the encoded files, which reflection needs. Default: yes.
    #[must_use]
    pub const fn file_descriptor_sets(mut self, yes: bool) -> Self {
        self.settings.file_descriptor_sets = yes;
        self
    }

    /// Whether a service may leave methods out, which then end with `UNIMPLEMENTED`. Default: no; what is left out does
    /// not build, which `cargo build` says, and `cargo check` cannot.
    ///
    /// Needed with `-C link-dead-code`, which builds what is not used too.
    #[must_use]
    pub const fn partial_services(mut self, yes: bool) -> Self {
        self.settings.partial = yes;
        self
    }

    /// The codec's path: a type that is `Serializer` and `Deserializer` (`headwater_rpc::stub`) for every message of the
    /// services. Default: `ProstCodec`.
    #[must_use]
    pub fn codec(mut self, path: impl Into<String>) -> Self {
        self.settings.codec = Some(path.into());
        self
    }

    /// How generated code names the crate `headwater-rpc`. Default: `::headwater_rpc`.
    #[must_use]
    pub fn rpc_path(mut self, path: impl Into<String>) -> Self {
        self.settings.rpc = path.into();
        self
    }

    /// Has `bytes` fields be `Bytes`, which are not copied, instead of `Vec<u8>`: of the fields, messages and packages
    /// under these paths, such as `.routeguide.Photo.data`, or `.` for all.
    #[must_use]
    pub fn bytes(mut self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.config.bytes(paths);
        self
    }

    /// Has what is under a path of the `.proto`, such as `.google.type`, come from a Rust module that is there already,
    /// such as `::google_types`; it is not generated.
    #[must_use]
    pub fn extern_path(mut self, proto: impl Into<String>, rust: impl Into<String>) -> Self {
        self.config.extern_path(proto, rust);
        self
    }

    /// Also writes a file of this name, which includes the others as modules, nested as the packages are.
    #[must_use]
    pub fn include_file(mut self, name: impl Into<PathBuf>) -> Self {
        self.config.include_file(name.into());
        self
    }

    /// Gives a service (`package.Service`) or a method (`package.Service.Method`) another name in Rust. On the wire
    /// nothing changes.
    #[must_use]
    pub fn rename(mut self, proto: impl Into<String>, rust: impl Into<String>) -> Self {
        self.renamed.insert(proto.into(), rust.into());
        self
    }

    /// Also refuses what pw_rpc's style does not have: a service whose name ends in `Service`. Default: no, for gRPC's
    /// own services are called so.
    #[must_use]
    pub const fn pw_rpc_names(mut self, yes: bool) -> Self {
        self.pw_rpc_names = yes;
        self
    }

    /// How prost generates messages: attributes, maps, boxes and so on. What was said of them to this builder before is
    /// lost.
    #[must_use]
    pub fn prost_config(mut self, config: prost_build::Config) -> Self {
        self.config = config;
        self
    }

    /// Generates code for `.proto` files and for what they import, and has cargo run this again when one of them
    /// changes. Imports are looked for in `includes`; every one of `protos` must be under one of these.
    ///
    /// # Errors
    ///
    /// A `.proto` is wrong, a name is refused, or a file cannot be written. Then nothing usable was written.
    pub fn compile(
        self,
        protos: &[impl AsRef<Path>],
        includes: &[impl AsRef<Path>],
    ) -> Result<(), Error> {
        let mut compiler = Compiler::new(includes.iter().map(AsRef::as_ref)).map_err(proto)?;
        compiler
            .include_source_info(true)
            .include_imports(true)
            .open_files(protos.iter().map(AsRef::as_ref))
            .map_err(proto)?;
        for path in compiler.files().filter_map(|file| file.path()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
        self.compile_fds(compiler.file_descriptor_set())
    }

    /// Generates code for files that are compiled already, each after what it imports.
    ///
    /// # Errors
    ///
    /// As [`Builder::compile`].
    pub fn compile_fds(mut self, files: FileDescriptorSet) -> Result<(), Error> {
        let mut names = Names::new(self.renamed, &self.settings);
        names.check(&files, self.pw_rpc_names)?;
        let out_dir = match self.out_dir {
            Some(out_dir) => out_dir,
            None => env::var_os("OUT_DIR").ok_or(Error::OutDir)?.into(),
        };
        if self.settings.file_descriptor_sets {
            for (name, set) in descriptors::of_services(&files) {
                write(&out_dir.join(name), &set)?;
            }
        }
        self.config.out_dir(&out_dir);
        let generator = Generator::new(self.settings, names);
        self.config.service_generator(Box::new(generator));
        let written = self.config.compile_fds(files);
        written.map_err(|source| Error::Write {
            path: out_dir,
            source,
        })
    }
}

fn proto(error: protox::Error) -> Error {
    Error::Proto(format!("{error:?}"))
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(path, content).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}
