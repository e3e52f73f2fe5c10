//! Strings from outside: as symbols, names, ids and paths they lead nowhere; on a terminal, in a spreadsheet and in a
//! browser they are shown and never obeyed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use marketpipe::infrastructure::fake_alpaca::{Fault, FaultScript, When};

use super::{Outside, SECTION, assert_harmless, assert_orderly, listing};
use crate::support::experiment::{Experiment, trials};
use crate::support::lab::{Lab, run};

/// What no symbol, name or id may become a path, a pattern or a command of.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "..",
        ".",
        "../../etc",
        "../victim/letter.txt",
        "..\\..\\victim",
        "/etc/passwd",
        "//etc/passwd",
        "C:\\Windows",
        "A/B/../../../victim",
        "A\\B",
        "./A",
        "A/",
        "/A",
        "A//B",
        "A/..",
        "%2e%2e%2fvictim",
        "..%2f..%2fvictim",
        "%00",
        "A%00.txt",
        "..;/",
        "....//....//victim",
        "~",
        "~root",
        "$HOME",
        "${HOME}",
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned",
        "| touch pwned",
        "& touch pwned",
        "\n touch pwned",
        "*",
        "?",
        "[AB]",
        "{A,B}",
        "**",
        "A*",
        "symbol=A",
        "month=2024-07",
        "bars.parquet",
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "=cmd|' /C x'!A0",
        "<script>x</script>",
        "\"><img src=x>",
        "' or 1=1 --",
        "A'; DROP TABLE job;--",
        "\u{1b}[2J\u{1b}[1;1H",
        "\u{1b}]0;title\u{7}",
        "\u{9b}31m",
        "A\rB",
        "A\tB",
        "A\u{8}B",
        "\u{202e}LPAA",
        "A\u{200b}B",
        "\u{feff}A",
        "\u{410}APL",
        "\u{ff21}APL",
        "A\u{301}",
        "\u{1f600}",
        "ﬁ",
        "İ",
        "ß",
        "CON.",
        "nul:",
        "aapl.",
        "%s%n%x",
        "{}",
        "\u{fffd}",
        "A B",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("A".repeat(5_000));
    texts.push("../".repeat(500));
    texts
}

fn lab() -> Lab {
    let lab = Lab::with_made_up(&["AAPL"], "2024-07-01", "2024-07-02");
    lab.configure("[http]\nbase_delay_ms = 1\n");
    let victim = lab.folder.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("letter.txt"), "mine").unwrap();
    lab.ingest("AAPL", "2024-07-01", "2024-07-01");
    lab
}

/// The folders of the lake below `timeframe=1m`.
fn symbols_kept(lab: &Lab) -> BTreeSet<String> {
    let part = |path: &PathBuf| {
        let parts = path.iter().map(|part| part.to_str().unwrap().to_owned());
        parts.into_iter().find(|part| part.starts_with("symbol="))
    };
    lab.files().keys().filter_map(part).collect()
}

#[test]
fn a_hostile_symbol_of_the_user_makes_no_file_and_no_request() {
    let lab = lab();
    let outside = Outside::of(&lab);
    lab.server.reset_stats();
    let experiment = Experiment::begin(
        SECTION,
        "hostile symbols on the command line and in a file",
        format!(
            "{} texts: paths, patterns, shell, SQL, control characters, other alphabets, 5,000 characters",
            hostile().len()
        ),
        "left out with a message, exit 3, or 2 where none is left; nothing outside the data directory, nobody asked for them",
    );
    let mut runs = 0;
    let range = ["--start", "2024-07-02", "--end", "2024-07-02"];
    // All of them at once, each of them alone in the long run.
    for texts in [hostile()].into_iter().chain(
        hostile()
            .into_iter()
            .map(|text| vec![text])
            .take(trials(8, 500)),
    ) {
        let path = lab.folder.path().join("list.txt");
        std::fs::write(&path, texts.join("\n")).unwrap();
        let ran = lab.run(&[&["ingest", "--symbols-file", "list.txt"], &range[..]].concat());
        assert_orderly(&ran, "a file");
        assert_harmless(&ran, "a file of symbols");
        std::fs::remove_file(&path).unwrap();
        outside.assert_untouched("a file of symbols");
        runs += 1;
    }
    for text in hostile()
        .iter()
        .filter(|text| !text.contains('\0'))
        .step_by(trials(6, 1))
    {
        let option = format!("--symbols={text}");
        for command in [
            "status",
            "gaps",
            "validate",
            "aggregate",
            "repair",
            "forget",
        ]
        .iter()
        .take(trials(1, 6))
        {
            let ran = lab.run(&[command, &option]);
            assert_orderly(&ran, text);
            assert_harmless(&ran, text);
            runs += 1;
        }
        let ran = lab.run(&[&["ingest", &option], &range[..]].concat());
        assert_orderly(&ran, text);
        assert_harmless(&ran, text);
        outside.assert_untouched(text);
        runs += 1;
    }
    let asked: Vec<String> = lab
        .server
        .stats()
        .log
        .iter()
        .map(|request| request.target.clone())
        .collect();
    for target in &asked {
        let symbols = target
            .split("symbols=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap();
        let is_plain = symbols.bytes().all(|byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || b".-%".contains(&byte)
        });
        assert!(is_plain, "{target}");
    }
    assert_eq!(
        symbols_kept(&lab),
        BTreeSet::from(["symbol=AAPL".to_owned()])
    );
    experiment.passed(
        runs,
        "nothing outside has changed, no control character printed",
    );
}

