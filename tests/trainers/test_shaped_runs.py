"""Shaping on a tiny model, end to end, against stock TRL and losses that are written out here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import PACKED, PADDING_FREE, Recorder, config, sft_run, sft_trainer, trainer, weights
from peft import LoraConfig
from shapers import BestRewards, Bonus, Record, Replacing, Same
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig
from trl_curriculum.rollouts import Refill
from trl_curriculum.shaping import Budget, ClipCov, Lead, Siren
from trl_curriculum.trainers.shaping import ENTROPY


LOSSES = ("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo")
TWO_STEPS: dict[str, Any] = {"per_device_train_batch_size": 8, "steps_per_generation": 2}


class Gradient(TrainerCallback):
    """Keeps the gradient of the first step."""

    def __init__(self, run: Any) -> None:
        self.run, self.value = run, None
        run.add_callback(self)

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        if self.value is None:
            self.value = torch.cat([p.grad.flatten() for p in self.run.model.parameters()])


def gradient_of(loss: torch.Tensor, model: Any) -> torch.Tensor:
    return torch.cat([x.flatten() for x in torch.autograd.grad(loss, list(model.parameters()))])


class TestIdentity:
    """With shapers that change nothing a run is that of stock TRL, bit for bit."""

    @pytest.mark.parametrize("loss_type", LOSSES)
    def test_stock_grpo(self, tmp_path: Path, loss_type: str) -> None:
        options = {"loss_type": loss_type, "max_steps": 3, "gradient_accumulation_steps": 2, "arms": None}
        ours = trainer(tmp_path, curriculum="uniform", shaping=[Same()], **options)
        ours.train()
        rows = ours.history()["row"].tolist()
        shared = {name: value for name, value in vars(config(tmp_path)).items() if name in STOCK}
        del options["arms"]
        stock = GRPOTrainer(
            tiny.model(),
            tiny.reward,
            GRPOConfig(shuffle_dataset=False, **shared | options),
            tiny.dataset().select(rows),
            processing_class=tiny.tokenizer(),
        )
        stock.train()
        assert torch.equal(weights(ours), weights(stock)), "weights differ"
        assert not torch.equal(weights(ours), torch.cat([p.flatten() for p in tiny.model().parameters()]))
        for key in ("loss", "reward", "frac_reward_zero_std", "entropy"):
            assert logged(ours, key) == logged(stock, key), key

    @pytest.mark.parametrize(
        "options",
        [
            {"num_iterations": 2},
            TWO_STEPS,
            {"scale_rewards": "batch", "top_entropy_quantile": 0.5},
            {"beta": 0.1, "entropy_coef": 0.01, "peft_config": LoraConfig(r=4, target_modules="all-linear")},
        ],
    )
    def test_beside_trls_options(self, tmp_path: Path, options: dict[str, Any]) -> None:
        runs = []
        for name, shaping in (("ours", [Same()]), ("stock", None)):
            runs.append(trainer(tmp_path / name, shaping=shaping, **options))
            runs[-1].train()
        assert torch.equal(weights(runs[0]), weights(runs[1]))
        assert runs[0].history().equals(runs[1].history())

    @pytest.mark.parametrize("layout", [{}, {"loss_type": "dft"}, PACKED, PADDING_FREE])
    def test_sft(self, tmp_path: Path, layout: dict[str, Any]) -> None:
        runs = [sft_run(tmp_path / str(k), shaping=shaping, **layout) for k, shaping in enumerate(([Same()], None))]
        assert torch.equal(weights(runs[0]), weights(runs[1]))
        assert runs[0].history().equals(runs[1].history()) and logged(runs[0], "loss") == logged(runs[1], "loss")


STOCK = {
    *("output_dir", "use_cpu", "bf16", "per_device_train_batch_size", "num_generations", "max_completion_length"),
    *("learning_rate", "report_to", "save_strategy", "logging_steps", "disable_tqdm"),
}


def logged(run: Any, key: str) -> list[float]:
    return [entry[key] for entry in run.state.log_history if key in entry]


class TestGradients:
    """The trained gradient is that of the method's formula, from plain logits."""

    @pytest.mark.parametrize("loss_type", ["dapo", "bnpo"])
    def test_clip_cov(self, tmp_path: Path, loss_type: str) -> None:
        method = ClipCov(ratio=1.0, low=0.05, high=1e9)  # all in the interval: nothing is left to chance
        run = trainer(
            tmp_path, shaping=[method], loss_type=loss_type, gradient_accumulation_steps=3, max_steps=1,
            per_device_train_batch_size=8, max_grad_norm=0.0,
        )  # fmt: skip
        model, gradient = tiny.model(), Gradient(run)
        run.train()
        total, clipped = torch.tensor(0.0), 0
        for batch in run._buffered_inputs:
            ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
            mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
            tokens, trained = batch["completion_ids"], batch["completion_mask"].bool()
            logits = model(input_ids=ids, attention_mask=mask).logits[:, -tokens.shape[1] - 1 : -1]
            logp = logits.log_softmax(-1).gather(2, tokens[..., None])[..., 0]
            advantage = batch["advantages"][:, None].repeat(1, tokens.shape[1])
            away = (advantage - advantage[trained].mean()) * (logp - logp[trained].mean()).detach()
            taken = trained & (away > 0.05)
            clipped += int(taken.sum())
            each = -(torch.where(taken, 0.0, advantage) * (logp - logp.detach()).exp())[trained].sum()
            n = trained.sum() if loss_type == "bnpo" else batch["num_items_in_batch"] / 3
            total = total + each / n / 3
        assert 0 < clipped
        torch.testing.assert_close(gradient.value, gradient_of(total, model), atol=1e-6, rtol=1e-4)
        plain = trainer(tmp_path / "plain", loss_type=loss_type, gradient_accumulation_steps=3, max_steps=1,
                        per_device_train_batch_size=8, max_grad_norm=0.0)  # fmt: skip
        unshaped = Gradient(plain)
        plain.train()
        assert (gradient.value - unshaped.value).norm() > 0.1 * unshaped.value.norm()

    def test_a_loss_term_is_a_mean_over_the_device_batches(self, tmp_path: Path) -> None:
        """It equals TRL's own entropy bonus."""
        options = {"gradient_accumulation_steps": 3, "max_steps": 1, "max_grad_norm": 0.0}
        gradients = []
        for name, changes in (("theirs", {"entropy_coef": 0.3}), ("ours", {"shaping": [Bonus(0.3)]})):
            ours = trainer(tmp_path / name, **options, **changes)
            gradients.append(Gradient(ours))
            ours.train()
        torch.testing.assert_close(gradients[1].value, gradients[0].value, atol=1e-7, rtol=1e-5)
        assert ours.state.log_history[0]["shaping/bonus/loss"] == pytest.approx(
            -0.3 * logged(ours, "entropy")[0], 1e-2
        )

    @pytest.mark.parametrize("loss_type", ["nll", "dft"])
    @pytest.mark.parametrize("layout", [{}, PADDING_FREE])
    def test_entropy_sft(self, tmp_path: Path, loss_type: str, layout: dict[str, Any]) -> None:
        options = layout | {"loss_type": loss_type, "gradient_accumulation_steps": 2, "max_steps": 1}
        run = sft_trainer(tmp_path, shaping=[{"entropy_sft": {"share": 0.4}}], max_grad_norm=0.0, **options)
        model, gradient = tiny.model(), Gradient(run)
        run.train()
        data, rows = tiny.sft_dataset(), run.history()["row"].tolist()
        batches, n_all = [], 0
        for part in np.split(np.array(rows), 2):
            loss, entropy = [], []
            for row in part:
                ids, trained = tiny.sft_tokens(data[int(row)])
                log_p = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
                kept = torch.tensor(trained[1:])
                loss.append(-log_p[torch.arange(len(ids) - 1), ids[1:]][kept])
                entropy.append(-(log_p.exp() * log_p).sum(-1)[kept].detach())
            batches.append((torch.cat(loss), torch.cat(entropy)))
            n_all += len(batches[-1][0])
        total, raw = torch.tensor(0.0), 0.0
        for loss, entropy in batches:
            best = (loss.detach() - entropy).topk(int(0.4 * len(loss))).indices
            each = loss * (-loss.detach()).exp() if loss_type == "dft" else loss
            total = total + each[best].mean() * len(loss) / n_all
            raw += each.sum().item() / n_all
        torch.testing.assert_close(gradient.value, gradient_of(total, model), atol=1e-6, rtol=1e-4)
        assert run.state.log_history[0]["loss"] == pytest.approx(raw, abs=1e-4), (
            "the logged loss is that of all tokens"
        )
        assert run.state.log_history[0]["shaping/entropy_sft/changed"] == pytest.approx(1)
        plain = sft_run(tmp_path / "plain", **options)
        assert run.history().equals(plain.history()), "the curriculum sees all tokens"


