"""`memstore search`: finding memories again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from .. import store
from ..migrations import verify_schema
from ..npy import open_npy
from ..scope import tenant_session
from ..store import Hit, check_owner
from .common import JsonOption, database, out, print_json
from .owner import TenantOption, UserOption, check_one_owner, resolve_owner

app = typer.Typer(add_completion=False)


@app.command()
def search(
    user_id: UserOption = None,
    tenant_id: TenantOption = None,
    vector: Annotated[
        Path | None, typer.Option("--vector", help="A NumPy file with one vector.", metavar="FILE.npy")
    ] = None,
    like: Annotated[str | None, typer.Option("--like", help="A memory to find others like.", metavar="NODE_ID")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many at most.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Find the memories nearest to a vector or to another memory, best first."""
    check_one_owner(user_id, tenant_id)
    if (vector is None) == (like is None):
        found = "neither" if vector is None else "both"
        raise typer.BadParameter(f"found {found} of --vector and --like, needed: exactly one of them")

    async def run() -> list[Hit]:
        asked = None if vector is None else open_npy(vector, needed="a NumPy file with one vector, shape (D,)")
        async with database() as (engine, settings):
            await verify_schema(engine, embedding_dim=settings.embedding_dim)
            owner = await resolve_owner(engine, user_id, tenant_id)
            async with tenant_session(engine, owner, user_id) as session:
                await check_owner(await session.connection(), owner, user_id)
                if asked is not None:
                    return await store.search(session, asked, limit=limit)
                return await store.like(session, str(like), limit=limit)

    hits = asyncio.run(run())
    if as_json:
        print_json([_as_dict(hit) for hit in hits])
        return
    print_hits(hits)
    if not hits:
        out.print("nothing found")


def print_hits(hits: list[Hit]) -> None:
    """Print each memory on a few lines: score, id and time, and what was said."""
    for hit in hits:
        memory = hit.memory
        out.print(f"[bold green]{hit.score:6.3f}[/]  [cyan]{escape(memory.id)}[/]  {memory.created_at:%Y-%m-%d %H:%M}")
        for text in (memory.human_content, memory.assistant_content, memory.content):
            if text:
                out.print(f"        {escape(_shortened(text))}")


def _as_dict(hit: Hit) -> dict[str, object]:
    memory = hit.memory
    shown = ("id", "conversation_id", "human_content", "assistant_content", "content", "created_at", "tags")
    return {"score": hit.score} | {name: getattr(memory, name) for name in shown}


def _shortened(text: str, width: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
