//! The head of an HTTP/1.1 request, as far as the fake server needs it. Never sees a body.

use super::reply::Coding;

/// Longest head that is read; beyond, the answer is 414, as for a list of thousands of symbols.
pub(super) const HEAD_LIMIT_BYTES: usize = 64 * 1024;

/// Request line and headers.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    /// Path and query as received.
    pub(super) target: String,
    old_protocol: bool,
    headers: Vec<(String, String)>,
}

impl RequestHead {
    /// Takes one head off the front of `buffer`; `None` when it has not arrived whole.
    ///
    /// # Errors
    /// [`BadHead`] when it is no HTTP/1 request.
    pub(super) fn take(buffer: &mut Vec<u8>) -> Result<Option<Self>, BadHead> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(length) = buffer.windows(END.len()).position(|window| window == END) else {
            return if buffer.len() > HEAD_LIMIT_BYTES {
                Err(BadHead::TooLong)
            } else {
                Ok(None)
            };
        };
        let parsed = std::str::from_utf8(&buffer[..length])
            .ok()
            .and_then(Self::parse)
            .ok_or(BadHead::Malformed);
        buffer.drain(..length + END.len());
        parsed.map(Some)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") {
            return None;
        }
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            old_protocol: version == "HTTP/1.0",
            headers,
        })
    }

    /// The first value of a header, whatever the case of its name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether any header that could hold a credential is there.
    pub(super) fn has_credentials(&self) -> bool {
        ["apca-api-key-id", "apca-api-secret-key", "authorization"]
            .iter()
            .any(|name| self.header(name).is_some())
    }

    /// The best coding that the client takes.
    pub(super) fn accepted_coding(&self) -> Coding {
        let takes_gzip = self.header("accept-encoding").is_some_and(|list| {
            list.split(',').any(|coding| {
                let mut parts = coding.split(';').map(str::trim);
                parts.next() == Some("gzip") && parts.next() != Some("q=0")
            })
        });
        if takes_gzip {
            Coding::Gzip
        } else {
            Coding::Plain
        }
    }

    /// Whether the connection can serve another request; a body would have to be read away first.
    pub(super) fn keeps_alive(&self) -> bool {
        let has_body = self.header("transfer-encoding").is_some()
            || self
                .header("content-length")
                .is_some_and(|length| length != "0");
        let says = |word: &str| {
            self.header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case(word))
        };
        !has_body && !says("close") && (!self.old_protocol || says("keep-alive"))
    }
}

/// Why there is no request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHead {
    TooLong,
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_taken_only_when_whole_and_the_rest_stays() {
        let mut buffer = b"GET /x HTTP/1.1\r\nAccept-Encoding: br, GZIP;q=0, gzip\r\n\r".to_vec();
        assert!(RequestHead::take(&mut buffer).unwrap().is_none());
        buffer.extend_from_slice(b"\nGET /y");
        let head = RequestHead::take(&mut buffer).unwrap().unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/x"));
        assert_eq!(head.accepted_coding(), Coding::Gzip);
        assert!(head.keeps_alive() && !head.has_credentials());
        assert_eq!(buffer, b"GET /y");
    }

    #[test]
    fn an_endless_or_foreign_head_is_refused() {
        let mut endless = vec![b'a'; HEAD_LIMIT_BYTES + 1];
        assert_eq!(
            RequestHead::take(&mut endless).unwrap_err(),
            BadHead::TooLong
        );
        let mut foreign = b"PRI * HTTP/2.0\r\n\r\n".to_vec();
        assert_eq!(
            RequestHead::take(&mut foreign).unwrap_err(),
            BadHead::Malformed
        );
    }
}
