"""Options with wrong values, and wrong names: of methods, of TRL, of scripts; in YAML and on the command line."""

import dataclasses
import datetime
import json
import math
import numbers
import random
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Union

from fuzz_kit import FREE, HARMLESS, NOTICE, REFUSE, Input, Scene, name
from fuzz_scenes import PROBE, SCENES

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig
from trl_curriculum.families import FAMILIES
from trl_curriculum.rounds.proxy import Proxy
from trl_curriculum.rounds.selection import FeatureSettings


SIGNED = {"low", "high"}  # numbers that may be negative, though no limit says so
OPEN_TEXTS = {"quick_answer", "system", "instruction", "completion", "source", "model"}  # any text is right
ON_COMMAND_LINE = " on the command line"
DESCRIBED = {"grpo": "GRPO", "sft": "SFT"}

VALUES: dict[str, Callable[[random.Random], Any]] = {
    "nan": lambda rng: math.nan,
    "infinite": lambda rng: rng.choice([math.inf, -math.inf]),
    "negative": lambda rng: rng.choice([-1, -3, -0.5]),
    "zero": lambda rng: rng.choice([0, 0.0]),
    "huge": lambda rng: rng.choice([10**30, 1e30, 2**63, 2**31]),
    "tiny": lambda rng: rng.choice([1e-300, 1e-30]),
    "fraction": lambda rng: rng.choice([0.5, 1.5, 2.25]),
    "text": lambda rng: rng.choice(["x", "high", "1,5", "1/2", "None", "auto"]),
    "empty text": lambda rng: "",
    "blank text": lambda rng: rng.choice([" ", "\t", "\n"]),
    "number as text": lambda rng: rng.choice(["0.5", "1e-1", "1", "1_0", "０.5", "0x1"]),
    "unicode": lambda rng: rng.choice(["é", "漢字", "ｔａｕ", "1\u0300", "\u200b"]),
    "markup": lambda rng: rng.choice(["[/INST]", "[bold]x[/bold]", "{{ x }}", "%s", "\x1b[31m"]),
    "null": lambda rng: None,
    "bool": lambda rng: rng.choice([True, False]),
    "list": lambda rng: rng.choice([[], [1], ["a"], [None], [0.5, 0.5]]),
    "mapping": lambda rng: rng.choice([{"a": 1}, {"a": {"b": [1]}}, {"x": None}, {"": 1}]),
    "date": lambda rng: datetime.date(2020, 1, 1),
    "long text": lambda rng: "x" * 5000,
}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; bools are no numbers."""
    if hint is Any:
        return True
    origin = typing.get_origin(hint)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in typing.get_args(hint))
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in typing.get_args(hint))
    if origin is dict:
        key, item = typing.get_args(hint)
        return isinstance(value, dict) and all(fits(k, key) and fits(v, item) for k, v in value.items())
    if origin in (list, tuple):
        return isinstance(value, list | tuple) and all(fits(one, typing.get_args(hint)[0]) for one in value)
    if hint is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if hint is type(None) else isinstance(value, hint)


def verdict_of(value: Any, hint: Any, limits: Any, option: str) -> str:
    """What a value must end in, by what the option's declaration says and by what numbers mean."""
    numeric = fits(1, hint) or fits(0.5, hint)
    if isinstance(value, str) and numeric and not fits("x", hint):
        try:
            float(value)
            return FREE  # a number after all
        except ValueError:
            return REFUSE
    if not fits(value, hint):
        return REFUSE
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        inside = (
            value >= limits.get("least", -math.inf)
            and value <= limits.get("most", math.inf)
            and value > limits.get("above", -math.inf)
            and value < limits.get("below", math.inf)
        )
        wrong = not math.isfinite(value) or not inside or (value < 0 and option not in SIGNED)
        return REFUSE if wrong else FREE
    if isinstance(value, str) and typing.get_origin(hint) is not Literal and option not in OPEN_TEXTS:
        return REFUSE if value.strip() and value not in ("auto", "None") else FREE
    return FREE


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the options of a method stand in a scene's config."""

    scene: Scene
    key: str  # the argument
    method: str  # "" for a mapping of options alone
    given: dict[str, Any]  # options that the scene needs
    inside: tuple[str, ...] = ()  # keys between the argument and the method
    listed: bool = False

    def config(self, options: Any, method: str | None = None) -> dict[str, Any]:
        """The scene's config with these options."""
        spec = options if not self.method else {self.method if method is None else method: options}
        return self.with_spec(spec)

    def with_spec(self, spec: Any) -> dict[str, Any]:
        for key in reversed(self.inside):
            spec = {key: spec}
        return self.scene.config | {self.key: [spec] if self.listed else spec}


