//! Layers of tower as interceptors.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use headwater_conformance::{
    Fixture, Transport,
    control::{ECHO, FAIL, RUN, WAIT, done, read, say},
    for_each_transport,
    time::{DEADLINE, overdue},
};
use headwater_rpc::{
    ClientBuilder, Code, ServerBuilder, Status,
    interceptor::{
        ClientInterceptor, Filter, ServerInterceptor,
        layer::{ClientCall, LayerInterceptor, ServerCall},
    },
};
use tokio::task::yield_now;
use tower::{
    BoxError, Layer, Service, ServiceBuilder, limit::ConcurrencyLimitLayer,
    load_shed::LoadShedLayer, timeout::TimeoutLayer,
};

use crate::support::code;

/// For what may come as early as it likes.
const SHORT: Duration = Duration::from_millis(30);

async fn on_server(transport: Transport, interceptor: impl ServerInterceptor) -> Fixture {
    let build = |client: ClientBuilder, server: ServerBuilder| {
        (client, server.intercept(Filter::all(), interceptor))
    };
    Fixture::built(transport, build).await
}

async fn on_client(transport: Transport, interceptor: impl ClientInterceptor) -> Fixture {
    let build = |client: ClientBuilder, server: ServerBuilder| {
        (client.intercept(Filter::all(), interceptor), server)
    };
    Fixture::built(transport, build).await
}

/// S4-31: tower's timeout ends a handler that takes too long, and the peer is told.
#[test]
fn towers_timeout_bounds_a_handler() {
    for_each_transport(|transport| async move {
        let layer = LayerInterceptor::server(TimeoutLayer::new(DEADLINE));
        let pair = on_server(transport, layer).await;
        assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("x")));
        let answer = overdue(&pair, pair.unary(WAIT, "")).await;
        assert_eq!(code(&answer), Code::DeadlineExceeded);
    });
}

/// A limit of one running handler holds over all calls: the second waits for the first, and is not refused.
#[test]
fn towers_concurrency_limit_counts_over_all_calls() {
    for_each_transport(|transport| async move {
        let layer = LayerInterceptor::server(ConcurrencyLimitLayer::new(1));
        let pair = on_server(transport, layer).await;
        let (first, mut first_receiver) = pair.call(RUN).await;
        say(&first, "stall");
        pair.control.started().await;
        let (second, mut second_receiver) = pair.call(RUN).await;
        say(&second, "echo second");
        done(&second);
        while pair.server.open_calls() < 2 {
            yield_now().await;
        }
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(second_receiver.ended(), None, "the first is still running");
        pair.control.go_on();
        done(&first);
        assert_eq!(read(&mut first_receiver).await.1, Ok(()));
        let (messages, outcome) = read(&mut second_receiver).await;
        assert_eq!((messages, outcome), (vec![Bytes::from("second")], Ok(())));
    });
}

/// A call that ends while it waits for the limit leaves the queue, and its handler never starts.
#[test]
fn a_call_that_is_cancelled_waits_no_longer() {
    for_each_transport(|transport| async move {
        let layer = LayerInterceptor::server(ConcurrencyLimitLayer::new(1));
        let pair = on_server(transport, layer).await;
        let (first, mut first_receiver) = pair.call(RUN).await;
        say(&first, "stall");
        pair.control.started().await;
        let second = pair.call(RUN).await;
        say(&second.0, "panic");
        while pair.server.open_calls() < 2 {
            yield_now().await;
        }
        drop(second);
        while pair.server.open_calls() > 1 {
            yield_now().await;
        }
        pair.control.go_on();
        done(&first);
        assert_eq!(read(&mut first_receiver).await.1, Ok(()));
        assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("x")));
    });
}

