from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memstore.errors import BackupError
from memstore.milvus import Milvus, restore_backup, write_backup
from tests.milvus.saved import NAME, everything, files_of, make_collection, remove_collection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


def _flip(position: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "rows-00002.parquet"
        content = bytearray(path.read_bytes())
        content[min(int(len(content) * position), len(content) - 1)] ^= 1
        path.write_bytes(content)

    return damage


def _swap(folder: Path) -> None:
    first, second, aside = folder / "rows-00001.parquet", folder / "rows-00002.parquet", folder / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def _truncate(folder: Path) -> None:
    path = folder / "rows-00003.parquet"
    path.write_bytes(path.read_bytes()[:-1])


def _edit(old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new, 1))

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    **{f"a bit at {part}": (_flip(part), "00002.parquet is damaged: its checksum") for part in (0, 0.1, 0.5, 0.9, 1)},
    "truncated": (_truncate, r"00003.parquet is damaged: it has [\d,]+ bytes, and had [\d,]+"),
    "emptied": (lambda folder: (folder / "rows-00001.parquet").write_bytes(b""), "00001.parquet is damaged: it has 0"),
    "deleted": (lambda folder: (folder / "rows-00001.parquet").unlink(), "lacks rows-00001.parquet"),
    "swapped": (_swap, "00001.parquet is damaged"),
    "an extra file": (lambda folder: (folder / "rows-00004.parquet").touch(), "holds rows-00004.parquet, which"),
    "an extra folder": (lambda folder: (folder / ".hidden").mkdir(), "holds .hidden, which"),
    "a number": (_edit('"rows": 250', '"rows": 251'), "manifest.json is damaged, or was changed by hand"),
    "a name": (_edit(NAME, "memories__0002"), "manifest.json is damaged, or was changed by hand"),
    "a space": (_edit('"rows": 250', '"rows":  250'), "manifest.json is damaged, or was changed by hand"),
    "a file outside": (_edit("rows-00001", "../../rows-00001"), "manifest.json is damaged, or was changed by hand"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json"),
    "half a manifest": (
        lambda folder: (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:300]),
        "manifest.json is damaged",
    ),
    "a list": (lambda folder: (folder / "manifest.json").write_text("[1]"), "manifest.json is damaged"),
    "a later format": (_edit('"format": 1', '"format": 2'), "is of format 2, and this memstore knows 1. Run: pip"),
    "no format": (_edit('"format": 1', '"format": true'), "is of format True"),
}


async def test_every_damage_is_refused_before_anything_changes(lite: Milvus, tmp_path: Path) -> None:
    await make_collection(lite, 250)
    await write_backup(lite, NAME, tmp_path / "whole", rows_per_file=100)
    await remove_collection(lite)
    await make_collection(lite, 3, name="bystander", alias=None)
    before = await everything(lite)
    for number, (name, (damage, message)) in enumerate(DAMAGES.items()):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        damage(folder)
        for as_name in (None, "copy"):
            with pytest.raises(BackupError, match=message):
                await restore_backup(lite, folder, as_name=as_name)
            assert await everything(lite) == before, name
    with pytest.raises(BackupError, match="there is no folder"):
        await restore_backup(lite, tmp_path / "nowhere")
    await restore_backup(lite, tmp_path / "whole")


async def test_every_bit_of_a_small_backup_counts(lite: Milvus, folder: Path) -> None:
    await make_collection(lite, 1)
    await write_backup(lite, NAME, folder)
    before = await everything(lite)
    for name, whole in files_of(folder).items():
        path = folder / name
        for position in range(0, len(whole), 7):
            changed = bytearray(whole)
            changed[position] ^= 1 << position % 8
            path.write_bytes(changed)
            with pytest.raises(BackupError):
                await restore_backup(lite, folder, as_name="copy")
        path.write_bytes(whole)
    assert await everything(lite) == before