GIVEN: dict[str, dict[str, Any]] = {  # options without which the tiny scenes would be refused
    "cure": {"first": 1, "top": 1},
    "prompt_augmentation": {"templates": ["as_is"]},
    "temperature": {"start": 1.0},
    "truncate": {"alpha": 0.1, "least": 1},
    "pear": {"end": "!"},
    "alp_gmm": {"parameters": "difficulty"},
}
BUNDLED: dict[str, dict[str, Any]] = {"dot": {"alpha": 0.1, "least": 1}, "light_if": {"stage": "sft"}}
BESIDE: dict[str, dict[str, Any]] = {  # and arguments
    "attention_entropy": {"attn_implementation": "eager"},
    "drpo": {"loss_type": "grpo"},
    "kl_cov": {"num_iterations": 2},
    "dot": {"num_iterations": 2},
}
CLASSES = {"features": FeatureSettings, "proxy": Proxy}


def places() -> list[tuple[Place, type]]:
    """Every method of every family, and other mappings of options, in the scenes in which they can stand."""
    found: list[tuple[Place, type]] = []

    def put(cls: type, scene: str, key: str, given: dict[str, Any] | None = None, more: Any = None, **kw: Any) -> None:
        base = SCENES[scene]
        if more:
            changed = "+".join(sorted(more))
            base = dataclasses.replace(base, name=f"{base.name}+{changed}-{cls.name}", config=base.config | more)  # type: ignore[attr-defined]
        found.append((Place(base, key, getattr(cls, "name", ""), given or {}, **kw), cls))

    difficulty = {"difficulty_column": "level"}
    for method, cls in FAMILIES["curricula"].all().items():
        for scene in ("grpo-loss", "sft-arms"):
            if DESCRIBED[scene.split("-")[0]] in cls.trainers:
                known = {one.name for one in dataclasses.fields(cls)}
                given = {"measure": "probe"} if scene == "grpo-loss" and "measure" in known else {}
                given |= {name: 1 for name in ("refresh_steps", "round_batches") if name in known}  # to act in time
                given |= {"of": "uniform"} if method == "placebo" else GIVEN.get(method, {})
                given |= {"response": "loss"} if method == "pudf" and scene == "sft-arms" else {}
                more = {"arms": "topic", "curriculum": {method: given}, **difficulty}
                put(cls, scene, "curriculum", given, more | ({"probe": PROBE} if method == "edco" else {}))
    needs = {"columns": {"names": ["topic"]}, "clusters": {"k": 2}, "success_rate": {"bins": 2, "every": 1}}
    for method, cls in FAMILIES["arms"].all().items():
        more = {"arms": {method: needs.get(method, {})}, "curriculum": "sec"}
        put(cls, "grpo-arms", "arms", needs.get(method), more)
    for family in ("rollouts", "shaping"):
        for method, cls in FAMILIES[family].all().items():
            scene = "grpo-plain" if "GRPO" in cls.trainers else "sft-pairs"
            given = GIVEN.get(method, {})
            more = {family: [{method: given}] if given else [method], **BESIDE.get(method, {})}
            put(cls, scene, family, given, more, listed=True)
    for method, cls in FAMILIES["probes"].all().items():
        if method == "prefix_entropy":
            put(cls, "sft-edco", "probe", PROBE["prefix_entropy"])
            put(cls, "score-prompts", "probe", PROBE["prefix_entropy"])
        else:
            put(cls, "grpo-loss", "probe", more={"probe": method})
    for cls in FAMILIES["rewards"].all().values():
        put(cls, "grpo-plain", "reward_funcs", listed=True)
    for cls in FAMILIES["selection"].all().values():
        put(cls, "select", "selection")
        put(cls, "evolve", "selection")
    for method, cls in FAMILIES["generators"].all().items():
        given = {"file": {"path": "pool.jsonl"}, "procedural": {"family": "chain_sum"}}.get(method)
        put(cls, "evolve", "generators", given, listed=True)
    for cls in FAMILIES["templates"].all().values():
        put(cls, "evolve", "generators", inside=("language_model", "template"), listed=True)
    for cls in FAMILIES["rounds"].all().values():
        put(cls, "evolve", "loop")
    for cls in FAMILIES["bundles"].all().values():
        scene, given = "sft-pairs" if "SFT" in cls.trainers else "grpo-plain", BUNDLED.get(cls.name, {})
        put(cls, scene, "method", given, {"method": {cls.name: given}, **BESIDE.get(cls.name, {})})
    for key, cls in CLASSES.items():
        for scene in ("select", "evolve"):
            found.append((Place(SCENES[scene], key, "", dict(SCENES[scene].config[key])), cls))
    return found


