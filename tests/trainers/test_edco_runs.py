"""EDCO in both trainers: scored with the weights of the moment, resumed bit for bit, alike on all processes."""

import shutil
import signal
from pathlib import Path
from typing import Any

import edco_runs
import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset
from edco_runs import KILLED, PROBE, SAVED, Recorder, Watch, grpo, letters, peaked, plain_score, sft
from harness import PACKED, begin, launch, once, plain_forward, sft_trainer, trainer, weights
from peft import LoraConfig
from transformers import TrainerCallback

from trl_curriculum import Feedback, Pool
from trl_curriculum.curricula import EDCO, edco
from trl_curriculum.report.history import FOLDER as HISTORY
from trl_curriculum.trainers import late_entropy


THREE: dict[str, Any] = {"rounds": 3, "top_n": 4}
TWO: dict[str, Any] = {"rounds": 2, "top_n": 4}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arms of four rows are not known from eight of them."""
    monkeypatch.setattr(edco, "PILOT", edco_runs.FEW)


class Optimizer(TrainerCallback):
    """Adam's own count of steps after each of them, and how large its moments are before the first of a round."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_optimizer_step(self, *args: Any, optimizer: Any, **kwargs: Any) -> None:
        counts = {int(each["step"]) for each in optimizer.state.values()}
        assert len(counts) == 1
        self.steps.append(counts.pop())


