"""`memstore search`: finding memories again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from .. import store
from ..database import connecting
from ..errors import SettingsError, UnknownMemoryError
from ..migrations import verify_schema
from ..models import DecayTier, MemoryType, NeuroType
from ..npy import open_npy
from ..scope import tenant_session
from ..settings import Settings
from ..store import Backend, Explanation, Filters, Hit, SearchPlan, SearchResult, StoreSettings, check_owner
from .common import JsonOption, out, print_json
from .owner import TenantOption, UserOption, check_one_owner, resolve_owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from ..store import MemoryScope

app = typer.Typer(add_completion=False)

_TIME = {"parser": datetime.fromisoformat, "metavar": "TIME"}


@app.command()
def search(
    user_id: UserOption = None,
    tenant_id: TenantOption = None,
    vector: Annotated[
        Path | None, typer.Option("--vector", help="A NumPy file with one vector.", metavar="FILE.npy")
    ] = None,
    like: Annotated[str | None, typer.Option("--like", help="A memory to find others like.", metavar="NODE_ID")] = None,
    text: Annotated[str | None, typer.Option("--text", help="A question in words.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many at most.")] = 10,
    min_score: Annotated[float | None, typer.Option(min=-1, max=1, help="Leave out what scores less.")] = None,
    conversation: Annotated[list[str] | None, typer.Option(help="Only of these conversations.", metavar="ID")] = None,
    session: Annotated[list[UUID] | None, typer.Option(help="Only of these sessions.", metavar="UUID")] = None,
    agent: Annotated[list[UUID] | None, typer.Option(help="Only of these agents.", metavar="UUID")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Only from these sources.")] = None,
    memory_type: Annotated[list[MemoryType] | None, typer.Option(help="Only of these types.")] = None,
    neuro_type: Annotated[list[NeuroType] | None, typer.Option(help="Only of these kinds of memory.")] = None,
    decay_tier: Annotated[list[DecayTier] | None, typer.Option(help="Only of these tiers.")] = None,
    cluster: Annotated[list[int] | None, typer.Option(help="Only of these clusters.", metavar="ID")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag; with all of them where several.")] = None,
    created_from: Annotated[datetime | None, typer.Option(help="Only from this time on; ISO 8601.", **_TIME)] = None,
    created_to: Annotated[datetime | None, typer.Option(help="Only before this time.", **_TIME)] = None,
    importance_min: Annotated[int | None, typer.Option(min=1, max=10, help="Only of this importance or more.")] = None,
    importance_max: Annotated[int | None, typer.Option(min=1, max=10, help="Only of this importance or less.")] = None,
    include_deleted: Annotated[bool, typer.Option("--include-deleted", help="Also what was deleted softly.")] = False,
    include_expired: Annotated[bool, typer.Option("--include-expired", help="Also what has expired.")] = False,
    plan: Annotated[SearchPlan, typer.Option(help="How to find the nearest vectors.")] = SearchPlan.AUTO,
    explain: Annotated[bool, typer.Option("--explain", help="Say how it was done, and why so.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the memories nearest to a vector or to another memory, those that hold the words of a text, or both."""
    check_one_owner(user_id, tenant_id)
    if vector is not None and like is not None:
        raise typer.BadParameter("found both of --vector and --like, needed: at most one of them")
    if vector is None and like is None and text is None:
        raise typer.BadParameter("found none of --vector, --like and --text, needed: at least one of them")
    filters = Filters(
        conversation_id=conversation or None,
        session_id=session or None,
        agent_id=agent or None,
        source=source or None,
        memory_type=memory_type or None,
        neuro_type=neuro_type or None,
        decay_tier=decay_tier or None,
        cluster_id=cluster or None,
        tags_all=tag or None,
        created_from=created_from,
        created_to=created_to,
        importance_min=importance_min,
        importance_max=importance_max,
        include_deleted=include_deleted,
        include_expired=include_expired,
    )

    async def run() -> tuple[tuple[Hit, ...], Explanation | None]:
        asked = None if vector is None else open_npy(vector, needed="a NumPy file with one vector, shape (D,)")
        options: dict[str, Any] = {"text": text, "min_score": min_score, "filters": filters, "plan": plan}
        options["explain"] = explain
        async with _scope(user_id, tenant_id) as scope:
            if like is None:
                result = await scope.search(vector=asked, limit=limit, **options)
                return result.hits, result.explanation
            result = await _like(scope, like, limit, options)
            return tuple(hit for hit in result if hit.memory.id != like)[:limit], result.explanation

    hits, explanation = asyncio.run(run())
    if as_json:
        found = [_as_dict(hit) for hit in hits]
        print_json({"hits": found, "explanation": explanation} if explain else found)
        return
    print_hits(hits)
    if not hits:
        out.print("nothing found")
    if explanation is not None:
        _print_explanation(explanation)


@asynccontextmanager
async def _scope(user_id: UUID | None, tenant_id: UUID | None) -> AsyncIterator[MemoryScope]:
    """Open the scope of an owner that exists, in the store that is configured."""
    settings = StoreSettings.from_env()
    if settings.backend is Backend.FILE:
        if tenant_id is None:
            raise SettingsError("a store in files knows no users. Name the tenant: --tenant-id UUID")
        async with store.open(settings) as opened:
            yield opened.scope(tenant_id)
        return
    async with connecting(settings.required_database_url(), application_name="memstore cli") as engine:
        await verify_schema(engine, embedding_dim=Settings.from_env().embedding_dim)
        owner = await resolve_owner(engine, user_id, tenant_id)
        async with tenant_session(engine, owner, user_id) as session:
            await check_owner(await session.connection(), owner, user_id)
    async with store.open(settings) as opened:
        yield opened.scope(owner, user_id)


async def _like(scope: MemoryScope, memory_id: str, limit: int, options: dict[str, Any]) -> SearchResult:
    """Search with the vector of a memory, which is found itself."""
    known = await scope.get(memory_id, with_embedding=True, include_deleted=True, include_expired=True)
    if known is None:
        raise UnknownMemoryError(f"there is no memory {memory_id!r} in this scope. Name one of this tenant's or user's")
    if known.embedding is None:
        raise UnknownMemoryError(
            f"the memory {memory_id!r} has no vector to compare with. Search with a vector instead"
        )
    return await scope.search(vector=known.embedding, limit=min(limit + 1, 1_000), **options)


def print_hits(hits: Iterable[Hit]) -> None:
    """Print each memory on a few lines: score, id and time, and what was said."""
    for hit in hits:
        memory = hit.memory
        out.print(f"[bold green]{hit.score:6.3f}[/]  [cyan]{escape(memory.id)}[/]  {memory.created_at:%Y-%m-%d %H:%M}")
        for said in (memory.human_content, memory.assistant_content, memory.content):
            if said:
                out.print(f"        {escape(_shortened(said))}")


def _print_explanation(explanation: Explanation) -> None:
    plan = "no vectors" if explanation.plan is None else f"plan {explanation.plan}"
    index = "" if explanation.index is None else f", index {explanation.index}"
    out.print(f"{plan}{index}: {escape(explanation.reason)}")
    out.print(f"{explanation.matching_rows:,} of {explanation.scope_rows:,} memories match, as it is estimated")


def _as_dict(hit: Hit) -> dict[str, object]:
    memory = hit.memory
    shown = ("id", "conversation_id", "human_content", "assistant_content", "content", "created_at", "tags")
    scores = {name: getattr(hit, name) for name in ("score", "vector_score", "text_score", "found_by")}
    return scores | {name: getattr(memory, name) for name in shown}


def _shortened(text: str, width: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