PLACES = places()


def option_value(rng: random.Random) -> Input:
    """One option of one method with a wrong, or an odd, value."""
    place, cls = rng.choice([one for one in PLACES if dataclasses.fields(one[1])])
    hints = typing.get_type_hints(cls)
    option = rng.choice([field for field in dataclasses.fields(cls) if field.init])
    kind = rng.choice(list(VALUES))
    value = VALUES[kind](rng)
    allowed = verdict_of(value, hints[option.name], option.metadata, option.name)
    if allowed == FREE and kind not in ("bool", "null"):
        heavy = kind == "huge" or place.scene.command in ("select", "evolve")
    else:
        heavy = True  # whatever must be refused is refused by a plan, too
    if option.name in ("outcome", "column", "quick_answer"):
        heavy = place.scene.command in ("select", "evolve")  # only a run knows the rewards and the columns
    options = place.given | {option.name: value}
    spec = place.config(options)
    command_line = rng.random() < 0.3 and kind != "date"
    words: tuple[str, ...] = ()
    if command_line:
        given = spec[place.key]
        words = (f"--{place.key}", *(json.dumps(one) for one in (given if place.listed else [given])))
        spec = dict(place.scene.config)
    shown = repr(value) if len(repr(value)) < 60 else repr(value)[:60]
    return Input(
        f"option: {kind}",
        place.scene,
        allowed,
        (
            *name(option.name),
            "(?i)the .*rewards need",
            f"{place.method} pays none of .* right answers",  # a reward beside the rows of another task
            *(name(value) if isinstance(value, str) and len(value) > 2 else ()),
        ),
        spec,
        words,
        dry=(heavy or (option.name != "outcome" and rng.random() < 0.5)) and place.scene.command != "score",
        what=f"{place.key}: {place.method or place.key}.{option.name} = {shown}{ON_COMMAND_LINE if words else ''}",
    )


def misspelt(word: str, rng: random.Random) -> str:
    k = rng.randrange(len(word))
    return rng.choice(
        [
            word + "s",
            word[:k] + word[k + 1 :] or "_",
            word.upper(),
            word.replace("_", "-") + "_",
            f" {word}",
            word + "\u200b",
            word[:k] + "é" + word[k:],
        ]
    )


def option_name(rng: random.Random) -> Input:
    """An option that a method does not have, or a method that does not exist."""
    place, cls = rng.choice([one for one in PLACES if one[0].method])
    fields = [field.name for field in dataclasses.fields(cls) if field.init]
    if fields and rng.random() < 0.6:
        wrong = misspelt(rng.choice(fields), rng)
        config = place.config(place.given | {wrong: 1})
        what = f"{place.key}: {place.method} has no option {wrong!r}"
    else:
        wrong = misspelt(place.method, rng)
        config = place.config(place.given, wrong)
        what = f"{place.key}: no method {wrong!r}"
    dry = place.scene.command != "score"
    tokens = (*name(wrong), *name(repr(wrong)[1:-1]))
    return Input("option: wrong name", place.scene, REFUSE, tokens, config, dry=dry, what=what)