class TestFeedback:
    def test_the_curriculum_learns_from_trls_rewards(self, tmp_path: Path) -> None:
        shaping = [Budget(weight=1.0, initial=6), {"puzzlecraft": {"gamma": 0}}, {"entrocraft": {"high": 0.6}}]
        run = trainer(tmp_path, curriculum=Recorder(tau=0.3), shaping=shaping, per_device_train_batch_size=16)
        made: list[list[float]] = []
        score = run.reward_funcs[0]
        run.reward_funcs[0] = lambda **given: made.append(score(**given)) or made[-1]
        used: list[torch.Tensor] = []
        shape = run.shaping.shape_rollouts

        def spy(output: Any, rollouts: Any) -> None:
            shape(output, rollouts)
            used.append(output["advantages"])

        run.shaping.shape_rollouts = spy  # type: ignore[method-assign]
        run.train()
        assert len(made) == len(run.curriculum.feedbacks) == 4
        for seen, reward, trained in zip(run.curriculum.feedbacks, made, used, strict=True):
            assert seen.reward.tolist() == reward == seen.rewards["reward"].tolist()
            group = np.array(reward).reshape(-1, 4)
            expected = (group - group.mean(1, keepdims=True)) / (group.std(1, ddof=1, keepdims=True) + 1e-4)
            np.testing.assert_allclose(seen.advantage, expected.ravel(), atol=1e-5)
            assert not np.allclose(trained.numpy(), seen.advantage)
        assert logged(run, "reward") == pytest.approx([np.mean(reward) for reward in made], abs=1e-3)
        assert logged(run, "shaping/budget/reward") and logged(run, "shaping/entrocraft/changed")

    def test_evaluation_is_that_of_an_unshaped_run(self, tmp_path: Path) -> None:
        shown = []
        for shaping in (None, [Same(), Bonus(), "puzzlecraft", ClipCov(low=0.0)]):
            run = trainer(tmp_path, shaping=shaping, eval_dataset=tiny.dataset(8, seed=1))
            torch.manual_seed(0)
            shown.append({key: value for key, value in run.evaluate().items() if key.split("_")[-1] not in TIMES})
        assert shown[0] == shown[1] and "eval_reward" in shown[0]


