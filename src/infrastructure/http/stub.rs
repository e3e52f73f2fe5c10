//! For tests only: a server that says exactly what it is told to, and a publisher that remembers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::domain::Event;
use crate::domain::event::RequestResult;
use crate::domain::ports::EventPublisher;

/// Remembers every event.
#[derive(Debug, Default)]
pub(in crate::infrastructure) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// All events but those of which every attempt publishes one.
    pub(in crate::infrastructure) fn events(&self) -> Vec<Event> {
        let mut events = self.0.lock().unwrap().clone();
        events.retain(|event| !matches!(event, Event::RequestAnswered { .. }));
        events
    }

    /// How each attempt ended.
    pub(in crate::infrastructure) fn results(&self) -> Vec<RequestResult> {
        let events = self.0.lock().unwrap();
        let results = events.iter().filter_map(|event| match event {
            Event::RequestAnswered { result, .. } => Some(*result),
            _ => None,
        });
        results.collect()
    }
}

impl EventPublisher for Recorder {
    fn publish(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// What the stub does with one connection, after which it closes it.
#[derive(Debug, Clone)]
pub(in crate::infrastructure) enum Reply {
    /// Sends these bytes.
    Raw(Vec<u8>),
    /// Never answers.
    Silence,
}

impl Reply {
    /// A whole answer; `headers` are lines ending in `\r\n`.
    pub(in crate::infrastructure) fn new(status: u16, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
        );
        Self::Raw([head.as_bytes(), body].concat())
    }
}

/// A server on loopback that answers its n-th connection with the n-th reply, and all later ones with the last.
pub(in crate::infrastructure) struct Stub {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Stub {
    pub(in crate::infrastructure) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        let log = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let reply = if replies.len() > 1 {
                    replies.pop_front()
                } else {
                    replies.front().cloned()
                };
                tokio::spawn(answer(stream, reply.unwrap(), Arc::clone(&log)));
            }
        });
        Self {
            address,
            heads,
            task,
        }
    }

    pub(in crate::infrastructure) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests so far.
    pub(in crate::infrastructure) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, reply: Reply, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    log.lock()
        .unwrap()
        .push(String::from_utf8_lossy(&head).into_owned());
    match reply {
        // A client that has gone away is none of the stub's business.
        Reply::Raw(bytes) => drop(stream.write_all(&bytes).await),
        Reply::Silence => tokio::time::sleep(Duration::from_secs(3600)).await,
    }
}
