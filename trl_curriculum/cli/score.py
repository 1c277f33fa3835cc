"""
`trl-curriculum score`: entropies or angles of a dataset's prompts, without training, as a parquet file.

Prompts are those that `trl-curriculum grpo` makes of the same arguments; conversations are cut before their last
answer. `row` counts as the trainers count.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from ..data.entries import MixtureConfig
from ..data.rendered import check_prompts
from ..data.reserved import without_images
from ..data.rows import Rows, form_flaws
from ..data.unusable import CHOICES, HELP, check_choice
from ..disk.atomic import atomic_write
from ..disk.fingerprint import fingerprint, redact, weights_key
from ..lm.dtypes import check_dtype
from ..lm.engines import VLLM_LOGPROBS, Engine
from ..lm.load import ENGINES
from ..lm.loading import MODEL, check_folder, check_tokenizer, loading
from ..lm.loading import load_tokenizer as loaded_tokenizer
from ..pool import Pool
from ..probes import PROBES, AngleConcentration, PrefixEntropy, PromptEntropy
from ..probes.angle_concentration import angle_concentration, check_fast, spans
from ..probes.prefix_entropy import prefix_entropy
from ..probes.prompt_entropy import prompt_entropy
from ..probes.prompts import options_of, prompt_of, tokenize
from ..probes.scores import Scores
from ..report.terminal import show
from ..scripts.arguments import CurriculumScriptArguments
from ..scripts.data import load_prompts
from ..scripts.launch import parse
from ..scripts.parser import RecipeParser
from ..scripts.train import model_path
from ..trainers.probe_cost import prompts as cost
from .score_tables import by_arm, extremes


VOID = ("eval_per_arm", "difficulty_from")  # what the scripts share and scoring has no use for
Spec = PrefixEntropy | PromptEntropy | AngleConcentration
TITLES = {
    "prefix_entropy": "Prefix entropies",
    "prompt_entropy": "Prompt entropies",
    "angle_concentration": "Angle concentrations",
}


@dataclass
class ScoreArguments(CurriculumScriptArguments):
    """
    Arguments of `trl-curriculum score`, besides those of [`CurriculumScriptArguments`].

    Args:
        out (`str`, *optional*):
            Parquet file to write: `row`, `score`, `tokens`, of angle concentrations `difficulty`, which is less the
            larger the score, and, with `arms`, `arm`. Until it is there, partial results are kept in a hidden folder
            beside it, and the same command goes on from them.
        model_name_or_path (`str`, *optional*):
            Model that answers; with a server, whose tokenizer is used.
        model_revision (`str`, *optional*):
            Its revision on the Hub.
        dtype (`str`, *optional*, defaults to `"auto"`):
            Its weights' type, with `"transformers"` and `"vllm"`.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Whether code of the model's repository may run here.
        use_cpu (`bool`, *optional*, defaults to `False`):
            Whether `"transformers"` leaves a GPU alone.
        url (`str`, *optional*):
            Where a server listens, for `back_end: server`.
        probe (`dict`, *optional*):
            What is measured and how, as in training: `{"prefix_entropy": {"length": 32, "back_end": "vllm"}}`;
            `prompt_entropy` or `angle_concentration` (transformers). The first's `back_end` is `transformers` unless
            it says `vllm` (an engine in this process, `back_end_options` are arguments of `vllm.LLM`) or `server` (of
            [`~trl_curriculum.lm.server_engine.ServerEngine`]).
        unusable_rows (`str`, *optional*, defaults to `"refuse"`):
            What to do with rows without a prompt, or whose prompt the chat template refuses: `"refuse"`, or
            `"leave_out"`, with a warning. Prompts that are too long have no score either way.
        arms (`list[str]` or `dict`, *optional*):
            By what the closing table is broken down: a column, or several for joint arms.
        seed (`int`, *optional*, defaults to `42`):
            Seed of a mixture's split, as the trainers have it.
    """

    out: str | None = field(default=None, metadata={"help": "Parquet file to write."})
    model_name_or_path: str | None = field(default=None, metadata={"help": "Hub id or path of the model."})
    model_revision: str = field(default="main", metadata={"help": "Revision of the model on the Hub."})
    dtype: str = field(default="auto", metadata={"help": "Type of the weights, such as bfloat16."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Whether the model's own code may run here."})
    use_cpu: bool = field(default=False, metadata={"help": "Leave a GPU alone (transformers)."})
    url: str | None = field(default=None, metadata={"help": "URL of a vLLM server, for back_end: server."})
    probe: dict[str, Any] | str | None = field(
        default=None, metadata={"help": 'What is measured, for example \'{"prefix_entropy": {"length": 32}}\'.'}
    )
    unusable_rows: str = field(default="refuse", metadata={"help": HELP, "choices": CHOICES})
    arms: list[str] | None = field(default=None, metadata={"help": "Column that names each row's arm."})
    seed: int = field(default=42, metadata={"help": "Seed of a mixture's split."})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.unusable_rows)
        for name in VOID:
            if getattr(self, name):
                raise ValueError(f"{name}={getattr(self, name)!r} has no effect on scores: leave it out.")
        spec = PROBES.make("prefix_entropy" if self.probe is None else self.probe)
        if not isinstance(spec, Spec):
            raise ValueError(f"probe={self.probe!r}: `score` scores prompts, which {spec.name!r} does not.")
        self.spec = spec
        back_end = spec.back_end if isinstance(spec, PrefixEntropy) else "auto"
        self.back_end = "transformers" if back_end == "auto" else back_end
        self.options = dict((isinstance(spec, PrefixEntropy) and spec.back_end_options) or {})
        if self.back_end != "server" and self.url is not None:
            raise ValueError(
                f"url={redact(self.url)!r} is that of a server: set back_end: server in `probe`, or leave it out."
            )
        if self.back_end == "transformers" and self.options:
            raise ValueError("back_end_options have no effect with back_end transformers: leave them out.")
        check_dtype(self.dtype)
        if self.back_end == "server" and self.dtype != "auto":
            raise ValueError(f"dtype={self.dtype!r} has no effect with back_end server: give it to the server.")
        if self.url is not None:
            self.options["url"] = self.url
        if ENGINES[self.back_end].missing(self.options):
            raise ValueError(f"back_end {self.back_end} needs the url of one, such as --url http://localhost:8000.")

    @property
    def file(self) -> Path:
        """Where the scores go; a place that is taken, or cannot be, is refused before anything is scored."""
        if self.out is None:
            raise ValueError("Say where the scores go: --out scores.parquet.")
        file = Path(self.out)
        if file.suffix != ".parquet":
            raise ValueError(f"out={self.out!r} must end in .parquet.")
        if file.exists():
            raise ValueError(f"{file} is there already: remove it, or give another name as --out.")
        return file


def make_parser(prog: str | None = None) -> RecipeParser:
    """The parser of the command."""
    types: Any = (ScoreArguments, MixtureConfig)
    return RecipeParser(types, prog=prog)


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    if not argv:
        raise ValueError("Say what to score: `--config score.yaml`, or `--help` for all arguments.")
    args, dataset_args, launch_args = parse(make_parser("trl-curriculum score"), argv, command="score")
    if launch_args.from_config:
        raise ValueError(f"{launch_args.from_config[0].removeprefix('--')}: scoring is one process, leave it out.")
    file, name = args.file, model_path(args.model_name_or_path)
    check_folder(name)
    loaded, _ = load_prompts(args, dataset_args, args.seed, answers=False)
    given = check_forms(loaded, args.unusable_rows)
    pool = Pool.from_dataset(given.dataset, args.arms, hash_rows=False)
    if pool.estimated is not None:
        raise ValueError(f"arms={args.arms!r} are estimated while training: name a column, or leave them out.")
    print(f"{args.model_name_or_path}, {args.back_end}: {cost(pool.size, args.spec)}")
    if args.dry_run:
        return 0
    tokenizer = load_tokenizer(args, name)
    if isinstance(args.spec, AngleConcentration):
        check_fast(tokenizer)
    given, prompts = tokenized(given, tokenizer, args.spec)
    pool = Pool.from_dataset(given.dataset, args.arms, hash_rows=False)
    folder = file.with_name(f".{file.name}-{_key(args, name)}")
    try:
        engine = make_engine(args, name, tokenizer)
        scores = measure(prompts, engine, args.spec, folder)
    except KeyboardInterrupt:
        print(f"Stopped. The same command goes on from what {folder} holds.")
        return 130
    except (FloatingPointError, RuntimeError) as error:
        raise ValueError(str(error)) from error
    frame = pd.DataFrame({"row": given.position, "score": scores.value, "tokens": scores.tokens})
    if isinstance(args.spec, AngleConcentration):
        frame["difficulty"] = -scores.value
    if args.arms is not None:
        frame["arm"] = np.array(pool.arm_names, object)[pool.arm]
    write(frame, file, {"model": name, "back_end": args.back_end, args.spec.name: asdict(args.spec)})
    with suppress(OSError):  # what else is in it is not ours
        folder.rmdir()
    show(by_arm(frame, scores, TITLES[args.spec.name]), extremes(frame, loaded))
    print(f"{len(frame)} rows written to {file}")
    return 0


def check_forms(dataset: Dataset, how: str) -> Rows:
    """The rows that have a prompt."""
    rows = Rows.of(without_images(dataset, "the dataset"), "the dataset", how)
    name = next((name for name in ("prompt", "messages", "conversations") if name in dataset.column_names), None)
    rows = rows.without(form_flaws(rows.dataset, [name] if name else []))
    prompts = map(prompt_of, rows.dataset)
    return rows.without({k: "it has no question" for k, prompt in enumerate(prompts) if not prompt})


def tokenized(rows: Rows, tokenizer: Any, spec: Spec) -> tuple[Rows, list[Any]]:
    """The rows whose prompts the chat template takes, and the tokens of these."""
    ids: list[Any] = []

    def keep(batch: list[dict[str, Any]]) -> list[Any]:
        # Rows of SFT hand more to the template than messages; those of GRPO do not.
        own = [{} if "prompt" in row and "completion" not in row else options_of(row) for row in batch]
        prompts = [prompt_of(row) for row in batch]
        made: list[Any]
        if isinstance(spec, AngleConcentration):
            made = spans(prompts, tokenizer, own)
        else:
            made = tokenize(prompts, tokenizer, spec, own=own)
        ids.extend(made)
        return made

    flaws, _ = check_prompts(rows.dataset, keep)
    return rows.without(flaws), [one for one in ids if one]


def load_tokenizer(args: ScoreArguments, name: str) -> Any:
    """The model's tokenizer, padded on the left as generation needs it."""
    source: dict[str, Any] = {"revision": args.model_revision, "trust_remote_code": args.trust_remote_code}
    tokenizer = loaded_tokenizer(name, padding_side="left", **source)
    check_tokenizer(tokenizer, f"{MODEL}={name!r}")
    return tokenizer