def spec_shape(rng: random.Random) -> Input:
    """A spec that is no name and no mapping of a name."""
    place, _ = rng.choice([one for one in PLACES if one[0].method])
    method = place.method
    text, spec = rng.choice(
        [
            ("a number", 5),
            ("a number", 0),
            ("a bool", True),
            ("a bool", False),
            ("an empty mapping", {}),
            ("an empty text", ""),
            ("a blank text", " "),
            ("options that are a number", {method: 5}),
            ("options that are a list", {method: ["x"]}),
            ("options that are a text", {method: "x"}),
            ("two methods", {method: {}, "x": {}}),
            ("a list in a list", [[method]]),
            ("a number as the name", {1: {}}),
            ("null as the name", {None: {}}),
            ("half a JSON", f'{{"{method}": '),
            ("JSON with a repeated option", f'{{"{method}": {{"a": 1, "a": 2}}}}'),
            ("the colon of YAML in a text", f"{method}: x"),
            ("nested twice", {method: {method: {}}}),
            ("a mapping with a blank name", {" ": {}}),
            ("a date", datetime.date(2020, 1, 1)),
        ]
    )
    config = place.with_spec(spec)
    nothing = place.scene.config | {place.key: None}
    allowed = NOTICE if spec in ({}, "", " ", 0, False) and config != nothing else REFUSE
    return Input(
        "option: shape of a spec",
        place.scene,
        allowed,
        (*name(place.key, method, repr(spec)), "is given twice", "(?i)" + place.key.rstrip("s").replace("_", ".")),
        config,
        dry=place.scene.command != "score",
        what=f"{place.key} is {text}: {spec!r}",
    )


POSITIVE = {  # numbers of TRL and transformers that 0 makes no sense of
    *("per_device_train_batch_size", "gradient_accumulation_steps", "num_generations", "max_completion_length"),
    *("num_iterations", "steps_per_generation", "generation_batch_size", "logging_steps", "save_steps"),
    *("temperature", "max_length", "max_tokens", "num_train_epochs", "save_total_limit"),
}
NEVER_NEGATIVE = POSITIVE | {
    *("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "beta", "epsilon", "warmup_steps"),
    *("dataloader_num_workers", "per_device_eval_batch_size", "seed", "data_seed", "top_p", "label_smoothing_factor"),
    *("repetition_penalty", "epsilon_high", "num_generations_eval", "lora_r", "lora_alpha", "lora_dropout", "min_p"),
} - {"max_steps"}


def _numeric(cls: type) -> list[tuple[str, Any]]:
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init and field.name != "local_rank"]
    return [(name, hints[name]) for name in names if fits(1, hints[name]) and hints[name] is not Any]


ARGUMENTS = {"grpo": _numeric(CurriculumGRPOConfig), "sft": _numeric(CurriculumSFTConfig)}


