//! Generates tonic's code for the contender that ours is held against.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/bench.proto");
    let descriptors = protox::compile(["bench.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".bench")
        .compile_fds(descriptors)?;
    Ok(())
}
