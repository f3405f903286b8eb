"""Put, claim and done from Python: gastown beside queues that people embed, plain sqlite3 and gastown from Rust.

Usage: queues.py RUST_PROGRAM [--quick]. Each contender has a database of its own on the same disk; they take turns,
and a figure is the median of all turns. A ratio is to plain sqlite3 of the same durability, and to Rust.
"""

import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import huey
import persistqueue

import gastown

Figures = dict[str, list[int]]
Turn = Callable[[int], Awaitable[Figures]]
clock = time.perf_counter_ns


def empty() -> Figures:
    return {"put": [], "claim": [], "done": []}


def raw(path: Path, synchronous: str) -> Turn:
    """One table with a partial index: the least that a queue in SQLite can be."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute("CREATE TABLE job (id INTEGER PRIMARY KEY, data TEXT, state INTEGER NOT NULL DEFAULT 0, by TEXT)")
    db.execute("CREATE INDEX job_waiting ON job (id) WHERE state = 0")
    pick = (
        "UPDATE job SET state = 1, by = ? WHERE id = (SELECT id FROM job WHERE state = 0 ORDER BY id LIMIT 1) "
        "RETURNING id, data"
    )

    async def turn(count: int) -> Figures:
        figures = empty()
        for n in range(count):
            begun = clock()
            db.execute("INSERT INTO job (data) VALUES (?)", (f"job {n}",))
            figures["put"].append(clock() - begun)
        for _ in range(count):
            begun = clock()
            (job, _data) = db.execute(pick, ("worker",)).fetchone()
            figures["claim"].append(clock() - begun)
            begun = clock()
            db.execute("UPDATE job SET state = 2 WHERE id = ?", (job,))
            figures["done"].append(clock() - begun)
        return figures

    return turn


def persist(path: Path) -> Turn:
    """persist-queue's SQLiteAckQueue, each change committed."""
    queue = persistqueue.SQLiteAckQueue(str(path), auto_commit=True)

    async def turn(count: int) -> Figures:
        figures = empty()
        for n in range(count):
            begun = clock()
            queue.put(f"job {n}")
            figures["put"].append(clock() - begun)
        for _ in range(count):
            begun = clock()
            item = queue.get()
            figures["claim"].append(clock() - begun)
            begun = clock()
            queue.ack(item)
            figures["done"].append(clock() - begun)
        return figures

    return turn


def hueys(path: Path, *, fsync: bool) -> Turn:
    """huey's SqliteHuey; `done` runs the task and stores its result."""
    queue = huey.SqliteHuey(filename=str(path), fsync=fsync, results=True)

    @queue.task()
    def work(n: int) -> int:
        return n + 1

    async def turn(count: int) -> Figures:
        figures = empty()
        for n in range(count):
            begun = clock()
            work(n)
            figures["put"].append(clock() - begun)
        for _ in range(count):
            begun = clock()
            task = queue.dequeue()
            figures["claim"].append(clock() - begun)
            begun = clock()
            queue.execute(task)
            figures["done"].append(clock() - begun)
        return figures

    return turn


def ours(town: gastown.Town) -> Turn:
    async def turn(count: int) -> Figures:
        figures = empty()
        for n in range(count):
            begun = clock()
            await town.beads.create(f"job {n}")
            figures["put"].append(clock() - begun)
        for _ in range(count):
            begun = clock()
            bead = await town.beads.claim("worker")
            figures["claim"].append(clock() - begun)
            begun = clock()
            await town.beads.close(bead.id)
            figures["done"].append(clock() - begun)
        return figures

    return turn


def rust(program: str, folder: Path, durability: str) -> Turn:
    """The same with the library in Rust, in a process and a town of its own for each turn."""
    numbers = iter(range(1_000_000))

    async def turn(count: int) -> Figures:
        run = [program, str(folder / f"rust-{durability}-{next(numbers)}"), durability, str(count)]
        figures: Figures = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)
        return figures

    return turn


async def main(folder: Path, program: str, *, quick: bool) -> None:
    turns, count = (1, 5) if quick else (7, 400)
    async with (
        gastown.open(folder / "full", durability="full") as full,
        gastown.open(folder / "normal", durability="normal") as normal,
    ):
        contenders: dict[str, Turn] = {
            "sqlite3, full": raw(folder / "full.db", "FULL"),
            "gastown, full": ours(full),
            "gastown in Rust, full": rust(program, folder, "full"),
            "huey, fsync": hueys(folder / "huey-full.db", fsync=True),
            "persist-queue": persist(folder / "persist"),
            "sqlite3, normal": raw(folder / "normal.db", "NORMAL"),
            "gastown, normal": ours(normal),
            "gastown in Rust, normal": rust(program, folder, "normal"),
            "huey": hueys(folder / "huey.db", fsync=False),
        }
        found: dict[str, list[Figures]] = {name: [] for name in contenders}
        for _ in range(turns):
            for name, turn in contenders.items():
                found[name].append(await turn(count))

    def median(name: str, verb: str) -> float:
        return statistics.median(value for figures in found[name] for value in figures[verb]) / 1_000

    print(f"{'microseconds, p50 (p99)':<26}{'put':>20}{'claim':>20}{'done':>20}")
    for name, runs in found.items():
        cells = []
        for verb in ("put", "claim", "done"):
            values = sorted(value for figures in runs for value in figures[verb])
            cells.append(f"{median(name, verb):.0f} ({values[len(values) * 99 // 100] / 1_000:.0f})")
        print(f"{name:<26}" + "".join(f"{cell:>20}" for cell in cells))
    for durability in ("full", "normal"):
        for peer in (f"gastown in Rust, {durability}", f"sqlite3, {durability}"):
            ratios = [f"{median(f'gastown, {durability}', v) / median(peer, v):.2f}" for v in ("put", "claim", "done")]
            print(f"gastown, {durability} / {peer}: " + ", ".join(ratios))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=".") as temporary:
        asyncio.run(main(Path(temporary), sys.argv[1], quick="--quick" in sys.argv))