def argument_value(rng: random.Random) -> Input:
    """A numeric argument of TRL with a wrong, or an odd, value."""
    command = rng.choice(["grpo", "sft"])
    scene = SCENES[rng.choice(["grpo-plain", "grpo-arms"] if command == "grpo" else ["sft-pairs", "sft-messages"])]
    argument, hint = rng.choice(ARGUMENTS[command])
    important = sorted((POSITIVE | NEVER_NEGATIVE) & {one for one, _ in ARGUMENTS[command]})
    if rng.random() < 0.5:
        argument = rng.choice(important)
        hint = dict(ARGUMENTS[command])[argument]
    kind = rng.choice([kind for kind in VALUES if kind not in ("markup", "tiny", "null")])
    value = VALUES[kind](rng)
    if kind == "number as text":
        allowed = FREE
    elif not fits(value, hint) or (isinstance(value, float) and not math.isfinite(value)):
        allowed = NOTICE
    elif isinstance(value, str):
        allowed = NOTICE
    elif (value <= 0 and argument in POSITIVE) or (value < 0 and argument in NEVER_NEGATIVE):
        allowed = NOTICE
    else:
        allowed = FREE
    if kind == "fraction" and argument == "num_train_epochs":
        allowed = FREE
    command_line = rng.random() < 0.4 and not isinstance(value, list | dict | datetime.date)
    words = (f"--{argument}={value}",) if command_line else ()
    config = scene.config | ({} if command_line else {argument: value})
    if argument == "num_train_epochs":
        config["max_steps"] = -1
    endless = kind == "huge" and argument in ("max_steps", "num_train_epochs", "max_completion_length", "ddp_timeout")
    return Input(
        f"argument: {kind}",
        scene,
        FREE if argument == "num_train_epochs" and value in (0.5, 1.5, 2.25) else allowed,
        name(argument),
        config,
        words,
        dry=endless or (kind == "huge" and isinstance(value, int) and value > 2**30) or rng.random() < 0.3,
        what=f"{scene.command} {argument} = {value!r:.60}{ON_COMMAND_LINE if words else ''}",
    )


