//! The HTTP services of the planner's demo: what somebody might have standing around, without a thought of a broker.
//!
//! `POST /mult` and `POST /add` with `{"a":3,"b":4}` answer `{"res":12,"duration":5123}`, one task at a time (403 while it is
//! busy); what a service does not do is 404.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use proletariat::worker::handlers::Operation;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The largest task that a service reads.
const TASK_BYTES_MAX: usize = 64 * 1024;

/// A service that runs as long as this is held.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// What a service can do.
struct Skills {
    operations: &'static [Operation],
    time_scale: f64,
    /// One task at a time.
    free: Semaphore,
}

impl Service {
    /// Listens on any free port of this host.
    pub(super) async fn start(operations: &'static [Operation], time_scale: f64) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let skills = Arc::new(Skills { operations, time_scale, free: Semaphore::new(1) });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(stream, Arc::clone(&skills)));
            }
        });
        Ok(Self { address, _tasks: tasks })
    }
}

async fn serve(stream: TcpStream, skills: Arc<Skills>) {
    let service = service_fn(|request| {
        let skills = Arc::clone(&skills);
        async move { Ok::<_, Infallible>(skills.answer(request).await) }
    });
    // A caller that leaves in the middle is no business of a service.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Skills {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::POST {
            return response(StatusCode::METHOD_NOT_ALLOWED, String::from("POST only"));
        }
        let kind = request.uri().path().trim_start_matches('/');
        let Some(operation) = Operation::of_kind(kind).filter(|one| self.operations.contains(one)) else {
            return response(StatusCode::NOT_FOUND, String::from("not my type of task"));
        };
        let Ok(_turn) = self.free.try_acquire() else {
            return response(StatusCode::FORBIDDEN, String::from("busy"));
        };
        let body = match Limited::new(request.into_body(), TASK_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return response(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let begun = Instant::now();
        match operation.result(&body) {
            Ok(result) => {
                tokio::time::sleep(operation.time(self.time_scale)).await;
                let millis = begun.elapsed().as_millis();
                response(StatusCode::OK, format!(r#"{{"res":{result},"duration":{millis}}}"#))
            }
            Err(error) => response(StatusCode::BAD_REQUEST, error),
        }
    }
}

fn response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
