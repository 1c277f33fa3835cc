"""`trl-curriculum push` against a Hub of this machine: what arrives, what never does, and what a failure says."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from hub_server import Failure, Hub
from huggingface_hub import HfApi, _commit_api, constants, utils
from ports import held_port
from safetensors.numpy import save_file

from trl_curriculum.cli import main
from trl_curriculum.publish.files import is_listed, public_files


PUBLIC = {
    "README.md",
    "chat_template.jinja",
    "config.json",
    "curriculum_draws.png",
    "curriculum_history/draws-000000000000.parquet",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


def push(folder: Path, *options: str, repo_id: str = "me/tiny") -> int:
    return main(["push", str(folder), "--repo_id", repo_id, *options])


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *options: str, repo_id: str = "me/tiny") -> str:
    """The one sentence of a push that failed."""
    capsys.readouterr()
    assert push(folder, *options, repo_id=repo_id) == 1
    bars, name, said = capsys.readouterr().err.rpartition("trl-curriculum push: ")
    assert not bars or bars.endswith("\n")
    assert name and said.count("\n") == 1 and said.endswith("\n"), said
    assert all("B/s]" in line for line in bars.splitlines() if line), bars
    return said


def as_on_disk(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in PUBLIC}


def kilobytes(folder: Path) -> int:
    return round(sum(map(len, as_on_disk(folder).values())) / 1000)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub tries again as often as ever, but does not wait in between."""
    monkeypatch.setattr(utils._http.time, "sleep", lambda seconds: None)


