"""Every operation of the core: a group for each noun, a method of two lines for each operation.

What an operation needs are parameters; what it takes besides are the keys of a typed dict. A changing operation takes an
idempotency `key`: repeated with it, it gives the first answer and changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from gastown import _gastown
from gastown import _types as t
from gastown._decode import decode
from gastown._watch import Follow, Watch

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
Key = str | None


class Group:
    """The operations on one noun."""

    __slots__ = ("_native",)

    def __init__(self, native: _gastown.Handle) -> None:
        self._native = native

    async def _call(
        self, answer: type[T], name: str, more: Mapping[str, object], key: Key = None, /, **needed: object
    ) -> T:
        return decode(answer, await self._native.call(name, {**more, **needed}, key))


class Beads(Group):
    """Operations on beads."""

    __slots__ = ()

    async def create(self, title: str, *, key: Key = None, **bead: Unpack[t.NewBead]) -> t.Bead:
        """Creates an issue."""
        return await self._call(t.Bead, "beads.create", bead, key, title=title)

    async def create_many(
        self, beads: t.KeyedBeadList, *, key: Key = None, **plan: Unpack[t.NewBeads]
    ) -> t.MadeBeads:
        """Creates issues with edges between them: all of them or none."""
        return await self._call(t.MadeBeads, "beads.create_many", plan, key, beads=beads)

    async def get(self, id: str) -> t.Bead:
        """Reads one bead, whole."""
        return await self._call(t.Bead, "beads.get", {}, id=id)

    async def update(self, id: str, *, key: Key = None, **patch: Unpack[t.BeadPatch]) -> t.Bead:
        """Changes what is named of a bead and leaves the rest; none clears a field, and in `metadata` a key."""
        return await self._call(t.Bead, "beads.update", patch, key, id=id)

    async def list(self, **only: Unpack[t.BeadFilter]) -> t.BeadPage:
        """Lists beads without their texts, oldest first or as the filter says, a page at a time."""
        return await self._call(t.BeadPage, "beads.list", only)

    async def ready(self, **only: Unpack[t.ReadyFilter]) -> t.BeadPage:
        """Lists the issues that could be worked on now, most urgent first or as the filter says, a page at a time."""
        return await self._call(t.BeadPage, "beads.ready", only)

    async def claim(self, by: str, *, key: Key = None, **claim: Unpack[t.Claim]) -> t.Bead:
        """Takes a ready issue for somebody: exactly one of any number of callers gets it."""
        return await self._call(t.Bead, "beads.claim", claim, key, by=by)

    async def heartbeat(self, id: str, by: str, epoch: int, *, key: Key = None, **lease: Unpack[t.Heartbeat]) -> t.Lease:
        """Says that the holder of a claim is at work, so that it holds on; nothing is journaled."""
        return await self._call(t.Lease, "beads.heartbeat", lease, key, id=id, by=by, epoch=epoch)

    async def release(self, id: str, *, key: Key = None, **claim: Unpack[t.ReleaseBead]) -> t.Bead:
        """Gives a claimed issue back."""
        return await self._call(t.Bead, "beads.release", claim, key, id=id)

    async def close(self, id: str, *, key: Key = None, **why: Unpack[t.CloseBead]) -> t.Closed:
        """Closes an issue and frees what waited for it."""
        return await self._call(t.Closed, "beads.close", why, key, id=id)

    async def reopen(self, id: str, *, key: Key = None, **why: Unpack[t.ReopenBead]) -> t.Bead:
        """Opens a closed or failed bead again; what is merged or landed stays closed."""
        return await self._call(t.Bead, "beads.reopen", why, key, id=id)

    async def delete(self, id: str, *, key: Key = None, **how: Unpack[t.DeleteBead]) -> t.Deleted:
        """Takes an issue away for good and leaves a tombstone; what waited for it is freed."""
        return await self._call(t.Deleted, "beads.delete", how, key, id=id)

    async def rename(self, id: str, to: str, *, key: Key = None, **how: Unpack[t.RenameBead]) -> t.Renamed:
        """Gives an issue another id; every reference to it follows."""
        return await self._call(t.Renamed, "beads.rename", how, key, id=id, to=to)

    async def move_to_rig(self, id: str, *, key: Key = None, **where: Unpack[t.MoveBead]) -> t.Renamed:
        """Moves an issue with its parts to another rig, where they get ids of that rig."""
        return await self._call(t.Renamed, "beads.move_to_rig", where, key, id=id)

    async def comment(self, bead: str, text: str, *, key: Key = None, **who: Unpack[t.AddComment]) -> t.Comment:
        """Adds a comment to a bead."""
        return await self._call(t.Comment, "beads.comment", who, key, bead=bead, text=text)

    async def comments(self, bead: str, **page: Unpack[t.CommentsOf]) -> t.CommentPage:
        """Reads the comments of one bead, oldest first, a page at a time."""
        return await self._call(t.CommentPage, "beads.comments", page, bead=bead)

    async def delete_comment(self, bead: str, id: str, *, key: Key = None) -> t.Changed:
        """Deletes a comment: one's own, or any for the town's owner."""
        return await self._call(t.Changed, "beads.delete_comment", {}, key, bead=bead, id=id)

    async def link(self, bead: str, on_bead: str, *, key: Key = None, **link: Unpack[t.LinkOptions]) -> t.Changed:
        """Adds an edge between two beads: `bead` waits for `on_bead`; a circle is refused and shown."""
        return await self._call(t.Changed, "beads.link", link, key, bead=bead, on_bead=on_bead)

    async def unlink(self, bead: str, on_bead: str, *, key: Key = None, **link: Unpack[t.LinkOptions]) -> t.Changed:
        """Removes an edge between two beads."""
        return await self._call(t.Changed, "beads.unlink", link, key, bead=bead, on_bead=on_bead)

    async def edges(self, id: str, **only: Unpack[t.EdgesOf]) -> t.Edges:
        """Reads the edges of one bead, in both directions, a page at a time."""
        return await self._call(t.Edges, "beads.edges", only, id=id)

    async def children(self, id: str, **only: Unpack[t.ChildrenOf]) -> t.NodePage:
        """Lists the parts of a bead, a page at a time; also those of its parts where they are asked for."""
        return await self._call(t.NodePage, "beads.children", only, id=id)

    async def dependencies(self, id: str, **only: Unpack[t.TreeOf]) -> t.Tree:
        """Follows what a bead waits for, to a depth."""
        return await self._call(t.Tree, "beads.dependencies", only, id=id)

    async def dependents(self, id: str, **only: Unpack[t.TreeOf]) -> t.Tree:
        """Follows what waits for a bead, to a depth."""
        return await self._call(t.Tree, "beads.dependents", only, id=id)

    async def blocked(self, **only: Unpack[t.GraphFilter]) -> t.BlockedPage:
        """Lists the open issues that wait, each with what it waits for, a page at a time."""
        return await self._call(t.BlockedPage, "beads.blocked", only)

    async def attempts(self, id: str) -> t.Attempts:
        """Reads what was tried for a bead, session by session, and why it failed or waits."""
        return await self._call(t.Attempts, "beads.attempts", {}, id=id)

    async def explain(self, id: str) -> t.Explanation:
        """Explains why a bead is ready, or names every fact that keeps it from running."""
        return await self._call(t.Explanation, "beads.explain", {}, id=id)

    async def plan(self, **of: Unpack[t.PlanOf]) -> t.Plan:
        """Plans the open work: its order and levels, the critical path, slack, and what would unblock most."""
        return await self._call(t.Plan, "beads.plan", of)

    async def epics(self, **only: Unpack[t.GraphFilter]) -> t.EpicPage:
        """Lists the epics and how far each is, a page at a time."""
        return await self._call(t.EpicPage, "beads.epics", only)

    async def loose_edges(self, **only: Unpack[t.GraphFilter]) -> t.LoosePage:
        """Lists imported edges that count for nothing: they would close a circle, lack an end, or name a second parent."""
        return await self._call(t.LoosePage, "beads.loose_edges", only)

    async def query(self, query: str, **how: Unpack[t.BeadQuery]) -> t.BeadPage:
        """Finds beads by a query in words, a page at a time."""
        return await self._call(t.BeadPage, "beads.query", how, query=query)

    async def search(self, text: str, **how: Unpack[t.BeadSearch]) -> t.BeadPage:
        """Finds beads by the words in their titles and texts, a page at a time."""
        return await self._call(t.BeadPage, "beads.search", how, text=text)

    async def count(self, **what: Unpack[t.CountBeads]) -> t.BeadCounts:
        """Counts beads by the values of fields."""
        return await self._call(t.BeadCounts, "beads.count", what)

    async def stats(self, **of: Unpack[t.StatsOf]) -> t.BeadStats:
        """Says how many issues there are of what, and how long the closed ones took."""
        return await self._call(t.BeadStats, "beads.stats", of)

    async def stale(self, **only: Unpack[t.StaleBeads]) -> t.BeadPage:
        """Lists issues that nobody has changed for long, those that were left the longest first."""
        return await self._call(t.BeadPage, "beads.stale", only)

    async def duplicates(self, **how: Unpack[t.FindDuplicates]) -> t.Duplicates:
        """Finds issues that say the same, or nearly."""
        return await self._call(t.Duplicates, "beads.duplicates", how)

    async def history(self, id: str, **page: Unpack[t.HistoryOf]) -> t.BeadHistory:
        """Reads what happened to a bead, field by field, a page at a time."""
        return await self._call(t.BeadHistory, "beads.history", page, id=id)

    async def at(self, seq: int, **only: Unpack[t.BeadsAt]) -> t.BeadsAtPage:
        """Reads beads as they were behind an entry of the journal."""
        return await self._call(t.BeadsAtPage, "beads.at", only, seq=seq)

    async def sling(self, bead: str, *, key: Key = None, **sling: Unpack[t.Sling]) -> t.Bead:
        """Gives an issue to an agent and has it run: at once where it is its turn and one is idle, else as soon as it is."""
        return await self._call(t.Bead, "beads.sling", sling, key, bead=bead)

    async def sling_many(self, slings: t.SlungBeads, *, key: Key = None) -> t.Slung:
        """Gives issues to agents and has them run: all of them or none."""
        return await self._call(t.Slung, "beads.sling_many", {}, key, slings=slings)

    async def park(self, id: str, reason: str, *, key: Key = None, **pause: Unpack[t.ParkBead]) -> t.Bead:
        """Sets an issue aside: it is neither ready nor given to an agent; a session that it has goes on."""
        return await self._call(t.Bead, "beads.park", pause, key, id=id, reason=reason)

    async def unpark(self, id: str, *, key: Key = None) -> t.Bead:
        """Takes up an issue again that was set aside."""
        return await self._call(t.Bead, "beads.unpark", {}, key, id=id)

    async def import_from(self, path: str | os.PathLike[str], **manner: Unpack[t.ImportBeads]) -> t.ImportReport:
        """Takes in beads from files of `bd` and `br`, or of an export; what cannot be read is reported."""
        return await self._call(t.ImportReport, "beads.import_from", manner, path=os.fspath(path))

    async def export_to(self, path: str | os.PathLike[str], **manner: Unpack[t.ExportBeads]) -> t.BeadsExported:
        """Writes the beads into a file as `bd` and `br` know them, or as they were imported."""
        return await self._call(t.BeadsExported, "beads.export_to", manner, path=os.fspath(path))

    async def sync(self, path: str | os.PathLike[str], **manner: Unpack[t.SyncBeads]) -> t.SyncReport:
        """Brings the town and the file of a `.beads` folder together, by field, from what both agreed on last."""
        return await self._call(t.SyncReport, "beads.sync", manner, path=os.fspath(path))


class Convoys(Group):
    """Operations on convoys."""

    __slots__ = ()

    async def sling(
        self, title: str, rig: str, tasks: t.Tasks, *, key: Key = None, **convoy: Unpack[t.SlingConvoy]
    ) -> t.Convoy:
        """Makes tasks with their edges, gives them to agents and brings them home together: all of them or none."""
        return await self._call(t.Convoy, "convoys.sling", convoy, key, title=title, rig=rig, tasks=tasks)

    async def get(self, id: str) -> t.Convoy:
        """Reads one convoy and how far it is."""
        return await self._call(t.Convoy, "convoys.get", {}, id=id)

    async def list(self) -> t.ConvoyList:
        """Lists the convoys."""
        return await self._call(t.ConvoyList, "convoys.list", {})

    async def land(self, id: str, *, key: Key = None) -> t.Convoy:
        """Tries again to land a convoy that needs attention although all its members are done, or to make its branch."""
        return await self._call(t.Convoy, "convoys.land", {}, key, id=id)


class Agents(Group):
    """Operations on agents."""

    __slots__ = ()

    async def register(self, name: str, *, key: Key = None, **agent: Unpack[t.RegisterAgent]) -> t.Agent:
        """Makes an agent known to the town; a polecat where no role is given."""
        return await self._call(t.Agent, "agents.register", agent, key, name=name)

    async def get(self, name: str) -> t.Agent:
        """Reads one agent."""
        return await self._call(t.Agent, "agents.get", {}, name=name)

    async def list(self, **only: Unpack[t.AgentFilter]) -> t.AgentList:
        """Lists the agents."""
        return await self._call(t.AgentList, "agents.list", only)

    async def history(self, name: str, **part: Unpack[t.AgentHistoryOf]) -> t.AgentHistory:
        """Reads what an agent has done, session by session, oldest first, a page at a time."""
        return await self._call(t.AgentHistory, "agents.history", part, name=name)

    async def pause(self, name: str, reason: str, *, key: Key = None, **pause: Unpack[t.Pause]) -> t.Agent:
        """Gives an agent no work for a while; a session that it has goes on."""
        return await self._call(t.Agent, "agents.pause", pause, key, name=name, reason=reason)

    async def resume(self, name: str, *, key: Key = None) -> t.Agent:
        """Gives a paused agent work again."""
        return await self._call(t.Agent, "agents.resume", {}, key, name=name)

    async def hook(self, name: str, bead: str, *, key: Key = None) -> t.Agent:
        """Puts an issue on an agent's hook: nobody else gets it, the agent gets nothing else, and the engine runs it."""
        return await self._call(t.Agent, "agents.hook", {}, key, name=name, bead=bead)

    async def unhook(self, name: str, *, key: Key = None) -> t.Agent:
        """Takes what has not begun off an agent's hook; the issue is open and not slung."""
        return await self._call(t.Agent, "agents.unhook", {}, key, name=name)

    async def retire(self, name: str, *, key: Key = None) -> t.Agent:
        """Gives an agent no work any more; a session that it has goes on, its name and its history stay."""
        return await self._call(t.Agent, "agents.retire", {}, key, name=name)


