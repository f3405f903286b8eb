"""A town at work: twelve tasks become commits on the target branch of a repository."""

import asyncio
import subprocess
import tempfile
from pathlib import Path

import gastown

# An agent is any program that commits on its branch and ends with 0. This one fails at its first try of the sails.
WORKER = """
set -e
[ "$GASTOWN_TITLE" != "sew the sails" ] || [ "$GASTOWN_FAILURES" != 0 ] || exit 1
echo done > "$GASTOWN_BEAD.txt"
git add -A
git commit -q -m "$GASTOWN_TITLE"
"""
TASKS: list[tuple[str, list[int]]] = [
    ("lay the keel", []), ("bend the ribs", [0]), ("cut the planks", [0]), ("close the hull", [1, 2]),
    ("raise the mast", [3]), ("set the shrouds", [4]), ("sew the sails", [5]), ("twist the ropes", []),
    ("forge the anchor", [7]), ("mix the paint", []), ("load the stores", []), ("launch", [3, 6, 8, 9, 10]),
]  # fmt: skip


def make_origin(folder: Path) -> Path:
    """A bare repository with one commit on `main`."""
    who = ["-c", "user.name=Tess", "-c", "user.email=tess@example.org", "-c", "init.defaultBranch=main"]
    for arguments in (["init", "-q", "seed"], ["-C", "seed", "commit", "-q", "--allow-empty", "-m", "Begin"],
                      ["clone", "-q", "--bare", "seed", "origin.git"]):  # fmt: skip
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True)
    return folder / "origin.git"


async def main(folder: Path) -> None:
    """Opens a town, slings a convoy, and follows the journal until it has landed."""
    async with gastown.open(folder / "town") as town:
        settings = {"agent.command": ["sh", "-c", WORKER], "failures.backoff_ms": [0]}
        await town.rigs.add("harbour", str(make_origin(folder)), settings=settings)
        for name in ("ash", "elm", "fir", "oak"):
            await town.agents.register(name, rig="harbour")
        tasks: list[gastown.Task] = [{"title": title, "depends_on": after} for title, after in TASKS]
        convoy = await town.convoys.sling("a ship", "harbour", tasks)
        await town.start()
        async for event in town.events.watch():
            if event.subject == convoy.id and event.kind in ("convoy.landed", "convoy.needs_attention"):
                break
        for bead in sorted((await town.beads.list(convoy=convoy.id)).beads, key=lambda bead: bead.title):
            attempts = len((await town.sessions.list(bead=bead.id)).sessions)
            print(f"{bead.title:<16}  {bead.status:<6}  {bead.resolution:<9}  {attempts}")
        print(f"the convoy is {(await town.convoys.get(convoy.id)).state}")


with tempfile.TemporaryDirectory() as temporary:
    asyncio.run(main(Path(temporary)))
