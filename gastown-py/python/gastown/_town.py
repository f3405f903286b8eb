"""A town, and how it is opened."""

from __future__ import annotations

import os
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict

from gastown import _gastown
from gastown._cli import PROGRAM
from gastown._decode import decode
from gastown._operations import Agents, Beads, Capabilities, Convoys, Effects, Events, Reservations, Reviews, Rigs, Sessions, Triage, Upkeep
from gastown._types import Backup, BeadsMerged, Durability, Health, Replay
from gastown.backend import Backend

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Handle:
    """A town through one scope: the operations of every noun."""

    __slots__ = ("_native", "agents", "beads", "capabilities", "convoys", "effects", "events", "reservations", "reviews", "rigs", "sessions", "triage", "upkeep")

    def __init__(self, native: _gastown.Handle) -> None:
        self._native = native
        self.agents = Agents(native)
        self.beads = Beads(native)
        self.capabilities = Capabilities(native)
        self.convoys = Convoys(native)
        self.effects = Effects(native)
        self.events = Events(native)
        self.reservations = Reservations(native)
        self.reviews = Reviews(native)
        self.rigs = Rigs(native)
        self.sessions = Sessions(native)
        self.triage = Triage(native)
        self.upkeep = Upkeep(native)

    async def call(self, name: str, input: dict[str, Any], *, key: str | None = None) -> Any:
        """Runs an operation by its name, from JSON to JSON: for protocols; programs use the typed methods."""
        return await self._native.call(name, input, key)


class Town(Handle):
    """An open town; its operations are the operator's.

    `async with` closes it. The engine runs between `start` and `stop`.
    """

    __slots__ = ("__weakref__", "_town")

    def __init__(self, native: _gastown.Town) -> None:
        super().__init__(native.operator())
        self._town = native

    @property
    def id(self) -> str:
        """The town's name."""
        return self._town.id

    @property
    def dir(self) -> os.PathLike[str]:
        """The folder of the town's files."""
        return self._town.dir

    def rig(self, name: str) -> Handle:
        """A handle that sees and changes one rig and nothing else."""
        return Handle(self._town.rig(name))

    def user(self, name: str) -> Handle:
        """A handle for a user that the host knows by this name: it can do what the operator can, in its own name."""
        return Handle(self._town.user(name))

    async def with_token(self, token: str) -> Handle:
        """A handle for whoever shows this token: with its scope, its operations, and as long as it holds.

        Every call is refused once the capability ended or was revoked, or its key ended; for an agent's also once its
        session's epoch is not the bead's any more.
        """
        return Handle(await self._town.with_token(token))

    async def session(self, id: str) -> Handle:
        """A handle with the scope of the agent in a session, good while its epoch is the bead's."""
        return Handle(await self._town.session(id))

    async def start(self) -> None:
        """Starts the engine: beads that were slung are given to agents, and their work is brought home."""
        await self._town.start()

    async def serve(self) -> None:
        """Opens the town's socket, by which other processes of this user call it with tokens, until `stop`; `start` does it too."""
        await self._town.serve()

    async def stop(self) -> None:
        """Stops the engine and closes the socket; agents go on and are adopted later."""
        await self._town.stop()

    async def drain(self, reason: str, *, grace_ms: int | None = None) -> None:
        """Gives the work of this host away and stops the engine, for a machine that goes away.

        Sessions may go on for `grace_ms` (the setting `drain.grace_ms` where it is left out); then they are stopped, and what
        they left is put at the remote, where the next engine of the town goes on from it.
        """
        await self._town.drain({"reason": reason, "grace_ms": grace_ms})

    async def close(self) -> None:
        """Stops the engine and closes the town; later calls raise `UnavailableError` (code `store_closed`)."""
        await self._town.close()

    async def replay(self) -> Replay:
        """Plays the journal, checks its chain of hashes, and compares what it gives with what is stored."""
        return decode(Replay, await self._town.replay())

    async def health(self) -> Health:
        """How the town is; the same as `upkeep.health`."""
        return await self.upkeep.health()

    async def backup(self, path: str | os.PathLike[str]) -> Backup:
        """Copies the town to a new folder while it works on; the same as `upkeep.backup`."""
        return await self.upkeep.backup(path)

    async def __aenter__(self) -> Town:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Opening:
    """A town being opened: `await` it, or use it in `async with`, which closes the town at its end."""

    __slots__ = ("_arguments", "_town")

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments
        self._town: Town | None = None

    async def _open(self) -> Town:
        return Town(await _gastown.open(*self._arguments))

    def __await__(self) -> Generator[Any, None, Town]:
        return self._open().__await__()

    async def __aenter__(self) -> Town:
        self._town = await self._open()
        return self._town

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._town is not None:
            await self._town.close()