TIMES = ("runtime", "second", "time")


class TestMethods:
    """Every method acts in a real run, beside others."""

    @pytest.mark.parametrize(
        ("shaping", "changed", "losses", "stands"),
        [
            (
                ["lead", {"clip_b": {"mu": 0.1}}, {"kl_cov": {"ratio": 0.2}}, {"siren": {"coef": 1.0}}],
                {"lead", "clip_b"},
                {"kl_cov", "siren"},
                {"lead/weight", "siren/anchor"},
            ),
            ([{"canon": {"by": "length"}}, "tea_rl"], {"canon"}, {"tea_rl"}, set()),
            ([{"drpo": {"shorter": 1.0}}, "puzzlecraft"], {"drpo", "puzzlecraft"}, set(), set()),
            (
                [{"pear": {"end": "|"}}, {"ceeh": {"length": 1.0}}],
                {"ceeh"},
                set(),
                {"ceeh/hard", "ceeh/reward", "pear/reward"},
            ),
            ([{"ares": {"window": 2, "quantile": 0.2}}], set(), set(), {"ares/threshold", "ares/reward"}),
            ([{"spine": {"share": 0.5, "coef": 1.0}}], {"spine"}, {"spine"}, {"spine/reward"}),
        ],
        ids=["lead", "canon", "drpo", "ceeh", "ares", "spine"],
    )
    def test_it_is_logged_and_it_matters(
        self,
        tmp_path: Path,
        plain: torch.Tensor,
        shaping: list[Any],
        changed: set[str],
        losses: set[str],
        stands: set[str],
    ) -> None:
        run = shaped_run(tmp_path, shaping)
        for key in {f"{name}/changed" for name in changed} | {f"{name}/loss" for name in losses} | stands:
            values = logged(run, f"shaping/{key}")
            assert values and np.isfinite(values).all() and any(values), key
        assert not torch.equal(weights(run), plain)