class Rigs(Group):
    """Operations on rigs."""

    __slots__ = ()

    async def add(self, name: str, remote: str, *, key: Key = None, **rig: Unpack[t.AddRig]) -> t.Rig:
        """Takes a repository under the town's care, after looking whether it can be."""
        return await self._call(t.Rig, "rigs.add", rig, key, name=name, remote=remote)

    async def get(self, name: str) -> t.Rig:
        """Reads one rig."""
        return await self._call(t.Rig, "rigs.get", {}, name=name)

    async def list(self) -> t.RigList:
        """Lists the rigs."""
        return await self._call(t.RigList, "rigs.list", {})

    async def pause(self, name: str, reason: str, *, key: Key = None, **pause: Unpack[t.Pause]) -> t.Rig:
        """Hands out no bead of a rig for a while; what runs goes on."""
        return await self._call(t.Rig, "rigs.pause", pause, key, name=name, reason=reason)

    async def resume(self, name: str, *, key: Key = None) -> t.Rig:
        """Hands out a paused rig's beads again."""
        return await self._call(t.Rig, "rigs.resume", {}, key, name=name)

    async def configure(
        self, settings: dict[str, Any], *, key: Key = None, **where: Unpack[t.Configure]
    ) -> t.Changed:
        """Sets settings of the town or of a rig; none takes a setting away."""
        return await self._call(t.Changed, "rigs.configure", where, key, settings=settings)


