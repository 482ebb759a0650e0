//! Generates the clients and services of the examples.

fn main() -> Result<(), headwater_codegen::Error> {
    headwater_codegen::compile(
        &["proto/hello_world.proto", "proto/route_guide.proto"],
        &["proto"],
    )
}
