"""Whether the Hub answers is asked once, within seconds, and only where something may have to come from it."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import held_port

from trl_curriculum.scripts import hub
from trl_curriculum.scripts.recipes import with_found_config


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing says that there is no network."""
    for name in (*hub.OFFLINE, "HF_ENDPOINT", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("all_proxy", raising=False)
    yield
    os.environ.pop("HF_HUB_OFFLINE", None)


def listening() -> socket.socket:  # takes connections as soon as it is there
    server = socket.create_server(("127.0.0.1", 0))
    server.listen()
    return server


def test_a_hub_that_answers_is_used(
    online: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hub.is_reachable, "__defaults__", (600.0,))  # a busy machine may be slow
    with listening() as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        hub.use_the_cache_where_the_hub_is_silent(["--dataset_name", "owner/name"])
    assert "HF_HUB_OFFLINE" not in os.environ and not capsys.readouterr().err


def test_where_none_answers_the_cache_is_used_and_that_is_said(
    online: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = with_found_config(["--config", "competence_math", "--dry_run"], "sft")
    capsys.readouterr()
    holder, port = held_port()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with holder:
        hub.use_the_cache_where_the_hub_is_silent(argv)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    said = capsys.readouterr().err
    assert said.startswith("127.0.0.1 cannot be reached: ") and "nlile/hendrycks-MATH-benchmark" in said
    assert said.count("\n") == 1


def test_a_name_that_is_looked_up_for_ever_ends_too(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    over, ended = threading.Event(), threading.Event()

    def never(*args: object, **kwargs: object) -> None:
        over.wait(600)
        ended.set()
        raise OSError

    monkeypatch.setattr(socket, "create_connection", never)
    assert not hub.is_reachable(seconds=0.1)
    assert not ended.is_set(), "it was waited for"
    over.set()


@pytest.mark.parametrize("name", hub.OFFLINE)
def test_a_user_who_says_offline_is_not_asked(online: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(hub, "is_reachable", lambda: pytest.fail("asked"))
    hub.use_the_cache_where_the_hub_is_silent(["--dataset_name", "owner/name"])


def test_behind_a_proxy_nothing_is_concluded(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert hub.is_reachable(seconds=0.1)


def test_local_runs_are_not_asked(online: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "is_reachable", lambda: pytest.fail("asked"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "model").mkdir(parents=True)
    (tmp_path / "rows.jsonl").touch()
    (tmp_path / "run.yaml").write_text(
        "model_name_or_path: my/model\ndatasets:\n- path: json\n  data_files: rows.jsonl\ninstruction: a/b\n"
    )
    for argv in (
        ["--config", "run.yaml", "--dataset_name=rows.jsonl"],
        ["--model_name_or_path", "smollm2-135m"],
        ["--config", "nowhere.yaml"],
        with_found_config(["--config", "cpu/sec_countdown"], "grpo"),
        ["--learning_rate", "1e-3"],
        [],
    ):
        hub.use_the_cache_where_the_hub_is_silent(argv)


def test_a_broken_recipe_is_left_to_the_parser(online: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "is_reachable", lambda: pytest.fail("asked"))
    for number, content in enumerate((b"a: [", b"- 1", b"\xff\xfe", b"")):
        (tmp_path / f"{number}.yaml").write_bytes(content)
        hub.use_the_cache_where_the_hub_is_silent(["--config", str(tmp_path / f"{number}.yaml")])


def test_the_base_of_a_grid_names_what_is_needed(online: None, tmp_path: Path) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text("base: sft/competence_math\nmethods: [order]")
    assert "nlile/hendrycks-MATH-benchmark" in hub._names(["--config", str(grid)])
    grid.write_text("base: nowhere\nmethods: [order]")
    assert hub._names(["--config", str(grid)]) == []