def make_engine(args: ScoreArguments, name: str, tokenizer: Any) -> Engine:
    """What generates."""
    source = {"revision": args.model_revision, "trust_remote_code": args.trust_remote_code}
    options, load = args.options, ENGINES[args.back_end].load
    if args.back_end == "server":
        from transformers import AutoConfig

        with loading():
            vocabulary = AutoConfig.from_pretrained(name, **source).get_text_config().vocab_size
        return load(**({"model": name, "vocabulary": vocabulary} | options))
    if args.back_end == "vllm":
        top = max(getattr(args.spec, "logprobs", None) or 0, VLLM_LOGPROBS)
        # Raw: the entropies are then those of the model's own distribution, however the prefix is sampled
        raw = {"dtype": args.dtype, "logprobs_mode": "raw_logprobs", "max_logprobs": top}
        return load(name, **(raw | source | options))
    import torch

    engine = load(name, tokenizer=tokenizer, dtype=args.dtype, **source)
    engine.model.to("cuda" if torch.cuda.is_available() and not args.use_cpu else "cpu")
    return engine


def measure(prompts: list[Any], engine: Any, spec: Spec, folder: Path) -> Scores:
    """Scores prompts by what the engine makes of them, or by its model."""
    if isinstance(spec, PrefixEntropy):
        return prefix_entropy(prompts, engine, spec, batch_tokens=spec.batch_tokens, folder=folder)
    if isinstance(spec, PromptEntropy):
        return prompt_entropy(prompts, engine.model, spec, batch_tokens=spec.batch_tokens, folder=folder)
    return angle_concentration(prompts, engine.model, spec, window=engine.window, folder=folder)


def write(frame: pd.DataFrame, file: Path, made_by: dict[str, Any]) -> None:
    """Writes a parquet file that is whole whenever it exists, with what made it in its metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pandas(frame, preserve_index=False)
    added = {b"trl_curriculum": json.dumps(redact(made_by)).encode()}
    with atomic_write(file) as draft:
        parquet.write_table(table.replace_schema_metadata((table.schema.metadata or {}) | added), draft)


def _key(args: ScoreArguments, name: str) -> str:
    """Partial results are those of one model, with its weights where they are files here, and one way to ask it."""
    return fingerprint((name, args.model_revision, args.back_end, args.dtype, args.options, weights_key(name)))