#[test]
fn a_hostile_name_in_any_other_option_leads_nowhere() {
    let lab = lab();
    let outside = Outside::of(&lab);
    let places: [(&str, &[&str]); 15] = [
        ("list", &["ingest", "--symbols", "@{}"]),
        (
            "provider",
            &["ingest", "--symbols", "AAPL", "--provider={}"],
        ),
        ("feed", &["ingest", "--symbols", "AAPL", "--feed={}"]),
        (
            "adjustment",
            &["ingest", "--symbols", "AAPL", "--adjustment={}"],
        ),
        ("start", &["ingest", "--symbols", "AAPL", "--start={}"]),
        ("job shown", &["jobs", "show", "--", "{}"]),
        ("job resumed", &["jobs", "resume", "--", "{}"]),
        ("job of a validation", &["validate", "--job={}"]),
        ("finding", &["validate", "ack", "--reason", "x", "--", "{}"]),
        ("finding withdrawn", &["validate", "unack", "--", "{}"]),
        ("timeframe", &["aggregate", "--timeframes={}"]),
        ("metric", &["metrics", "history", "--", "{}"]),
        ("address", &["metrics", "serve", "--listen={}"]),
        ("command", &["--", "{}"]),
        ("format", &["status", "--format={}"]),
    ];
    let experiment = Experiment::begin(
        SECTION,
        "hostile names of lists, providers, feeds, adjustments, dates, jobs, findings, frames, metrics, addresses",
        format!("{} texts in {} places", hostile().len(), places.len()),
        "refused with exit 2, 3 or 5; nothing outside the data directory; shown without control characters",
    );
    let kept = symbols_kept(&lab);
    let mut runs = 0;
    for (number, (place, arguments)) in places.iter().enumerate() {
        // Another part of the texts in each place, all of them in the long run.
        let step = trials(18, 1);
        for text in hostile().iter().skip(number % step).step_by(step) {
            let filled: Vec<String> = arguments
                .iter()
                .map(|word| word.replace("{}", text))
                .collect();
            let filled: Vec<&str> = filled.iter().map(String::as_str).collect();
            let ran = lab.run(&filled);
            // This one is a number.
            let is_job = place.starts_with("job") && text == "+1";
            assert!(
                [2, 3, 5].contains(&ran.code) || (is_job && ran.code == 0),
                "{place} {text:?}: {} {}",
                ran.code,
                ran.stderr
            );
            assert_harmless(&ran, &format!("{place} {text:?}"));
            runs += 1;
        }
    }
    assert_eq!(symbols_kept(&lab), kept);
    outside.assert_untouched("hostile names");
    experiment.passed(runs, "all refused");
}