class TestRounds:
    @pytest.mark.parametrize("optimizer", ["reset", "keep"])
    def test_grpo(self, tmp_path: Path, optimizer: str) -> None:
        data = tiny.dataset(16)
        options = edco_runs.GRPO | {"curriculum": {"edco": THREE | {"optimizer": optimizer}}, "train_dataset": data}
        run = trainer(tmp_path, model=peaked(), **options)
        watch, steps = Watch(run, [letters(text) for text in data["prompt"]]), Optimizer()
        run.add_callback(steps)
        run.train()
        watch.check([0, 2, 4], 4, run.history())
        assert steps.steps == ([1, 2] * 3 if optimizer == "reset" else [1, 2, 3, 4, 5, 6])
        assert run.history()["probability"].tolist() == [0.25] * 12

    @pytest.mark.parametrize("layout", [{}, PACKED], ids=["padded", "packed"])
    def test_sft(self, tmp_path: Path, layout: Any) -> None:
        data = tiny.sft_dataset(16)
        options = edco_runs.SFT | {"curriculum": {"edco": THREE}, "train_dataset": data} | layout
        run = sft_trainer(tmp_path, model=peaked(), **options)
        watch, steps = Watch(run, [letters(text) for text in data["prompt"]]), Optimizer()
        run.add_callback(steps)
        run.train()
        if not layout:
            watch.check([0, 2, 4], 4, run.history())
        assert steps.steps == [1, 2] * 3 and run.curriculum.round == 3

    def test_conversations_and_lora(self, tmp_path: Path) -> None:
        data = tiny.dataset(12, conversational=True)
        lora = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.5)
        options = edco_runs.GRPO | {"curriculum": {"edco": TWO}, "max_steps": 4}
        options["probe"] = {"prefix_entropy": {"length": 3, "quick_answer": "say "}}
        run = trainer(tmp_path, model=peaked(), peft_config=lora, train_dataset=data, **options)
        base = run.model.get_base_model()
        own, theirs = run.model.generation_config, base.generation_config
        texts = [f"<user:say {row[0]['content']}><assistant:" for row in data["prompt"]]
        watch = Watch(run, [letters(text) for text in texts])
        run.train()
        watch.check([0, 2], 4, run.history())
        assert run.model.generation_config is own and base.generation_config is theirs

    def test_sft_conversations_are_scored_before_their_last_answer(self, tmp_path: Path) -> None:
        data = tiny.sft_dataset(8, conversational=True)
        run = sft_trainer(tmp_path, model=peaked(), train_dataset=data, **edco_runs.SFT)
        texts = ["".join(f"<{m['role']}:{m['content']}>" for m in turns[:-1]) for turns in data["messages"]]
        expected = [plain_score(run.model, letters(f"{text}<assistant:")) for text in texts]
        value, _ = run.probe.measure("prefix_entropy", np.arange(8))
        np.testing.assert_allclose(value, expected, atol=1e-4)

    def test_sft_rows_that_are_given_as_tokens(self, tmp_path: Path) -> None:
        rows = [tiny.sft_tokens(row) for row in tiny.sft_dataset(8)]
        data = Dataset.from_list(
            [{"input_ids": i, "labels": [t if kept else -100 for t, kept in zip(i, k, strict=True)]} for i, k in rows]
        )
        options = edco_runs.SFT | {"arms": None, "dataset_kwargs": {"skip_prepare_dataset": True}}
        run = sft_trainer(tmp_path, model=peaked(), train_dataset=data, **options)
        value, _ = run.probe.measure("prefix_entropy", np.arange(8))
        expected = [plain_score(run.model, letters(text)) for text in tiny.sft_dataset(8)["prompt"]]
        np.testing.assert_allclose(value, expected, atol=1e-4)

    def test_what_is_logged(self, tmp_path: Path) -> None:
        run = grpo(tmp_path, max_steps=4, curriculum=Recorder(reprobe="uncertain", **TWO))
        logged = [entry for entry in run.state.log_history if "loss" in entry]
        assert [entry["curriculum/round"] for entry in logged] == [1, 1, 2, 2]
        wanted = ("probes_spared", "belief_uncertainty", "probed_rows", *(f"score/{arm}" for arm in "abcd"))
        assert all(f"curriculum/{name}" in entry for entry in logged for name in wanted)
        tokens = [entry["curriculum/probe_tokens"] for entry in logged]
        probed = sum(map(len, run.curriculum.probes))
        assert tokens[0] == tokens[1] == 16 * 3 and tokens[-1] == probed * 3
        assert all(entry["curriculum/probe_seconds"] > 0 for entry in logged)
        assert all(0 < entry["curriculum/score/a"] < 5.6 for entry in logged)

    def test_rows_that_are_too_long_come_last_in_every_round(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An arm of which no row can be scored is asked for alone once the rollouts show all the others."""
        rows = [row | ({"prompt": "a" * 126, "arm": "e"} if row["index"] < 4 else {}) for row in tiny.dataset(16)]
        monkeypatch.setattr(edco, "PILOT", 3)
        monkeypatch.setattr(edco, "MAX_AGE", 100)
        method = Recorder(rounds=3, top_n=12, reprobe="uncertain", tolerance=100.0)
        window = {"steps_per_generation": 6, "gradient_accumulation_steps": 6}
        data = Dataset.from_list(rows)
        run = grpo(tmp_path, train_dataset=data, curriculum=method, max_steps=3, max_completion_length=2, **window)
        probes = [rows.tolist() for rows in run.curriculum.probes]
        assert any(set(rows) <= {0, 1, 2, 3} for rows in probes), probes
        assert run.state.global_step == 3 and run.history()["row"].min() >= 4


GRPO_RUNS: dict[str, dict[str, Any]] = {
    "all": {"curriculum": Recorder(**TWO)},
    "uncertain": {"curriculum": Recorder(reprobe="uncertain", **TWO)},
}
WINDOW: dict[str, Any] = {"steps_per_generation": 2, "gradient_accumulation_steps": 2, "num_iterations": 2}
SFT_RUNS: dict[str, dict[str, Any]] = {
    "padded": {"curriculum": {"edco": TWO}},
    "packed": PACKED | {"curriculum": {"edco": TWO | {"top_n": 6}}, "gradient_accumulation_steps": 2},
}


class TestResume:
    def check(self, tmp_path: Path, make: Any, options: dict[str, Any]) -> Any:
        """From inside the first round, from between the two, and from inside the second."""
        options = {"max_steps": 4} | options
        whole = make(tmp_path / "whole", **SAVED, **options)
        assert whole.curriculum.round == 2
        for step in (1, 2, 3):
            shutil.copytree(tmp_path / "whole" / HISTORY, tmp_path / "cut" / HISTORY)
            resumed = make(tmp_path / "cut", str(tmp_path / "whole" / f"checkpoint-{step}"), **options)
            assert torch.equal(weights(resumed), weights(whole)), f"weights differ after a resume from step {step}"
            assert resumed.history().equals(whole.history()), f"draws differ after a resume from step {step}"
            assert resumed.curriculum.metrics() == whole.curriculum.metrics()
            assert resumed.probe.tokens == whole.probe.tokens > 0
            shutil.rmtree(tmp_path / "cut")
        return whole

    @pytest.mark.parametrize("name", GRPO_RUNS)
    def test_grpo(self, tmp_path: Path, name: str, few: None) -> None:
        whole = self.check(tmp_path, grpo, WINDOW | GRPO_RUNS[name])
        assert bool(whole.curriculum.late) == (name == "uncertain")

    @pytest.mark.parametrize("name", SFT_RUNS)
    def test_sft(self, tmp_path: Path, name: str) -> None:
        self.check(tmp_path, sft, SFT_RUNS[name])

    def test_killed_in_the_middle_of_a_probe(self, tmp_path: Path) -> None:
        killed, probed = tmp_path / "killed", []
        killed.mkdir()
        process = begin(killed, edco_runs.__file__)
        done = process.kill_when((killed / "started").exists)
        assert done.code == -signal.SIGKILL, done.said
        assert list((killed / "curriculum_probe").glob("*.npz"))
        runs = {}
        for name in ("killed", "whole"):
            run = trainer(
                tmp_path / name, model=peaked(), **edco_runs.GRPO | KILLED | {"train_dataset": tiny.dataset(16)}
            )
            complete = run.probe.engine.complete
            run.probe.engine.complete = lambda *args, run=run, complete=complete, **kwargs: (
                probed.append((run, run.state.global_step)) or complete(*args, **kwargs)
            )
            run.train(resume_from_checkpoint=name == "killed")
            runs[name] = run
        assert torch.equal(weights(runs["killed"]), weights(runs["whole"]))
        assert runs["killed"].history().equals(runs["whole"].history())
        batches = {name: probed.count((run, 2)) for name, run in runs.items()}
        assert batches["whole"] > 3 and batches["killed"] == batches["whole"] - 2, "two batches were done before"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        done = launch(folder, 2, edco_runs.__file__, together=True)
        errors = [path.read_text() for path in folder.glob("error_*")]
        (folder / "stderr").write_text("\n".join(errors) or (done.err if done.code else ""))

    folder = once(tmp_path_factory, "edco_two", make)
    error = (folder / "stderr").read_text()
    assert not error, error[-3000:]
    return folder


class TestTwoProcesses:
    def shown(self, two: Path, name: str, rank: int = 0) -> dict[str, Any]:
        return torch.load(two / name / f"shown_{rank}.pt", weights_only=False)

    @pytest.mark.parametrize("name", ["grpo", "sft"])
    def test_both_draw_and_train_alike(self, two: Path, name: str) -> None:
        first, second = self.shown(two, name), self.shown(two, name, 1)
        assert first["rows"] == second["rows"] and torch.equal(first["weights"], second["weights"])
        for one, other in zip(first["events"], second["events"], strict=True):
            if one[0] == "probe":
                assert np.array_equal(one[1], other[1]) and np.array_equal(one[2], other[2])

    def test_a_resume_is_exact(self, two: Path) -> None:
        for rank in (0, 1):
            whole, resumed = self.shown(two, "grpo", rank), self.shown(two, "resumed", rank)
            assert torch.equal(whole["weights"], resumed["weights"])
            draws = [[event[3] for event in run["events"] if event[0] == "draw"] for run in (whole, resumed)]
            assert draws[1] and draws[1] == draws[0][-len(draws[1]) :] and len(draws[1]) < len(draws[0])

    def test_one_process_draws_the_same_from_the_same_scores(self, two: Path, few: None) -> None:
        method = EDCO(**edco_runs.TOGETHER["curriculum"].options)
        again = method.bind(Pool.from_dataset(tiny.dataset(16), "arm"), seed=42)
        kinds, progress = [], 0.0
        events = self.shown(two, "grpo")["events"]
        for k, event in enumerate(events):
            kinds.append(event[0])
            if event[0] == "probe":
                progress = next(later[2] for later in events[k:] if later[0] == "draw")
                rows = again.rows_to_probe(progress)
                assert rows is not None and rows.tolist() == event[1].tolist()
                again.observe_probe(*event[1:])
            elif event[0] == "draw":
                assert again.rows_to_probe(event[2]) is None
                assert again.select(event[1], event[2]).row.tolist() == event[3]
            elif event[0] == "late":
                again.observe_late(event[1], event[2], prefix_entropy=event[3])
            else:
                again.observe(event[1])
        assert kinds.count("draw") == 3 and kinds.count("probe") >= 3
        late = [event[1] for event in events if event[0] == "late"]
        draws = [event[3] for event in events if event[0] == "draw"]
        assert len(late) == 6, "one each optimizer step"
        for rows, both in zip(draws, zip(late[::2], late[1::2], strict=True), strict=True):
            assert sorted(np.concatenate(both)) == sorted(np.repeat(rows, 4)), "each rollout of both processes once"

    def test_sft_is_as_in_one_process(self, two: Path, tmp_path: Path) -> None:
        run = sft(tmp_path, **edco_runs.SFT_TOGETHER, gradient_accumulation_steps=4)
        shown = self.shown(two, "sft")
        assert run.history()["row"].tolist() == shown["rows"]
        assert (weights(run) - shown["weights"]).abs().max() < 1e-3


class Eyewitness:
    """What each rollout's entropies are, by a forward of it alone before each loss, and whose rollout it is."""

    def __init__(self, run: Any, length: int) -> None:
        self.scores: dict[int, list[float]] = {}  # by row
        self.truncated = 0
        compute = run.compute_loss

        def look(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if run._step % run._window.steps < run.args.steps_per_generation:
                for k in range(len(inputs["prompt_ids"])):
                    prompt = inputs["prompt_ids"][k][inputs["prompt_mask"][k].bool()].tolist()
                    answer = inputs["completion_ids"][k].tolist()
                    answer = answer[: answer.index(1) + 1] if 1 in answer else answer
                    row = int("".join(tiny.LETTERS[t - 3] for t in prompt).split(":")[0])
                    trained = [False] * len(prompt) + [True] * len(answer)
                    entropies = plain_forward(run.model, prompt + answer, trained)[1][:length]
                    cut = run.args.mask_truncated_completions and answer[-1] != 1
                    self.truncated += cut
                    self.scores.setdefault(row, []).append(float("nan") if cut else entropies.mean().item())
            return compute(model, inputs, *args, **kwargs)

        run.compute_loss = look


class TestRollouts:
    """The entropies of the rollouts' own first tokens, which cost nothing."""

    OPTIONS: dict[str, Any] = {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
        "num_iterations": 2,
        "max_steps": 8,
        "curriculum": Recorder(rounds=2, top_n=8, reprobe="uncertain"),
        "probe": {"prefix_entropy": {"length": 3, "token_share": 1, "unit": "nats", "quick_answer": None}},
    }

    @pytest.mark.parametrize("masked", [False, True], ids=["", "mask_truncated_completions"])
    def test_are_those_of_a_plain_forward_each_once_and_with_their_draw(self, tmp_path: Path, masked: bool) -> None:
        options = edco_runs.GRPO | self.OPTIONS | {"mask_truncated_completions": masked}
        run = trainer(tmp_path, model=peaked(ends=5.0), train_dataset=tiny.dataset(16), **options)
        eyewitness = Eyewitness(run, 3)
        steps: list[int] = []
        observe_late = run.curriculum.observe_late
        run.curriculum.observe_late = lambda *args, **columns: (
            steps.append(run.state.global_step) or observe_late(*args, **columns)
        )
        run.train()
        draws, late = run.curriculum.draws, run.curriculum.late
        assert len(draws) == 2 and len(late) == 4, "two windows, in each of which two steps train for the first time"
        assert steps == [0, 1, 4, 5]
        row_of = {int(i): int(row) for draw in draws for i, row in zip(draw.id, draw.row, strict=True)}
        seen: dict[int, list[float]] = {}
        count: dict[int, int] = {}
        for entry in late:
            assert len(entry[0]) == 8
            for row, draw, value in zip(*entry, strict=True):
                assert row_of[int(draw)] == row
                seen.setdefault(int(row), []).append(float(value))
                count[int(draw)] = count.get(int(draw), 0) + 1
        assert count == dict.fromkeys(range(8), 4), "each rollout of each draw exactly once"
        for row, values in seen.items():
            np.testing.assert_allclose(np.sort(values), np.sort(eyewitness.scores[row]), atol=1e-4)
        values = np.concatenate(list(eyewitness.scores.values()))
        assert np.nanstd(values) > 0.05
        assert np.isnan(values).any() == masked and np.isfinite(values).any() and (eyewitness.truncated > 0) == masked

    def test_they_move_the_belief(self, tmp_path: Path) -> None:
        run = grpo(tmp_path, **self.OPTIONS)
        belief = run.curriculum.belief
        assert belief.count["free"].sum() > 0 and np.isfinite(belief.mean["free"]).any()

    @pytest.mark.parametrize(("reprobe", "gathers"), [("uncertain", 4 * 2), ("all", 0)])
    def test_no_collective_for_a_curriculum_that_does_not_use_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reprobe: str, gathers: int
    ) -> None:
        calls = []
        gather = late_entropy.gather
        monkeypatch.setattr(late_entropy, "gather", lambda value: calls.append(1) or gather(value))
        run = grpo(tmp_path, **self.OPTIONS | {"curriculum": Recorder(rounds=2, top_n=8, reprobe=reprobe)})
        assert len(calls) == gathers
        assert ("curriculum_row" in run._buffered_inputs[0]) == (reprobe == "uncertain")
        assert run._late is None or run._late.token_entropies is None, "a graph is kept alive"


class TestLosses:
    def plain(self, run: Any, data: Any) -> np.ndarray:
        pairs = [(letters(p), letters(a)) for p, a in zip(data["prompt"], data["answer"], strict=True)]
        return np.array(
            [plain_forward(run.model, p + a, [False] * len(p) + [True] * len(a))[0].mean().item() for p, a in pairs]
        )

    def data(self) -> Dataset:
        return tiny.dataset(16).map(lambda row: {"answer": "abcdefgh"[: 1 + row["index"] % 5]})

    @pytest.mark.parametrize(("temperature", "lora"), [(1.0, False), (0.6, False), (0.6, True)])
    def test_of_answers_in_grpo(self, tmp_path: Path, temperature: float, lora: bool) -> None:
        data = self.data()
        options = edco_runs.GRPO | {"curriculum": {"edco": TWO | {"score_by": "loss"}}, "temperature": temperature}
        options |= {"max_steps": 4, "probe": {"loss": {"batch_tokens": 40}}}
        peft = {"peft_config": LoraConfig(r=2, target_modules="all-linear")} if lora else {}
        run = trainer(
            tmp_path,
            model=peaked(),
            train_dataset=data,
            answer_column="answer",
            **options,
            **peft,
        )
        seen: list[tuple[np.ndarray, np.ndarray]] = []
        observe = run.curriculum.observe_probe
        run.curriculum.observe_probe = lambda rows, value, scores: (
            seen.append((value, self.plain(run, data))) or observe(rows, value, scores)
        )
        run.train()
        assert len(seen) == 2
        for k, (found, expected) in enumerate(seen):
            np.testing.assert_allclose(found, expected, atol=1e-4)
            drawn = run.history().query(f"step in [{2 * k}, {2 * k + 1}]")["row"]
            assert set(drawn) == set(np.argsort(-expected)[:4])
        assert not list((tmp_path / "curriculum_probe").glob("*"))
        assert np.abs(seen[1][1] - seen[0][1]).max() > 0.01

    def test_an_empty_answer_has_none(self, tmp_path: Path) -> None:
        data = self.data().map(lambda row: {"answer": "" if row["index"] == 3 else row["answer"]})
        options = edco_runs.GRPO | {"curriculum": {"edco": THREE | {"score_by": "loss"}}}
        run = trainer(tmp_path, model=peaked(), train_dataset=self.data(), answer_column="answer", **options)
        run.train_dataset = data  # checks leave no such row to a run; a template may make one
        found, tokens = run.host.row_loss(np.arange(16))
        assert np.isnan(found).tolist() == [k == 3 for k in range(16)]
        assert tokens == sum(map(len, data["prompt"])) + sum(map(len, data["answer"]))


class TestErrors:
    def test_rows_of_text_have_no_prompt(self, tmp_path: Path) -> None:
        data = Dataset.from_list([{"text": "abc def"}] * 8)
        for probe, words in (({}, "quick_answer asks for a short answer"), ({"quick_answer": None}, "is that of an")):
            options = edco_runs.SFT | {"arms": None, "probe": {"prefix_entropy": probe}}
            with pytest.raises(ValueError, match=words) as error:
                sft_trainer(tmp_path, train_dataset=data, **options)
            assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"curriculum": {"edco": {"score_by": "loss"}}}, "asks for the loss of rows, .*set answer_column"),
            (
                {"curriculum": {"edco": {"score_by": "loss"}}, "answer_column": "leter"},
                r"answer_column 'leter' \(did you mean 'letter'\?\) is not a column",
            ),
            (
                {"probe": {"prefix_entropy": {"back_end": "vllm"}}},
                "probes with the trainer's own vLLM: set use_vllm=True",
            ),
            ({"curriculum": {"edco": {"ronds": 3}}}, "has no option 'ronds'"),
        ],
    )
    def test_mistakes_in_grpo(self, tmp_path: Path, changes: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words) as error:
            trainer(tmp_path, **edco_runs.GRPO | changes)
        assert "\n" not in str(error.value)

    def test_deepspeed_keeps_its_own_optimizer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = trainer(tmp_path, **edco_runs.GRPO | {"curriculum": {"edco": THREE}})
        run.is_deepspeed_enabled = True
        with pytest.raises(ValueError, match=r"starts every round with a fresh optimizer.*set optimizer: keep"):
            run._set_up_probe(2)
        run.curriculum.method = EDCO(optimizer="keep")
        run._set_up_probe(2)

    def test_a_pool_that_does_not_fit_at_all(self, tmp_path: Path) -> None:
        options = edco_runs.GRPO | {"curriculum": {"edco": THREE}}
        options["probe"] = {"prefix_entropy": PROBE | {"length": 126}}
        with pytest.raises(FloatingPointError, match=r"None of 40 prompts has a prefix entropy \(40 too long\)"):
            trainer(tmp_path, **options).train()

    def test_a_model_that_has_diverged(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        run = trainer(tmp_path, model=peaked(), **edco_runs.GRPO | {"curriculum": {"edco": THREE}})
        run.probe.tokens = 100  # as after a first round
        with torch.no_grad():
            run.model.lm_head.weight[3] = float("nan")
        with pytest.raises(FloatingPointError, match=r"None of 40 .*40 not a number"):
            run.train()


def test_feedback_checks_its_shape() -> None:
    with pytest.raises(ValueError, match=r"Feedback.entropy has shape \(2,\), but row has shape \(3,\)"):
        Feedback(np.arange(3), np.arange(3), 0, entropy=np.zeros(2))
