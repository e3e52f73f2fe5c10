//! The server of metrics: who reaches it, what it answers, and that no client of it hurts an ingest or another client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::SECTION;
use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{Lab, run};

/// `metrics serve` at work.
struct Served {
    child: Child,
    address: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL", "MSFT"], "2024-06-03", "2024-07-05");
    lab.ingest("AAPL", "2024-07-01", "2024-07-02");
    lab
}

fn serve(lab: &Lab, listen: &str) -> Served {
    let mut child = lab
        .command(&["metrics", "serve", "--listen", listen])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended");
        if let Some(rest) = line.split("http://").nth(1) {
            break rest.split('/').next().unwrap().parse().unwrap();
        }
    };
    // What it says must not fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    Served { child, address }
}

/// The answer to raw bytes, as far as it comes within ten seconds.
fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).unwrap();
    stream.set_write_timeout(limit).unwrap();
    // A server that has seen enough hangs up before all is sent.
    _ = stream.write_all(request);
    let mut answer = Vec::new();
    let mut part = [0; 65_536];
    while let Ok(bytes @ 1..) = stream.read(&mut part) {
        answer.extend_from_slice(&part[..bytes]);
        if is_whole(&String::from_utf8_lossy(&answer)) {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    length.is_some_and(|length: usize| body.len() >= length)
}

fn status_of(answer: &str) -> u16 {
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.unwrap_or(0)
}

const HONEST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn a_page_in_a_browser_gets_nothing_from_the_server_of_metrics() {
    let lab = lab();
    let served = serve(&lab, "127.0.0.1:0");
    assert!(served.address.ip().is_loopback());
    let port = served.address.port();
    let help = lab.done(&["metrics", "serve", "--help"]).stdout;
    assert!(help.contains("[default: 127.0.0.1:9464]"), "{help}");
    let experiment = Experiment::begin(
        SECTION,
        "names for this machine that are not its own (DNS rebinding)",
        "Host headers: foreign, none, two, with tricks; an absolute address; Origin",
        "421 or 400, no figures, no header that lets another page read",
    );
    let hosts = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "127.0.0.1.evil.example".to_owned(),
        "localhost.evil.example".to_owned(),
        "evil.example@127.0.0.1.evil.example".to_owned(),
        "localhost@evil.example".to_owned(),
        "10.0.0.1".to_owned(),
        "0.0.0.0".to_owned(),
        "2130706433".to_owned(),
        "0x7f.1".to_owned(),
        "[::ffff:10.0.0.1]".to_owned(),
        "169.254.169.254".to_owned(),
        "localhost.".to_owned(),
        "localhost%00.evil.example".to_owned(),
        "localhost evil.example".to_owned(),
        "localhost,evil.example".to_owned(),
        "localhost\\evil.example".to_owned(),
        "-".to_owned(),
        String::new(),
        "\u{ff4c}ocalhost".to_owned(),
    ];
    let mut requests: Vec<String> = hosts
        .iter()
        .map(|host| format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
        .collect();
    requests.extend(
        [
            "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n",
            "GET /metrics HTTP/1.0\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\nConnection: close\r\n\r\n",
            "GET http://localhost/metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n",
        ]
        .map(str::to_owned),
    );
    for request in &requests {
        let answer = ask(served.address, request.as_bytes());
        assert!(
            [400, 421].contains(&status_of(&answer)),
            "{request}{answer}"
        );
        assert!(!answer.contains("marketpipe_"), "{request}{answer}");
    }
    for own in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80"] {
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {own}\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n"
        );
        let answer = ask(served.address, request.as_bytes());
        assert_eq!(status_of(&answer), 200, "{own}: {answer}");
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert!(!head.contains("access-control"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    }
    experiment.passed(
        requests.len() + 4,
        "all refused; own names are answered without any permission for others",
    );
}

#[test]
fn only_its_few_paths_are_served_and_only_to_be_read() {
    let lab = lab();
    let served = serve(&lab, "127.0.0.1:0");
    let experiment = Experiment::begin(
        SECTION,
        "methods, paths and heads that a server may fall for",
        "10 methods, 26 paths out of the folder, heads of a megabyte, ten thousand headers, no HTTP at all",
        "405, 404, 4xx or a closed connection; no content of a file; the server lives on",
    );
    let mut runs = 0;
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "BREW",
    ] {
        let request = format!(
            "{method} /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
        );
        let answer = ask(served.address, request.as_bytes());
        assert!(
            [400, 405].contains(&status_of(&answer)),
            "{method}: {answer}"
        );
        assert!(!answer.contains("marketpipe_"), "{method}: {answer}");
        runs += 1;
    }
    for path in [
        "/../marketpipe.db",
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/.%2e/marketpipe.db",
        "/metrics/../../etc/passwd",
        "/metrics/..",
        "/metrics/",
        "/metrics%2f",
        "/metrics%00",
        "//metrics",
        "/./metrics",
        "/METRICS",
        "/marketpipe.db",
        "/lake",
        "/lake/",
        "/data/marketpipe.db",
        "/etc/passwd",
        "/proc/self/environ",
        "/.git/config",
        "/index.html",
        "/?file=/etc/passwd&x=/metrics",
        "/debug/pprof",
        "/static/..\\..\\etc\\passwd",
        "/~root",
        "/healthz/../../etc/passwd",
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = ask(served.address, request.as_bytes());
        let is_overview = path.starts_with("/?") && status_of(&answer) == 200;
        assert!(
            [400, 404].contains(&status_of(&answer)) || is_overview,
            "{path}: {answer}"
        );
        for leaked in ["root:x:", "SQLite format", "PATH=", "marketpipe_"] {
            assert!(!answer.contains(leaked), "{path}: {answer}");
        }
        runs += 1;
    }
    let megabyte = "x".repeat(1 << 20);
    let headers: String = (0..10_000)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    for request in [
        format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {megabyte}\r\nConnection: close\r\n\r\n"),
        format!("GET /metrics HTTP/1.1\r\nHost: {megabyte}\r\nConnection: close\r\n\r\n"),
        format!("GET /metrics?{megabyte} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"),
        format!("{megabyte}\r\n\r\n"),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET /metrics\r\n\r\n".to_owned(),
        "GET /metrics HTTP/9.9\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /x".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let answer = ask(served.address, request.as_bytes());
        let shown: String = request.chars().take(60).collect();
        let is_served = status_of(&answer) == 200;
        assert!(!is_served || request.contains("Transfer-Encoding"), "{shown}: {}", &answer[..answer.len().min(300)]);
        runs += 1;
    }
    assert_eq!(status_of(&ask(served.address, HONEST.as_bytes())), 200);
    experiment.passed(
        runs,
        "all refused, and the next honest request was answered",
    );
}

