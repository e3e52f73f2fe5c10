//! One TCP connection: reads request heads and sends answers, well or as badly as a fault asks.
//!
//! HTTP/1.1 is spoken here by hand, because most transport faults (resets, cut or endless heads, silence) lie below
//! what an HTTP library lets its user do, and because head and body leave in one system call.

use std::io::{self, IoSlice, Write as _};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::faults::StallPoint;
use super::reply::{Delivery, Framing, KeepAlive, Reply};
use super::request::{BadHead, RequestHead};
use super::service::{Answer, Service};

/// Lets the client read the first half before a reset throws it away.
const BEFORE_RESET: Duration = Duration::from_millis(20);
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// One accepted connection.
pub(super) struct Connection {
    stream: TcpStream,
    service: Arc<Service>,
    stop: watch::Receiver<bool>,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        service: Arc<Service>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            stream,
            service,
            stop,
        }
    }

    /// Serves requests until the client goes, the server stops, or a fault ends the connection.
    ///
    /// # Errors
    /// Whatever the socket says; nobody is left to be told.
    pub(super) async fn serve(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        loop {
            let head = match RequestHead::take(&mut buffer) {
                Ok(Some(head)) => head,
                Ok(None) => {
                    if self.read_more(&mut buffer).await? == 0 {
                        return Ok(());
                    }
                    continue;
                }
                Err(bad) => {
                    let status = match bad {
                        BadHead::TooLong => 414,
                        BadHead::Malformed => 400,
                    };
                    return self.send_whole(&Reply::nginx(status), KeepAlive::No).await;
                }
            };
            let answer = self.service.answer(&head);
            let latency = self.service.latency();
            if !latency.is_zero() {
                self.pause(latency).await?;
            }
            let keep_alive = if head.keeps_alive() {
                KeepAlive::Yes
            } else {
                KeepAlive::No
            };
            if self.deliver(answer, keep_alive).await? == KeepAlive::No {
                return Ok(());
            }
        }
    }

    /// Reads what has arrived; 0 when the client or the server is done.
    async fn read_more(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut chunk = [0; 8 * 1024];
        loop {
            tokio::select! {
                ready = self.stream.readable() => ready?,
                _ = self.stop.wait_for(|stopped| *stopped) => return Ok(0),
            }
            match self.stream.try_read(&mut chunk) {
                Ok(count) => {
                    buffer.extend_from_slice(&chunk[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn deliver(&mut self, answer: Answer, keep_alive: KeepAlive) -> io::Result<KeepAlive> {
        let Answer { reply, delivery } = answer;
        let half = &reply.body[..reply.body.len() / 2];
        match delivery {
            Delivery::Whole => self.send_whole(&reply, keep_alive).await?,
            Delivery::Stalled {
                point: StallPoint::BeforeHead,
                lasting,
            } => {
                self.pause(lasting).await?;
                self.send_whole(&reply, keep_alive).await?;
            }
            Delivery::Stalled {
                point: StallPoint::AfterHead,
                lasting,
            } => {
                self.send(&self.head(&reply, keep_alive), &[]).await?;
                self.pause(lasting).await?;
                self.send(&reply.body, &[]).await?;
            }
            Delivery::Slow { chunk_bytes, pause } => {
                self.send(&self.head(&reply, keep_alive), &[]).await?;
                self.send_slowly(&reply.body, chunk_bytes, pause).await?;
            }
            Delivery::Raw {
                bytes,
                chunk_bytes,
                pause,
            } => {
                self.send_slowly(&bytes, chunk_bytes, pause).await?;
                return Ok(KeepAlive::No);
            }
            Delivery::Silence => return Ok(KeepAlive::No),
            Delivery::Reset => {
                self.send(&self.head(&reply, keep_alive), half).await?;
                self.pause(BEFORE_RESET).await?;
                self.stream.set_zero_linger()?;
                return Ok(KeepAlive::No);
            }
            Delivery::Cut => {
                self.send(&self.head(&reply, keep_alive), half).await?;
                return Ok(KeepAlive::No);
            }
            Delivery::CutChunked => {
                let head = self.chunked_head(&reply, keep_alive);
                self.send(&head, &chunk_of(half)).await?;
                return Ok(KeepAlive::No);
            }
            Delivery::Bomb { decoded_bytes } => {
                self.send(&self.chunked_head(&reply, keep_alive), &[])
                    .await?;
                self.send_bomb(decoded_bytes).await?;
            }
            Delivery::Flood { body_bytes } => {
                let head = reply.head(
                    Framing::Length(body_bytes),
                    &self.service.http_date(),
                    keep_alive,
                );
                self.send(&head, &[]).await?;
                let mut left = body_bytes;
                while left > 0 {
                    let zeros = zeros_up_to(left);
                    self.send(zeros, &[]).await?;
                    left -= zeros.len() as u64;
                }
            }
        }
        Ok(keep_alive)
    }

    fn head(&self, reply: &Reply, keep_alive: KeepAlive) -> Vec<u8> {
        let length = Framing::Length(reply.body.len() as u64);
        reply.head(length, &self.service.http_date(), keep_alive)
    }

    fn chunked_head(&self, reply: &Reply, keep_alive: KeepAlive) -> Vec<u8> {
        reply.head(Framing::Chunked, &self.service.http_date(), keep_alive)
    }

    async fn send_whole(&self, reply: &Reply, keep_alive: KeepAlive) -> io::Result<()> {
        self.send(&self.head(reply, keep_alive), &reply.body).await
    }

    async fn send_slowly(
        &mut self,
        bytes: &[u8],
        chunk_bytes: usize,
        pause: Duration,
    ) -> io::Result<()> {
        for chunk in bytes.chunks(chunk_bytes.max(1)) {
            if !pause.is_zero() {
                self.pause(pause).await?;
            }
            self.send(chunk, &[]).await?;
        }
        Ok(())
    }

    /// Sends gzip of zeros; neither side of the compression is ever held whole.
    async fn send_bomb(&self, decoded_bytes: u64) -> io::Result<()> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let mut left = decoded_bytes;
        while left > 0 {
            let zeros = zeros_up_to(left);
            encoder.write_all(zeros)?;
            left -= zeros.len() as u64;
            let coded = std::mem::take(encoder.get_mut());
            if !coded.is_empty() {
                self.send(&chunk_of(&coded), &[]).await?;
            }
            tokio::task::yield_now().await;
        }
        let coded = encoder.finish()?;
        self.send(&chunk_of(&coded), b"0\r\n\r\n").await
    }

    /// Sends both parts, in one system call when the socket takes them.
    async fn send(&self, first: &[u8], second: &[u8]) -> io::Result<()> {
        let (mut first, mut second) = (first, second);
        while !(first.is_empty() && second.is_empty()) {
            let parts = [IoSlice::new(first), IoSlice::new(second)];
            match self.stream.try_write_vectored(&parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let of_first = count.min(first.len());
                    first = &first[of_first..];
                    second = &second[count - of_first..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits, but not beyond the server's stop.
    async fn pause(&mut self, lasting: Duration) -> io::Result<()> {
        tokio::select! {
            () = tokio::time::sleep(lasting) => Ok(()),
            _ = self.stop.wait_for(|stopped| *stopped) => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}

fn zeros_up_to(left: u64) -> &'static [u8] {
    let length = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
    &ZEROS[..length]
}

fn chunk_of(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
