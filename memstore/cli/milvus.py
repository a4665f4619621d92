"""`memstore milvus`: the mirror of memories in Milvus, its versions, and how far behind it is."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from .. import milvus as mirror
from ..migrations import verify_schema
from ..milvus import MilvusSettings
from ..milvus.relay import DEFAULT_BATCH_SIZE, MAX_BATCH_SIZE
from .common import JsonOption, database, err, out, print_json, print_json_line, progress_bar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from ..milvus import Milvus, Moved, MoveProgress, MoveStep, Synced, Verification

app = typer.Typer(no_args_is_help=True, add_completion=False)

TargetArgument = Annotated[str, typer.Argument(metavar="REV", help="A version's id or how it begins, head, or base.")]
RebuildOption = Annotated[
    bool, typer.Option("--rebuild", help="Where PostgreSQL's ledger and Milvus disagree, take Milvus as it is.")
]
LinesOption = Annotated[bool, typer.Option("--json", help="Print lines of JSON, for programs: progress, and the end.")]


@asynccontextmanager
async def both() -> AsyncIterator[tuple[AsyncEngine, Milvus]]:
    """Open the database that DATABASE_URL names, and the Milvus that MILVUS_URI does."""
    async with database() as (engine, _):
        await verify_schema(engine)
        async with the_milvus() as milvus:
            yield engine, milvus


@asynccontextmanager
async def the_milvus() -> AsyncIterator[Milvus]:
    """Open the Milvus that MILVUS_URI names."""
    async with await mirror.open_milvus(MilvusSettings.from_env()) as milvus:
        # It logs, with a trace, each error that is explained here. Set after its import, which sets it too.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        yield milvus


@app.command()
def up(target: TargetArgument = "head", rebuild: RebuildOption = False, as_json: LinesOption = False) -> None:
    """Lead readers to a newer version: built beside the one in use, filled, compared, and put in its place."""
    _move(target, rebuild=rebuild, as_json=as_json, upwards=True)


@app.command()
def down(target: TargetArgument = "-1", rebuild: RebuildOption = False, as_json: LinesOption = False) -> None:
    """Lead readers back to the version before, or to an older one, or with base to none. Nothing is dropped."""
    _move(target, rebuild=rebuild, as_json=as_json, upwards=False)


@app.command()
def plan(target: TargetArgument = "head", rebuild: RebuildOption = False, as_json: JsonOption = False) -> None:
    """Print the steps that lead to a version. Changes nothing."""

    async def run() -> tuple[MoveStep, ...]:
        async with both() as (engine, milvus):
            return await mirror.plan(engine, milvus, target, rebuild=rebuild)

    steps = asyncio.run(run())
    if as_json:
        print_json(steps)
        return
    for number, step in enumerate(steps, 1):
        out.print(escape(f"{number}. {step}"))
    if not steps:
        out.print("nothing to do")


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Show the collections, which of them is live, and how far behind the mirror is. Exits 1 if it is not whole."""

    async def run() -> mirror.MirrorStatus:
        async with both() as (engine, milvus):
            return await mirror.status(engine, milvus)

    found = asyncio.run(run())
    if as_json:
        print_json(found)
    else:
        out.print(escape(f"{found.alias} in {found.uri} ({found.server})"))
        newest = "" if found.live == found.head else f"; the newest is {found.head}: memstore milvus up"
        out.print(escape(f"  version    {found.live or 'none'}{newest}"))
        state = "on" if found.enabled else "off: changes are not written down. Type: memstore milvus enable"
        out.print(escape(f"  mirror     {state}"))
        since = "" if found.lag.oldest is None else f", the oldest {found.lag.seconds:,.1f} s old"
        out.print(escape(f"  behind     {found.lag.entries:,} changes{since}"))
        out.print(escape(f"  set aside  {found.lag.rejections:,} memories that Milvus cannot hold"))
        out.print(escape(f"  memories   {found.memories:,} with a vector, in PostgreSQL"))
        for each in found.collections:
            about = "live" if each.is_live else "kept" if each.state is mirror.BuildState.COMPLETE else each.state.value
            entities = "not loaded" if each.entities is None else f"{each.entities:,} entities"
            out.print(escape(f"  {each.name}: {about}, {entities}, {each.vector_index or 'no vector index'}"))
            for problem in each.problems:
                out.print(escape(f"    {problem}"))
        for line in found.disagreements:
            out.print(escape(f"  {line}"))
    if not found.is_sound:
        raise typer.Exit(1)


@app.command()
def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Write what is missing or older, delete what is nobody's.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare every memory with PostgreSQL, while both are in use. Exits 1 if something differs and is left so."""

    async def run() -> Verification:
        async with both() as (engine, milvus):
            with progress_bar() as bar:
                return await mirror.verify(
                    engine, milvus, repair=repair, on_progress=lambda done, total: bar(_Bar("verify", done, total))
                )

    found = asyncio.run(run())
    if as_json:
        print_json(found)
    else:
        out.print(
            escape(
                f"{found.collection}: {found.memories:,} memories, {found.entities:,} entities, {found.sampled:,} "
                f"compared field by field, {found.pending:,} on their way, {found.found:,} differences, "
                f"{found.repaired:,} mended"
            )
        )
        for each in found.differences:
            out.print(escape(f"  {each.problem}: {each.node_id} of {each.tenant_id}: {each.detail}"))
        if found.filled:
            out.print(f"a field of {found.changed:,} memories differed: all {found.filled:,} were written anew")
    if not found.is_equal:
        raise typer.Exit(1)