class Sessions(Group):
    """Operations on sessions."""

    __slots__ = ()

    async def get(self, id: str) -> t.Session:
        """Reads one session."""
        return await self._call(t.Session, "sessions.get", {}, id=id)

    async def list(self, **only: Unpack[t.SessionFilter]) -> t.SessionList:
        """Lists the sessions of a bead or in a state."""
        return await self._call(t.SessionList, "sessions.list", only)

    async def plan(self) -> t.StartPlan:
        """Says what the engine would start now, in order and why, without changing anything."""
        return await self._call(t.StartPlan, "sessions.plan", {})

    async def output(self, session: str, **part: Unpack[t.OutputQuery]) -> t.OutputPage:
        """Reads what a session printed or its structured events, a page at a time, while it runs and afterwards."""
        return await self._call(t.OutputPage, "sessions.output", part, session=session)

    def follow(self, session: str, **part: Unpack[t.OutputQuery]) -> Follow:
        """Follows what a session prints, or its structured events, from `after` on until it has ended."""
        return Follow(self._native.follow({**part, "session": session}))

    async def sweep(self) -> t.OutputSweep:
        """Removes the output of ended sessions that is too old or too much, as the engine does by itself."""
        return await self._call(t.OutputSweep, "sessions.sweep", {})

    async def stop(self, id: str, *, key: Key = None) -> t.Session:
        """Has a session stopped; its bead is open again and not slung."""
        return await self._call(t.Session, "sessions.stop", {}, key, id=id)

    async def checkpoint(self, data: Any, session: str | None = None, *, key: Key = None) -> t.Session:
        """Leaves something for the next session of the bead, which finds it in its brief; the last counts."""
        return await self._call(t.Session, "sessions.checkpoint", {}, key, data=data, session=session)

    async def handoff(self, data: Any = None, session: str | None = None, *, key: Key = None) -> t.Session:
        """Ends a session and has another one of the same agent go on with its bead, from the commits that it leaves."""
        return await self._call(t.Session, "sessions.handoff", {}, key, data=data, session=session)


