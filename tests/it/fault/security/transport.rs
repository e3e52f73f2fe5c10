//! The way to the provider: certificates are always checked, keys never go to anybody else and never in the clear.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use marketpipe::infrastructure::fake_alpaca::{
    FAKE_KEY_ID, FAKE_SECRET, FakeAlpaca, FakeConfig, Fault, FaultScript, Tape, When,
};

use super::SECTION;
use crate::support::experiment::Experiment;
use crate::support::lab::{Lab, Ran, run};

const INGEST: [&str; 7] = [
    "ingest",
    "--symbols",
    "AAPL",
    "--start",
    "2024-07-01",
    "--end",
    "2024-07-01",
];

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-01");
    lab.configure("[http]\nbase_delay_ms = 1\nattempts = 2\nconnect_timeout_ms = 3000\nread_timeout_ms = 3000\n");
    lab
}

/// Certificates made for one test, by `openssl`.
struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// An authority and what it signs; `None` where there is no `openssl`.
    fn make() -> Option<Self> {
        if Command::new("openssl")
            .arg("version")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            eprintln!("skipped: no openssl");
            return None;
        }
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        made.openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=TestAuthority");
        // Only `openssl ca` takes dates in every version.
        let authority = "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n";
        made.write("ca.cnf", authority);
        made.write("index.txt", "");
        made.write("serial", "01\n");
        let sign = |name: &str, host: &str, dates: &str| {
            made.openssl(&format!(
                "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
            ));
            made.write(&format!("{name}.ext"), &format!("subjectAltName={host}\n"));
            made.openssl(&format!("ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in {name}.csr -out {name}.pem -extfile {name}.ext {dates}"));
        };
        sign("good", "IP:127.0.0.1", "-days 30");
        sign("other", "DNS:other.example", "-days 30");
        let past = "-startdate 20200101000000Z -enddate 20210101000000Z";
        sign("expired", "IP:127.0.0.1", past);
        made.openssl("req -x509 -newkey rsa:2048 -nodes -keyout self.key -out self.pem -days 30 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1");
        Some(made)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {words}");
    }
}

/// `openssl s_server`, which prints what it is sent.
struct TlsServer {
    child: Child,
    port: u16,
    heard: mpsc::Receiver<String>,
}

impl TlsServer {
    fn start(folder: &Path, certificate: &str, more: &[&str]) -> Self {
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}")])
            .args([
                "-cert",
                &format!("{certificate}.pem"),
                "-key",
                &format!("{certificate}.key"),
            ])
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (tell, heard) = mpsc::channel();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ACCEPT") {
            line.clear();
            assert!(
                stdout.read_line(&mut line).unwrap() > 0,
                "openssl s_server ended"
            );
        }
        std::thread::spawn(move || {
            let mut all = Vec::new();
            _ = stdout.read_to_end(&mut all);
            _ = tell.send(String::from_utf8_lossy(&all).into_owned());
        });
        Self { child, port, heard }
    }

    /// Ends it; returns what it was sent and what it says of its connections.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.heard.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

/// What other programs take for the wish not to look at certificates.
const WISHES: [(&str, &str); 10] = [
    ("NODE_TLS_REJECT_UNAUTHORIZED", "0"),
    ("PYTHONHTTPSVERIFY", "0"),
    ("GIT_SSL_NO_VERIFY", "1"),
    ("CURL_INSECURE", "1"),
    ("SSL_VERIFY", "0"),
    ("SSL_NO_VERIFY", "1"),
    ("MARKETPIPE_INSECURE", "1"),
    ("MARKETPIPE_TLS_VERIFY", "false"),
    ("APCA_TLS_VERIFY", "0"),
    ("REQUESTS_CA_BUNDLE", ""),
];

#[test]
fn a_certificate_that_does_not_prove_the_host_ends_the_run_before_a_key_is_sent() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let lab = lab();
    let ingest = |port: u16, authority: Option<&str>| -> Ran {
        let mut command = lab.command(&INGEST);
        command
            .envs(WISHES)
            .env("MARKETPIPE_ALPACA_URL", format!("https://127.0.0.1:{port}"));
        if let Some(authority) = authority {
            command.env("SSL_CERT_FILE", certificates.path(authority));
        }
        run(&mut command)
    };
    let kinds = [
        ("self-signed", "self", None, &[][..]),
        ("of an unknown authority", "good", None, &[]),
        (
            "expired, of a trusted authority",
            "expired",
            Some("ca.pem"),
            &[],
        ),
        (
            "of another host, of a trusted authority",
            "other",
            Some("ca.pem"),
            &[],
        ),
        (
            "sound, but TLS 1.1",
            "good",
            Some("ca.pem"),
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        ),
    ];
    for (kind, name, authority, more) in kinds {
        let experiment = Experiment::begin(
            SECTION,
            format!("a certificate that is {kind}"),
            format!(
                "openssl s_server; {} variables that turn checks off elsewhere are set",
                WISHES.len()
            ),
            "exit 6, not repeated as if it were passing, no byte of a request sent",
        );
        let server = TlsServer::start(certificates.folder.path(), name, more);
        let ran = ingest(server.port, authority);
        assert_eq!(ran.code, 6, "{kind}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("no trusted connection to"),
            "{kind}: {}",
            ran.stderr
        );
        let heard = server.end();
        for sent in ["GET ", "apca", FAKE_KEY_ID, FAKE_SECRET] {
            assert!(!heard.contains(sent), "{kind}: {heard}");
        }
        experiment.passed(1, "refused in the handshake");
    }
    // The same rig, all sound: what is refused above is refused for its reason.
    let server = TlsServer::start(certificates.folder.path(), "good", &["-www"]);
    let ran = ingest(server.port, Some("ca.pem"));
    assert!(
        ran.stderr.contains("with something else than a page"),
        "{}",
        ran.stderr
    );
    drop(server.end());
}

