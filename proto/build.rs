//! Compiles the `.proto` files. `protox` does it, so nobody installs `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