class Effects(Group):
    """What is to be done outside the database, and what was given up."""

    __slots__ = ()

    async def list(self, **only: Unpack[t.EffectFilter]) -> t.EffectPage:
        """Lists effects of one state, those that were given up where none is named, a page at a time."""
        return await self._call(t.EffectPage, "effects.list", only)

    async def retry(self, id: str, *, key: Key = None) -> t.Effect:
        """Has an effect that was given up tried again, where it is still wanted."""
        return await self._call(t.Effect, "effects.retry", {}, key, id=id)


class Reviews(Group):
    """Operations on merge requests."""

    __slots__ = ()

    async def get(self, id: str) -> t.Review:
        """Reads one merge request."""
        return await self._call(t.Review, "reviews.get", {}, id=id)

    async def list(self, **only: Unpack[t.ReviewFilter]) -> t.ReviewList:
        """Lists the merge requests of a source or in a state."""
        return await self._call(t.ReviewList, "reviews.list", only)


class Events(Group):
    """The journal."""

    __slots__ = ()

    async def since(self, **part: Unpack[t.EventsSince]) -> t.EventPage:
        """Reads the journal behind a place."""
        return await self._call(t.EventPage, "events.since", part)

    def watch(self, since: int = 0) -> Watch:
        """Follows the journal: every event behind `since`, then each as it is journaled, until the town is closed."""
        return Watch(self._native.watch(since))


