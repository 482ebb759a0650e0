//! What an idle client costs. Run by hand: `cargo test --release -p headwater --test service -- --ignored --nocapture idle`.

use crate::support::*;

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number")
        * 1024
}

/// Both ends live in this process, so the client's end is made as small as can be: a TCP stream and nothing else.
#[tokio::test]
#[ignore = "a measurement; needs 4,000 file descriptors"]
async fn the_memory_of_an_idle_client() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const CLIENTS: u64 = 2000;
    let stage = Stage::start().await;
    let mut link = stage.registered().await;
    let token = stage.knock("chat").good_token();
    let request = format!(
        "GET /client/hubs/chat?access_token={token} HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\n\
         connection: upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-protocol: {JSON}\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut sockets = Vec::new();
    let mut enter = async |count: u64| {
        for _ in 0..count {
            let mut socket = tokio::net::TcpStream::connect(stage.address)
                .await
                .expect("open");
            socket.write_all(request.as_bytes()).await.expect("written");
            let connect = link.event().await;
            link.accept(&connect);
            let connected = link.event().await;
            link.settle(&connected);
            // The answer and `connected` behind it.
            let mut read = [0; 1024];
            soon("the answer", socket.read(&mut read))
                .await
                .expect("read");
            sockets.push(socket);
        }
    };
    enter(500).await;
    let before = resident_bytes();
    enter(CLIENTS).await;
    let grown = resident_bytes().saturating_sub(before);
    println!(
        "{} bytes of resident memory per idle client",
        grown / CLIENTS
    );
    assert!(grown / CLIENTS <= 10 << 10, "more than 10 KiB");
}
