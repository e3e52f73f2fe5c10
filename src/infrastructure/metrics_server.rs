//! A small HTTP server for Prometheus: `/metrics`, `/healthz`, `/readyz`. Knows no metric; reads no file and serves none.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::{Notify, Semaphore};

/// Connections that are served at the same time; more wait.
const MOST_CONNECTIONS: usize = 128;

/// How long a client may take to send its request's head.
///
/// It is also how long a connection may be idle: so long, at most, those wait who come when all places are taken.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection may last. Who is served by keeping it connects again; who reads no answer makes room.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

/// The longest head of a request, bytes.
const MOST_HEAD_BYTES: usize = 16 * 1024;

/// How long answers that are under way may take at the end.
const GRACE: Duration = Duration::from_secs(3);

const PLAIN: &str = "text/plain; charset=utf-8";

const OVERVIEW: &str = "\
marketpipe
/metrics  what runs measured and what is stored, for Prometheus
/healthz  whether this process answers
/readyz   whether database and lake can be read
";

/// What the server shows. Both may block.
pub trait MetricsPage: Send + Sync + 'static {
    /// The page for Prometheus, in its text format 0.0.4.
    ///
    /// # Errors
    /// In words, when it cannot be made.
    fn render(&self) -> Result<String, String>;

    /// Whether it could be made.
    ///
    /// # Errors
    /// In words, when not.
    fn check_ready(&self) -> Result<(), String>;
}