def test_what_arrives_is_the_public_part_of_the_folder_byte_by_byte(
    hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    assert push(run_folder) == 0
    assert hub.files("me/tiny") == as_on_disk(run_folder) and not hub.private["me/tiny"]
    assert len(hub.large) == 1 and hub.commits == ["Push my-run"]
    assert {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()} == before
    assert capsys.readouterr().out.startswith(f"9 files ({kilobytes(run_folder)} kB) are in {hub.url}/me/tiny/commit/")
    everything = b"".join(file.read_bytes() for file in (hub.folder / "objects").iterdir())
    assert b"the texts" not in everything and b"hf_sss" not in everything


def test_the_same_again_commits_nothing_and_a_new_model_replaces_the_earlier_one(hub: Hub, run_folder: Path) -> None:
    assert push(run_folder) == 0 and push(run_folder) == 0
    assert len(hub.commits) == 1
    hub.repos["me/tiny"]["main"]["notes.txt"] = hub.put(b"of somebody else")
    (run_folder / "model.safetensors").unlink()
    shards = {f"w{k}": f"model-0000{k}-of-00002.safetensors" for k in (1, 2)}
    for name, file in shards.items():
        save_file({name: np.ones(4, np.float32)}, run_folder / file)
    (run_folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (run_folder / "curriculum_history" / "draws-000000000000.parquet").rename(
        run_folder / "curriculum_history" / "draws-000000000001.parquet"
    )
    assert push(run_folder) == 0
    now = set(hub.files("me/tiny"))
    assert "notes.txt" in now and "model.safetensors" not in now and {*shards.values()} < now
    assert [name for name in now if name.startswith("curriculum_history/")] == [
        "curriculum_history/draws-000000000001.parquet"
    ]


def test_private_and_another_branch(hub: Hub, run_folder: Path) -> None:
    assert push(run_folder, "--private", "--revision", "v2") == 0
    assert hub.private["me/tiny"]
    assert hub.files("me/tiny", "v2") == as_on_disk(run_folder) and hub.files("me/tiny") == {}


def test_a_dry_run_lists_and_sends_nothing(hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert push(run_folder, "--dry_run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[1:-1]} == PUBLIC
    assert any(line.split() == ["model.safetensors", "40", "kB"] for line in lines)
    assert lines[0] == "To me/tiny:" and lines[-1] == f"9 files, {kilobytes(run_folder)} kB. Nothing was sent."
    assert hub.requests == []


def test_a_checkpoint_is_sent_without_what_resumes_it(hub: Hub, run_folder: Path) -> None:
    (run_folder / "checkpoint-2" / "config.json").write_text("{}")
    assert push(run_folder / "checkpoint-2") == 0
    assert set(hub.files("me/tiny")) == {"config.json", "model.safetensors"}


def test_the_folder_of_an_adapters_base_model_stays_here(
    hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_folder / "adapter_config.json").write_text(
        json.dumps({"r": 8, "base_model_name_or_path": str(run_folder.parent / "secret" / "base"), "bias": "none"})
    )
    (run_folder / "model.safetensors").rename(run_folder / "adapter_model.safetensors")
    assert push(run_folder) == 0
    sent = json.loads(hub.files("me/tiny")["adapter_config.json"])
    assert sent == {"r": 8, "base_model_name_or_path": "base", "bias": "none"}
    (run_folder / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen3-0.6B"}')
    assert push(run_folder) == 0
    assert hub.files("me/tiny")["adapter_config.json"] == (run_folder / "adapter_config.json").read_bytes()


@pytest.mark.parametrize(
    "place", ["x/model.safetensors", "curriculum_history/rows.parquet", "config.json.bak", ".env"]
)
def test_what_is_on_no_list(place: str) -> None:
    assert not is_listed(place)


# Refusals, before anything is sent


def test_no_model(hub: Hub, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not there: give the output folder of a run" in refused(capsys, tmp_path / "nowhere")
    (run_folder / "model.safetensors").unlink()
    assert f"holds no model (weights and their config.json): give a checkpoint, such as {run_folder}" in refused(
        capsys, run_folder
    )
    assert "holds no model" in refused(capsys, run_folder / "runs") and hub.requests == []


def test_damaged_weights_and_missing_shards(hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_folder / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-1.safetensors"}}')
    assert "model-1.safetensors, of which model.safetensors.index.json speaks, is missing" in refused(
        capsys, run_folder
    )
    (run_folder / "model.safetensors.index.json").unlink()
    whole = (run_folder / "model.safetensors").read_bytes()
    (run_folder / "model.safetensors").write_bytes(whole[:-1])
    assert "model.safetensors is cut off or damaged" in refused(capsys, run_folder) and hub.requests == []


def test_a_token_in_the_card(hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(run_folder / "README.md", "a") as card:
        card.write(f"export HF_TOKEN={'hf_' + 's' * 34}\n")
    said = refused(capsys, run_folder)
    assert "README.md holds what looks like a token" in said and "hf_sss" not in said and hub.requests == []


@pytest.mark.parametrize("repo_id", ["tiny", "a/b/c", "me/", "me/ti ny", "me/--x", "/tmp/x", "me/tiny.git"])
def test_no_name_of_the_hub(hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str], repo_id: str) -> None:
    said = refused(capsys, run_folder, repo_id=repo_id)
    assert repr(repo_id) in said and "give it as user/name" in said and hub.requests == []


def test_nobody_is_logged_in(
    hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert "Nobody is logged in to the Hub: run `hf auth login`" in refused(capsys, run_folder)
    assert hub.requests == []


def test_a_wrong_token_and_somebody_elses_repository(
    hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(capsys, run_folder, repo_id="you/tiny")
    assert "The token may not write to you/tiny" in said and "run `trl-curriculum push" in said
    monkeypatch.setenv("HF_TOKEN", "hf_" + "w" * 34)
    assert "The Hub does not know the token" in refused(capsys, run_folder) and hub.repos == {}


def test_no_network(
    hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, port = held_port()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with holder:
        said = refused(capsys, run_folder, "--private")
    assert (
        "The Hub cannot be reached" in said
        and f"run `trl-curriculum push {run_folder} --repo_id me/tiny --private`" in said
    )


# Failures in between


FAILURES = {
    "an answer of 500, then none": ([Failure("POST .*preupload", 500)], None),
    "slow": ([Failure("(POST|PUT)", "slow", times=99)], None),
    "an upload that is cut once": ([Failure("PUT /lfs", "cut")], None),
    "500 at the commit": ([Failure("POST .*commit/main", 500)], "The Hub answered 500"),
    "uploads that are cut again and again": ([Failure("PUT /lfs", "cut", times=6)], "The connection failed"),
    "a commit that is cut": ([Failure("POST .*commit/main", "cut")], "The connection failed"),
    "another commit in between": ([Failure("POST .*commit/main", 409)], "Another commit to me/tiny came in between"),
    "no permission at the commit": ([Failure("POST .*commit/main", 403)], "The token may not write to me/tiny"),
    "no room": ([Failure("POST .*objects/batch", 507)], "The storage of the Hub that may be used is full"),
    "too large": ([Failure("PUT /lfs", 413)], "A file is too large for me/tiny"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_loses_nothing_and_the_same_command_completes_it(
    hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    hub.failures, said = FAILURES[case]
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    if said is None:
        assert push(run_folder) == 0
    else:
        told = refused(capsys, run_folder)
        assert (
            said in told
            and f"nothing in {run_folder} was lost, and the commit to me/tiny is there as a whole or not at all"
            in told
        )
        assert f"run `trl-curriculum push {run_folder} --repo_id me/tiny` again" in told
        assert hub.files("me/tiny") == {}  # as a whole or not at all
        hub.requests.clear()
        assert push(run_folder) == 0
    assert hub.failures[0].seen >= 1 and hub.commits == ["Push my-run"]
    assert hub.files("me/tiny") == as_on_disk(run_folder)
    assert {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x"), "No space left on device on this machine when sending to me/tiny"),
        (RuntimeError("xet: no\nshard"), "The upload failed when sending to me/tiny (xet: no shard)"),
    ],
)
def test_an_upload_that_fails_on_this_side(
    hub: Hub,
    run_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    def fail(**arguments: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(_commit_api, "_upload_files", fail)
        assert f"{said}; nothing in {run_folder} was lost" in refused(capsys, run_folder)
    assert push(run_folder) == 0 and hub.files("me/tiny") == as_on_disk(run_folder)


def test_what_has_arrived_is_not_sent_twice(hub: Hub, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.failures = [Failure("POST .*commit/main", 500)]
    refused(capsys, run_folder)
    assert sum(one.startswith("PUT /lfs") for one in hub.requests) == 1
    assert push(run_folder) == 0
    assert sum(one.startswith("PUT /lfs") for one in hub.requests) == 1


def test_500_at_any_request_loses_nothing(hub: Hub, run_folder: Path) -> None:
    """Whichever request fails, the same command twice sends the whole."""
    assert push(run_folder) == 0
    for k in range(1, len(hub.requests) + 1):
        hub.repos.clear()
        for file in (hub.folder / "objects").iterdir():
            file.unlink()
        hub.failures = [Failure("", 500, nth=k)]
        first = push(run_folder)
        assert first == 0 or push(run_folder) == 0, k
        assert hub.files("me/tiny") == as_on_disk(run_folder), k


def test_the_server_speaks_as_the_client_expects(hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    """What huggingface_hub lists and downloads is what was sent."""
    assert push(run_folder) == 0
    api = HfApi()
    assert set(api.list_repo_files("me/tiny")) == PUBLIC and api.whoami()["name"] == "me"
    assert {one.path: one.size for one in api.get_paths_info("me/tiny", ["model.safetensors"])} == {
        "model.safetensors": (run_folder / "model.safetensors").stat().st_size
    }
    api.snapshot_download("me/tiny", local_dir=tmp_path / "again")
    assert {name: (tmp_path / "again" / name).read_bytes() for name in PUBLIC} == as_on_disk(run_folder)


def test_the_list_is_that_of_the_folder(run_folder: Path) -> None:
    assert {one.path for one in public_files(run_folder)} == PUBLIC and constants.ENDPOINT
