//! Generates the clients and services of the examples.

fn main() -> Result<(), headwater_codegen::Error> {
    headwater_codegen::compile(
        &[
            "proto/device.proto",
            "proto/hello_world.proto",
            "proto/people.proto",
            "proto/room.proto",
            "proto/route_guide.proto",
        ],
        &["proto"],
    )?;
    headwater_codegen::Builder::new()
        .bytes(["."])
        // That one method is not implemented is what the interop cases are to find.
        .partial_services(true)
        .compile(&["proto/grpc/testing/test.proto"], &["proto"])?;
    headwater_codegen::Builder::new().bytes(["."]).compile(
        &["proto/pw_rpc/benchmark.proto", "proto/pw_rpc/echo.proto"],
        &["proto"],
    )
}