/// A server at work, on a thread of its own; it ends when it is dropped, after the answers that are under way.
pub struct MetricsServer {
    address: SocketAddr,
    ended: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl MetricsServer {
    /// Listens at `address`; port 0 takes any that is free.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub fn start(address: SocketAddr, page: Arc<dyn MetricsPage>) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let ended = Arc::new(Notify::new());
        let service = Arc::new(Service {
            page,
            is_loopback: address.ip().is_loopback(),
        });
        let serving = serve(listener, service, Arc::clone(&ended));
        let thread = std::thread::Builder::new()
            .name("metrics-server".to_owned())
            .spawn(move || {
                if let Err(error) = runtime.block_on(serving) {
                    tracing::error!("the metrics server has ended: {error}");
                }
                runtime.shutdown_timeout(GRACE);
            })?;
        Ok(Self {
            address,
            ended,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.ended.notify_one();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, service: Arc<Service>, ended: Arc<Notify>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut ended = pin!(ended.notified());
    loop {
        let accepted = async {
            let place = Arc::clone(&connections).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut ended => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // A client that is gone again, or no file handle left: the next one may do better.
            Err(error) => {
                tracing::debug!("a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = Arc::clone(&service);
        let answer = service_fn(move |request: Request<Incoming>| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(service.answer(&request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MOST_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), answer);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let ended = tokio::time::timeout(CONNECTION_LIFETIME, connection).await;
            if let Ok(Err(error)) = ended {
                tracing::debug!("a connection broke: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    Ok(())
}

struct Service {
    page: Arc<dyn MetricsPage>,
    is_loopback: bool,
}

impl Service {
    async fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        // A page in a browser may send anything to loopback by a name of its own; such a name is not ours.
        let mut hosts = request.headers().get_all(HOST).iter();
        let is_own = is_own_name(hosts.next()) && hosts.next().is_none();
        if self.is_loopback && !is_own {
            return reply(
                StatusCode::MISDIRECTED_REQUEST,
                PLAIN,
                "this is a loopback service: ask it as localhost or 127.0.0.1\n",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = reply(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(ALLOW, allowed);
            return refusal;
        }
        match request.uri().path() {
            "/" => reply(StatusCode::OK, PLAIN, OVERVIEW),
            "/healthz" => reply(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" => {
                let outcome = self.blocking(|page| page.check_ready()).await;
                match outcome {
                    Ok(()) => reply(StatusCode::OK, PLAIN, "ready\n"),
                    Err(words) => self.unavailable(&words),
                }
            }
            "/metrics" => match self.blocking(|page| page.render()).await {
                Ok(text) => reply(StatusCode::OK, EXPOSITION, text),
                Err(words) => self.unavailable(&words),
            },
            _ => reply(StatusCode::NOT_FOUND, PLAIN, OVERVIEW),
        }
    }

    /// What is wrong names files: it is told on this machine, others are told that something is.
    fn unavailable(&self, words: &str) -> Response<String> {
        tracing::warn!("not ready: {words}");
        let told = match self.is_loopback {
            true => format!("{words}\n"),
            false => "not ready, see the log\n".to_owned(),
        };
        reply(StatusCode::SERVICE_UNAVAILABLE, PLAIN, told)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn MetricsPage) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let page = Arc::clone(&self.page);
        let done = tokio::task::spawn_blocking(move || work(page.as_ref())).await;
        done.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// The media type of Prometheus' text format.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

fn reply(status: StatusCode, kind: &'static str, body: impl Into<String>) -> Response<String> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    // A browser takes it for what it is called, whatever stands in it.
    let literally = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, literally);
    response
}

/// Whether a Host header names loopback, with or without a port.
fn is_own_name(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host.and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let authority = host.parse::<hyper::http::uri::Authority>();
    authority.is_ok_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        let is_loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        is_loopback || name.eq_ignore_ascii_case("localhost")
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[derive(Default)]
    struct Page {
        is_broken: AtomicBool,
    }

    impl MetricsPage for Page {
        fn render(&self) -> Result<String, String> {
            self.check_ready().map(|()| "up 1\n".to_owned())
        }

        fn check_ready(&self) -> Result<(), String> {
            match self.is_broken.load(Ordering::Relaxed) {
                true => Err("the lake is gone".to_owned()),
                false => Ok(()),
            }
        }
    }

    async fn get(server: &MetricsServer, path: &str, host: &str) -> (u16, String, String) {
        let url = format!("http://{}{path}", server.address());
        let answer = reqwest::Client::new().get(url).header("host", host).send();
        let answer = answer.await.unwrap();
        let kind = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        (answer.status().as_u16(), kind, answer.text().await.unwrap())
    }

    fn start() -> (MetricsServer, Arc<Page>) {
        let page = Arc::new(Page::default());
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = MetricsServer::start(any_port, Arc::clone(&page) as Arc<dyn MetricsPage>);
        (server.unwrap(), page)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_path_answers_and_others_say_which_there_are() {
        let (server, page) = start();
        let (status, kind, text) = get(&server, "/metrics", "localhost").await;
        assert_eq!((status, text.as_str()), (200, "up 1\n"));
        assert_eq!(kind, EXPOSITION);
        assert_eq!(get(&server, "/healthz", "localhost:1").await.2, "ok\n");
        assert_eq!(get(&server, "/readyz", "[::1]:9").await.2, "ready\n");
        let (status, _, text) = get(&server, "/../etc/passwd", "127.0.0.1").await;
        assert_eq!((status, text.as_str()), (404, OVERVIEW));
        page.is_broken.store(true, Ordering::Relaxed);
        for path in ["/metrics", "/readyz"] {
            let (status, _, text) = get(&server, path, "localhost").await;
            assert_eq!((status, text.as_str()), (503, "the lake is gone\n"));
        }
        assert_eq!(get(&server, "/healthz", "localhost").await.0, 200);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_foreign_name_for_loopback_and_other_methods_are_refused() {
        let (server, _page) = start();
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
        ] {
            assert_eq!(get(&server, "/metrics", host).await.0, 421, "{host}");
        }
        let url = format!("http://{}/metrics", server.address());
        let answer = reqwest::Client::new()
            .post(url)
            .body("x")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 405);
        assert_eq!(answer.headers()["allow"], "GET, HEAD");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn its_end_leaves_the_port_free() {
        let (server, _page) = start();
        let address = server.address();
        assert_eq!(get(&server, "/healthz", "localhost").await.0, 200);
        tokio::task::spawn_blocking(move || drop(server))
            .await
            .unwrap();
        assert!(std::net::TcpStream::connect(address).is_err());
        TcpListener::bind(address).unwrap();
    }
}
