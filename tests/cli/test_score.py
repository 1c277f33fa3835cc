"""`trl-curriculum score`: what it writes, that it goes on after a kill, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pyarrow import parquet

from trl_curriculum.cli import main, score
from trl_curriculum.lm.transformers_engine import TransformersEngine
from trl_curriculum.probes.prefix_entropy import PrefixEntropy, prefix_entropy
from trl_curriculum.probes.prompt_entropy import PromptEntropy, prompt_entropy
from trl_curriculum.probes.prompts import tokenize


SPEC = {"length": 4, "quick_answer": None}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Questions of two arms; one is too long for the tiny model's window, two are equal."""
    questions = [f"{i}+{i}" for i in range(9)] + ["a" * 130, "3+3"]
    lines = [{"question": q, "level": "ab"[i % 2], "index": i} for i, q in enumerate(questions)]
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def measured(spec: dict[str, Any]) -> str:
    return json.dumps({"prefix_entropy": spec})


def argv(model: str, rows: Path, out: Path, *more: str, spec: dict[str, Any] = SPEC) -> list[str]:
    given = ["--model_name_or_path", model, "--dataset_name", str(rows), "--prompt_column", "question"]
    given += ["--instruction", "", "--out", str(out), "--probe", measured(spec), "--use_cpu"]
    return ["score", *given, *more]