NAMES: list[tuple[str, str, str, tuple[str, ...], list[Any]]] = [
    # scene, argument, what is allowed, tokens besides the argument's name, values
    ("sft-columns", "prompt_column", REFUSE, (), ["nosuch", "", " ", ["question"], 3, None]),
    ("sft-columns", "completion_column", REFUSE, (), ["nosuch", " ", ["answer"], 3, "level"]),
    ("grpo-gsm8k", "prompt_column", REFUSE, (), ["nosuch", "", ["a", "b"], "Question"]),
    ("grpo-plain", "dataset_name", REFUSE, (), ["nosuch", "", ["data"], 5, "models", "/nosuch/x"]),
    ("sft-pairs", "dataset_name", REFUSE, (), ["models/tiny", "config.yaml", None, "a/b/c"]),
    ("sft-pairs", "dataset_train_split", REFUSE, ("split",), ["nosuch", "", 3, "train[:0]"]),
    ("sft-pairs", "dataset_config", REFUSE, ("config",), ["nosuch", "main", 3]),
    ("grpo-arms", "arms", REFUSE, (), ["nosuch", [], ["topic", "topic"], 3, ["topic", "nosuch"]]),
    ("grpo-arms", "arms", REFUSE, (), [{"topic": {}}, "answer ", [["topic"]], {"columns": "topic"}]),
    ("sft-order", "difficulty_column", REFUSE, (), ["nosuch", "prompt", "", 3, ["level"], "topic"]),
    ("grpo-loss", "answer_column", REFUSE, (), ["nosuch", "", 3, ["answer"], "prompt "]),
    ("sft-length", "difficulty_from", REFUSE, (), ["nosuch", "words", 3, ["length"], "Length"]),
    ("grpo-plain", "reward_funcs", REFUSE, ("reward",), [[], "nosuch", ["exact_match", "nosuch"], 5]),
    ("grpo-plain", "reward_funcs", REFUSE, ("reward",), [["os.nosuch"], [None], [["exact_match"]]]),
    ("grpo-plain", "reward_funcs", REFUSE, ("reward", "given"), [["math"], "exact_match,x", {"x": 1}]),
    ("grpo-plain", "reward_funcs", REFUSE, ("reward", "os.path.join"), [["os.path"], ["a..b"], [""]]),
    ("grpo-plain", "reward_funcs", NOTICE, ("reward", "twice"), [["exact_match", "exact_match"]]),
    ("sft-pairs", "on_data_change", REFUSE, (), ["nosuch", "Refuse", "", 3]),
    ("sft-pairs", "model_name_or_path", REFUSE, ("model",), ["nosuch", "", None, "data", "config.yaml"]),
    ("grpo-plain", "model_name_or_path", REFUSE, ("model",), ["models", "/nosuch", 5, ["models/tiny"]]),
    ("score-prompts", "model_name_or_path", REFUSE, ("model",), ["nosuch", "", None, "data", "models"]),
    ("score-prompts", "out", REFUSE, (), ["x.csv", "", None, "nosuch/dir/x.parquet.gz", "data"]),
    ("score-prompts", "dtype", REFUSE, (), ["floaty", "int8x", "torch.float", "", 16]),
    ("sft-pairs", "dtype", REFUSE, (), ["floaty", "float", "int32", "", "fp8!", 16]),
    ("sft-pairs", "attn_implementation", REFUSE, ("attention", "attn"), ["nosuch", "flash", ""]),
    ("sft-pairs", "optim", REFUSE, (), ["nosuch", "", 3]),
    ("sft-pairs", "lr_scheduler_type", REFUSE, ("scheduler",), ["nosuch", "", 3]),
    ("sft-pairs", "save_strategy", REFUSE, (), ["nosuch", "", "sometimes"]),
    ("sft-pairs", "eval_strategy", REFUSE, ("eval", "test"), ["nosuch", "steps", "epoch", 3]),
    ("grpo-plain", "eval_strategy", REFUSE, ("eval", "test"), ["steps", "epoch"]),
    ("sft-pairs", "eval_per_arm", NOTICE, ("arm", "test"), [True, "yes", "maybe", 3]),
    ("grpo-plain", "loss_type", REFUSE, (), ["nosuch", "", "GRPO", 3]),
    ("grpo-plain", "scale_rewards", REFUSE, (), ["nosuch", 3, "GROUP"]),
    ("grpo-plain", "reward_weights", REFUSE, ("weight",), [[1.0], ["x", "y"], 3, [1, 2, 3]]),
    ("grpo-plain", "reward_weights", NOTICE, ("weight",), [[math.nan, 1.0], [math.inf, 1.0]]),
    ("sft-pairs", "chat_template_path", REFUSE, ("template",), ["nosuch", "data", "config.yaml"]),
    ("sft-pairs", "resume_from_checkpoint", REFUSE, ("resume", "checkpoint"), ["nosuch", "data", 3]),
    ("sft-pairs", "output_dir", REFUSE, ("output", "File exists"), ["config.yaml", "config.yaml/x"]),
    ("sft-pairs", "num_processes", REFUSE, (), ["x", 0, -1, 2.5]),
    ("sft-pairs", "packing", NOTICE, (), ["maybe", 3, "yes please"]),
    ("sft-pairs", "max_length", NOTICE, ("row", "token"), [1, 2]),
    ("sft-pairs", "dataset_text_field", HARMLESS, (), ["nosuch", ""]),
    ("sft-text", "dataset_text_field", REFUSE, (), ["nosuch", "Text"]),
    ("sft-pairs", "model_init_kwargs", REFUSE, ("nosuch", "model_init"), [{"nosuch": 1}, 3, "x", [1]]),
    ("grpo-plain", "generation_kwargs", REFUSE, ("nosuch", "generation"), [{"nosuch": 1}, 3, "x"]),
    ("sft-pairs", "lr_scheduler_kwargs", REFUSE, ("nosuch", "scheduler"), [{"nosuch": 1}, 3, "x"]),
    ("sft-pairs", "optim_args", REFUSE, (), ["nosuch=1", "x", 3]),
    ("sft-pairs", "datasets", REFUSE, ("dataset",), [[], [{"path": "data"}], "x", [{}], {"path": "data"}]),
    ("sft-pairs", "tasks", REFUSE, ("task",), [[{"family": "nosuch"}], "x", [1], [{"size": 3}], [{}]]),
    ("sft-pairs", "task_size", NOTICE, (), [0, -1, "x", 2]),
    ("sft-columns", "system_prompt", NOTICE, (), [3, ["x"], {"a": 1}]),
    ("grpo-choices", "options_column", REFUSE, (), ["nosuch", "level", "", 3, ["choices"]]),
    ("grpo-choices", "right_option_column", REFUSE, (), ["nosuch", "topic", "", 3]),
    ("select", "candidates", REFUSE, ("candidate", "file"), ["nosuch.jsonl", None, [], 3, "models", ""]),
    ("select", "targets", REFUSE, ("target", "file"), ["nosuch.jsonl", None, ["targets.jsonl"], 3, ""]),
    ("select", "examples", REFUSE, ("example", "file"), ["nosuch.jsonl", 3, "models", "config.yaml"]),
    ("select", "keep", REFUSE, (), [0, -1, math.nan, math.inf, "x", 1.0, 1000, [1], True]),
    ("select", "distinct", REFUSE, (), [0, -1, math.nan, math.inf, "x", 2, [1], True]),
    ("select", "near_duplicates", REFUSE, (), [0, -1, math.nan, math.inf, "x", 2, [1], True]),
    ("evolve", "keep", REFUSE, (), [0, -1, math.nan, math.inf, "x", 1.0, 1000, [1]]),
    ("evolve", "near_duplicates", REFUSE, (), [0, -1, math.nan, math.inf, "x", 2]),
    ("evolve", "rounds", REFUSE, (), [0, -1, math.nan, "x", 1.5, [1]]),
    ("evolve", "candidates", REFUSE, (), [0, -1, math.nan, "x", 1.5, [1]]),
    ("evolve", "validation_share", REFUSE, (), [0, 1, -1, math.nan, math.inf, "x"]),
    ("evolve", "trusted", REFUSE, (), [0, 1, -1, 1000, math.nan, "x", 1.5]),
    ("evolve", "max_answer_tokens", NOTICE, (), [0, -1, math.nan, "x", 1.5]),
    ("evolve", "accuracy", REFUSE, (), ["nosuch", "", 3, ["exact_match"]]),
    ("evolve", "task_column", REFUSE, (), ["nosuch", 3, ["topic"], " "]),
    ("evolve", "short_answer_column", REFUSE, (), ["nosuch", 3, ["topic"]]),
    ("evolve", "use_peft", REFUSE, ("peft",), [False, "maybe"]),
    ("evolve", "grpo", REFUSE, ("reward", "GRPO"), [{"num_generations": 2}, "x", [1], 3]),
    ("evolve", "reward_funcs", REFUSE, ("reward",), [["exact_match"], "nosuch", [1]]),
    ("evolve", "eval_strategy", REFUSE, (), ["steps", "epoch", "nosuch"]),
    ("evolve", "load_in_4bit", REFUSE, ("4bit",), [True, "x"]),
    ("evolve", "difficulty_from", REFUSE, (), ["length", "nosuch"]),
]
TEXT_ARGUMENTS = [(*one[:4], value) for one in NAMES for value in one[4]]


