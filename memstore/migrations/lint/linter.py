"""Linting revisions: what is asked for, read, judged, and silenced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import MigrationError
from ..scripts import script_location
from .changes import ColumnType, Kind
from .context import LintContext
from .finding import Finding, Problem
from .house import house
from .imports import imports
from .locks import locks
from .losses import losses
from .project import Options, Project, checked_distance, kept_path, options_of, own_project, project_of, root_of
from .repeats import repeats
from .revision import Revision
from .rules import RULES
from .sql_pass import sql_problems
from .squawk import CHOSEN, squawk_program
from .vectors import vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alembic.script import Script

_SQ = "SQ-"
CODES = frozenset(RULES) | {f"{_SQ}{rule}" for rule in CHOSEN}


@dataclass(frozen=True, slots=True)
class LintResult:
    """What was found, by file and line, and the paths of the revisions that were looked at."""

    findings: tuple[Finding, ...]
    paths: tuple[str, ...]


def lint_revisions(
    targets: Sequence[str] = (),
    *,
    config: Path | None = None,
    sql: bool = True,
    ignore: Iterable[str] = (),
    distance: str | None = None,
    tests: Path | None = None,
) -> LintResult:
    """Lint revisions: their files, which are parsed and not run, and the SQL that they render.

    Args:
        targets: ids, ranges `A:B` (after A, up to B), or paths of files and folders, whose SQL is not rendered;
            empty for all revisions of the project.
        config: the alembic.ini of a project; None for memstore's own revisions.
        sql: whether to render the SQL and have squawk read it.
        ignore: codes of rules not to apply.
        distance: how vectors are compared, where neither the revision nor the project says so.
        tests: a folder with a file test_ID.py for each revision.

    Raises:
        MigrationError: no such revision, file, code or distance; or Alembic cannot read the project.
        MissingPackageError: `sql`, and squawk is not installed.
    """
    with kept_path():
        asked = _select(targets, config)
        options = options_of(asked.root) if asked.project is None or not asked.project.own else Options("cosine")
        ignored = frozenset({*ignore, *options.ignore})
        if unknown := ignored - CODES:
            raise MigrationError(f"no rule {', '.join(sorted(unknown))}. There are: {', '.join(sorted(CODES))}")
        sql = sql and bool(asked.wanted)
        if sql:
            squawk_program()  # said before anything is read
        read = _Reader()
        paths = (*asked.files, *(Path(each.path) for each in asked.wanted))
        revisions = [each for path in paths if (each := read(path)) is not None]
        everything = [read(Path(each.path)) for each in asked.project.revisions()] if asked.project else revisions
        context = _context(asked, [each for each in everything if each is not None], options, distance, tests)
        found = {each.path: list(_problems(each, context)) for each in revisions}
        findings = list(read.failures)
        if sql and asked.project is not None:
            by_id = {each.id: each for each in revisions}
            for revision_id, problem in sql_problems(asked.project, asked.wanted, by_id):
                if revision_id is None:
                    findings.append(_finding(problem, asked.project.env, None))
                else:
                    found[by_id[revision_id].path].append(problem)
        for revision in revisions:
            findings.extend(_judged(revision, found[revision.path], ignored, sql=sql))
        order = {shown(each.path): number for number, each in enumerate(revisions)}
        kept = [each for each in dict.fromkeys(findings) if each.code not in ignored]
        kept.sort(key=lambda each: (order.get(each.path, -1), each.line, each.code))
        return LintResult(tuple(kept), tuple(order))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be linted: files, of a project or of none, and revisions that Alembic finds in a project."""

    project: Project | None
    root: Path
    files: tuple[Path, ...]
    wanted: tuple[Script, ...]


def _select(targets: Sequence[str], config: Path | None) -> _Asked:
    files = tuple(each for target in targets if _is_path(target) for each in _files(Path(target)))
    ids = [target for target in targets if not _is_path(target)]
    own = all(each.resolve().is_relative_to(script_location().resolve()) for each in files)
    if config is None and files and not ids and not own:
        return _Asked(None, root_of(files[0]), files, ())
    project = own_project() if config is None else project_of(config)
    wanted = [each for target in ids for each in project.between(target)] if targets else project.revisions()
    once = {each.revision: each for each in wanted}
    return _Asked(project, project.root, files, tuple(once.values()))


def shown(path: Path) -> str:
    """Return a path as people type it: from the current folder where it is within."""
    resolved = path.resolve()
    return str(resolved.relative_to(Path.cwd())) if resolved.is_relative_to(Path.cwd()) else str(resolved)