#[test]
fn no_key_of_the_configuration_turns_checks_off() {
    let lab = lab();
    let keys = [
        ("http", "verify = false"),
        ("http", "insecure = true"),
        ("http", "tls_verify = false"),
        ("http", "accept_invalid_certs = true"),
        ("http", "proxy = \"http://127.0.0.1:9\""),
        ("http", "follow_redirects = true"),
        ("providers.alpaca", "verify = false"),
        ("providers.alpaca", "insecure = true"),
        ("providers.alpaca", "ca_file = \"x.pem\""),
        ("providers.alpaca", "secret_key = \"x\""),
    ];
    let experiment = Experiment::begin(
        SECTION,
        "keys of the configuration that would weaken the connection",
        format!("{} of them", keys.len()),
        "there is none such: exit 5",
    );
    for (section, line) in keys {
        lab.configure(&format!("[{section}]\n{line}\n"));
        let ran = lab.run(&INGEST);
        assert_eq!(ran.code, 5, "{line}: {}", ran.stderr);
        assert!(ran.stderr.contains("unknown key"), "{}", ran.stderr);
    }
    experiment.passed(keys.len(), "all refused");
}

#[test]
fn keys_never_travel_in_the_clear() {
    let lab = lab();
    let urls = [
        "http://data.alpaca.markets",
        "http://192.0.2.1:80",
        "http://10.0.0.1",
        "http://0.0.0.0:1",
        "http://169.254.169.254",
        "http://2130706433:80",
        "http://0x7f000001",
        "http://127.1.evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://[2001:db8::1]",
        "http://[::ffff:10.0.0.1]",
        "http://127.0.0.1@evil.example",
        "http://user:hunter2@127.0.0.1",
        "https://user:hunter2@evil.example",
        "http://127.0.0.1:80/../x",
        "http://127.0.0.1\\@evil.example",
        "http://127.0.0.1#@evil.example",
        "http://127.0.0.1?@evil.example",
        "HTTP://evil.example",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "unix:/tmp/x",
        "//evil.example",
    ];
    let experiment = Experiment::begin(
        SECTION,
        "plain http to anybody but this machine, and addresses that pretend to be it",
        format!(
            "{} addresses by the environment and by the configuration",
            urls.len()
        ),
        "exit 5, nobody is asked; a password in an address is not shown",
    );
    for url in urls {
        let by_environment = run(lab.command(&INGEST).env("MARKETPIPE_ALPACA_URL", url));
        lab.configure(&format!(
            "[providers.alpaca]\nbase_url = {}\n",
            toml_text(url)
        ));
        let by_file = run(lab.command(&INGEST).env_remove("MARKETPIPE_ALPACA_URL"));
        for ran in [by_environment, by_file] {
            assert_eq!(ran.code, 5, "{url}: {}", ran.stderr);
            assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        }
        lab.configure("");
    }
    assert_eq!(lab.server.stats().connections, 0);
    experiment.passed(urls.len() * 2, "all refused");
}

fn toml_text(text: &str) -> String {
    format!("'{text}'")
}

#[test]
fn a_redirect_carries_no_key_anywhere() {
    let lab = lab();
    let other = FakeAlpaca::start(Tape::new(), FakeConfig::default()).unwrap();
    let own = lab.server.base_url().to_owned();
    let targets = [
        other.base_url().to_owned(),
        format!("{}/v2/stocks/bars", other.base_url()),
        format!("//{}", other.address()),
        format!("{own}/v2/stocks/bars"),
        "/v2/stocks/bars".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "https://evil.example/".to_owned(),
    ];
    let experiment = Experiment::begin(
        SECTION,
        "redirects",
        format!(
            "301, 302, 303, 307, 308 to {} addresses: another port, itself, a metadata service, a file",
            targets.len()
        ),
        "not followed, exit 6; the other server sees no connection",
    );
    let mut runs = 0;
    for (number, target) in targets.iter().enumerate() {
        let code = [301, 302, 303, 307, 308][number % 5];
        lab.server.set_faults(FaultScript::new().on(
            When::Always,
            Fault::Redirect {
                code,
                location: target.clone(),
            },
        ));
        lab.server.reset_stats();
        let ran = lab.run(&INGEST);
        assert_eq!(ran.code, 6, "{target}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("which is not followed"),
            "{}",
            ran.stderr
        );
        assert_eq!(lab.server.stats().requests, 1, "{target}: asked once");
        runs += 1;
    }
    let seen = other.stats();
    assert_eq!((seen.connections, seen.credentials_seen), (0, 0));
    experiment.passed(runs, "0 connections to the other server");
}

#[test]
fn a_proxy_is_never_shown_what_goes_to_this_machine() {
    let lab = lab();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let experiment = Experiment::begin(
        SECTION,
        "a proxy in the environment and plain http to this machine",
        "HTTP_PROXY, http_proxy, HTTPS_PROXY, https_proxy, ALL_PROXY, all_proxy",
        "loopback is asked directly; the proxy sees no connection",
    );
    let mut command = lab.command(&INGEST);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env(name, &address);
    }
    let ran = run(&mut command);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(proxy.accept().is_err(), "the proxy was asked");
    experiment.passed(1, "0 connections to the proxy");
}
