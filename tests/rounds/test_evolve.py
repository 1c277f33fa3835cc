"""The loop of generate, select, train: every stage killed and resumed, and what is refused."""

import dataclasses
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from peft import LoraConfig
from safetensors.torch import load_file

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig, read_history
from trl_curriculum.disk import stages
from trl_curriculum.generators import Candidate, FileGenerator, GeneratorMethod, load, save
from trl_curriculum.rounds import Evolution, Evolve, Job, candidates, evaluate, loop, proxy, selection, training
from trl_curriculum.rounds.training import grpo_args
from trl_curriculum.selection import Features, Selection, Selector


STAGES = {  # each with the class that runs it, and the function in which a test kills its second round
    "candidates": (candidates.Generate, (candidates, "save", 3)),
    "proxy": (proxy.WarmUp, None),
    "features": (proxy.Features, (proxy, "gradient_features", 3)),
    "selection": (selection.Select, (selection, "select_rows", 1)),
    "adapter": (training.Train, None),
    "scores": (evaluate.Evaluate, (evaluate, "score", 2)),
}
EXAMPLES = [Candidate(f"{i}:{'abcdef'[i % 6] * 3}#", "gh" * (1 + i % 3), source="ab"[i % 2]) for i in range(12)]
TEST = [Candidate(f"{i}:{'abcdef'[i % 6] * 4}#", "gh" * (1 + i % 3), source="ab"[i % 2]) for i in range(6)]
POOL = [
    Candidate(
        f"{i}{i % 7}:{'abcdef'[i % 6]}{'fedcba'[i % 5]}{'bcd'[i % 3]}#",
        "ghij"[i % 4] * (1 + i % 3),
        source="xyz"[i % 3],
    )
    for i in range(40)
]


