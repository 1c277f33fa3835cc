"""Prompts that are rewritten, and completions that are branched and cut, end to end on a tiny model."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import Recorder, plain_forward, trainer, weights
from test_refilling import Kept
from trl import GRPOTrainer

from trl_curriculum.report import card_run as cards
from trl_curriculum.rewards import REWARDS
from trl_curriculum.rewriting import Moment
from trl_curriculum.rollouts import AEPO, CURE, PromptAugmentation, Refill
from trl_curriculum.rollouts.forms import FORMS
from trl_curriculum.trainers.cards import run_facts
from trl_curriculum.trainers.fit import refuse_two_makers


def logged(run: Any, key: str) -> list[float]:
    return [entry[key] for entry in run.state.log_history if key in entry]


def test_neutral_options_change_nothing(tmp_path: Path) -> None:
    neutral = [
        {"prompt_augmentation": {"templates": ["as_is"]}},
        {"temperature": {"start": 1.0}},
        {"truncate": {"alpha": 0.5, "least": 1, "right": 1e6}},
    ]
    runs = []
    for name, rollouts in (("ours", neutral), ("none", None)):
        options = {"steps_per_generation": 2, "per_device_train_batch_size": 8, "max_steps": 3}
        runs.append(trainer(tmp_path / name, rollouts=rollouts, **options))
        runs[-1].train()
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert runs[0].history().equals(runs[1].history())
    for key in ("loss", "reward", "entropy", "completions/mean_length"):
        assert logged(runs[0], key) == logged(runs[1], key), key
    assert logged(runs[0], "rollouts/frac_cut") == [0.0, 0.0] and logged(runs[0], "rollouts/temperature") == [1.0, 1.0]


class TestRewriting:
    NAMES = ("as_is", "hashes", "boxed")
    ROLLOUTS = ({"prompt_augmentation": {"templates": list(NAMES)}},)

    @pytest.mark.parametrize("conversational", [False, True])
    def test_a_group_has_one_prompt_that_rewards_and_probes_see(self, tmp_path: Path, conversational: bool) -> None:
        data, read, given, probed = tiny.dataset(conversational=conversational), [], [], []

        def right(completions: Any, letter: Any, prompt_template: Any, **columns: Any) -> list[float]:
            read.append(prompt_template)
            return tiny.reward(completions, letter)

        run = trainer(
            tmp_path, curriculum=Recorder(tau=0.3), reward_funcs=[right, REWARDS.make("template_format")],
            rollouts=list(self.ROLLOUTS), shaping=[{"budget": {"initial": 8, "every": 1, "tell": "{budget}"}}],
            train_dataset=data, per_device_train_batch_size=16, max_steps=3,
        )  # fmt: skip
        tokenize = run._tokenize_prompts

        def spy(prompts: Any) -> Any:
            given.append(prompts)
            probed.append(run.host.prompts(np.repeat(run.curriculum.draws[-1].row, 4)))
            return tokenize(prompts)

        run._tokenize_prompts = spy
        run.train()
        assert len(given) == len(read) == len(run.curriculum.draws) == 3
        for step, draw in enumerate(run.curriculum.draws):
            for k, row in enumerate(np.repeat(draw.row, 4).tolist()):
                moment, chosen = Moment(row, step, step / 3, run.args.seed), PromptAugmentation(list(self.NAMES))
                assert read[step][k] == chosen.rewrite(data[row], moment)["prompt_template"]
                prompt = given[step][k]
                text, was = prompt, data[row]["prompt"]
                if conversational:
                    text, was = prompt[-1]["content"], was[-1]["content"]
                assert text == f"{FORMS[read[step][k]].asks(was)}\n\n{(8, 5, 3)[step]}"
                assert probed[step][k] == prompt
        assert len({name for step in read for name in step}) == 3, "the test cannot fail"
        np.testing.assert_array_equal(run.train_dataset["prompt"], data["prompt"])
        formless = [run.history()["step"].tolist()]  # draws are written down as ever
        assert formless == [np.repeat(range(3), 4).tolist()]

    def test_prompts_must_fit_in_their_longest_form(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="its prompt and 8 new tokens do not fit into 128 tokens"):
            trainer(tmp_path, rollouts=["prompt_augmentation"])

    def test_a_column_of_its_name_is_refused(self, tmp_path: Path) -> None:
        data = tiny.dataset(8).add_column("prompt_template", ["x"] * 8)
        with pytest.raises(
            ValueError, match="prompt_augmentation writes the column 'prompt_template', which the data"
        ):
            trainer(tmp_path, rollouts=list(self.ROLLOUTS), train_dataset=data)


def test_rollouts_have_the_temperature_of_the_moment_and_evaluation_its_own(tmp_path: Path) -> None:
    run = trainer(
        tmp_path, rollouts=[{"temperature": {"start": 1.5, "end": 0.5}}], temperature=0.9, eval_steps=2,
        eval_dataset=tiny.dataset(2, seed=1), eval_strategy="steps", per_device_eval_batch_size=8,
    )  # fmt: skip
    sampled: list[float] = []
    generate = run.model.generate

    def spy(**given: Any) -> Any:
        sampled.append(given["generation_config"].temperature)
        return generate(**given)

    run.model.generate = spy
    run.train()
    assert sampled == [1.5, 1.25, 0.9, 1.0, 0.75, 0.9]
    assert logged(run, "rollouts/temperature") == [1.5, 1.25, 1.0, 0.75]


class TestTruncate:
    """Groups of lengths 3, 3, 8, 8: T = floor(5.5 + .2 * 2.887) = 6."""

    OPTIONS: dict[str, Any] = {
        "rollouts": [{"truncate": {"alpha": 0.2, "least": 2, "outcome": "ends"}}],
        "per_device_train_batch_size": 16,
        "max_steps": 3,
    }

    @staticmethod
    def completions(prompts: list[Any], run: Any) -> dict[str, Any]:
        made = [[4] * (n - 1) + [3] for n in [3, 3, 8, 8] * (len(prompts) // 4)]  # b, and an a at the end
        return {"prompt_ids": run._tokenize_prompts(prompts)[0], "completion_ids": made, "logprobs": None}

    @pytest.mark.parametrize("conversational", [False, True])
    def test_what_is_left_is_scored_again_and_the_curriculum_has_seen_the_whole(
        self, tmp_path: Path, conversational: bool
    ) -> None:
        calls: list[tuple[list[str], list[int]]] = []

        def ends(completions: Any, letter: Any, completion_ids: Any, log_metric: Any, **columns: Any) -> list[float]:
            """Whether there is an a at the end; of arm d short ones are wrong."""
            log_metric("call", float(len(calls)))
            texts = [one if isinstance(one, str) else one[0]["content"] for one in completions]
            calls.append((texts, [len(ids) for ids in completion_ids]))
            return [
                float(text.endswith("a") and not (arm == "d" and len(ids) == 3))
                for text, arm, ids in zip(texts, letter, completion_ids, strict=True)
            ]

        data = tiny.dataset(conversational=conversational)
        run = trainer(
            tmp_path, curriculum=Recorder(tau=1.0), reward_funcs=[ends], rollout_func=self.completions,
            train_dataset=data, **self.OPTIONS,
        )  # fmt: skip
        kept = Kept(run)
        run.train()
        kinds = set()
        for batch, observed in zip(kept.batches, run.curriculum.feedbacks, strict=True):
            rollouts = batch["rollouts"]
            assert observed.length.tolist() == [3, 3, 8, 8] * 4
            for group in range(4):
                at = slice(4 * group, 4 * group + 4)
                wrong = data[int(rollouts.row[at][0])]["letter"] == "d"
                kinds.add(wrong)
                left = [3, 3, 8, 8] if wrong else [3, 3, 6, 6]
                assert observed.reward[at].tolist() == ([0, 0, 1, 1] if wrong else [1, 1, 1, 1])
                assert batch["completion_mask"][at].sum(1).tolist() == rollouts.length[at].tolist() == left
                assert rollouts.reward[at].tolist() == ([0, 0, 1, 1] if wrong else [1, 1, 0, 0])
                assert rollouts.rewards["ends"][at].tolist() == rollouts.reward[at].tolist()
                assert rollouts.truncated[at].tolist() == [True] * 4, "none of them has an end"
                sign = -1 if wrong else 1
                np.testing.assert_allclose(
                    batch["advantages"][at], sign * np.array([1, 1, -1, -1]) * 0.8659, atol=1e-4
                )
            assert batch["num_items_in_batch"] == batch["completion_mask"].sum() == rollouts.length.sum()
        assert kinds == {True, False}, "the test cannot fail"
        for (texts, lengths), draw in zip(calls[1::2], run.curriculum.draws, strict=True):
            left = [8 if data[int(row)]["letter"] == "d" else 6 for row in draw.row]
            assert lengths == [n for long in left for n in (3, 3, long, long)]
            assert [len(text.replace(" ", "")) for text in texts] == lengths
        shares = [1 - np.mean([data[int(row)]["letter"] == "d" for row in draw.row]) for draw in run.curriculum.draws]
        np.testing.assert_allclose(logged(run, "rollouts/frac_cut"), np.array(shares) / 2)
        assert len(calls) == 6 and logged(run, "call") == [0.0, 2.0, 4.0], "the second scoring was logged"
        assert logged(run, "reward") == [pytest.approx(seen.reward.mean()) for seen in run.curriculum.feedbacks]

    def test_without_a_group_that_is_all_right_nothing_is_scored_again(self, tmp_path: Path) -> None:
        calls = []

        def ends(completions: Any, **columns: Any) -> list[float]:
            calls.append(len(completions))
            return [0.0, 1.0] * (len(completions) // 2)

        run = trainer(tmp_path, reward_funcs=[ends], rollout_func=self.completions, **self.OPTIONS)
        kept = Kept(run)
        run.train()
        assert calls == [16] * 3 and all(batch["completion_mask"].sum(1)[3] == 8 for batch in kept.batches)


def test_a_refill_counts_the_tokens_that_were_generated(tmp_path: Path) -> None:
    """All 4 groups of 22 tokens are kept, those of arm d as they are, and the others without 4 tokens."""

    def ends(completions: Any, letter: Any, completion_ids: Any, **columns: Any) -> list[float]:
        wrong = [arm == "d" and len(ids) == 3 for arm, ids in zip(letter, completion_ids, strict=True)]
        return [float(text.endswith("a") and not no) for text, no in zip(completions, wrong, strict=True)]

    options = TestTruncate.OPTIONS | {"rollouts": [*TestTruncate.OPTIONS["rollouts"], {"refill": {"tries": 1}}]}
    run = trainer(tmp_path, reward_funcs=[ends], rollout_func=TestTruncate.completions, **options | {"max_steps": 1})
    run.train()
    assert logged(run, "rollouts/frac_kept") == [1.0] and logged(run, "rollouts/tokens_per_kept") == [22.0]
    cut = logged(run, "rollouts/frac_cut")[0] * 16
    assert cut > 0 and logged(run, "rollouts/discarded_tokens") == [2 * cut]


def test_a_method_that_will_hardly_act_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        trainer(tmp_path, rollouts=[{"truncate": {"alpha": 0.2, "least": 4}}])  # 3 / (1 - 1/4 - .2/2) = 4.6
    assert "beside others of one length a rollout must be 5 tokens longer, of max_completion_length=8" in caplog.text


class TestCURE:
    def test_others_branch_off_the_first_where_the_model_was_undecided(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turns: list[tuple[Any, Any]] = []
        expected: list[np.ndarray] = []
        branched: list[tuple[np.ndarray, int]] = []
        stock, branch = GRPOTrainer._generate_single_turn, CURE.branch

        def turn(self: Any, prompt_ids: Any, *given: Any, **more: Any) -> Any:
            completions, logprobs = stock(self, prompt_ids, *given, **more)
            turns.append((prompt_ids, completions))
            if len(turns) % 2:
                for prompt, ids in zip(prompt_ids, completions, strict=True):
                    flags = [False] * len(prompt) + [True] * len(ids)
                    expected.append(plain_forward(self.model, prompt + ids, flags)[1].numpy())
            return completions, logprobs

        def spy(self: Any, entropy: np.ndarray, usable: np.ndarray, rng: Any) -> int:
            chosen = branch(self, entropy, usable, rng)
            branched.append((entropy, chosen))
            assert not usable.any() or (usable[chosen] and (entropy[1:][usable[1:]] > entropy[chosen]).sum() < 3)
            return chosen

        monkeypatch.setattr(GRPOTrainer, "_generate_single_turn", turn)
        monkeypatch.setattr(CURE, "branch", spy)
        run = trainer(
            tmp_path, rollouts=[{"cure": {"first": 2, "top": 3}}], num_generations=6, per_device_train_batch_size=12,
            max_steps=2, curriculum=Recorder(tau=0.3),
        )  # fmt: skip
        kept = Kept(run)
        run.train()
        assert len(turns) == 4 and len(branched) == 8
        for (entropy, _), plain in zip(branched, expected, strict=True):
            np.testing.assert_allclose(entropy, plain, atol=2e-5)
        for step, batch in enumerate(kept.batches):
            (stems, whole), (asked, tails) = turns[2 * step : 2 * step + 2]
            chosen = [at for _, at in branched[4 * step : 4 * step + 4]]
            rows = run.curriculum.draws[step].row
            texts = [tiny.dataset()[int(row)]["prompt"] for row in rows]
            assert stems == [run._tokenizer(text)["input_ids"] for text in texts for _ in range(2)]
            begun = [ids[:at] for ids, at in zip(whole, chosen, strict=True)]
            assert asked == [stem + begin for stem, begin in zip(stems, begun, strict=True) for _ in range(2)]
            grown = [(begun[k // 2] + tail)[:8] for k, tail in enumerate(tails)]
            groups = [*whole[:2], *grown[:4], *whole[2:], *grown[4:]]
            ids = [
                one[there.bool()].tolist()
                for one, there in zip(batch["completion_ids"], batch["completion_mask"], strict=True)
            ]
            assert ids == groups and batch["rollouts"].length.tolist() == [len(one) for one in groups]
        assert any(at > 0 for _, at in branched) and run.generation_config.max_new_tokens == 8

    def test_groups_that_straddle_processes_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match="refill draws any number of groups anew, which 2 processes share, and cure"
        ):
            refuse_two_makers((CURE(), Refill()), SimpleNamespace(world_size=2))
        refuse_two_makers((CURE(), Refill()), SimpleNamespace(world_size=1))
        with pytest.raises(ValueError, match="aepo and cure were not tried together"):
            refuse_two_makers((CURE(), AEPO()), SimpleNamespace(world_size=1))
        run = trainer(tmp_path, rollouts=[{"cure": {"first": 2}}])
        with pytest.raises(
            RuntimeError, match="cure needs whole groups on each process, and 6 rollouts are no multiple"
        ):
            run._generate_single_turn([[1]] * 6, None, {}, 4)


def test_a_resume_is_exact_in_the_middle_of_a_window_and_between_two(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "rollouts": [
            {"prompt_augmentation": {"templates": ["as_is", "boxed"]}},
            {"temperature": {"start": 1.3, "end": 0.8}},
            {"cure": {"first": 2}},
            {"truncate": {"alpha": 0.2, "least": 1, "right": 0.0}},
        ],
        **{"per_device_train_batch_size": 8, "steps_per_generation": 2, "num_iterations": 2, "max_steps": 6},
    }
    whole = trainer(tmp_path / "whole", save_strategy="steps", save_steps=1, **options)
    whole.train()
    assert 0 < np.mean(logged(whole, "rollouts/frac_cut")) < 1
    for step in (1, 4):
        resumed = trainer(tmp_path / f"cut-{step}", **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
        assert torch.equal(weights(resumed), weights(whole)), f"weights differ after a resume from step {step}"
    options["rollouts"][1] = {"temperature": {"start": 1.2, "end": 0.8}}
    with pytest.raises(ValueError, match=r"written with rollouts=.*1\.3.*, and this run has .*1\.2"):
        trainer(tmp_path / "other", **options).train(str(tmp_path / "whole" / "checkpoint-4"))


@pytest.mark.parametrize(
    ("spec", "given", "words"),
    [
        (
            {"temperature": {"start": 1.2}},
            "rollout_func",
            "The rollout method 'temperature' works on completions that",
        ),
        (
            {"cure": {"first": 2}},
            "rollout_func",
            "'cure' works on completions that TRL generates in one piece, and roll",
        ),
        ({"cure": {"first": 2}}, "tools", "and tools is given: leave one out"),
        ({"truncate": {"alpha": 0.2, "least": 1}}, "tools", "'truncate' works on completions"),
    ],
)
def test_functions_of_the_users_that_generate_are_refused(tmp_path: Path, spec: Any, given: str, words: str) -> None:
    value = [lambda: 0] if given == "tools" else (lambda prompts, run: {})
    with pytest.raises(ValueError, match=words):
        trainer(tmp_path, rollouts=[spec], **{given: value})


class TestAEPO:
    OPTIONS: dict[str, Any] = {
        "rollouts": [{"aepo": {"target": 3.8, "high": 1.4, "low": 0.6, "groups": 0.5, "most": 0.25}}],
        **{"per_device_train_batch_size": 16, "steps_per_generation": 2, "curriculum": {"sec": {"tau": 1.0}}},
    }

    def test_right_rollouts_from_another_temperature_replace_those_that_teach_least(self, tmp_path: Path) -> None:
        run = trainer(tmp_path, shaping=[{"clip_b": {"mu": 1e6}}], **self.OPTIONS)  # which reads of what rollouts are
        sampled: list[float] = []
        generate, explore = run.model.generate, run._exploring.explore
        seen: list[tuple[Any, ...]] = []

        def spy(**given: Any) -> Any:
            sampled.append(given["generation_config"].temperature)
            return generate(**given)

        def watch(output: Any, rollouts: Any, generate: Any) -> Any:
            before, extra = {**output}, []
            ids = torch.cat([output["prompt_ids"], output["completion_ids"]], 1)
            mask = torch.cat([output["prompt_mask"], output["completion_mask"]], 1)
            with torch.no_grad():
                logits = run.model(input_ids=ids, attention_mask=mask).logits[
                    :, -output["completion_ids"].shape[1] - 1 : -1
                ]
            log_p = logits.log_softmax(-1)
            entropy = -(log_p.exp() * log_p).sum(-1)[output["completion_mask"].bool()].mean().item()

            def keep(rows: Any) -> Any:
                extra.append(({**(made := generate(rows))}, [row["index"] for row in rows]))
                return made

            explored = explore(output, rollouts, keep)
            assert explored[1] == pytest.approx(entropy, abs=1e-4)
            seen.append((before, rollouts, extra[0], *explored))
            return explored

        run.model.generate, run._exploring.explore = spy, watch
        run.train()
        assert len(run.history()) == 2 * 8, "what was asked once more is no draw"
        n_replaced = 0
        for step, (before, rollouts, (extra, asked), after, entropy, share, _) in enumerate(seen):
            assert sampled[2 * step : 2 * step + 2] == [1.0, 1.4 if entropy <= 3.8 else 0.6]
            assert len(asked) == 16 and len(set(asked)) == 4 and set(asked) <= set(rollouts.row.tolist())
            old, right = before["advantages"], extra["advantages"] > 0.05
            changed = [
                k
                for k, (ids, mask) in enumerate(zip(after["completion_ids"], after["completion_mask"], strict=True))
                if ids[mask.bool()].tolist()
                != before["completion_ids"][k][before["completion_mask"][k].bool()].tolist()
            ]
            found = min(int(right.sum()), 8)
            assert len(changed) == (found if entropy <= 3.8 else found // 2) == round(share * 32)
            kept = [k for k in range(32) if k not in changed]
            assert old[changed].abs().max() <= old[kept].abs().min()
            assert torch.equal(after["advantages"][kept], old[kept]) and (after["advantages"][changed] == 1).all()
            draw = after["curriculum_draw"]
            assert (draw[changed] == -1).all() and torch.equal(draw[kept], before["curriculum_draw"][kept])
            there = {
                tuple(ids[mask.bool()].tolist())
                for ids, mask, is_right in zip(extra["completion_ids"], extra["completion_mask"], right, strict=True)
                if is_right
            }
            for k in changed:
                assert tuple(after["completion_ids"][k][after["completion_mask"][k].bool()].tolist()) in there
            assert after["num_items_in_batch"] == after["completion_mask"].sum()
            n_replaced += len(changed)
        assert n_replaced > 0 and len(seen) == 2
        assert logged(run, "rollouts/frac_replaced") == [share for *_, share, _ in seen]
        assert logged(run, "rollouts/entropy") == [entropy for *_, entropy, _, _ in seen]
        more = [float(extra["completion_mask"].sum()) for _, _, (extra, _), *_ in seen]
        assert logged(run, "rollouts/explored_tokens") == more and min(more) > 0
        drawn = run.history()["length"].sum() * run.args.num_generations
        assert f"| generated tokens | {round(drawn + sum(more)):,} |" in cards.cost(run_facts(run), run.history())

    def test_what_refill_scales_are_their_advantages_too(self, tmp_path: Path) -> None:
        rollouts = [*self.OPTIONS["rollouts"], {"refill": {"rescale": True, "tries": 2}}]
        run = trainer(tmp_path, shaping=[{"clip_b": {"mu": 1e6}}], **self.OPTIONS | {"rollouts": rollouts})
        finished, seen = run._finished, []

        def watch(output: Any, rollouts: Any) -> Any:
            made = finished(output, rollouts)
            seen.append((run.refilling._weight, made["advantages"][made["curriculum_draw"] == -1]))
            return made

        run._finished = watch  # type: ignore[method-assign]
        run.train()
        assert any(weight != 1 and len(advantage) for weight, advantage in seen), "the test cannot fail"
        for weight, advantage in seen:
            torch.testing.assert_close(advantage, torch.full_like(advantage, weight))

    def test_a_resume_is_exact(self, tmp_path: Path) -> None:
        options = self.OPTIONS | {"max_steps": 3}  # another generation after the resume
        whole = trainer(tmp_path / "whole", save_strategy="steps", save_steps=1, **options)
        whole.train()
        resumed = trainer(tmp_path / "cut", **options)
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-1"))
        assert torch.equal(weights(resumed), weights(whole)) and np.mean(logged(whole, "rollouts/frac_replaced")) > 0