/// Shed load is `RESOURCE_EXHAUSTED`, and the next call after it passes.
#[test]
fn tower_sheds_load() {
    for_each_transport(|transport| async move {
        let layer = ServiceBuilder::new()
            .layer(LoadShedLayer::new())
            .layer(ConcurrencyLimitLayer::new(1))
            .into_inner();
        let pair = on_server(transport, LayerInterceptor::server(layer)).await;
        let (first, mut first_receiver) = pair.call(RUN).await;
        say(&first, "stall");
        pair.control.started().await;
        assert_eq!(code(&pair.unary(ECHO, "x").await), Code::ResourceExhausted);
        pair.control.go_on();
        done(&first);
        assert_eq!(read(&mut first_receiver).await.1, Ok(()));
        while pair.server.open_calls() > 0 {
            yield_now().await;
        }
        // The handler's task gives its place back right after the call has ended.
        yield_now().await;
        assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("x")));
    });
}

/// On the client a timeout bounds the opening: here nothing is connected yet.
#[test]
fn towers_timeout_bounds_the_opening_on_a_client() {
    for_each_transport(|transport| async move {
        let layer = LayerInterceptor::client(TimeoutLayer::new(SHORT));
        let build =
            |client: ClientBuilder, server| (client.intercept(Filter::all(), layer), server);
        let stopped = Fixture::built_stopped(transport, build).await;
        let options = headwater_rpc::CallOptions::default();
        let metadata = headwater_rpc::Metadata::new();
        let answer = stopped.client.unary(ECHO, metadata, Bytes::new(), options);
        assert_eq!(code(&answer.await), Code::DeadlineExceeded);
    });
}

/// Counts calls, and fails those of some methods in a way of its own.
#[derive(Clone)]
struct Own(Arc<AtomicUsize>);

struct OwnService<S> {
    inner: S,
    count: Arc<AtomicUsize>,
}

impl<S> Layer<S> for Own {
    type Service = OwnService<S>;

    fn layer(&self, inner: S) -> OwnService<S> {
        let count = Arc::clone(&self.0);
        OwnService { inner, count }
    }
}

#[derive(Debug)]
struct Secret;

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the password is 1234")
    }
}

impl std::error::Error for Secret {}

fn refusal(path: &str) -> Option<BoxError> {
    match path {
        FAIL => Some(Box::new(Status::new(Code::PermissionDenied, "not you"))),
        WAIT => Some(Box::new(Secret)),
        _ => None,
    }
}

type Answer<T> = std::pin::Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// What both sides' services have in common.
trait Path {
    fn path(&self) -> &str;
}

impl Path for ServerCall {
    fn path(&self) -> &str {
        &self.call.path
    }
}

impl Path for ClientCall {
    fn path(&self) -> &str {
        &self.call.path
    }
}

impl<S, R> Service<R> for OwnService<S>
where
    R: Path,
    S: Service<R>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Answer<S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = refusal(request.path()) {
            return Box::pin(async move { Err(error) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}

/// A layer written by hand works on both sides; its statuses are told, and the text of its other errors is not.
#[test]
fn a_layer_of_ones_own_works_on_both_sides() {
    for_each_transport(|transport| async move {
        for on_the_client in [false, true] {
            let count = Arc::new(AtomicUsize::new(0));
            let layer = Own(Arc::clone(&count));
            let pair = if on_the_client {
                on_client(transport, LayerInterceptor::client(layer)).await
            } else {
                on_server(transport, LayerInterceptor::server(layer)).await
            };
            assert_eq!(pair.unary(ECHO, "x").await, Ok(Bytes::from("x")));
            let denied = Status::new(Code::PermissionDenied, "not you");
            assert_eq!(pair.unary(FAIL, "1 m").await, Err(denied));
            let hidden = pair.unary(WAIT, "").await.expect_err("refused");
            assert_eq!(hidden.code, Code::Unknown);
            assert!(!hidden.message.contains("1234"), "{hidden}");
            assert_eq!(count.load(Ordering::Relaxed), 3, "one layer saw all calls");
        }
    });
}
