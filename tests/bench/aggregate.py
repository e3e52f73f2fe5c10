"""Times `marketpipe aggregate` against what is written today with DuckDB, Polars and pandas.

    cargo build && python tests/bench/aggregate.py [PROGRAM] [--lake DIR] [--runs N] [--at-least-duckdb RATIO] ..

All four make 5m, 15m, 1h and 1d bars from the same lake: minutes of regular hours, 40 symbols, 500 sessions, one file a
symbol and month, about 7.7 million rows, whole cents, about 2 % of the minutes without a trade. They take turns; each
turn is a process of its own, timed from its start to its end, and writes everything anew. CPU seconds are user and
system time of that process with all its threads. The lake is in the system's file cache for all of them.

What is in the peers' favour: they write one file a frame, MarketPipe one for each frame, symbol and year; they trust
what they read, sync nothing to the disk and record nothing. MarketPipe's turn has a copy of the data directory without
derived bars (hard links of the minutes, the catalog copied), made before the clock starts.

The lake is made with `ingest --provider synthetic`, a session at a time because it is asked for regular hours only,
which takes minutes; DIR keeps it (DIR/data) for the next time, and one that is too short grows. Turns write below DIR
too, and what they wrote is removed in the end.

Prints the load of the machine and how long 100 small files take to be synced to that disk; seconds, CPU seconds and
peak memory of each turn; by how many times each peer's median wall time is longer (lowest and highest from the extremes
of both). Exit code 1 when a ratio is below its `--at-least-..`, MarketPipe's peak is above `--at-most-mib`, or bars,
volume or prices differ.

Needs: pip install -r tests/bench/requirements.txt
"""

import argparse
import csv
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from peers import Turn

HERE = pathlib.Path(__file__).resolve().parent
FRAMES = ["5m", "15m", "1h", "1d"]
PEERS = ["duckdb", "polars", "pandas"]
FIRST_SESSION = "2022-01-03"
SYNCED_FILES = 100


