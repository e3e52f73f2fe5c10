"""Times an ingest from HTTP bytes to committed Parquet, with the server in another process and gzip on.

    cargo build && python tests/bench/ingest.py [PROGRAM] [--symbols N] [--first D] [--last D] [--runs N]

The server keeps finished pages in memory, so after a warm-up run it costs next to nothing; what is measured is the
program alone: requests, gunzip, JSON, rules, merge, Parquet, fsync, catalog. Prints rows, seconds, rows a second, CPU
seconds, peak memory of each run and the time of `--help`.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time


def run(command, environment):
    """Wall seconds, CPU seconds, peak MiB and stdout of a command."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stdout, stderr = process.stdout.read(), None
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    stderr = process.stderr.read()
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{command} failed:\n{stderr}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, stdout


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=str(target / "debug" / "marketpipe"))
    parser.add_argument("--symbols", type=int, default=6)
    parser.add_argument("--first", default="2022-01-03")
    parser.add_argument("--last", default="2023-12-29")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    names = ",".join("BENCH" + chr(ord("A") + n) for n in range(arguments.symbols))
    span = ["--symbols", names, "--start", arguments.first, "--end", arguments.last]
    server = subprocess.Popen(
        [arguments.program, "fake-alpaca", "--port", "0", "--cache-mb", "2048", *span], stderr=subprocess.PIPE, text=True
    )
    folder = pathlib.Path(tempfile.mkdtemp(prefix="marketpipe-bench-", dir=os.environ.get("BENCH_FOLDER")))
    try:
        exports = ""
        while "APCA_API_SECRET_KEY" not in exports:
            exports = server.stderr.readline()
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"]} | dict(re.findall(r"([A-Z_]+)=(\S+)", exports))
        config = folder / "bench.toml"
        config.write_text("[providers.alpaca]\nrequests_per_minute = 100000\n")
        for number in range(arguments.runs + 1):
            data = folder / f"data{number}"
            command = [arguments.program, "--config", str(config), "--data-dir", str(data), "--format", "json", "ingest", *span]
            wall, cpu, peak, stdout = run(command, environment)
            row = json.loads(stdout)["rows"][0]
            rows, files = row["rows_new"], row["files_written"]
            lake = sum(file.stat().st_size for file in (data / "lake").rglob("*.parquet"))
            label = "warm-up" if number == 0 else f"run {number}"
            print(
                f"{label:8} {rows:>10,} rows {files:>5} files {row['requests']:>5} requests {wall:7.2f} s "
                f"{rows / wall:>11,.0f} rows/s {cpu:6.2f} CPU s {cpu / rows * 1e6:5.2f} us/row {peak:6.0f} MiB {lake / rows:5.2f} bytes/row"
            )
            shutil.rmtree(data)
        times = sorted(run([arguments.program, "--help"], environment)[0] * 1000 for _ in range(20))
        print(f"--help   {times[len(times) // 2]:.1f} ms (median of {len(times)})")
    finally:
        server.terminate()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