def evolution(folder: Path, tiny_path: str, pool: list[Candidate] = POOL, **changes: Any) -> Evolution:
    save(pool, folder / "pool.jsonl")
    options = {
        "candidates": len(pool),
        "near_duplicates": 1.0,
        "keep": 0.3,
        "features": {"dimension": 128},
        "proxy": {"steps": 2},
        "max_answer_tokens": 4,
    } | {name: value for name, value in changes.items() if name in Evolve.__dataclass_fields__}
    args = (CurriculumGRPOConfig if "reward_funcs" in changes else CurriculumSFTConfig)(
        str(folder / "run"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_steps=4,
        per_device_train_batch_size=4,
        report_to="none",
        disable_tqdm=True,
        learning_rate=changes.get("learning_rate", 1e-2),
        save_strategy="steps",
        save_steps=2,
        curriculum=changes.get("curriculum", "uniform"),
        **changes.get("args", {}),
    )
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    generators = changes.get("generators", {"file": {"path": str(folder / "pool.jsonl")}})
    rewards, test = changes.get("reward_funcs", []), changes.get("test", TEST)
    job = Job(tiny_path, args, lora, EXAMPLES, test, generators, reward_funcs=rewards)
    return Evolution(Evolve(**options), job)


def ended(folder: Path) -> tuple[list[list[str]], dict[str, torch.Tensor]]:
    """What each round selected, and the last adapter."""
    run = folder / "run"
    chosen = [[one.question for one in load(run / f"round-{k}" / "selection" / "selected.parquet")] for k in range(2)]
    return chosen, load_file(run / "round-1" / "adapter" / "adapter_model.safetensors")


@pytest.fixture(scope="module", autouse=True)
def no_garbage_collection() -> Iterator[None]:
    """Tiny models may wait; among all that a test process holds, each collection takes the better part of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.gc, "collect", lambda: 0)
        yield


class Killed(BaseException):
    pass


@dataclasses.dataclass(frozen=True)
class Refusing(Selector):
    def choose(self, features: Features, k: int) -> Selection:
        raise ValueError("refused")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_path: str) -> tuple[Path, Any]:
    """Folder and scores of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, evolution(folder, tiny_path).run()


class TestRounds:
    def test_each_leaves_its_folders_and_the_model_gets_better(self, whole: tuple[Path, Any]) -> None:
        folder, table = whole
        for k in range(2):
            for stage in STAGES:
                assert (folder / "run" / f"round-{k}" / stage / "done.json").exists()
        loss = table[(table["task"] == "all") & (table["score"] == "loss")].set_index("rounds")["value"]
        assert loss[0] > loss[1] > loss[2] and set(table["task"]) == {"a", "b", "all"}
        chosen, adapter = ended(folder)
        assert [len(one) for one in chosen] == [12, 12]
        assert any(name.endswith("lora_B.weight") and value.any() for name, value in adapter.items())
        assert len(read_history(folder / "run" / "round-1" / "adapter")) == 16

    def test_finished_stages_are_not_redone(
        self, whole: tuple[Path, Any], tiny_path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder, table = whole
        for cls, _ in STAGES.values():
            monkeypatch.setattr(cls, "run", lambda *args: pytest.fail("a finished stage was run again"))
        again = evolution(folder, tiny_path).run()
        assert again.equals(table)

    @pytest.mark.parametrize("stage", STAGES)
    @pytest.mark.parametrize("late", [False, True], ids=["inside", "at the end"])
    def test_killed_in_any_stage_it_ends_the_same(
        self, whole: tuple[Path, Any], tiny_path: str, tmp_path: Path, stage: str, late: bool, monkeypatch: Any
    ) -> None:
        if late:  # when all is written but that it is done
            write = stages.write_json

            def dies(file: Path, value: Any) -> None:
                if file.parent.name == stage and file.parent.parent.name == "round-1":
                    raise Killed
                write(file, value)

            monkeypatch.setattr(stages, "write_json", dies)
        else:
            inside = STAGES[stage][1]
            if inside is not None:
                (module, name, survive), calls = inside, []
                plain = getattr(module, name)

                def dies_inside(*args: Any, **kwargs: Any) -> Any:
                    calls.append(name)
                    if len(calls) > survive:  # in the second round
                        raise Killed
                    return plain(*args, **kwargs)

                monkeypatch.setattr(module, name, dies_inside)
            else:
                cls = proxy.SFTTrainer if stage == "proxy" else training.CurriculumSFTTrainer
                step = cls.training_step

                def dies_in_step(self: Any, *args: Any, **kwargs: Any) -> Any:
                    if "round-1" in self.args.output_dir and stage in self.args.output_dir and self.state.global_step:
                        if stage == "proxy" or self.state.global_step == 3:
                            raise Killed
                    return step(self, *args, **kwargs)

                monkeypatch.setattr(cls, "training_step", dies_in_step)
        with pytest.raises(Killed):
            evolution(tmp_path, tiny_path).run()
        monkeypatch.undo()
        assert not (tmp_path / "run" / "round-1" / stage / "done.json").exists()
        table = evolution(tmp_path, tiny_path).run()
        assert table.equals(whole[1])
        expected, found = ended(whole[0]), ended(tmp_path)
        assert found[0] == expected[0]
        assert all(torch.equal(found[1][name], value) for name, value in expected[1].items())

    def test_adam_and_a_proxy_of_its_own_and_a_curriculum(self, tiny_path: str, tmp_path: Path) -> None:
        other = {"model": tiny.saved_model(tmp_path / "proxy"), "steps": 2, "adam": True}
        run = evolution(tmp_path, tiny_path, rounds=1, proxy=other, curriculum="loss_top_k")
        run.run()
        features = np.load(tmp_path / "run/round-0/features/candidates/features.npy")
        np.testing.assert_allclose(np.linalg.norm(features.astype(float), axis=1), 1, atol=5e-3)


@pytest.fixture(scope="module")
def whole_of_it(tmp_path_factory: pytest.TempPathFactory, tiny_path: str) -> tuple[Path, Any]:
    """The same by GRPO."""
    folder = tmp_path_factory.mktemp("grpo")
    return folder, by_grpo(folder, tiny_path).run()


class TestGRPO:
    def test_rounds_train_by_it_and_answers_are_judged(self, whole_of_it: tuple[Path, Any]) -> None:
        folder, table = whole_of_it
        assert set(table["score"]) == {"loss", "accuracy"} and table["rounds"].max() == 2
        assert table[table["score"] == "accuracy"]["value"].between(0, 1).all()
        history = read_history(folder / "run" / "round-1" / "adapter")
        assert history["advantage"].gt(0).any()
        _, adapter = ended(folder)
        assert any(name.endswith("lora_B.weight") and value.any() for name, value in adapter.items())

    def test_killed_in_its_training_it_ends_the_same(
        self, whole_of_it: tuple[Path, Any], tiny_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step = training.CurriculumGRPOTrainer.training_step

        def dies(self: Any, *args: Any, **kwargs: Any) -> Any:
            if "round-1" in self.args.output_dir and self.state.global_step == 3:
                raise Killed
            return step(self, *args, **kwargs)

        monkeypatch.setattr(training.CurriculumGRPOTrainer, "training_step", dies)
        with pytest.raises(Killed):
            by_grpo(tmp_path, tiny_path).run()
        monkeypatch.undo()
        assert by_grpo(tmp_path, tiny_path).run().equals(whole_of_it[1])
        expected, found = ended(whole_of_it[0]), ended(tmp_path)
        assert found[0] == expected[0]
        assert all(torch.equal(found[1][name], value) for name, value in expected[1].items())

    def test_no_row_can_be_judged(self, tiny_path: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="none of the 12 selected rows has one"):
            by_grpo(tmp_path, tiny_path, pool=POOL).run()

    def test_rewards_without_it(self, tiny_path: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="args is a CurriculumGRPOConfig, and reward_funcs are missing"):
            evolution(tmp_path, tiny_path, reward_funcs=[], args={"num_generations": 2})

    def test_arguments_that_were_set_hold_for_it(self, tmp_path: Path) -> None:
        args = CurriculumSFTConfig(
            str(tmp_path), use_cpu=True, bf16=False, max_steps=7, curriculum={"sec": {"tau": 0.3}}, arms=["x"], seed=5
        )
        made = grpo_args(args, {"num_generations": 4, "per_device_train_batch_size": 8})
        assert (made.max_steps, made.curriculum, made.arms, made.seed) == (7, {"sec": {"tau": 0.3}}, ["x"], 5)
        assert made.learning_rate == CurriculumGRPOConfig(str(tmp_path), use_cpu=True, bf16=False).learning_rate
        assert made.num_generations == 4 and made.output_dir == str(tmp_path)
        with pytest.raises(ValueError, match=r"grpo has no option 'num_generation' \(did you mean 'num_generations'"):
            grpo_args(args, {"num_generation": 4})


def by_grpo(folder: Path, tiny_path: str, pool: list[Candidate] | None = None) -> Evolution:
    """Two rounds of GRPO, rewarded for letters of the first half of the alphabet."""
    options = {"num_generations": 2, "max_completion_length": 6, "temperature": 1.0}
    return evolution(
        folder,
        tiny_path,
        pool=pool or [dataclasses.replace(one, answer="g") for one in POOL],
        test=[dataclasses.replace(one, answer="g") for one in TEST],
        reward_funcs=[early_letters],
        args=options,
    )


def early_letters(completions: list[str], answer: list[str], **kwargs: Any) -> list[float]:
    return [sum(letter < own for letter in text) / 6 for text, own in zip(completions, answer, strict=True)]


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"learning_rate": 0.1}, r"adapter was made with training.learning_rate=0.01, and now it is 0.1"),
            ({"args": {"weight_decay": 0.5}}, r"training.weight_decay=0.0, and now it is 0.5"),
            ({"pool": POOL[:-1]}, r"candidates was made with candidates=40, and now it is 39"),
            ({"test": TEST[:-1]}, "before/scores was made with rows='6 rows with the fingerprint"),
            ({"proxy": {"steps": 3}}, r"proxy was made with proxy.steps=2, and now it is 3"),
            (
                {"features": {"dimension": 64}},
                "features was made with features.dimension=128",
            ),
            (
                {"keep": 0.4},
                "selection was made with selection.keep=0.3",
            ),
            ({"selection": "random"}, "selection was made with selection.method='evoselect'"),
        ],
        ids=[
            "a training argument",
            "another",
            "the pool",
            "the test rows",
            "the proxy",
            "the features",
            "the selection",
            "its method",
        ],
    )
    def test_other_settings_in_the_same_folder(
        self, whole: tuple[Path, Any], tiny_path: str, changes: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(ValueError, match=words):
            evolution(whole[0], tiny_path, **changes).run()
        evolution(whole[0], tiny_path).run()  # as it was

    def test_a_stage_that_failed_is_begun_anew_with_another_setting(self, tiny_path: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="refused"):
            evolution(tmp_path, tiny_path, rounds=1, selection=Refusing()).run()
        features = tmp_path / "run/round-0/features/done.json"
        before = features.stat().st_mtime_ns
        evolution(tmp_path, tiny_path, rounds=1).run()
        assert features.stat().st_mtime_ns == before

    def test_another_round_goes_on_from_the_last(
        self, whole: tuple[Path, Any], tiny_path: str, tmp_path: Path
    ) -> None:
        evolution(tmp_path, tiny_path, rounds=1).run()
        assert evolution(tmp_path, tiny_path).run().equals(whole[1])

    def test_trusted_examples_that_are_test_rows(self, tiny_path: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="2 of 12 trusted examples are test rows too"):
            evolution(tmp_path, tiny_path, test=EXAMPLES[:2])

    def test_what_cannot_work_is_told_first(self) -> None:
        with pytest.raises(ValueError, match="take layers='lora', not 'last'"):
            Evolve(features={"layers": "last"}, proxy={"adam": True})
        with pytest.raises(ValueError, match="'evoselect' has no option 'lamda': it has steps"):
            Evolve(selection={"evoselect": {"lamda": 1}})
        with pytest.raises(ValueError, match="keep=50 of the selection is more than the candidates"):
            Evolve(candidates=40, keep=50)
        with pytest.raises(ValueError, match="'all' keeps all"):
            Evolve(keep=1.0)

    def test_texts_among_messages(self, tiny_path: str, tmp_path: Path) -> None:
        def talk(one: Candidate) -> Candidate:
            prompt, completion = (
                [{"role": role, "content": text}]
                for role, text in (("user", one.question), ("assistant", one.response))
            )
            return dataclasses.replace(one, prompt=prompt, completion=completion)

        with pytest.raises(ValueError, match="Generator 0 writes messages, and the trusted examples are texts"):
            evolution(tmp_path, tiny_path, pool=[talk(one) for one in POOL]).run()

    def test_one_generator_at_a_time(self, tiny_path: str, tmp_path: Path) -> None:
        alive: list[Any] = []

        class Watched(GeneratorMethod):
            def make(self, student: Any, examples: Any) -> FileGenerator:
                assert all(one() is None for one in alive)
                made = FileGenerator(tmp_path / "pool.jsonl")
                alive.append(weakref.ref(made))
                return made

        run = evolution(tmp_path, tiny_path, rounds=1, generators=[Watched(share=1 / 3)] * 3)
        run.stages(run.loop.rounds[0])["candidates"].run(tmp_path / "here")
        assert len(alive) == 3

    def test_nothing_but_leakage(self, tiny_path: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"No candidate is left of 12 .*leakage"):
            evolution(tmp_path, tiny_path, pool=EXAMPLES, rounds=1).run()

    def test_too_few_examples(self, tiny_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("test_evolve.EXAMPLES", [EXAMPLES[0], EXAMPLES[0]])
        with pytest.raises(ValueError, match="1 trusted examples cannot be split into seeds and validation"):
            evolution(tmp_path, tiny_path)
