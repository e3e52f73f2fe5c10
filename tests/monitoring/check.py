"""Has a real Prometheus scrape `marketpipe metrics serve` while an ingest is at work, and compares the numbers.

    cargo build && python3 tests/monitoring/check.py [PROGRAM] [--keep-serving]

Starts in a temporary folder: the built-in server with made-up bars, `metrics serve`, and `prometheus` with the scrape
configuration and the alert rules of `config/prometheus` (another target and a scrape each second). Then every command runs
twice. Checked are

- that Prometheus saw the counter of new rows grow while the ingest was at work,
- that every number of the ingests' own summaries is the number in Prometheus,
- `promtool check metrics`, `promtool check config` and `promtool test rules`,
- that every query of the Grafana dashboard has a value (`dashboard.py`).

Prints a line for each. Exit code 1 when one does not hold, 2 when `prometheus` or `promtool` is not installed (Debian:
`apt-get install prometheus`). Needs Python 3.9 or newer and no package. --keep-serving leaves Prometheus running until
Ctrl-C, for looking at it.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
CONFIG = HERE.parents[1] / "config"
DATASET = "alpaca/sip/raw"

# Counters by the column of the ingest's summary.
COUNTERS = {
    "rows_new": "marketpipe_rows_new_total",
    "rows_revised": "marketpipe_rows_revised_total",
    "rows_quarantined": "marketpipe_rows_quarantined_total",
    "requests": "marketpipe_requests_total",
    "retries": "marketpipe_retries_total",
    "wire_bytes": "marketpipe_received_bytes_total",
    "files_written": "marketpipe_files_written_total",
}


class Checks:
    """What held and what did not."""

    def __init__(self):
        self.failed = 0

    def note(self, holds, words):
        self.failed += not holds
        print(f"{'ok' if holds else 'FAILED':6} {words}", flush=True)

    def note_command(self, words, command, **options):
        done = subprocess.run(command, capture_output=True, text=True, **options)
        self.note(done.returncode == 0, words)
        if done.returncode:
            print(done.stdout + done.stderr)


class Prometheus:
    """A running server."""

    def __init__(self, folder, target):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        text = (CONFIG / "prometheus" / "prometheus.yml").read_text()
        text = text.replace("127.0.0.1:9464", target)
        # Seconds instead of minutes: nobody waits for a day's data.
        text = re.sub(r"(scrape_interval|evaluation_interval): *\S+", r"\1: 1s", text)
        text = re.sub(r"scrape_timeout: *\S+", "scrape_timeout: 1s", text)
        (folder / "prometheus.yml").write_text(text)
        shutil.copy(CONFIG / "prometheus" / "alerts.yml", folder)
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={self.address}",
                "--log.level=error",
            ]
        )

    def ask(self, query):
        """The first value of the query now; None without any."""
        url = f"http://{self.address}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(url, timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def wait_until(self, query, holds, seconds=30):
        """The query's value, once it is as wanted or the time is up."""
        ends = time.monotonic() + seconds
        while True:
            try:
                value = self.ask(query)
            except OSError:
                value = None
            if holds(value) or time.monotonic() > ends:
                return value
            time.sleep(0.2)


