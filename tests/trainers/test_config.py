"""Arguments of the trainers: one grammar for methods, kept as plain values, and what earlier spellings have become."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from trl import TrlParser

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig
from trl_curriculum.curricula import EDCO, SEC, EVOCurate, SuccessRate
from trl_curriculum.probes import PrefixEntropy, RowLoss
from trl_curriculum.scripts.launch import parse
from trl_curriculum.trainers.config import MOVED


CONFIGS = (CurriculumGRPOConfig, CurriculumSFTConfig)
OLD: dict[str, Any] = {
    "curriculum_kwargs": {"tau": 0.3},
    "arm_column": "arm",
    "probe_kwargs": {"length": 3},
    "probe_back_end": "vllm",
    "back_end": "vllm",
    "probe_vllm_kwargs": {"url": "x"},
    "probe_batch_tokens": 40,
}


def made(folder: Path, config: Any = CurriculumGRPOConfig, **options: Any) -> Any:
    return config(str(folder), use_cpu=True, bf16=False, **options)


class TestOldSpellings:
    def test_all_are_tried(self) -> None:
        assert set(OLD) == set(MOVED)

    @pytest.mark.parametrize("config", CONFIGS)
    @pytest.mark.parametrize("name", OLD)
    def test_in_python(self, tmp_path: Path, config: Any, name: str) -> None:
        with pytest.raises(TypeError) as error:
            made(tmp_path, config, **{name: OLD[name]})
        assert str(error.value) == f"{name} is now spelled `{MOVED[name]}`."

    @pytest.mark.parametrize("config", CONFIGS)
    @pytest.mark.parametrize("name", OLD)
    def test_in_yaml(self, tmp_path: Path, config: Any, name: str) -> None:
        (tmp_path / "run.yaml").write_text(yaml.safe_dump({"output_dir": str(tmp_path), name: OLD[name]}))
        with pytest.raises(ValueError, match=f"{name}, in the config file, is now spelled") as error:
            parse(TrlParser([config]), ["--config", str(tmp_path / "run.yaml"), "--use_cpu"])
        assert MOVED[name] in str(error.value)

    @pytest.mark.parametrize("config", CONFIGS)
    @pytest.mark.parametrize("name", OLD)
    def test_on_the_command_line(self, tmp_path: Path, config: Any, name: str) -> None:
        value = OLD[name] if isinstance(OLD[name], str) else json.dumps(OLD[name])
        with pytest.raises(ValueError, match=f"{name}, on the command line, is now spelled") as error:
            parse(TrlParser([config]), ["--output_dir", str(tmp_path), "--use_cpu", f"--{name}", value])
        assert MOVED[name] in str(error.value)

    @pytest.mark.parametrize(
        ("curriculum", "words"),
        [
            ({"sec": {"success_bins": 3}}, "Curriculum 'sec' has no option 'success_bins'"),
            ({"sec": {"learn_from": 0.1}}, "Curriculum 'sec' has no option 'learn_from'"),
            ({"evo_curate": {"fusion": "sum"}}, "Curriculum 'evo_curate' has no option 'fusion'"),
            ({"edco": {"pilot": 2}}, "Curriculum 'edco' has no option 'pilot'"),
        ],
    )
    def test_options_that_were_cut(self, tmp_path: Path, curriculum: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            made(tmp_path, curriculum=curriculum)


SPELLINGS: list[tuple[Any, Any]] = [
    ("sec", SEC()),
    (None, None),
    ({"sec": None}, SEC()),
    ({"sec": {}}, SEC()),
    ({"sec": {"tau": 0.2}}, SEC(tau=0.2)),
    ('{"sec": {"tau": 0.2}}', SEC(tau=0.2)),
    (SEC(tau=0.2), SEC(tau=0.2)),
]


class TestOneGrammar:
    @pytest.mark.parametrize(("spelling", "method"), SPELLINGS)
    def test_a_curriculum_in_any_spelling_is_kept_as_a_spec(self, tmp_path: Path, spelling: Any, method: Any) -> None:
        args = made(tmp_path, curriculum=spelling)
        if method is None:
            assert args.curriculum == "uniform"
            return
        assert args.curriculum_method == method
        assert args.curriculum == ("sec" if method == SEC() else {"sec": {"tau": 0.2}})

    @pytest.mark.parametrize(
        ("spelling", "kept"),
        [
            ("arm", ["arm"]),
            (["arm"], ["arm"]),
            (["level", "kind"], ["level", "kind"]),
            ({"success_rate": {"bins": 3}}, {"success_rate": {"bins": 3}}),
            ('{"success_rate": {"bins": 3}}', {"success_rate": {"bins": 3}}),
            (['{"success_rate": {"bins": 3}}'], {"success_rate": {"bins": 3}}),
            ("success_rate", "success_rate"),
            (SuccessRate(bins=3), {"success_rate": {"bins": 3}}),
            ({"clusters": {"k": 4}}, {"clusters": {"k": 4}}),
            (None, None),
        ],
    )
    def test_arms(self, tmp_path: Path, spelling: Any, kept: Any) -> None:
        args = made(tmp_path, arms=spelling)
        assert args.arms == kept and args.arm_source == made(tmp_path, arms=args.arms).arm_source

    def test_arguments_are_plain_values_and_can_be_made_again(self, tmp_path: Path) -> None:
        probe = PrefixEntropy(length=3, batch_tokens=40)
        args = made(tmp_path, CurriculumSFTConfig, curriculum=EDCO(rounds=2), arms={"clusters": {"k": 4}}, probe=probe)
        kept = json.loads(json.dumps({k: getattr(args, k) for k in ("curriculum", "arms", "probe")}))
        again = made(tmp_path, CurriculumSFTConfig, **kept)
        assert again.curriculum_method == EDCO(rounds=2) and again.prefix_entropy == probe
        changed = dataclasses.replace(args, curriculum={"edco": {"rounds": 4}})
        assert changed.curriculum_method == EDCO(rounds=4) and changed.probe == args.probe

    def test_a_class_without_a_name_cannot_be_kept(self, tmp_path: Path) -> None:
        class Nameless(SEC):
            name = ""

        with pytest.raises(ValueError, match="has no name that arguments could keep"):
            made(tmp_path, curriculum=Nameless())

    def test_yaml_and_command_line(self, tmp_path: Path) -> None:
        recipe = {
            "output_dir": str(tmp_path),
            "bf16": False,
            "curriculum": {"sec": {"tau": 0.2}},
            "arms": {"success_rate": {"bins": 3, "every": 2}},
            "probe": {"loss": {"batch_tokens": 40}},
        }
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(recipe))
        argv = ["--config", str(tmp_path / "run.yaml"), "--use_cpu"]
        args, _ = parse(TrlParser([CurriculumGRPOConfig]), argv)
        assert args.curriculum_method == SEC(tau=0.2) and args.arm_source == SuccessRate(bins=3, every=2)
        assert args.probe_for(EVOCurate(measure="probe")) == RowLoss(batch_tokens=40)
        argv += ["--curriculum", '{"sec": {"tau": 0.4}}', "--arms", "level", "kind"]
        args, _ = parse(TrlParser([CurriculumGRPOConfig]), argv)
        assert args.curriculum_method == SEC(tau=0.4) and args.arms == ["level", "kind"]


class TestBundles:
    def test_a_bundle_sets_what_is_not_set_beside_it(self, tmp_path: Path) -> None:
        args = made(tmp_path, method={"edco_code": {"top_n": 8}})
        assert args.curriculum_method == EDCO(top_n=8, order="descending") and args.prefix_entropy.temperature == 0.7
        args = made(tmp_path, method="edco_code", probe={"prefix_entropy": {"length": 3}})
        assert args.curriculum_method == EDCO(order="descending") and args.prefix_entropy == PrefixEntropy(length=3)
        assert made(tmp_path, method="edco_code", curriculum="uniform").curriculum == "uniform"

    def test_a_mistake_in_it(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"Unknown bundle 'edco_cod' \(did you mean 'edco_code'\?\)"):
            made(tmp_path, method="edco_cod")


class TestProbes:
    def test_what_the_curriculum_asks_for_is_measured(self, tmp_path: Path) -> None:
        spec = {"prefix_entropy": {"length": 3, "batch_tokens": 40}}
        args = made(tmp_path, probe=spec)
        assert args.probe_for(EDCO()) == args.prefix_entropy == PrefixEntropy(length=3, batch_tokens=40)
        assert args.probe_for(EDCO(score_by="loss")) == RowLoss()  # one for prefix entropies says nothing of losses
        assert args.probe_for(EDCO(score_by="random")) is None and args.probe_for(SEC()) is None
        assert made(tmp_path).probe_for(EDCO()) == PrefixEntropy() == made(tmp_path, probe="loss").prefix_entropy