#[test]
fn a_configuration_of_hostile_values_is_refused_or_shown_harmlessly() {
    let lab = lab();
    let outside_values = [
        "data_dir",
        "log",
        "color",
        "providers.alpaca.feed",
        "providers.alpaca.adjustment",
        "providers.alpaca.base_url",
    ];
    let experiment = Experiment::begin(
        SECTION,
        "hostile values in the configuration",
        format!(
            "control characters and paths in {}, in names of lists and of keys",
            outside_values.join(", ")
        ),
        "exit 5, or shown escaped",
    );
    let mut runs = 0;
    let text = "\\u001b[2J\\u0007\\u202e../../victim\\n=1+1";
    for key in outside_values {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let head = if section.is_empty() {
            String::new()
        } else {
            format!("[{section}]\n")
        };
        std::fs::write(
            lab.folder.path().join("hostile.toml"),
            format!("{head}{name} = \"{text}\"\n"),
        )
        .unwrap();
        for show in [&["config", "show", "--format", "table"][..], &["status"]] {
            let arguments = [show, &["--config", "hostile.toml"]].concat();
            let mut command = lab.command(&arguments);
            command
                .env_remove("MARKETPIPE_DATA_DIR")
                .env_remove("MARKETPIPE_ALPACA_URL");
            let ran = run(&mut command);
            assert_orderly(&ran, key);
            assert_harmless(&ran, key);
            runs += 1;
        }
    }
    for body in [
        format!("[lists]\n\"{text}\" = [\"AAPL\"]\n"),
        format!("\"{text}\" = 1\n"),
        format!("[\"{text}\"]\nx = 1\n"),
        "log = \"\u{1b}[2J\"\n".to_owned(),
    ] {
        std::fs::write(lab.folder.path().join("hostile.toml"), body).unwrap();
        for show in [
            &["config", "show", "--format", "table"][..],
            &["ingest", "--symbols", "@none"],
        ] {
            let ran = lab.run(&[show, &["--config", "hostile.toml"]].concat());
            assert_orderly(&ran, "a list");
            assert_harmless(&ran, "a list");
            runs += 1;
        }
    }
    experiment.passed(runs, "no control character printed");
}

#[test]
fn a_symbol_that_the_server_made_up_becomes_neither_a_path_nor_a_formula() {
    let lab = lab();
    let outside = Outside::of(&lab);
    let texts: Vec<String> = hostile();
    let experiment = Experiment::begin(
        SECTION,
        "hostile symbols in answers of the server",
        format!(
            "{} texts as keys of bars, beside a sound answer",
            texts.len()
        ),
        "kept in quarantine as short harmless text or the page refused; only the symbol that was asked for gets a file",
    );
    let row = "{\"t\":\"2024-07-02T13:30:00Z\",\"o\":1,\"h\":1,\"l\":1,\"c\":1,\"v\":1}";
    let mut runs = 0;
    for part in texts.chunks(trials(12, 1)) {
        let keys: Vec<String> = part
            .iter()
            .map(|text| format!("{}:[{row}]", serde_json::to_string(text).unwrap()))
            .collect();
        let body = format!(
            "{{\"bars\":{{\"AAPL\":[{row}],{}}},\"next_page_token\":null}}",
            keys.join(",")
        );
        lab.server
            .set_faults(FaultScript::new().on(When::Always, Fault::BodyReplace(body.into_bytes())));
        let ran = lab.run(&[
            "ingest",
            "--symbols",
            "AAPL",
            "--start",
            "2024-07-02",
            "--end",
            "2024-07-02",
            "--refresh",
            "--accept-shrink",
            "-vv",
            "--color",
            "never",
        ]);
        assert_orderly(&ran, "hostile keys");
        assert_harmless(&ran, "hostile keys");
        runs += 1;
    }
    lab.server.set_faults(FaultScript::new());
    assert_eq!(
        symbols_kept(&lab),
        BTreeSet::from(["symbol=AAPL".to_owned()])
    );
    let names = lab.query("select distinct symbol from quarantine");
    assert!(names.len() > 20, "{names:?}");
    let csv = lab
        .done(&[
            "query",
            "select symbol, evidence, source from quarantine",
            "--format",
            "csv",
        ])
        .stdout;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(csv.as_bytes());
    for record in reader.records() {
        for cell in &record.unwrap() {
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "a spreadsheet would obey {cell:?}"
            );
            assert!(!cell.chars().any(char::is_control), "{cell:?}");
        }
    }
    let table = lab.done(&["query", "from quarantine", "--format", "table"]);
    assert_harmless(&table, "the quarantine");
    outside.assert_untouched("hostile answers");
    experiment.passed(runs, format!("{} names kept as text", names.len()));
}