class Capabilities(Group):
    """What callers show who are not in this process."""

    __slots__ = ()

    async def issue(self, **capability: Unpack[t.IssueCapability]) -> t.IssuedCapability:
        """Issues a capability to a user, a rig or the agent of a session, and gives its token, this once."""
        return await self._call(t.IssuedCapability, "capabilities.issue", capability)

    async def attenuate(self, token: str, **less: Unpack[t.AttenuateCapability]) -> t.IssuedCapability:
        """Makes a capability that can do less than the one whose token is shown, and gives its token, this once."""
        return await self._call(t.IssuedCapability, "capabilities.attenuate", less, token=token)

    async def revoke(self, id: str, *, key: Key = None, **why: Unpack[t.RevokeCapability]) -> t.Changed:
        """Revokes a capability and whatever was made of it, for the very next call of whoever holds it."""
        return await self._call(t.Changed, "capabilities.revoke", why, key, id=id)

    async def list(self, **only: Unpack[t.CapabilityFilter]) -> t.CapabilityPage:
        """Lists the capabilities that were issued, those that end first in front, a page at a time."""
        return await self._call(t.CapabilityPage, "capabilities.list", only)

    async def rotate_keys(self, **how: Unpack[t.RotateKeys]) -> t.KeysRotated:
        """Lets a new key sign tokens; those before it verify for a while longer."""
        return await self._call(t.KeysRotated, "capabilities.rotate_keys", how)