def odd(completion_ids: list[list[int]], **kwargs: Any) -> list[float]:
    return [float(sum(ids) % 2) for ids in completion_ids]


def shaped_run(folder: Path, shaping: list[Any]) -> Any:
    options = TWO_STEPS | {"max_steps": 4, "loss_type": "grpo", "train_dataset": tiny.dataset(4)}
    run = trainer(folder, shaping=shaping, reward_funcs=odd, curriculum="uniform", arms=None, **options)
    run.train()
    return run


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    return weights(shaped_run(tmp_path_factory.mktemp("plain"), []))


class TestEntropiesAtScoring:
    """Where TRL makes a pass over the completions anyway, measuring costs no other."""

    def entropies(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Any, int]:
        run = trainer(tmp_path, shaping=[Same()], max_steps=1, **options)
        passes, measured = [], []
        stock = GRPOTrainer._get_per_token_logps_and_entropies

        def spy(*args: Any, **kwargs: Any) -> Any:
            passes.append(torch.is_grad_enabled())
            return stock(*args, **kwargs)

        def measure(self: Any, tokens: Any) -> Any:
            measured.append(tokens.detach())
            return {"entropy": tokens.entropy.sum(1)}

        monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", spy)
        monkeypatch.setattr(Same, "measure", measure)
        before = run.model.state_dict() | {}
        before = {name: value.clone() for name, value in before.items()}
        prompts: list[Any] = []
        shape = run.shaping.shape_rollouts

        def keep(output: Any, rollouts: Any) -> None:
            prompts.append({**output})
            shape(output, rollouts)
            assert ENTROPY not in output

        run.shaping.shape_rollouts = keep  # type: ignore[method-assign]
        run.train()
        run.model.load_state_dict(before)
        (batch,), (tokens,) = prompts, measured
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        with torch.no_grad():
            logits = run.model(input_ids=ids, attention_mask=mask).logits[:, -tokens.ids.shape[1] - 1 : -1]
        log_p = logits.float().log_softmax(-1)
        plain = -(log_p.exp() * log_p).sum(-1)
        torch.testing.assert_close(tokens.entropy[tokens.mask], plain[tokens.mask], atol=2e-5, rtol=1e-4)
        logp = log_p.gather(2, tokens.ids[..., None])[..., 0]
        torch.testing.assert_close(tokens.logp[tokens.mask], logp[tokens.mask], atol=2e-5, rtol=1e-4)
        return run, passes.count(False)

    def test_on_policy_they_cost_a_pass(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.entropies(tmp_path, monkeypatch)[1] == 1

    def test_off_policy_they_cost_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.entropies(tmp_path, monkeypatch, **TWO_STEPS)[1] == 1  # TRL's own

    @pytest.mark.parametrize(("options", "passes"), [({}, 2), (TWO_STEPS, 2)])
    def test_a_reference_models_are_not_taken_for_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], passes: int
    ) -> None:
        adapter = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        made = self.entropies(tmp_path, monkeypatch, beta=0.1, peft_config=adapter, **options)
        assert made[1] == passes

    def test_siren_measures_the_first_generation_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        passes = count_passes(monkeypatch)
        trainer(tmp_path, shaping=["siren"], max_steps=3).train()
        assert passes == [False, True, True, True]

    def test_reading_texts_alone_costs_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        passes = count_passes(monkeypatch)
        trainer(tmp_path, shaping=["puzzlecraft", "budget"], max_steps=1).train()
        trainer(tmp_path, shaping=[{"canon": {"by": "length"}}], overwrite_output_dir=True, max_steps=1).train()
        assert passes == [True, True]


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each forward over completions, from now on, has a gradient."""
    passes: list[bool] = []
    stock = GRPOTrainer._get_per_token_logps_and_entropies

    def spy(*args: Any, **kwargs: Any) -> Any:
        passes.append(torch.is_grad_enabled())
        return stock(*args, **kwargs)

    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", spy)
    return passes


GRPO_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"shaping": ["clip_kov"]}, r"Unknown shaper 'clip_kov' \(did you mean 'clip_cov'\?\): choose one of"),
    "option": ({"shaping": [{"clip_cov": {"ratoi": 1}}]}, "Shaper 'clip_cov' has no option 'ratoi'"),
    "range": ({"shaping": ['{"clip_cov": {"ratio": 2}}']}, "ratio=2 of clip_cov must be at least 0 and at most 1"),
    "bounds": ({"shaping": [{"clip_cov": {"low": 6.0}}]}, "low=6.0 of clip_cov must be below high=5.0"),
    "band": ({"shaping": [{"entrocraft": {"low": 1.0}}]}, "low=1.0 of entrocraft must not be above high=0.7"),
    "twice": ({"shaping": ["budget", "budget"]}, "The shaper 'budget' is given twice"),
    "for SFT": ({"shaping": ["entropy_sft"]}, "The shaper 'entropy_sft' is for SFT: leave it out of GRPO"),
    "one rollout": (
        {"shaping": ["clip_cov"], "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
        "with per_device_train_batch_size=1 all its tokens have the same",
    ),
    "two controllers": (
        {"shaping": ["entrocraft"], "entropy_coef": 0.1},
        "entrocraft and entropy_coef=0.1 would both",
    ),
    "normalized": (
        {"shaping": ["budget"], "multi_objective_aggregation": "normalize_then_sum"},
        "'budget' adds to the sum of the rewards, which multi_objective_aggregation='normalize_then_sum' never makes",
    ),
    "replaced": (
        {"shaping": ["budget", Replacing()]},
        "'replacing' do not depend on those that it is given: name it first, before",
    ),
    "replaced twice": (
        {"shaping": ["canon", "lead"]},
        "'lead' do not .*: name it first, before 'canon', and no second",
    ),
    "added in vain": (
        {"shaping": ["canon", "budget"]},
        "The advantages of 'canon' are made of the rewards as they are, so that what 'budget' adds to them has no eff",
    ),
    "two shapers": (
        {"shaping": ["entrocraft", "clip_cov", "siren"]},
        "entrocraft and siren would both control the entropy: leave one of them out",
    ),
    "adaptive": (
        {"shaping": ["ceeh"], "use_adaptive_entropy": True},
        "ceeh and use_adaptive_entropy=True would both",
    ),
    "one row": (
        {"shaping": ["tea_rl"], "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
        "tea_rl compares the advantages of a device batch, and with per_device_train_batch_size=1",
    ),
    "on-policy": (
        {"shaping": ["kl_cov"], "gradient_accumulation_steps": 2},
        "with steps_per_generation=2 and gradient_accumulation_steps=2 a generation is trained on before they do",
    ),
    "pear": (
        {"shaping": ["pear"], "multi_objective_aggregation": "normalize_then_sum"},
        "'pear' adds to the sum of the rewards",
    ),
    "loss": (
        {"shaping": ["drpo"], "loss_type": "dapo"},
        "loss_type='dapo' does not train on: set loss_type='grpo'",
    ),
    "too long": (
        {"shaping": [{"lead": {"least": 1000}}]},
        r"least=1000 of lead is longer than any completion \(max_completion_length=8\), so that longer would",
    ),
    "unlimited": (
        {"shaping": ["lead"], "max_completion_length": None},
        "lead counts lengths as a share of max_completion_length, which is not set: set it",
    ),
    "rollouts": (
        {"rollouts": ["refill"], "multi_objective_aggregation": "normalize_then_sum"},
        "refill fills a batch in several tries",
    ),
    "too few tokens": (
        {"rollouts": [{"refill": {"max_tokens": 4}}]},
        "max_tokens=4 of refill are no more than the 4 completions",
    ),
    "a batch of one group": (
        {"rollouts": ["allocation"]},
        "a batch of 4 rollouts with num_generations=4 is one group",
    ),
    "two fillers": (
        {"rollouts": ["refill", "allocation"], "per_device_train_batch_size": 8},
        "allocation and refill would each decide which rollouts a batch consists of",
    ),
    "moving reference": (
        {"rollouts": [{"refill": {"carry": True}}], "sync_ref_model": True, "beta": 0.1},
        "carry=True of refill keeps log-probabilities of the reference model",
    ),
}


@pytest.mark.parametrize("case", GRPO_REFUSED)
def test_grpo_refuses_before_any_work(tmp_path: Path, case: str) -> None:
    changes, words = GRPO_REFUSED[case]
    with pytest.raises(ValueError, match=words):
        config(tmp_path, **changes)


def test_sft_refuses_before_any_work(tmp_path: Path) -> None:
    options: dict[str, Any] = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False}
    for changes, words in (
        ({"shaping": ["clip_cov"]}, "The shaper 'clip_cov' is for GRPO: leave it out of SFT"),
        ({"rollouts": ["refill"]}, "The rollout method 'refill' is for GRPO: leave it out of SFT"),
        (
            {"shaping": ["entropy_sft"], "label_smoothing_factor": 0.1},
            "label_smoothing_factor=0.1 makes a loss in which",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            CurriculumSFTConfig(**options, **changes)
    with pytest.raises(ValueError, match="compute_loss_func makes a loss in which tokens cannot be weighed"):
        from trl_curriculum import CurriculumSFTTrainer

        args = CurriculumSFTConfig(**options, shaping=["entropy_sft"])
        CurriculumSFTTrainer("none", args, train_dataset=tiny.sft_dataset(), compute_loss_func=lambda *args: 0)


def test_an_outcome_must_be_a_reward_function(tmp_path: Path) -> None:
    for options in (
        {"shaping": [{"puzzlecraft": {"outcome": "rewards"}}]},
        {"rollouts": [{"refill": {"outcome": "x"}}]},
    ):
        with pytest.raises(
            ValueError, match=r"decides by outcome='.*', which is no reward function.*: choose one of rew"
        ):
            trainer(tmp_path, **options)


def test_rewards_that_are_no_success_are_refused_by_puzzlecraft(tmp_path: Path) -> None:
    run = trainer(
        tmp_path, shaping=["puzzlecraft"], reward_funcs=lambda completions, **kwargs: [2.0] * len(completions)
    )
    with pytest.raises(ValueError, match=r"rewards in \[0, 1\], but a reward of 2 came back: .*outcome"):
        run.train()


def test_pear_refuses_a_tokenizer_without_an_end_of_thinking(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"by end='</think>', which is no token of this model's tokenizer: name the"):
        trainer(tmp_path, shaping=["pear"])
    run = trainer(tmp_path, shaping=[{"pear": {"end": "|"}}])
    assert run.shaping.bound["pear"].end == run.processing_class.convert_tokens_to_ids("|")


def test_a_list_on_a_command_line_and_in_yaml(tmp_path: Path) -> None:
    from trl import TrlParser

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("shaping: [clip_cov, {budget: {weight: 0.3}}]\nrollouts: refill\nuse_cpu: true\nbf16: false\n")
    parser = TrlParser(CurriculumGRPOConfig)
    (args,) = parser.parse_args_and_config(["--config", str(recipe), "--output_dir", str(tmp_path)])
    run = trainer(tmp_path, shaping=args.shaping, rollouts=args.rollouts)
    assert run.shaping.shapers == (ClipCov(), Budget(weight=0.3)) and run.refilling.methods == (Refill(),)
    given = ["--shaping", "puzzlecraft", '{"budget": {"weight": 0.5}}', "--rollouts", "none"]
    (args,) = parser.parse_args_and_config(["--config", str(recipe), "--output_dir", str(tmp_path), *given])
    run = trainer(tmp_path, shaping=args.shaping, rollouts=args.rollouts)
    assert [shaper.spec for shaper in run.shaping.shapers] == ["puzzlecraft", {"budget": {"weight": 0.5}}]
    assert run.refilling.methods == ()


class TestResume:
    OPTIONS: dict[str, Any] = {
        "gradient_accumulation_steps": 2,
        "steps_per_generation": 4,
        "num_iterations": 2,
        "max_steps": 7,
        "save_strategy": "steps",
        "save_steps": 1,
        "rollouts": [Refill()],
        "curriculum": {"sec": {"tau": 1.0}},
    }

    def shaping(self) -> list[Any]:
        return [Lead(momentum=0.5), Record(), ClipCov(low=0.0, ratio=0.2), Siren(coef=0.5), Bonus()]

    def run(self, folder: Path, resume: Any = None, **changes: Any) -> Any:
        options = self.OPTIONS | {"shaping": self.shaping(), "train_dataset": tiny.dataset(6)} | changes
        run = trainer(folder, **options)
        run.train(resume_from_checkpoint=resume)
        return run

    def test_exact_in_the_middle_of_a_window_and_between_two(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self.run(tmp_path / "whole")
        assert len(whole.history()) > 8, "nothing was refilled"
        for step in (1, 2, 5, 4):
            checkpoint = tmp_path / "whole" / f"checkpoint-{step}"
            resumed = self.run(tmp_path / f"cut-{step}", str(checkpoint), save_strategy="no")
            assert torch.equal(weights(resumed), weights(whole)), f"weights differ after a resume from step {step}"
        monkeypatch.setattr(BestRewards, "load_state_dict", lambda *given: None)
        forgetful = self.run(tmp_path / "forgetful", str(checkpoint), save_strategy="no")
        assert not torch.equal(weights(forgetful), weights(whole)), "the test cannot fail"

    def test_with_other_methods_it_is_refused(self, tmp_path: Path) -> None:
        self.run(tmp_path, max_steps=2)
        with pytest.raises(ValueError, match=r"written with shaping=\[.*'lead'.*\], and this run has shaping=none"):
            self.run(tmp_path, True, shaping=None)
        with pytest.raises(ValueError, match=r"written with rollouts=\[.*'tries': 4.*, and this run has .*'tries': 2"):
            self.run(tmp_path, True, rollouts=[{"refill": {"tries": 2}}])