@app.command()
def enable(as_json: JsonOption = False) -> None:
    """Write changes to memories down for the mirror from now on, and enqueue what is there."""

    async def run() -> mirror.Enabled:
        async with database() as (engine, _):
            await verify_schema(engine)
            return await mirror.enable_mirror(engine)

    done = asyncio.run(run())
    if as_json:
        print_json(done)
        return
    before = "on already" if done.was_enabled else "on from now"
    out.print(f"{before}; {done.enqueued:,} memories enqueued. Next: memstore milvus up, memstore milvus sync --follow")
    if done.to_compare:
        out.print("What was deleted while it was off is still in Milvus. After that: memstore milvus verify --repair")


@app.command()
def disable(as_json: JsonOption = False) -> None:
    """Write no more changes down. Before the mirror is used again: memstore milvus enable."""

    async def run() -> bool:
        async with database() as (engine, _):
            await verify_schema(engine)
            return await mirror.disable_mirror(engine)

    was_enabled = asyncio.run(run())
    if as_json:
        print_json({"was_enabled": was_enabled})
        return
    out.print("off from now" if was_enabled else "off already")


@app.command()
def sync(
    follow: Annotated[
        bool, typer.Option("--follow/--once", help="Go on with what changes, or end when there is nothing left.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, max=MAX_BATCH_SIZE, help="Changes taken at once.")
    ] = DEFAULT_BATCH_SIZE,
    as_json: LinesOption = False,
) -> None:
    """Bring the mirror up to date. Several at once share the work; each change is done before it is forgotten."""

    async def run() -> Synced:
        stop = asyncio.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        async with both() as (engine, milvus):
            return await mirror.sync(
                engine,
                milvus,
                mirror.SyncOptions(batch_size=batch_size, follow=follow),
                stop=stop,
                on_progress=lambda done: print_json_line(event="progress", synced=done) if as_json else None,
                on_trouble=lambda error: err.print(escape(f"memstore: {error}; trying again")),
            )

    done = asyncio.run(run())
    if as_json:
        print_json_line(event="done", synced=done)
        return
    rate = f", {done.entries / done.seconds:,.0f} a second" if done.entries and done.seconds else ""
    out.print(
        f"{done.entries:,} changes followed: {done.upserted:,} written, {done.deleted:,} not there or gone, "
        f"{done.rejected:,} set aside, {done.retries:,} retries, {done.left:,} left, {done.seconds:.1f} s{rate}"
    )


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be dropped, and drop nothing.")] = False,
    rebuild: RebuildOption = False,
    as_json: JsonOption = False,
) -> None:
    """Drop the collections that readers are not led to. After this there is no quick way back to them."""

    async def run() -> mirror.Pruned:
        async with both() as (engine, milvus):
            return await mirror.prune(engine, milvus, dry_run=dry_run, rebuild=rebuild)

    done = asyncio.run(run())
    if as_json:
        print_json(done)
        return
    for name in done.dropped:
        out.print(f"{'would drop' if dry_run else 'dropped'}  {name}")
    for name, why in done.kept:
        out.print(escape(f"kept     {name}: {why}"))
    if not done.dropped:
        out.print("nothing to drop")


def _move(target: str, *, rebuild: bool, as_json: bool, upwards: bool) -> None:
    async def run() -> Moved:
        async with both() as (engine, milvus):
            with progress_bar() as bar:

                def report(progress: MoveProgress) -> None:
                    if as_json:
                        print_json_line(event="progress", **_of(progress))
                    elif progress.total is None:
                        out.print(escape(str(progress.step)))
                    else:
                        bar(_Bar(progress.step.action.value, progress.done, progress.total))

                return await mirror.move(engine, milvus, target, rebuild=rebuild, upwards=upwards, on_progress=report)

    done = asyncio.run(run())
    if as_json:
        print_json_line(event="done", moved=done)
        return
    if not done.steps:
        out.print(f"nothing to do: readers are led to {done.after or 'nothing'}")
        return
    compared = done.verification
    about = (
        ""
        if compared is None
        else (
            f"; {compared.memories:,} memories and {compared.entities:,} entities compared, "
            f"{compared.repaired:,} mended"
        )
    )
    out.print(
        escape(
            f"readers are led to {done.after or 'nothing'} (before: {done.before or 'nothing'}){about}, "
            f"{done.seconds:.1f} s"
        )
    )
    if done.after is not None and not done.enabled:
        out.print("changes to memories are not followed. Type: memstore milvus enable")


class _Bar:
    def __init__(self, phase: str, done: int, total: int) -> None:
        self.phase, self.done, self.total = phase, done, max(done, total)


def _of(progress: MoveProgress) -> dict[str, Any]:
    step = progress.step
    return {"step": step.action, "collection": step.physical, "done": progress.done, "total": progress.total}
