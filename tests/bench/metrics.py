"""Times `marketpipe ingest` with its metrics kept and not kept, in turns, from one server in another process.

    cargo build && python3 tests/bench/metrics.py [PROGRAM] [--symbols N] [--first D] [--last D] [--runs N] [--at-most PCT]

Each turn is a process of its own, timed from its start to its end, into an empty data directory. The order within a pair
changes from pair to pair. Prints seconds and CPU seconds of each turn, and by how many percent metrics make an ingest
slower: the median over the pairs, with the lowest and the highest. Exit code 1 when the median is above --at-most.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

from peers import Turn


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=str(target / "debug" / "marketpipe"))
    parser.add_argument("--symbols", type=int, default=6)
    parser.add_argument("--first", default="2022-01-03")
    parser.add_argument("--last", default="2023-12-29")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--at-most", type=float, default=2, metavar="PCT")
    arguments = parser.parse_args()
    names = ",".join("BENCH" + chr(ord("A") + n) for n in range(arguments.symbols))
    span = ["--symbols", names, "--start", arguments.first, "--end", arguments.last]
    server = subprocess.Popen(
        [arguments.program, "fake-alpaca", "--port", "0", "--cache-mb", "2048", *span], stderr=subprocess.PIPE, text=True
    )
    folder = pathlib.Path(tempfile.mkdtemp(prefix="marketpipe-metrics-", dir=os.environ.get("BENCH_FOLDER")))
    pairs = []
    try:
        exports = ""
        while "APCA_API_SECRET_KEY" not in exports:
            exports = server.stderr.readline()
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"]} | dict(re.findall(r"([A-Z_]+)=(\S+)", exports))
        for name, kept in (("on", "true"), ("off", "false")):
            text = f"[providers.alpaca]\nrequests_per_minute = 100000\n[metrics]\nenabled = {kept}\n"
            (folder / f"{name}.toml").write_text(text)
        for number in range(arguments.runs + 1):
            turns = {}
            for name in ("on", "off") if number % 2 else ("off", "on"):
                data = folder / "data"
                config = folder / f"{name}.toml"
                command = [arguments.program, "--config", str(config), "--data-dir", str(data), "--format", "json", "ingest"]
                turn = Turn(command + span, environment, lambda text: json.loads(text)["rows"][0]["rows_new"])
                shutil.rmtree(data)
                label = f"run {number}" if number else "warm-up"
                print(f"{label:8} {name:4} {turn.rows:>10,} rows {turn.wall_s:6.3f} s {turn.cpu_s:6.3f} CPU s", flush=True)
                turns[name] = turn
            # The first turns fill the server's cache; nobody counts them.
            if number:
                pairs.append(turns)
    finally:
        server.terminate()
        shutil.rmtree(folder, ignore_errors=True)

    def slower(of):
        percents = sorted((of(pair["on"]) / of(pair["off"]) - 1) * 100 for pair in pairs)
        return statistics.median(percents), percents[0], percents[-1]

    wall, cpu = slower(lambda turn: turn.wall_s), slower(lambda turn: turn.cpu_s)
    print(f"with metrics: {wall[0]:+.1f} % of the time (lowest {wall[1]:+.1f}, highest {wall[2]:+.1f}), {cpu[0]:+.1f} % CPU seconds")
    return 1 if wall[0] > arguments.at_most else 0


if __name__ == "__main__":
    sys.exit(main())