def text_argument(rng: random.Random) -> Input:
    """An argument that names something, of the scripts or of TRL, with something that is not there or no name."""
    scene, argument, allowed, more, value = rng.choice(TEXT_ARGUMENTS)
    base = SCENES[scene]
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    command_line = plain and rng.random() < 0.3
    words = (f"--{argument}={value}",) if command_line else ()
    config = base.config | ({} if command_line else {argument: value})
    if argument == "eval_strategy" and allowed == REFUSE:
        config["eval_steps"] = 1
    shown = f"{value!r:.60}"
    early = scene in ("select", "evolve") or rng.random() < 0.3
    late = argument in ("max_answer_tokens", "dtype", "model_name_or_path", "generation_kwargs", "model_init_kwargs")
    late = late or argument in ("optim_args", "lr_scheduler_kwargs", "attn_implementation", "resume_from_checkpoint")
    late = late or argument in ("chat_template_path", "reward_weights", "output_dir", "eval_strategy")
    return Input(
        "argument: names",
        base,
        allowed,
        (*name(argument, f"'{value}'", *([value] if isinstance(value, str) and len(value) > 2 else [])), *more, "arm"),
        config,
        words,
        dry=early and not late and base.command != "score",
        what=f"{base.command} {argument} = {shown}{ON_COMMAND_LINE if words else ''}",
    )


