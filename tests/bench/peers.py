"""Times `marketpipe ingest` against the script that is written today with Alpaca's official client and pandas.

    cargo build && python tests/bench/peers.py [PROGRAM] [--symbols N] [--first D] [--last D] [--runs N] [--at-least RATIO]

Both read the same bars, gzip on, from one server that runs in a third process and keeps its finished pages in memory,
and both end with Parquet files on disk. They take turns; each turn is a process of its own, timed from its start to its
end. CPU seconds are user and system time of that process with all its threads; the server's are not in them.

Prints rows, seconds, CPU seconds, CPU microseconds a bar and peak memory of each turn, then by how many times
MarketPipe's CPU seconds a bar are fewer (of the medians; lowest and highest from the extremes of both), and how far its
wall time is from 1.7 million bars a second. Exit code 1 when that ratio is below `--at-least` or the row counts differ.

Needs: pip install -r tests/oracle/requirements.txt
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MOONSHOT_BARS_PER_SECOND = 1_700_000
OTHER_SCRIPT = pathlib.Path(__file__).resolve().parent / "alpaca_py_pandas.py"


class Turn:
    """One process, run to its end: rows, wall seconds, CPU seconds, peak MiB."""

    def __init__(self, command, environment, rows_of):
        with tempfile.TemporaryFile(mode="w+") as errors:
            started = time.perf_counter()
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
            stdout = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            self.wall_s = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            process.stdout.close()
            if process.returncode != 0:
                errors.seek(0)
                sys.exit(f"{command} failed:\n{errors.read()}")
        self.rows = rows_of(stdout)
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.peak_mib = usage.ru_maxrss / 1024
        self.cpu_us_per_bar = self.cpu_s / self.rows * 1e6

    def print(self, label, lake_bytes):
        print(
            f"{label:22} {self.rows:>10,} rows {self.wall_s:7.2f} s {self.cpu_s:7.2f} CPU s "
            f"{self.cpu_us_per_bar:7.3f} CPU us/bar {self.peak_mib:6.0f} MiB peak {lake_bytes / self.rows:6.2f} bytes/bar",
            flush=True,
        )


def bytes_below(folder):
    return sum(file.stat().st_size for file in folder.rglob("*.parquet"))


class Bench:
    """What the two have in common: server, symbols, range, folder."""

    def __init__(self, arguments, folder):
        self.program, self.folder = arguments.program, folder
        self.symbols = ",".join("BENCH" + chr(ord("A") + n) for n in range(arguments.symbols))
        self.span = ["--symbols", self.symbols, "--start", arguments.first, "--end", arguments.last]
        # All bars that the server has, hours before the open of the first session included.
        first, last = (datetime.date.fromisoformat(date) for date in (arguments.first, arguments.last))
        self.window = [f"{day}T00:00:00+00:00" for day in (first - datetime.timedelta(7), last + datetime.timedelta(2))]
        self.config = folder / "bench.toml"
        self.config.write_text("[providers.alpaca]\nrequests_per_minute = 100000\n")

    def serve(self):
        command = [self.program, "fake-alpaca", "--port", "0", "--cache-mb", "4096", *self.span]
        self.server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        exports = ""
        while "APCA_API_SECRET_KEY" not in exports:
            exports = self.server.stderr.readline()
            if not exports:
                sys.exit(f"{command} ended before it served")
        self.environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"]}
        self.environment |= dict(re.findall(r"([A-Z_]+)=(\S+)", exports))

    def new_folder(self):
        """A folder for one turn, kept to the end: making files where others were just deleted is slow on ext4."""
        return pathlib.Path(tempfile.mkdtemp(prefix="turn-", dir=self.folder))

    def marketpipe(self, label):
        lake = self.new_folder()
        command = [self.program, "--config", str(self.config), "--data-dir", str(lake), "--format", "json", "ingest", *self.span]
        turn = Turn(command, self.environment, lambda stdout: json.loads(stdout)["rows"][0]["rows_new"])
        turn.print(f"{label} marketpipe", bytes_below(lake / "lake"))
        return turn

    def pandas(self, label):
        lake = self.new_folder()
        base_url = self.environment["MARKETPIPE_ALPACA_URL"].rstrip("/")
        command = [sys.executable, str(OTHER_SCRIPT), base_url, self.symbols, *self.window, str(lake)]
        turn = Turn(command, self.environment, int)
        turn.print(f"{label} alpaca-py", bytes_below(lake))
        return turn


def compare(ours, theirs, at_least):
    """Prints the verdict and returns the exit code."""
    rows = {turn.rows for turn in ours + theirs}
    if len(rows) != 1:
        print(f"row counts differ: {sorted(rows)}")
        return 1
    our_us, their_us = ([turn.cpu_us_per_bar for turn in turns] for turns in (ours, theirs))
    ratio = statistics.median(their_us) / statistics.median(our_us)
    lowest, highest = min(their_us) / max(our_us), max(their_us) / min(our_us)
    print(f"CPU seconds a bar: {ratio:.1f} times fewer than alpaca-py and pandas (lowest {lowest:.1f}, highest {highest:.1f})")
    speed = rows.pop() / statistics.median(turn.wall_s for turn in ours)
    print(
        f"wall: {speed:,.0f} bars/s, {speed / MOONSHOT_BARS_PER_SECOND:.0%} of {MOONSHOT_BARS_PER_SECOND:,} "
        f"on {os.cpu_count()} cores that the server shares"
    )
    if ratio < at_least:
        print(f"ratio {ratio:.1f} is below {at_least:g}")
        return 1
    return 0


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=str(target / "debug" / "marketpipe"))
    parser.add_argument("--symbols", type=int, default=4)
    parser.add_argument("--first", default="2023-01-03")
    parser.add_argument("--last", default="2023-12-29")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--at-least", type=float, default=20, metavar="RATIO")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="marketpipe-peers-", dir=os.environ.get("BENCH_FOLDER")))
    bench = Bench(arguments, folder)
    bench.serve()
    try:
        # The first turns fill the server's memory and the system's file cache; nobody counts them.
        bench.marketpipe("warm-up")
        bench.pandas("warm-up")
        ours, theirs = [], []
        for number in range(1, arguments.runs + 1):
            ours.append(bench.marketpipe(f"run {number}"))
            theirs.append(bench.pandas(f"run {number}"))
        return compare(ours, theirs, arguments.at_least)
    finally:
        bench.server.terminate()
        bench.server.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
