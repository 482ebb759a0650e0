//! Generates both contenders' code from one file.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let ours = out.join("headwater");
    fs::create_dir_all(&ours)?;
    headwater_codegen::Builder::new()
        .bytes(["."])
        .out_dir(ours)
        .compile(&["proto/bench.proto"], &["proto"])?;
    let theirs = out.join("tonic");
    fs::create_dir_all(&theirs)?;
    let descriptors = protox::compile(["bench.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".bench")
        .out_dir(theirs)
        .compile_fds(descriptors)?;
    Ok(())
}
