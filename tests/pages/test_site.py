"""The pages build as a site, strictly and without a network."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


pytest.importorskip("material", reason="needs the extra `docs`")
ROOT = Path(__file__).parents[2]


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1"})


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    return folder


def test_the_pages_build_and_fetch_nothing_from_elsewhere(copy: Path) -> None:
    done = build(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    made = sorted((copy / "site").rglob("*.html"))
    assert len(made) > 30
    for page in made:
        text = page.read_text()
        assert not re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?https?:[^ >]*", text), page.name
        assert not re.findall(r"<link[^>]*\shref=\"?https?:[^ >]*", text), page.name
    for style in (copy / "site").rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:", style.read_text()), style.name


@pytest.mark.parametrize(
    ("page", "added", "named"),
    [
        ("choose.md", "[a](nowhere.md)", "nowhere.md"),
        ("choose.md", "[a](methods.md#nothing)", "#nothing"),
        ("choose.md", "[a](../README.md)", "../README.md"),
        ("orphan.md", "# Nobody links here", "orphan.md"),
    ],
    ids=["page", "anchor", "outside", "orphan"],
)
def test_a_dead_link_or_an_orphan_fails(copy: Path, page: str, added: str, named: str) -> None:
    file = copy / "docs" / page
    before = file.read_text() if file.exists() else None
    file.write_text(f"{before or ''}\n{added}\n")
    try:
        done = build(copy)
    finally:
        file.unlink() if before is None else file.write_text(before)
    assert done.returncode != 0 and named in done.stdout + done.stderr
