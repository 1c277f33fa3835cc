"""The check of rows as TRL's trainers read and render them."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset
from trl.data_utils import maybe_convert_to_chatml

from ..data.convert import with_known_roles
from ..data.rendered import refusal
from ..data.reserved import refuse_tokens_without_ids, without_images
from ..data.rows import Flaws, Rows, form_flaws, read
from ..probes.prompts import options_of


logger = logging.getLogger(__name__)

TRAINING = "the training dataset"

OPTIONS = ("tools", "chat_template_kwargs")  # columns that SFT hands to the chat template
FORMATS = (("prompt", "completion"), ("messages",), ("conversations",))  # of SFT, in the order in which TRL looks


def by_name(datasets: Any) -> dict[str, Dataset]:
    """Evaluation datasets by their names, a single one by none; streams are left out, which cannot be checked."""
    named = datasets if isinstance(datasets, dict) else {"": datasets}
    return {name: rows for name, rows in named.items() if isinstance(rows, Dataset)}


def without_images_in(datasets: Any) -> Any:
    """Evaluation datasets, one or several by name, without columns for images that hold none."""
    checked = {name: without_images(rows, evaluation(name)) for name, rows in by_name(datasets).items()}
    return {**datasets, **checked} if isinstance(datasets, dict) else checked.get("", datasets)


def with_roles_in(datasets: Any, *formats: tuple[str, ...]) -> Any:
    """Datasets, one or several by name, with the roles that chat templates know in the first format that each has."""

    def renamed(rows: Dataset) -> Dataset:
        names = next((names for names in formats if {*names} <= {*rows.column_names}), ())
        return with_known_roles(rows, names)

    made = {name: renamed(rows) for name, rows in by_name(datasets).items()}
    return {**datasets, **made} if isinstance(datasets, dict) else made.get("", datasets)


def evaluation(name: str = "") -> str:
    """What a dataset of the evaluation is called."""
    return "the evaluation dataset" if name in ("", "eval") else f"the evaluation dataset {name!r}"


def all_rows(dataset: Dataset, what: str, args: Any) -> Rows:
    """The rows of a dataset before any was looked at."""
    return Rows.of(dataset, what, args.unusable_rows, args.process_index == 0)


def check_forms(rows: Rows, args: Any, *columns: Sequence[str]) -> Rows:
    """The rows whose columns hold what a trainer reads: texts, numbers and options of the template."""
    return rows.without(form_flaws(rows.dataset, *columns, quiet=bool(args.disable_tqdm)))


# SFT


def sft_texts(columns: list[str], text: str) -> list[str]:
    """The columns that TRL's SFT reads texts or conversations of; none where it reads tokens, or nothing."""
    if not columns or "input_ids" in columns:
        return []
    if "prompt" in columns and "completion" not in columns:
        raise ValueError(
            "The dataset has a column 'prompt' and no 'completion', without which TRL does not know what to train on: "
            "add it, or rename or remove 'prompt' where another column holds the rows."
        )
    return list(next((names for names in FORMATS if {*names} <= {*columns}), (text,)))


class SFTChecks:
    """
    Checks the rows that TRL prepares for SFT.

    Args:
        dataset (`datasets.Dataset`):
            The training rows, as TRL shall get them.
        args ([`CurriculumSFTConfig`]):
            What is done with rows that cannot be used.
        whole_rows (`bool`):
            Whether TRL reads the columns itself, and no function of the user's.

    Attributes:
        given ([`~trl_curriculum.data.rows.Rows`]):
            What is left of the training rows.
        reads (`bool`):
            Whether TRL prepares rows, and reads the columns itself.
    """

    def __init__(self, dataset: Dataset, args: Any, whole_rows: bool) -> None:
        skipped = (args.dataset_kwargs or {}).get("skip_prepare_dataset", False)
        self.whole_rows, self.args = whole_rows, args
        self.reads = whole_rows and not skipped
        self.given = self._check_forms(all_rows(dataset, TRAINING, args))

    def _check_forms(self, rows: Rows) -> Rows:
        columns = rows.dataset.column_names if self.reads else []
        refuse_tokens_without_ids(columns)
        texts = sft_texts(columns, self.args.dataset_text_field)
        options = [name for name in OPTIONS if texts and name in columns]
        return check_forms(rows, self.args, texts, (), options)

    def check(self, rows: Rows, tokenizer: Any, chat_template: str | None) -> Rows:
        """Those of more rows that TRL can prepare."""
        rows = self._check_forms(rows)
        return check_sft_templates(rows, tokenizer, chat_template, self.args) if self.reads else rows

    def prepare(
        self,
        prepare: Callable[..., Any],
        chat_template: str | None,
        dataset: Any,
        processing_class: Any,
        args: Any,
        packing: bool,
        formatting_func: Any,
        dataset_name: str,
    ) -> Any:
        """What TRL's `prepare` makes of the rows that are left of a dataset; training rows are packed when drawn."""
        if not isinstance(dataset, Dataset):
            return prepare(dataset, processing_class, args, packing, formatting_func, dataset_name)
        is_given = dataset is self.given.dataset
        rows = self.given if is_given else self._check_forms(all_rows(dataset, evaluation(dataset_name), args))
        if self.reads:
            rows = check_sft_templates(rows, processing_class, chat_template, args)
        if is_given:
            self.given, packing = rows, False
        prepared = prepare(rows.dataset, processing_class, args, packing, formatting_func, dataset_name)
        if not is_given and not packing and len(prepared) < len(rows.dataset) and args.process_index == 0:
            logger.warning(
                "%d of %d rows of %s have no token that is trained on within max_length=%s: TRL leaves them out.",
                len(rows.dataset) - len(prepared),
                len(rows.dataset),
                rows.what,
                args.max_length,
            )
        return prepared


def check_sft_templates(rows: Rows, tokenizer: Any, chat_template: str | None, args: Any) -> Rows:
    """Rows that the chat template takes."""
    columns = rows.dataset.column_names
    texts = sft_texts(columns, args.dataset_text_field)
    if not texts or len(rows.dataset) == 0 or isinstance(rows.dataset[0][texts[0]], str):
        return rows
    options = [name for name in OPTIONS if name in columns]
    flaws: Flaws = {}
    for k, row in enumerate(read(rows.dataset, [*texts, *options], "Checking messages", bool(args.disable_tqdm))):
        row = maybe_convert_to_chatml(row)
        reason = refusal(_render(row, tokenizer, chat_template))
        said = row["completion"] if "completion" in row else row["messages"]
        if reason is None and args.assistant_only_loss and all(message["role"] != "assistant" for message in said):
            reason = "it has no message of the assistant, and assistant_only_loss trains on nothing else"
        if reason is not None:
            flaws[k] = reason
    return rows.without(flaws)


def _render(row: dict[str, Any], tokenizer: Any, chat_template: str | None) -> Callable[[], None]:
    """What renders a row as TRL does."""
    options = {"chat_template": chat_template, "tokenize": False, **options_of(row)}

    def render() -> None:
        if "prompt" in row:
            tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, **options)
            tokenizer.apply_chat_template(row["prompt"] + row["completion"], **options)
        else:
            tokenizer.apply_chat_template(row["messages"], **options)

    return render
