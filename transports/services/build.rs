//! Generates health and reflection.

fn main() -> Result<(), headwater_codegen::Error> {
    headwater_codegen::Builder::new().bytes(["."]).compile(
        &[
            "proto/grpc/health/v1/health.proto",
            "proto/grpc/reflection/v1/reflection.proto",
        ],
        &["proto"],
    )
}
