"""What a dry run can say of rows without a model: with a tokenizer that is in a folder here or in the cache."""

from functools import reduce
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoConfig
from trl import ModelConfig

from ..data.rendered import first_prompt, refusal, window_of
from ..lm.loading import MODEL, check_tokenizer, load_tokenizer, loading
from ..pool import Pool
from ..rewriting import Moment
from ..trainers import grpo_checks
from ..trainers.found import prompt_lines, quoted
from ..trainers.making import rewriters, rewritten
from . import MADE


MOST = 32  # rows of the most letters, of which the longest in tokens is taken


def preview(dataset: Dataset, model_args: ModelConfig, args: Any) -> dict[str, str]:
    """
    Lines on the longest row and the first one as the model will see it.

    Args:
        dataset (`datasets.Dataset`):
            Rows to train on, with prompts (GRPO), or in one of TRL's formats (SFT).
        model_args ([`~trl.ModelConfig`]):
            Which model.
        args ([`CurriculumGRPOConfig`] or [`CurriculumSFTConfig`]):
            The run's arguments.
    """
    found = _tokenizer(model_args, args)
    if found is None:
        return {"longest": "not known here, as is the first prompt: the tokenizer is neither in a folder nor cached"}
    tokenizer, window = found
    names = [name for name in ("prompt", "completion", "messages", "text") if name in dataset.column_names]
    if not names or (names == ["completion"]) or "input_ids" in dataset.column_names:
        return {}
    generates = hasattr(args, "max_completion_length")
    names = ["prompt"] if generates else names
    rows = dataset.select_columns(names)
    longest_form = grpo_checks.rewriters(args.rollout_methods, args.shapers) if generates else []

    def at_most(k: int) -> dict[str, Any]:
        """A row in its longest form."""
        if not longest_form:
            return rows[k]
        return {"prompt": reduce(lambda row, rewrite: rewrite(row), longest_form, dataset[k])["prompt"]}

    letters = [sum(len(str(value)) for value in row.values()) for row in rows]
    most = sorted(range(len(letters)), key=lambda k: -letters[k])[:MOST]
    length: dict[int, int] = {}
    for k in {0, *most}:
        reason = refusal(lambda k=k: length.update({k: _length(at_most(k), tokenizer, args)}))  # type: ignore[misc]
        if reason is not None:
            return {"longest": f"not known: row {k}: {reason}"}
    longest = max(most, key=length.__getitem__)
    if generates:
        lines = prompt_lines(length[longest], longest, window, args)
    else:
        limit = "" if args.max_length is None else f", of max_length={args.max_length:,}"
        lines = {"longest": f"about {length[longest]:,} tokens in row {longest}{limit}"}
    first = {"prompt": _asked(dataset[0], args)["prompt"]} if generates else rows[0]
    return lines | {"first row": quoted(_text(first, tokenizer, args))}


def _asked(row: dict[str, Any], args: Any) -> dict[str, Any]:
    """The first row as a draw at the first step generates from it."""
    seed = args.data_seed if args.data_seed is not None else args.seed
    bound = [shaper.bind(Pool(1), seed) for shaper in args.shapers]
    return rewritten(row, Moment(seed=seed), rewriters(args.rollout_methods, bound))


def _text(row: dict[str, Any], tokenizer: Any, args: Any) -> str:
    """The first row as the model will see it."""
    if "messages" in row:
        return tokenizer.apply_chat_template(row["messages"], tokenize=False)
    if "prompt" not in row:
        return row["text"]
    return first_prompt([row], tokenizer, template_kwargs=_template_options(args)) + _answer(row)


def _length(row: dict[str, Any], tokenizer: Any, args: Any) -> int:
    """Tokens of a row."""

    def count(text: str, plain: bool) -> int:
        return len(tokenizer(text=text, add_special_tokens=plain)["input_ids"])

    if isinstance(text := row.get("prompt", row.get("text")), str):
        return count(text + _answer(row), True)
    options = {"tokenize": False} | _template_options(args)
    if "messages" in row:
        return count(tokenizer.apply_chat_template(row["messages"], **options), False)
    prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, **options)
    return count(prompt + _answer(row), False)


def _template_options(args: Any) -> dict[str, Any]:
    return dict(getattr(args, "chat_template_kwargs", None) or {})


def _answer(row: dict[str, Any]) -> str:
    answer = row.get("completion", "")
    return answer if isinstance(answer, str) else "".join(str(one["content"]) for one in answer)


def _tokenizer(model_args: ModelConfig, args: Any) -> tuple[Any, int | None] | None:
    name = model_args.model_name_or_path
    if name is None or name == MADE:
        return None
    options: dict[str, Any] = {"revision": model_args.model_revision, "local_files_only": True}
    try:
        tokenizer = load_tokenizer(name, **options)
        given = (getattr(args, name, None) is not None for name in ("pad_token", "eos_token"))
        check_tokenizer(tokenizer, f"{MODEL}={name!r}", *given)
        with loading():
            window = window_of(AutoConfig.from_pretrained(name, **options))
    except ValueError as error:  # not there, or code of the Hub that a plan does not run
        if Path(name).is_dir() and "trust_remote_code" not in str(error):
            raise
        return None
    chat_template_path = getattr(args, "chat_template_path", None)
    path = Path(chat_template_path or "")
    if chat_template_path is not None:
        if path.is_file():
            tokenizer.chat_template = path.read_text()
        else:
            return None
    return tokenizer, window