def test_scores_are_those_of_the_probe(
    tiny_path: str, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "scores.parquet"
    assert main(argv(tiny_path, rows, out, "--arms", "level")) == 0
    frame = pd.read_parquet(out)
    assert frame.columns.tolist() == ["row", "score", "tokens", "arm"]
    assert frame["row"].tolist() == list(range(11)) and frame["arm"].tolist() == [*"ababababab", "a"]
    assert np.flatnonzero(frame["score"].isna()).tolist() == [9]
    assert frame["score"][10] == frame["score"][3] and frame["tokens"][10] == 0, "equal prompts are scored once"

    import tiny

    tokenizer = tiny.tokenizer()
    prompts = [[{"role": "user", "content": f"{i}+{i}"}] for i in range(9)]
    spec = PrefixEntropy(**SPEC)  # type: ignore[arg-type]
    expected = prefix_entropy(
        tokenize(prompts, tokenizer, spec), TransformersEngine(tiny.model(), tokenizer), spec, disable_tqdm=True
    )
    np.testing.assert_allclose(frame["score"][:9], expected.value, rtol=1e-5)
    assert frame["tokens"][:9].tolist() == expected.tokens.tolist()

    text = capsys.readouterr().out
    print(text)
    assert "11 rows x 4 tokens = at most 44 tokens" in text
    lines = [line.split() for line in text.splitlines()]
    a, b, everything = (next(line for line in lines if line[:1] == [name]) for name in ("a", "b", "all"))
    assert (a[1], b[1], everything[1]) == ("6", "5", "11") and (a[4], b[4]) == ("0", "1")
    assert "1 (1 too long)" in text
    assert float(a[2]) == pytest.approx(frame["score"][frame["arm"] == "a"].mean(), abs=1e-3)
    best = str(int(frame["score"].argmax()))
    shown = [line[0] for line in lines[lines.index(next(x for x in lines if x[:1] == ["Largest"])) + 2 :]]
    assert shown[0] == best or frame["score"][int(shown[0])] == frame["score"].max()
    made_by = json.loads(parquet.read_schema(out).metadata[b"trl_curriculum"])
    assert made_by["prefix_entropy"]["length"] == 4 and made_by["model"] == tiny_path
    assert os.listdir(out.parent) == ["scores.parquet"], "nothing partial is left"


def test_prompt_entropies_are_measured_by_the_same_command(
    tiny_path: str, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.parquet"
    given = argv(tiny_path, rows, out, "--arms", "level")
    given[given.index("--probe") + 1] = "prompt_entropy"
    assert main(given) == 0
    import tiny

    tokenizer = tiny.tokenizer()
    prompts = [[{"role": "user", "content": f"{i}+{i}"}] for i in range(9)]
    spec = PromptEntropy()
    expected = prompt_entropy(tokenize(prompts, tokenizer, spec), tiny.model(), spec, disable_tqdm=True)
    frame = pd.read_parquet(out)
    np.testing.assert_allclose(frame["score"][:9], expected.value, rtol=1e-5)
    assert frame["tokens"][:9].tolist() == expected.tokens.tolist() and frame["score"].isna().sum() == 1
    said = capsys.readouterr().out
    assert "11 rows, one forward over each prompt" in said and "Prompt entropies" in said
    assert json.loads(parquet.read_schema(out).metadata[b"trl_curriculum"])["prompt_entropy"]["unit"] == "nats"


def test_conversations_and_a_config_file(tiny_path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    turns = [("user", "1+1"), ("assistant", "2"), ("user", "2+2"), ("assistant", "4")]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    (folder / "train.jsonl").write_text(json.dumps(row))
    config: dict[str, Any] = {"model_name_or_path": tiny_path, "dataset_name": str(folder), "use_cpu": True}
    config["probe"] = {"prefix_entropy": SPEC}
    (tmp_path / "score.yaml").write_text(yaml.safe_dump(config | {"out": str(tmp_path / "s.parquet")}))
    assert main(["score", "--config", str(tmp_path / "score.yaml")]) == 0
    assert len(pd.read_parquet(tmp_path / "s.parquet")) == 1
    assert "2+2" in capsys.readouterr().out, "the question before the last answer"


def test_dry_run_needs_no_model(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = {"length": 128, "samples": 2, "temperature": 1.0}
    assert main(argv("no/model", rows, tmp_path / "s.parquet", "--dry_run", spec=spec)) == 0
    assert "11 rows x 128 tokens x 2 samples = at most 2,816 tokens" in capsys.readouterr().out
    assert not (tmp_path / "s.parquet").exists()


KILLED = """
import sys, time
from trl_curriculum.cli import main
from trl_curriculum.disk import partial
from trl_curriculum.lm.transformers_engine import TransformersEngine

partial.SAVE_EVERY_SECONDS = 0.0
real, calls = TransformersEngine.complete, []

def slow(self, prompts, *args, **kwargs):
    calls.append(prompts)
    if len(calls) == 4:
        print("IN THE MIDDLE", flush=True)
        time.sleep(600)
    return real(self, prompts, *args, **kwargs)

TransformersEngine.complete = slow
sys.exit(main(sys.argv[1:]))
"""


def test_a_killed_run_goes_on(tiny_path: str, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = SPEC | {"batch_tokens": 1}  # a prompt a batch
    out, whole = tmp_path / "killed.parquet", tmp_path / "whole.parquet"
    assert main(argv(tiny_path, rows, whole, spec=small)) == 0
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *argv(tiny_path, rows, out, spec=small)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert any("IN THE MIDDLE" in line for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    (folder,) = tmp_path.glob(".killed.parquet-*")
    assert list(folder.iterdir())

    calls: list[Any] = []
    real = TransformersEngine.complete

    def counted(self: Any, prompts: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(prompts)
        return real(self, prompts, *args, **kwargs)

    monkeypatch.setattr(TransformersEngine, "complete", counted)
    assert main(argv(tiny_path, rows, tmp_path / "other.parquet", spec=small | {"length": 5})) == 0
    assert len(calls) == 9, "of another measurement nothing is used"
    calls.clear()
    assert main(argv(tiny_path, rows, out, spec=small)) == 0
    assert len(calls) == 9 - 3, "what was measured before is kept"
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(whole))
    assert not folder.exists()


def test_ctrl_c_is_told(
    tiny_path: str, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(TransformersEngine, "complete", stop)
    assert main(argv(tiny_path, rows, tmp_path / "s.parquet")) == 130
    assert "The same command goes on" in capsys.readouterr().out
    assert not (tmp_path / "s.parquet").exists()


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Any, target: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        score.write(pd.DataFrame({"row": [0]}), tmp_path / "s.parquet", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--out", "scores.csv"], "out='scores.csv' must end in .parquet"),
        (
            ["--probe", measured({"back_end": "vlm"})],
            "back_end='vlm' of prefix_entropy must be one of 'auto', 'transformers', 'vllm', 'server'",
        ),
        (["--probe", measured({"back_end": "server"})], "back_end server needs the url of one"),
        (["--url", "http://localhost:1"], "set back_end: server in `probe`, or leave it out"),
        (
            ["--probe", measured({"back_end": "server"}), "--url", "http://127.0.0.1:9", "--dtype", "float16"],
            "give it to the server",
        ),
        (
            ["--probe", measured({"back_end": "transformers", "back_end_options": {}})],
            "back_end_options have no effect with back_end 'transformers'",
        ),
        (
            ["--probe", measured({"back_end_options": {"url": "http://localhost:1"}})],
            "back_end_options have no effect with back_end transformers",
        ),
        (["--probe", "{"], "The probe '{' is no JSON"),
        (["--probe", "loss"], "probe='loss': `score` scores prompts, which 'loss' does not"),
        (["--probe", "prefix_entrpy"], "Unknown probe 'prefix_entrpy' (did you mean 'prefix_entropy'?)"),
        (["--probe", measured({"lenght": 3})], "'prefix_entropy' has no option 'lenght' (did you mean 'length'?)"),
        (["--probe", measured({"length": "3"})], "length='3' of prefix_entropy must be int"),
        (["--probe", measured({"batch_tokens": 0})], "batch_tokens=0 of prefix_entropy must be at least 1"),
        (["--arms", "levle"], "'levle' (did you mean 'level'?)"),
        (["--arms", '{"success_rate": {}}'], "estimated while training"),
        (["--arm_column", "level"], "arm_column, on the command line, is now spelled `arms: column`."),
        (["--probe_kwargs", "{}"], "is now spelled `probe: {prefix_entropy: {option: value}}`."),
        (["--probe_batch_tokens", "1"], "is now spelled `probe: {name: {batch_tokens: number}}`."),
        (["--back_end", "vllm"], "back_end, on the command line, is now spelled `probe: {prefix_entropy: {back_end:"),
        (["--prompt_column", "prompt"], "no column 'prompt'"),
        (["--eval_per_arm"], "eval_per_arm=True has no effect on scores"),
        (["--difficulty_from", "length"], "difficulty_from='length' has no effect on scores"),
        (["--max_steps", "3"], "Unknown argument 'max_steps' on the command line"),
        (["--model_name_or_path", "no/such-model"], "model_name_or_path='no/such-model' cannot be loaded"),
    ],
)
def test_mistakes_are_one_sentence(
    more: list[str], message: str, tiny_path: str, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv(tiny_path, rows, tmp_path / "s.parquet"), *more]) == 1
    error = capsys.readouterr().err
    assert "trl-curriculum score: " in error
    assert message in error
    assert not list(tmp_path.glob("*.parquet"))


def test_what_is_missing_is_told(
    tiny_path: str, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = argv(tiny_path, rows, tmp_path / "s.parquet")
    cases = {
        "--out": "Say where the scores go",
        "--model_name_or_path": "No model",
        "--dataset_name": "exactly one of",
    }
    for flag, message in cases.items():
        at = words.index(flag)
        assert main(words[:at] + words[at + 2 :]) == 1
        assert message in capsys.readouterr().err
    (tmp_path / "score.yaml").write_text("num_processes: 8")
    assert main([*words, "--config", str(tmp_path / "score.yaml")]) == 1
    assert "num_processes: scoring is one process, leave it out" in capsys.readouterr().err
    assert main(["score"]) == 1
    assert "Say what to score" in capsys.readouterr().err


def test_a_file_that_is_there_stays(tiny_path: str, rows: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "s.parquet"
    out.write_text("mine")
    assert main(argv(tiny_path, rows, out)) == 1
    assert "is there already" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_nothing_to_score_is_told(tiny_path: str, rows: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(argv(tiny_path, rows, tmp_path / "s.parquet", spec={"length": 128})) == 1
    assert "None of 11 prompts has a prefix entropy (11 too long)" in capsys.readouterr().err
