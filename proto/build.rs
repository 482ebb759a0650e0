//! Compiles the `.proto` files. `protox` does it, so nobody installs `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    headwater()?;
    without_package("wps_rpc")?;
    without_package("push_channel")
}

/// The protocols that have a package: one file each.
fn headwater() -> Result<(), Box<dyn Error>> {
    let files = [
        "headwater/v1/upstream.proto",
        "headwater/v1/management.proto",
        "headwater/pw_rpc/packet.proto",
    ];
    for file in files.iter().chain(&["headwater/v1/types.proto"]) {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    prost_build::Config::new()
        .bytes(["."])
        // `HashMap` is not in `alloc`; and the order of a map must not differ between two runs.
        .btree_map(["."])
        // What passes by the million keeps its place instead of being copied from hand to hand.
        .boxed(".headwater.v1.ServiceFrame.frame.event")
        .boxed(".headwater.v1.UpstreamFrame.frame.ack")
        .boxed(".headwater.v1.UpstreamFrame.frame.command")
        // Large and rare: every other frame would be moved about as if it were as large.
        .boxed(".headwater.v1.ServiceFrame.frame.registered")
        .boxed(".headwater.v1.UpstreamFrame.frame.register")
        // Most packets of a stream have none.
        .boxed(".headwater.pw_rpc.RpcPacket.extension")
        // What holds a token has a `Debug` of its own, which does not show it.
        .skip_debug([
            ".headwater.v1.Registered",
            ".headwater.v1.Resume",
            ".headwater.v1.Authenticate",
            ".headwater.pw_rpc.Extension",
        ])
        .enable_type_names()
        .compile_fds(descriptors)?;
    Ok(())
}

/// A protocol without a package, in a folder of its own: the files of all of them have the same name.
fn without_package(name: &str) -> Result<(), Box<dyn Error>> {
    let file = format!("headwater/{name}.proto");
    println!("cargo::rerun-if-changed={file}");
    let out = PathBuf::from(env::var("OUT_DIR")?).join(name);
    fs::create_dir_all(&out)?;
    prost_build::Config::new()
        .out_dir(out)
        .bytes(["."])
        .btree_map(["."])
        .enable_type_names()
        .compile_fds(protox::compile([file], ["."])?)?;
    Ok(())
}