class OpenOptions(TypedDict, total=False):
    """How a town is opened.

    - `id`: the town's name; `town` where it is left out.
    - `create`: whether it is made also where the database holds other towns; without it only the first town of a
      database is, and a name that is none of them is `town_missing`.
    - `store`: `sqlite` (also when left out) keeps the town in its folder, `memory` in this process alone, the
      `postgres://` URL of a database in a schema that any number of processes may share.
    - `durability`: `full` (also when left out) survives a loss of power, `normal` a kill. It stands before what a URL
      says; with `memory` and with a `backend` it is refused (`durability_unused`).
    - `seed`, `clock`: where ids and the time come from; for runs that must repeat.
    - `host`: the name of this machine, where several share a database; the kernel's where it is left out. An engine
      whose process is gone is followed at once on its own machine, elsewhere when its lease is over.
    - `keys`: the keys that tokens are signed with, as the file `keys.json` of a town's folder has them; a secret. Those in
      the town's folder where they are left out, made when they are first needed. Hosts that share a database share them.
    - `program`: the program `gastown`, which supervises sessions. It is found beside this package, else on the `PATH`;
      without it sessions end with this process.
    - `backend`: where the town is kept instead of the file `town.db` in its folder. What other stores and processes
      commit to it is heard where it has a method `changes`, else looked for every 30 seconds.
    """

    id: str | None
    create: bool | None
    store: str | None
    durability: Durability | None
    seed: int | None
    host: str | None
    clock: _gastown.ManualClock | None
    keys: str | None
    program: str | os.PathLike[str] | None
    backend: Backend | None


def open(dir: str | os.PathLike[str], **options: Unpack[OpenOptions]) -> Opening:
    """Opens the town in the folder `dir`, making it where the database holds none. Nothing runs until `start`."""
    return _opening(dir, {}, options)


def restore(
    source: str | os.PathLike[str], dir: str | os.PathLike[str], **options: Unpack[OpenOptions]
) -> Opening:
    """Opens a town in `dir`, where none is yet, from the folder of a backup or the file of an export.

    All of it is compared with what was written before anything is taken.
    """
    return _opening(dir, {"restore": os.fsdecode(source)}, options)


def merge_beads(
    base: str | os.PathLike[str],
    ours: str | os.PathLike[str],
    theirs: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    strict: bool = False,
) -> BeadsMerged:
    """Brings two files of issues together that grew out of `base`, field by field; no town is needed.

    The outcome takes the place of `ours`, or goes to `output`. Lines that need no change stay byte for byte, and lines that cannot
    be read stay as they are. With `strict`, `ConflictError` (code `merge_conflicted`) is raised and nothing is written where
    something would be given up or a line cannot be read. It blocks while it reads and writes the files.
    """
    files = {"base": base, "ours": ours, "theirs": theirs, "output": ours if output is None else output}
    paths = {name: os.fsdecode(path) for name, path in files.items()}
    return decode(BeadsMerged, _gastown.merge_beads({**paths, "strict": strict}))


def _opening(dir: str | os.PathLike[str], more: dict[str, Any], options: OpenOptions) -> Opening:
    given: dict[str, Any] = {**more, **options}
    clock, backend = given.pop("clock", None), given.pop("backend", None)
    if given.get("program") is not None:
        given["program"] = os.fsdecode(given["program"])
    return Opening(os.fsdecode(dir), given, clock, backend, PROGRAM.parent)