class Triage(Group):
    """What somebody has to judge, and what is done about it."""

    __slots__ = ()

    async def list(self) -> t.TriageList:
        """Lists what waits for somebody's judgement, oldest first."""
        return await self._call(t.TriageList, "triage.list", {})

    async def resolve(
        self, id: str, action: t.TriageAction, *, key: Key = None, **why: Unpack[t.ResolveTriage]
    ) -> t.TriageRequest:
        """Does what was chosen, where things are still as they were when it was asked, and closes the request."""
        return await self._call(t.TriageRequest, "triage.resolve", why, key, id=id, action=action)


class Reservations(Group):
    """Operations on reservations of paths."""

    __slots__ = ()

    async def add(self, bead: str, patterns: t.Patterns, *, key: Key = None, **hold: Unpack[t.Reserve]) -> t.Reserved:
        """Reserves paths for the work on a bead, and says who else has the like; it keeps nobody from them."""
        return await self._call(t.Reserved, "reservations.add", hold, key, bead=bead, patterns=patterns)

    async def remove(self, bead: str, *, key: Key = None, **which: Unpack[t.Unreserve]) -> t.Changed:
        """Gives reservations of a bead up."""
        return await self._call(t.Changed, "reservations.remove", which, key, bead=bead)

    async def list(self, **only: Unpack[t.ReservationFilter]) -> t.ReservationPage:
        """Lists the reservations of a rig or a bead that hold, a page at a time."""
        return await self._call(t.ReservationPage, "reservations.list", only)

    async def overlaps(self, rig: str, patterns: t.Patterns, **but: Unpack[t.OverlapQuery]) -> t.Overlaps:
        """Says who has reserved paths that may be the same as these."""
        return await self._call(t.Overlaps, "reservations.overlaps", but, rig=rig, patterns=patterns)