def symbol_names(count):
    return ["B" + chr(ord("A") + n // 26) + chr(ord("A") + n % 26) for n in range(count)]


class Lake:
    """A MarketPipe data directory with minutes of regular hours and nothing else."""

    def __init__(self, arguments, folder, scratch):
        self.program, self.folder = arguments.program, folder
        self.symbols, self.sessions = symbol_names(arguments.symbols), arguments.sessions
        # Neither the caller's configuration nor its MARKETPIPE_ variables.
        self.config = scratch / "bench.toml"
        self.config.touch()
        self.environment = {"HOME": str(scratch), "PATH": os.environ["PATH"]}

    def command(self, data, *arguments):
        return [self.program, "--config", str(self.config), "--data-dir", str(data), *arguments]

    def query(self, sql):
        command = self.command(self.folder, "--quiet", "--format", "csv", "query", sql)
        answer = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if answer.returncode != 0:
            sys.exit(f"{command} failed:\n{answer.stderr}")
        return list(csv.reader(answer.stdout.splitlines()))[1:]

    def grow(self):
        """Fetches the sessions that not all symbols have."""
        names = ", ".join(f"'{name}'" for name in self.symbols)
        missing = self.query(
            f"""
            WITH wanted AS (
                FROM calendar WHERE session_date >= '{FIRST_SESSION}' ORDER BY session_date LIMIT {self.sessions}
            ), held AS (
                SELECT session_date FROM bars_1m WHERE symbol IN ({names})
                GROUP BY session_date HAVING count(DISTINCT symbol) = {len(self.symbols)}
            )
            SELECT strftime(open, '%Y-%m-%dT%H:%M:%SZ'), strftime(close, '%Y-%m-%dT%H:%M:%SZ')
            FROM wanted WHERE session_date NOT IN (FROM held) ORDER BY session_date
            """
        )
        started = time.perf_counter()
        for number, (begin, end) in enumerate(missing, 1):
            span = ["--provider", "synthetic", "--symbols", ",".join(self.symbols), "--start", begin, "--end", end]
            command = self.command(self.folder, "--quiet", "ingest", *span)
            subprocess.run(command, env=self.environment, stdout=subprocess.DEVNULL, check=True)
            if number % 50 == 0 or number == len(missing):
                print(f"lake: {number} of {len(missing)} sessions, {time.perf_counter() - started:.0f} s", flush=True)

    def check(self):
        """Sets the number of minutes; ends the run when the lake is not what all four can be measured on."""
        ((minutes, symbols, sessions, other),) = self.query(
            """
            SELECT count(*), count(DISTINCT symbol), count(DISTINCT session_date),
                count(*) FILTER (segment <> 'regular')
            FROM bars_1m
            """
        )
        derived = [path for path in (self.folder / "lake").rglob("timeframe=*") if path.name != "timeframe=1m"]
        if (int(symbols), int(sessions), int(other)) != (len(self.symbols), self.sessions, 0) or derived:
            sys.exit(
                f"{self.folder} has {symbols} symbols, {sessions} sessions, {other} minutes outside regular hours and "
                f"{len(derived)} derived frames, not {len(self.symbols)}, {self.sessions}, 0 and 0: give another --lake"
            )
        self.minutes = int(minutes)
        files = list((self.folder / "lake").rglob("*.parquet"))
        size = sum(file.stat().st_size for file in files)
        print(f"lake: {self.minutes:,} minutes in {len(files)} files, {size / 2**20:.0f} MiB", flush=True)

    def copy_to(self, folder):
        """Minutes as hard links, which MarketPipe never writes into, and the catalog."""
        folder.mkdir()
        shutil.copytree(self.folder / "lake", folder / "lake", copy_function=os.link)
        for file in self.folder.glob("marketpipe.db*"):
            shutil.copy2(file, folder)


class Bench:
    """The turns. Each has a folder, kept to the end: making files where others were just deleted is slow on ext4."""

    def __init__(self, lake, folder):
        self.lake, self.folder = lake, folder
        self.sums = {}

    def run(self, label, name):
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        return self.marketpipe(label, folder / "data") if name == "marketpipe" else self.peer(label, name, folder)

    def marketpipe(self, label, data):
        self.lake.copy_to(data)
        arguments = ["--full", "--symbols", ",".join(self.lake.symbols), "--timeframes", ",".join(FRAMES)]
        turn = self.turn(label, "marketpipe", self.lake.command(data, "--format", "json", "aggregate", *arguments))
        self.add_up("marketpipe", [f"{data}/lake/*/*/*/timeframe={frame}/*/*/*.parquet" for frame in FRAMES])
        return turn

    def peer(self, label, name, folder):
        script = HERE / f"aggregate_{name}.py"
        turn = self.turn(label, name, [sys.executable, str(script), str(self.lake.folder / "lake"), str(folder)])
        self.add_up(name, [f"{folder}/out_{frame}.parquet" for frame in FRAMES])
        return turn

    def turn(self, label, name, command):
        turn = Turn(command, self.lake.environment, lambda _: self.lake.minutes)
        print(
            f"{label:8} {name:10} {turn.wall_s:7.2f} s {turn.cpu_s:7.2f} CPU s {turn.peak_mib:6.0f} MiB peak "
            f"{turn.rows / turn.wall_s:>12,.0f} minutes/s",
            flush=True,
        )
        return turn

    def add_up(self, name, globs):
        command = [sys.executable, str(HERE / "aggregate_sums.py"), *globs]
        lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        self.sums.setdefault(name, []).append([json.loads(line) for line in lines])

    def print_machine(self):
        """For the reader to judge: cores, load, and what the disk takes for small files synced one by one."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sync-", dir=self.folder))
        started = time.perf_counter()
        for number in range(SYNCED_FILES):
            with open(folder / str(number), "wb") as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        seconds = time.perf_counter() - started
        print(
            f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first turn; "
            f"{SYNCED_FILES} files of 4 KiB written and synced one by one in {seconds * 1000:.0f} ms",
            flush=True,
        )


def same_bars(sums):
    """Whether every turn made the same bars; prints what they are, or what differs."""
    is_same = True
    expected = sums["duckdb"][0]
    for name, turns in sums.items():
        for number, frames in enumerate(turns):
            for frame, ours, theirs in zip(FRAMES, frames, expected):
                for what in theirs:
                    if ours[what] != theirs[what]:
                        is_same = False
                        print(f"{frame} {what} differ: {ours[what]:,} in {name} {number}, {theirs[what]:,} in duckdb 0")
    if len({frame["volume"] for frame in expected}) != 1:
        is_same = False
        print(f"volume differs between frames: {[frame['volume'] for frame in expected]}")
    if is_same:
        counts = ", ".join(f"{sums['bars']:,} {frame}" for frame, sums in zip(FRAMES, expected))
        print(f"bars: {counts}; bars, volume and prices are the same in all turns")
    return is_same


def compare(turns, bench, arguments):
    """Prints the verdict and returns the exit code."""
    failed = not same_bars(bench.sums)
    ours = turns["marketpipe"]
    for name in PEERS:
        theirs, at_least = turns[name], getattr(arguments, f"at_least_{name}")
        wall, cpu = (
            statistics.median(value(turn) for turn in theirs) / statistics.median(value(turn) for turn in ours)
            for value in (lambda turn: turn.wall_s, lambda turn: turn.cpu_s)
        )
        lowest = min(turn.wall_s for turn in theirs) / max(turn.wall_s for turn in ours)
        highest = max(turn.wall_s for turn in theirs) / min(turn.wall_s for turn in ours)
        verdict = "" if wall >= at_least else f", below {at_least:g}"
        failed |= wall < at_least
        span = f"lowest {lowest:.1f}, highest {highest:.1f}"
        print(f"{name}: {wall:.1f} times as long ({span}), {cpu:.1f} times the CPU seconds{verdict}")
    peak = max(turn.peak_mib for turn in ours)
    verdict = "" if peak <= arguments.at_most_mib else f", above {arguments.at_most_mib:g}"
    failed |= peak > arguments.at_most_mib
    print(f"marketpipe: {statistics.median(turn.wall_s for turn in ours):.2f} s, {peak:.0f} MiB peak{verdict}")
    return 1 if failed else 0


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=str(target / "debug" / "marketpipe"))
    parser.add_argument("--lake", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--at-least-duckdb", type=float, default=5, metavar="RATIO")
    parser.add_argument("--at-least-polars", type=float, default=3, metavar="RATIO")
    parser.add_argument("--at-least-pandas", type=float, default=7, metavar="RATIO")
    parser.add_argument("--at-most-mib", type=float, default=1024, metavar="MIB")
    arguments = parser.parse_args()
    given = arguments.lake
    if given:
        given.mkdir(parents=True, exist_ok=True)
    # Hard links need the file system of the lake.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="marketpipe-aggregate-", dir=given or os.environ.get("BENCH_FOLDER")))
    try:
        lake = Lake(arguments, (given or folder).resolve() / "data", folder.resolve())
        lake.grow()
        lake.check()
        bench = Bench(lake, folder.resolve())
        bench.print_machine()
        # The first turns fill the system's file cache; nobody counts them.
        turns = {name: [] for name in ["marketpipe", *PEERS]}
        for name in turns:
            bench.run("warm-up", name)
        for number in range(1, arguments.runs + 1):
            for name in turns:
                turns[name].append(bench.run(f"run {number}", name))
        return compare(turns, bench, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