#[test]
fn clients_that_hold_on_cost_neither_an_ingest_nor_another_client() {
    let lab = lab();
    let idle = trials(200, 800);
    let experiment = Experiment::begin(
        SECTION,
        "clients that hold on to the server of metrics while an ingest serves them",
        format!(
            "{idle} connections that send nothing or a byte at a time, 20 that send thousands of requests and read no answer"
        ),
        "the ingest ends as ever; an honest request is answered within 15 s",
    );
    let served = serve(&lab, "127.0.0.1:0");
    let address = served.address;
    let mut held = Vec::new();
    for number in 0..idle {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else {
            break;
        };
        if number % 2 == 0 {
            _ = stream.write_all(b"GET /metrics HTT");
        }
        held.push(stream);
    }
    assert!(held.len() * 2 > idle, "only {} could connect", held.len());
    for _ in 0..20 {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else {
            break;
        };
        stream.set_nonblocking(true).unwrap();
        let many = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(4_000);
        _ = stream.write(many.as_bytes());
        held.push(stream);
    }
    let begun = Instant::now();
    let ran = run(&mut lab.command(&[
        "ingest",
        "--symbols",
        "MSFT",
        "--start",
        "2024-06-03",
        "--end",
        "2024-07-05",
        "--metrics-listen",
        "127.0.0.1:0",
    ]));
    let ingest_took = begun.elapsed();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ingest_took.as_secs() < 30, "{ingest_took:?}");
    let begun = Instant::now();
    let mut answer = String::new();
    while status_of(&answer) != 200 {
        assert!(
            begun.elapsed().as_secs() < 15,
            "an honest client is locked out"
        );
        answer = ask(address, HONEST.as_bytes());
    }
    let waited = begun.elapsed();
    drop(held);
    assert_eq!(status_of(&ask(served.address, HONEST.as_bytes())), 200);
    experiment.passed(
        1,
        format!(
            "the ingest took {:.1} s, an honest request {:.1} s",
            ingest_took.as_secs_f64(),
            waited.as_secs_f64()
        ),
    );
}