class Upkeep(Group):
    """What a town's owner does with the whole of it."""

    __slots__ = ()

    async def health(self) -> t.Health:
        """Says how the town is: its engine, its queue, its database, what waits and what was given up."""
        return await self._call(t.Health, "upkeep.health", {})

    async def status(self) -> t.TownStatus:
        """Shows what goes on: agents, beads, sessions, convoys, effects, what asks for somebody, and the last entries."""
        return await self._call(t.TownStatus, "upkeep.status", {})

    async def metrics(self) -> t.Metrics:
        """Reads what was counted and measured of the town since this process opened it."""
        return await self._call(t.Metrics, "upkeep.metrics", {})

    async def pause(self, reason: str, *, key: Key = None, **pause: Unpack[t.Pause]) -> t.TownPause:
        """Hands out no bead of the whole town for a while; what runs goes on."""
        return await self._call(t.TownPause, "upkeep.pause", pause, key, reason=reason)

    async def drain(self, reason: str, *, key: Key = None, **drain: Unpack[t.DrainTown]) -> t.Draining:
        """Has the engine's host give its work away: nothing is started, and what runs is stopped after a grace and saved."""
        return await self._call(t.Draining, "upkeep.drain", drain, key, reason=reason)

    async def resume(self, *, key: Key = None) -> t.TownPause:
        """Hands out the paused town's beads again, and calls a drain off."""
        return await self._call(t.TownPause, "upkeep.resume", {}, key)

    async def check(self) -> t.Checked:
        """Looks over the database, every row, the journal and its archives while the town works on."""
        return await self._call(t.Checked, "upkeep.check", {})

    async def doctor(self, *, repair: bool = False) -> t.Diagnosis:
        """Says what keeps the town from working, between rows, outside and left behind; mends what it can where that is asked for."""
        return await self._call(t.Diagnosis, "upkeep.doctor", {}, repair=repair)

    async def quarantine(self) -> t.Quarantined:
        """Takes the rows that cannot be read out of their tables, as they are."""
        return await self._call(t.Quarantined, "upkeep.quarantine", {})

    async def quarantined(self, **only: Unpack[t.QuarantineFilter]) -> t.QuarantinePage:
        """Lists the rows that were taken out because they could not be read, a page at a time."""
        return await self._call(t.QuarantinePage, "upkeep.quarantined", only)

    async def mend(self, id: str, *, key: Key = None, **but: Unpack[t.MendRow]) -> t.QuarantinedRow:
        """Brings a row in quarantine back to its table, with other columns where they are given."""
        return await self._call(t.QuarantinedRow, "upkeep.mend", but, key, id=id)

    async def discard(self, id: str, *, key: Key = None) -> t.QuarantinedRow:
        """Gives a row in quarantine up, and what follows from it; the journal keeps what it held."""
        return await self._call(t.QuarantinedRow, "upkeep.discard", {}, key, id=id)

    async def backup(self, path: str | os.PathLike[str]) -> t.Backup:
        """Copies the town to a new folder while it works on; `restore` makes a town of it again."""
        return await self._call(t.Backup, "upkeep.backup", {}, path=os.fspath(path))

    async def export(self, path: str | os.PathLike[str]) -> t.Exported:
        """Writes the town's records as lines of JSON to a new file while it works on; `restore` reads them."""
        return await self._call(t.Exported, "upkeep.export", {}, path=os.fspath(path))

    async def archive(self, **over: Unpack[t.Archive]) -> t.Archived:
        """Puts away what is over: beads and effects, the beginning of the journal; into files first."""
        return await self._call(t.Archived, "upkeep.archive", over)

    async def archived(self, **only: Unpack[t.ArchivedFilter]) -> t.ArchivedPage:
        """Lists the beads that were put away and are not back, archive by archive, a page at a time."""
        return await self._call(t.ArchivedPage, "upkeep.archived", only)

    async def recall(self, id: str, *, key: Key = None) -> t.Bead:
        """Brings a bead back that was put away, closed as it was."""
        return await self._call(t.Bead, "upkeep.recall", {}, key, id=id)

    async def vacuum(self) -> t.Vacuumed:
        """Gives back the space of what was deleted; commands wait meanwhile, reads go on."""
        return await self._call(t.Vacuumed, "upkeep.vacuum", {})