def _is_path(target: str) -> bool:
    return target.endswith(".py") or "/" in target or Path(target).is_dir()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(each for each in path.rglob("*.py") if each.name != "__init__.py" and _is_revision(each))
        if found:
            return found
        raise MigrationError(f"no revision in {path}: no .py file with a line `revision = `")
    if not path.is_file():
        raise MigrationError(f"no file {path}. Needed: an id, a range A:B, or the path of a file or a folder")
    return [path]


def _is_revision(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return any(line.startswith(("revision =", "revision:", "revision=")) for line in text.splitlines())


class _Reader:
    """Reads each file once, and keeps what cannot be read as findings."""

    def __init__(self) -> None:
        self.failures: list[Finding] = []
        self._read: dict[Path, Revision | None] = {}

    def __call__(self, path: Path) -> Revision | None:
        path = path.resolve()
        if path not in self._read:
            self._read[path] = None
            try:
                self._read[path] = Revision(path)
            except (SyntaxError, UnicodeDecodeError, ValueError) as error:
                line = getattr(error, "lineno", None) or 1
                problem = Problem("MS903", line, f"cannot be read: {error}", "Python that compiles")
                self.failures.append(_finding(problem, path, None))
        return self._read[path]


def _context(
    asked: _Asked,
    revisions: Sequence[Revision],
    options: Options,
    distance: str | None,
    tests: Path | None,
) -> LintContext:
    own, root = asked.project is not None and asked.project.own, asked.root
    own_tests = root / "tests" / "migrations" / "revisions"
    if tests is None:
        tests = own_tests if own and own_tests.is_dir() else options.tests
    return LintContext(
        roots=() if own else (root, root / "src"),
        own=frozenset({"memstore", "tests"}) if own else frozenset(),
        levels=own or any(each.constant("level") is not None for each in revisions),
        distance=checked_distance(distance) or options.distance,
        tests=tests,
        types=_types(revisions),
    )


def _types(revisions: Sequence[Revision]) -> dict[tuple[str, str], ColumnType]:
    found: dict[tuple[str, str], set[ColumnType | None]] = {}
    for revision in revisions:
        for change in revision.changes["upgrade"]:
            if change.kind in (Kind.CREATE_TABLE, Kind.ADD_COLUMN, Kind.SET_TYPE) and change.table is not None:
                for column in change.columns:
                    found.setdefault((change.table, column.name), set()).add(column.type)
    return {key: kind for key, kinds in found.items() if len(kinds) == 1 and (kind := next(iter(kinds))) is not None}


def _problems(revision: Revision, context: LintContext) -> Iterator[Problem]:
    yield from locks(revision)
    yield from repeats(revision)
    yield from losses(revision)
    yield from vectors(revision, context)
    yield from house(revision, context)
    yield from imports(revision, context)


def _judged(revision: Revision, problems: list[Problem], ignored: frozenset[str], *, sql: bool) -> Iterator[Finding]:
    """Yield what is left of the problems of a revision after its silences, and what is wrong with those."""
    used = set()
    told: dict[tuple[int, str, str], list[Problem]] = {}
    for problem in problems:
        on = {problem.line, problem.first, *problem.around, *range(problem.line, problem.end + 1)}
        silent = [
            each for each in revision.silences if each.code == problem.code and (each.lines is None or each.lines & on)
        ]
        used.update(silent)
        if not silent:
            # In a loop a line does the same to thousands; at a function, each statement that it renders is one.
            told.setdefault((problem.line, problem.code, "" if problem.end else problem.message), []).append(problem)
    for first, *others in told.values():
        more = len({each.message for each in others} - {first.message})
        message = f"{first.message} (and {more:,} more on this line)" if more else first.message
        yield _finding(replace(first, message=message), revision.path, revision.id)
    for silence in revision.silences:
        if not silence.reason:
            fix = f"# lint: {silence.code} because ..."
            problem = Problem("MS901", silence.line, f"{silence.code} is silenced without a reason", fix)
            yield _finding(problem, revision.path, revision.id)
        judged = silence.code not in ignored and (sql or not silence.code.startswith(_SQ))
        if silence not in used and judged:
            why = "nothing of it is found here" if silence.code in CODES else "there is no such rule"
            problem = Problem("MS902", silence.line, f"{silence.code} is silenced, and {why}", "remove the comment")
            yield _finding(problem, revision.path, revision.id)


def _finding(problem: Problem, path: Path, revision: str | None) -> Finding:
    if problem.code.startswith(_SQ):
        slug, reason = problem.code.removeprefix(_SQ), "squawk says so of the SQL that the revision renders."
    else:
        rule = RULES[problem.code]
        slug, reason = rule.slug, rule.reason
    return Finding(problem.code, slug, shown(path), problem.line, revision, problem.message, reason, problem.fix)