#[test]
fn what_a_server_says_is_shown_and_never_obeyed() {
    let lab = lab();
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nerror: faked\u{8}\u{9b}31m\u{202e}=HYPERLINK(1)<script>alert(1)</script>";
    let json = serde_json::json!({ "message": evil }).to_string();
    let raw = |head: Vec<u8>| Fault::Raw {
        bytes: head,
        chunk_bytes: 65_536,
        pause: Duration::ZERO,
    };
    let head = |status: &str, header: &str| {
        let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
        bytes.extend(header.as_bytes());
        bytes.extend(b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
        bytes
    };
    let faults = [
        ("message of a 400", Fault::json(400, &json)),
        ("message of a 401", Fault::json(401, &json)),
        ("message of a 403", Fault::json(403, &json)),
        ("message of a 500", Fault::json(500, &json)),
        (
            "page that is none",
            Fault::BodyReplace(evil.as_bytes().to_vec()),
        ),
        (
            "token",
            Fault::BodyReplace(
                serde_json::json!({"bars": {}, "next_page_token": evil})
                    .to_string()
                    .into_bytes(),
            ),
        ),
        (
            "invalid symbol",
            Fault::json(
                400,
                &serde_json::json!({ "message": format!("invalid symbol: {evil}") }).to_string(),
            ),
        ),
        (
            "request id",
            raw(head("400 No", "X-Request-ID: \u{9b}31m\u{202e}=1+1")),
        ),
        ("reason of a status", raw(head("400 \u{9b}31m", "X: y"))),
        (
            "content encoding",
            raw(head("200 OK", "Content-Encoding: \u{9b}31m")),
        ),
        (
            "location",
            Fault::Redirect {
                code: 302,
                location: "http://\u{202e}evil\u{9b}.example/\u{1b}[2J".to_owned(),
            },
        ),
        (
            "retry after",
            Fault::too_many_requests_retry_after("0\u{9b}31m"),
        ),
        ("no HTTP at all", raw(evil.as_bytes().to_vec())),
        (
            "header with a line break",
            raw(head("400 No", "X-Request-ID: a\r\n b\u{1b}[2J")),
        ),
    ];
    let experiment = Experiment::begin(
        SECTION,
        "escape sequences, line breaks and reversals in answers of the server",
        format!(
            "in {} places, ingest -vv with and without colours; then jobs, metrics, query as tables",
            faults.len()
        ),
        "no control character on the terminal; further lines are indented; no formula in CSV",
    );
    let mut runs = 0;
    for (place, fault) in &faults {
        lab.server
            .set_faults(FaultScript::new().on(When::Always, fault.clone()));
        let arguments = [
            "ingest",
            "--symbols",
            "AAPL",
            "--start",
            "2024-07-02",
            "--end",
            "2024-07-02",
            "--refresh",
            "-vv",
            "--color",
            "never",
        ];
        let ran = lab.run(&arguments);
        assert_orderly(&ran, place);
        assert_harmless(&ran, place);
        assert!(
            !ran.stderr
                .lines()
                .any(|line| line.starts_with("error: faked")),
            "{place}: {}",
            ran.stderr
        );
        runs += 1;
    }
    lab.server.set_faults(FaultScript::new());
    for look in [
        &["jobs", "list", "--format", "table"][..],
        &["jobs", "show", "2"],
        &["jobs", "show", "3"],
        &["metrics", "runs", "--format", "table"],
        &["query", "from jobs", "--format", "table"],
    ] {
        let ran = lab.done(look);
        assert_harmless(&ran, &format!("{look:?}"));
        runs += 1;
    }
    let csv = lab
        .done(&[
            "query",
            "select message, request from jobs",
            "--format",
            "csv",
        ])
        .stdout;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    for record in reader.records() {
        for cell in &record.unwrap() {
            assert!(!cell.starts_with(['=', '+', '-', '@']), "{cell}");
        }
    }
    experiment.passed(runs, "all harmless");
}

#[test]
fn a_database_of_somebody_else_s_words_is_shown_and_never_obeyed() {
    let lab = lab();
    let database = rusqlite::Connection::open(lab.data().join("marketpipe.db")).unwrap();
    let tables = database
        .prepare("SELECT m.name, p.name FROM sqlite_schema m, pragma_table_info(m.name) p WHERE m.type = 'table' AND upper(p.type) = 'TEXT' AND m.name IN ('job', 'ingestion_job', 'quarantine', 'unit', 'checkpoint')")
        .unwrap()
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect::<Vec<_>>();
    assert!(!tables.is_empty());
    let mut planted = 0;
    for (table, column) in tables {
        // Where a check of the table refuses it, nothing is planted.
        let sql = format!("UPDATE \"{table}\" SET \"{column}\" = ?");
        planted += database
            .execute(&sql, ["\u{1b}[2J\u{7}\r\nerror: faked\u{202e}"])
            .unwrap_or(0);
    }
    drop(database);
    assert!(planted > 0);
    for look in [
        &["jobs", "list", "--format", "table"][..],
        &["jobs", "show", "1"],
        &["jobs", "resume", "1"],
        &["query", "from jobs", "--format", "table"],
        &["query", "from quarantine", "--format", "table"],
    ] {
        let ran = lab.run(look);
        assert_harmless(&ran, &format!("{look:?}"));
    }
}

#[test]
fn a_report_shows_words_and_runs_none() {
    let lab = Lab::with_made_up(&["AAPL"], "2024-06-17", "2024-06-21");
    lab.server.update_tape(|tape| {
        tape.edit("sip", "AAPL", |bars| {
            let spiky = &mut bars[1000];
            spiky.high *= 1.5;
            spiky.close *= 1.5;
        });
    });
    // The data directory's own name stands in reports.
    let data = lab.folder.path().join("<img src=x onerror=alert(1)>&\"'");
    let command = |arguments: &[&str]| {
        let mut command = lab.command(arguments);
        command.env("MARKETPIPE_DATA_DIR", &data);
        run(&mut command)
    };
    assert_eq!(
        command(&[
            "ingest",
            "--symbols",
            "AAPL",
            "--start",
            "2024-06-17",
            "--end",
            "2024-06-21"
        ])
        .code,
        0
    );
    command(&["validate"]);
    let ids = command(&[
        "query",
        "select finding_id from findings",
        "--format",
        "csv",
    ])
    .stdout;
    let id = ids.lines().nth(1).unwrap();
    let reason = "</script><script>alert(1)</script>\u{1b}[2J]]>&<!--\u{0}".replace('\u{0}', "");
    assert_eq!(
        command(&["validate", "ack", id, "--reason", &reason]).code,
        0
    );
    let experiment = Experiment::begin(
        SECTION,
        "markup and control characters in a reason and in the data directory's name",
        "validate with all reports",
        "the page runs no script but its own and loads nothing; the XML is well formed; the table is harmless",
    );
    let ran = command(&[
        "validate", "--html", "r.html", "--junit", "r.xml", "--report", "r.csv", "--format",
        "table",
    ]);
    assert_harmless(&ran, "validate");
    let read = |name: &str| std::fs::read_to_string(lab.folder.path().join(name)).unwrap();
    let page = read("r.html");
    assert!(
        !page.contains("<script>alert") && !page.contains("<img src=x"),
        "{page}"
    );
    assert_eq!(
        page.matches("<script").count(),
        page.matches("</script>").count()
    );
    let scripts = page.matches("<script").count();
    assert!(scripts <= 2, "its own script and the data of its charts");
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        let own = page.matches("http://www.w3.org/").count();
        let found = page.matches(outside).count();
        assert!(
            found == 0 || (outside == "http://" && found == own),
            "{outside} in the page"
        );
    }
    let xml = read("r.xml");
    assert!(
        !xml.chars()
            .any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')),
        "not allowed in XML"
    );
    assert!(!xml.contains("<script>"));
    experiment.passed(3, "all harmless");
}

