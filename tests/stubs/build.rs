//! Generates the same services in several ways.

use std::{env, fs, path::PathBuf};

use headwater_codegen::{Builder, Error};

fn main() -> Result<(), Error> {
    headwater_codegen::compile(&["proto/route_guide.proto"], &["proto"])?;
    Builder::new()
        .bytes(["."])
        .include_file("all.rs")
        .out_dir(directory("bare"))
        .rename("nested.deep.Option.Type", "kind")
        .compile(&["proto/bare.proto"], &["proto"])?;
    let mut config = prost_build::Config::new();
    config.type_attribute(".", "#[derive(::serde::Serialize, ::serde::Deserialize)]");
    Builder::new()
        .prost_config(config)
        .codec("crate::json::Json")
        .rpc_path("crate::json::rpc")
        .out_dir(directory("json"))
        .file_descriptor_sets(false)
        .partial_services(true)
        .compile(&["proto/route_guide.proto"], &["proto"])
}

fn directory(name: &str) -> PathBuf {
    let out_dir = env::var_os("OUT_DIR").expect("cargo sets it");
    let directory = PathBuf::from(out_dir).join(name);
    fs::create_dir_all(&directory).expect("the build directory can be written to");
    directory
}