def first_line(process, ending):
    """The first line of stderr that has `ending`."""
    for line in process.stderr:
        if ending in line:
            return line
    sys.exit(f"{process.args} ended early")


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=str(target / "debug" / "marketpipe"))
    parser.add_argument("--keep-serving", action="store_true")
    arguments = parser.parse_args()
    for tool in ("prometheus", "promtool"):
        if not shutil.which(tool):
            print(f"error: {tool} is not installed", file=sys.stderr)
            return 2
    program = str(pathlib.Path(arguments.program).resolve())
    checks = Checks()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="marketpipe-monitoring-"))
    started = []

    def start(words):
        process = subprocess.Popen([program, *words], stderr=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        return process

    try:
        config = folder / "marketpipe.toml"
        # One request a second and one unit after the other, so that the ingest commits several times between scrapes.
        config.write_text("[ingest]\nparallel = 1\n[providers.alpaca]\nrequests_per_minute = 60\n")
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
        ours = ["--config", str(config), "--data-dir", str(folder / "data"), "--format", "json"]
        server = start(["fake-alpaca", "--port", "0", "--symbols", "AAPL,MSFT,SPY", "--start", "2023-01-03", "--end", "2024-12-31"])
        environment |= dict(re.findall(r"([A-Z_]+)=(\S+)", first_line(server, "APCA_API_SECRET_KEY")))
        serving = start([*ours, "metrics", "serve", "--listen", "127.0.0.1:0"])
        address = re.search(r"http://([^/]+)/", first_line(serving, "http://"))[1]
        prometheus = Prometheus(folder, address)
        started.append(prometheus.process)
        up = prometheus.wait_until('up{job="marketpipe"}', lambda value: value == 1)
        checks.note(up == 1, f"Prometheus scrapes {address}")

        totals = dict.fromkeys(COUNTERS, 0)
        new_rows = f'marketpipe_rows_new_total{{dataset="{DATASET}"}}'
        for number, (first, last) in enumerate([("2023-01-03", "2023-12-29"), ("2024-01-02", "2024-12-31")], 1):
            before = totals["rows_new"]
            words = ["ingest", "--symbols", "AAPL,MSFT,SPY", "--start", first, "--end", last]
            ingest = subprocess.Popen(
                [program, *ours, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
            )
            seen = set()
            while ingest.poll() is None:
                seen.add(prometheus.ask(new_rows))
                time.sleep(0.5)
            row = json.load(ingest.stdout)["rows"][0]
            for column in COUNTERS:
                totals[column] += row[column]
            between = {value for value in seen if value is not None and before < value < totals["rows_new"]}
            checks.note(len(between) >= 2, f"ingest {number}: its rows were seen to grow, {len(between)} times on the way to {row['rows_new']}")
            for command in (["aggregate"], ["validate", "--fail-on", "never"]):
                checks.note_command(f"{command[0]} {number}", [program, *ours, *command], env=environment)
            prometheus.wait_until(new_rows, lambda value: value == totals["rows_new"])
            # Two scrapes of the same: what is compared below is what was kept last.
            time.sleep(3)
        for column, counter in COUNTERS.items():
            value = prometheus.ask(f'{counter}{{dataset="{DATASET}"}}') or 0
            checks.note(value == totals[column], f"{counter}: {value:.0f} in Prometheus, {totals[column]} in the ingests' summaries")
        query = [program, *ours, "query", "select count(*) as rows from bars_1m"]
        counted = json.loads(subprocess.run(query, capture_output=True, text=True, env=environment).stdout)["rows"][0]["rows"]
        value = prometheus.ask(f'marketpipe_stored_rows{{dataset="{DATASET}",timeframe="1m"}}')
        checks.note(value == counted, f"marketpipe_stored_rows: {value:.0f} in Prometheus, {counted} counted from the files")

        with urllib.request.urlopen(f"http://{address}/metrics") as page:
            text = page.read().decode()
        checks.note_command(f"promtool check metrics, {len(text.splitlines())} lines", ["promtool", "check", "metrics"], input=text)
        rules = CONFIG / "prometheus"
        checks.note_command("promtool check config", ["promtool", "check", "config", str(rules / "prometheus.yml")])
        checks.note_command("promtool test rules", ["promtool", "test", "rules", str(rules / "alerts_test.yml")])
        dashboard = [sys.executable, str(HERE / "dashboard.py"), "--prometheus", f"http://{prometheus.address}"]
        checks.note_command("every query of the dashboard has a value", dashboard)
        if arguments.keep_serving:
            print(f"http://{prometheus.address}/ until Ctrl-C", flush=True)
            prometheus.process.wait()
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
