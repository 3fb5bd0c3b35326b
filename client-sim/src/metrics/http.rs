//! One GET of a small text over plain HTTP.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How long connecting, sending and receiving may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Where the metrics are: `http://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsUrl {
    host: String,
    port: u16,
    path: String,
}

impl MetricsUrl {
    /// Reads a URL. Without a path it is `/metrics`, without a port 80.
    ///
    /// # Errors
    /// Anything but plain `http://`, an empty host, or a port that is no number.
    pub fn parse(text: &str) -> Result<Self> {
        let Some(rest) = text.strip_prefix("http://") else {
            bail!("the metrics address `{text}` does not start with http://");
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, ""),
        };
        // The last colon, unless it stands within the brackets of an IPv6 address.
        let colon = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        let (host, port) = match colon {
            Some(at) => {
                let port = authority[at + 1..].parse();
                (&authority[..at], port.with_context(|| format!("in the address `{text}`"))?)
            }
            None => (authority, 80),
        };
        ensure!(!host.is_empty(), "the metrics address `{text}` has no host");
        let path = if path.len() > 1 { path } else { "/metrics" };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }

    /// Gets the text.
    ///
    /// # Errors
    /// Nobody there, no answer in time, or an answer that is not 200.
    pub fn get(&self) -> Result<String> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut addresses = (bare, self.port).to_socket_addrs()?;
        let address = addresses.next().context("the host has no address")?;
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let Self { host, port, path } = self;
        let host = format!("Host: {host}:{port}");
        let request = format!("GET {path} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        body(&answer)
    }
}

/// The body of an answer that ends with its connection.
fn body(answer: &[u8]) -> Result<String> {
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").context("no HTTP answer")?;
    let head = String::from_utf8_lossy(&answer[..split]).to_ascii_lowercase();
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "the answer is `{status}`");
    let rest = &answer[split + 4..];
    let chunked =
        head.lines().any(|l| l.starts_with("transfer-encoding:") && l.contains("chunked"));
    let bytes = if chunked { unchunk(rest)? } else { rest.to_vec() };
    String::from_utf8(bytes).context("the metrics are not UTF-8")
}

/// Chunked transfer coding (RFC 9112, 7.1), trailers ignored.
fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").context("a chunk has no size")?;
        let size = std::str::from_utf8(&rest[..end])?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("a chunk's size is no number")?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Ok(all);
        }
        ensure!(rest.len() >= size.saturating_add(2), "the answer was cut off");
        all.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn parsed(text: &str) -> (String, u16, String) {
        let MetricsUrl { host, port, path } = MetricsUrl::parse(text).expect("a good address");
        (host, port, path)
    }

    #[test]
    fn addresses_are_taken_apart() {
        let owned = |h: &str, port, p: &str| (h.to_owned(), port, p.to_owned());
        assert_eq!(parsed("http://127.0.0.1:8080"), owned("127.0.0.1", 8080, "/metrics"));
        assert_eq!(parsed("http://box/m"), owned("box", 80, "/m"));
        assert_eq!(parsed("http://[::1]:9/metrics"), owned("[::1]", 9, "/metrics"));
        for bad in ["https://a", "http://", "http://a:b", "127.0.0.1:8080"] {
            assert!(MetricsUrl::parse(bad).is_err(), "{bad}");
        }
    }

    /// Serves one answer and returns what a client makes of it.
    fn get(answer: &'static str) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client comes");
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).expect("it asks");
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).expect("it listens");
            String::from_utf8_lossy(&request).into_owned()
        });
        let url = MetricsUrl::parse(&format!("http://127.0.0.1:{port}/m")).expect("a good address");
        let text = url.get();
        let request = server.join().expect("the server ends");
        assert!(request.starts_with("GET /m HTTP/1.1\r\n"), "{request}");
        text
    }

    #[test]
    fn a_plain_and_a_chunked_answer_are_read_and_an_error_is_told() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n";
        assert_eq!(get(plain).expect("an answer"), "a 1\n");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\na 1\r\n1;x=y\r\n\n\r\n0\r\n\r\n";
        assert_eq!(get(chunked).expect("an answer"), "a 1\n");
        let missing = get("HTTP/1.1 404 Not Found\r\n\r\n").expect_err("an error").to_string();
        assert!(missing.contains("404"), "{missing}");
        assert!(get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\na").is_err());
        assert!(get("nonsense").is_err());
    }
}