#[test]
fn no_report_is_written_over_what_is_kept() {
    let lab = lab();
    let kept = listing(&lab.data());
    let mut names: Vec<String> = [
        "data/marketpipe.db",
        "data/store.lock",
        "data/lake/provider=alpaca/feed=sip/adjustment=raw/timeframe=1m/symbol=AAPL/month=2024-07/bars.parquet",
        "data/staging/x.csv",
        "data/../data/marketpipe.db",
        "./data/./marketpipe.db",
        "victim/../data/lake/x.csv",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(lab.data().join("marketpipe.db").display().to_string());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(lab.data(), lab.folder.path().join("way")).unwrap();
        names.push("way/marketpipe.db".to_owned());
        names.push("way/lake/x.csv".to_owned());
    }
    let experiment = Experiment::begin(
        SECTION,
        "reports and results named into the data directory",
        format!(
            "{} paths, direct, by way of other folders and of a link; --report, --html, --junit, --textfile, --output",
            names.len()
        ),
        "exit 2 and nothing is changed",
    );
    let mut runs = 0;
    for (number, name) in names.iter().enumerate() {
        let commands = [
            vec!["validate", "--report", name],
            vec!["validate", "--html", name],
            vec!["validate", "--junit", name],
            vec!["metrics", "--textfile", name],
        ];
        for command in commands
            .iter()
            .skip(number % trials(2, 1))
            .step_by(trials(2, 1))
        {
            let ran = lab.run(command);
            assert_eq!(ran.code, 2, "{command:?}: {}", ran.stderr);
            runs += 1;
        }
    }
    for name in [
        "data/x.csv",
        "data/lake/x.parquet",
        "data/../data/lake/x.csv",
    ] {
        assert_eq!(
            lab.run(&["query", "select 1", "--output", name, "--force"])
                .code,
            2
        );
        runs += 1;
    }
    let mut now = listing(&lab.data());
    now.retain(|path, _| kept.contains_key(path));
    assert!(now == kept, "what is kept has changed");
    lab.done(&["validate"]);
    lab.done(&["validate", "--report", "data/reports/own.csv"]);
    experiment.passed(runs, "all refused");
}