def argument_name(rng: random.Random) -> Input:
    """An argument that does not exist, in the config or on the command line."""
    scene = SCENES[rng.choice(["sft-pairs", "grpo-arms", "score-prompts", "select", "evolve"])]
    wrong = misspelt(rng.choice(sorted(set(scene.config) - {"output_dir"})), rng)
    value = rng.choice([1, "x", True, None, {"a": 1}, [1, 2]])
    command_line = rng.random() < 0.4
    words = (f"--{wrong}", "1") if command_line else ()
    config = scene.config | ({} if command_line else {wrong: value})
    where = "on the command line" if command_line else "in the config"
    tokens = (*name(wrong, wrong.strip()), "Unknown", "unrecognized")
    dry = scene.command != "score"
    return Input(
        "argument: wrong name", scene, REFUSE, tokens, config, words, dry=dry, what=f"--{wrong} {where}: {value!r}"
    )


YAML_TEXTS: list[tuple[str, Callable[[str], str | bytes], str]] = [
    ("empty", lambda text: "", REFUSE),
    ("a list", lambda text: "- a\n- b\n", REFUSE),
    ("a text", lambda text: "hello\n", REFUSE),
    ("a number", lambda text: "3\n", REFUSE),
    ("null", lambda text: "null\n", REFUSE),
    ("a tab", lambda text: text + "\tmax_steps: 2\n", REFUSE),
    ("an open bracket", lambda text: text + "shaping: [clip_cov\n", REFUSE),
    ("an open quote", lambda text: text + "curriculum: 'sec\n", REFUSE),
    ("a colon in a value", lambda text: text + "curriculum: sec: tau: 1\n", REFUSE),
    ("a repeated key", lambda text: text + "\n".join(["seed: 1", "seed: 2", ""]), REFUSE),
    (
        "a repeated nested key",
        lambda text: text + "accelerator_config: {even_batches: true, even_batches: true}\n",
        REFUSE,
    ),
    ("two documents", lambda text: text + "---\nseed: 1\n", REFUSE),
    ("a Python object", lambda text: text + "seed: !!python/object/apply:os.getpid []\n", REFUSE),
    ("an alias without an anchor", lambda text: text + "seed: *x\n", REFUSE),
    ("UTF-16", lambda text: text.encode("utf-16"), HARMLESS),
    ("a byte order mark", lambda text: text.encode("utf-8-sig"), HARMLESS),
    ("Latin-1", lambda text: (text + "run_name: é\n").encode("latin-1"), REFUSE),
    ("binary", lambda text: bytes(range(256)), REFUSE),
    ("a NUL", lambda text: text + "run_name: a\x00b\n", REFUSE),
    ("Windows' line ends", lambda text: text.replace("\n", "\r\n"), HARMLESS),
    ("a number as a key", lambda text: text + "1: 2\n", REFUSE),
    ("null as a key", lambda text: text + "null: 2\n", REFUSE),
    ("a list as a key", lambda text: text + "? [a, b]\n: 2\n", REFUSE),
    ("an empty key", lambda text: text + '"": 2\n', REFUSE),
    ("env that is a list", lambda text: text + "env: [A]\n", REFUSE),
    ("env with a number", lambda text: text + "env: {FUZZ: 1}\n", HARMLESS),
    ("JSON", lambda text: "{", REFUSE),
]


def config_file(rng: random.Random) -> Input:
    """A config file that is damaged."""
    scene = SCENES[rng.choice(["sft-pairs", "grpo-arms", "score-prompts", "select", "evolve"])]
    what, damage, allowed = rng.choice(YAML_TEXTS)

    def prepare(folder: Path) -> None:
        file = folder / "config.yaml"
        text = damage(file.read_text())
        if isinstance(text, bytes):
            file.write_bytes(text)
        else:
            file.write_text(text)

    tokens = ("config", "seed", "even_batches", "env", "argument", "key")
    return Input(
        "config file",
        scene,
        allowed,
        tokens,
        prepare=prepare,
        dry=scene.command != "score",
        what=f"{what}, {scene.name}",
    )


MAKERS = {
    option_value: 44,
    option_name: 8,
    spec_shape: 8,
    argument_value: 24,
    text_argument: 18,
    argument_name: 4,
    config_file: 4,
}


def make(rng: random.Random) -> Input:
    """An input of this kind."""
    return rng.choices(list(MAKERS), list(MAKERS.values()))[0](rng)
