"""Few-shot prompts made of trusted examples, and strict parsers of what a model writes after them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..registry import Registry, option
from ..rewards.answers import Completion, extract_answer
from ..rewards.functions import multiple_choice_accuracy
from .candidates import Candidate
from .form import Form


@dataclass(frozen=True)
class Template(Form):
    r"""
    A format in labelled lines, such as `Question: …\nAnswer: …`.

    Whatever does not match is rejected with a reason and never repaired: the fields must all be there, once, in order
    and not empty, with nothing before the first, and the text must have ended by itself.

    The wording is ours: EvoSelect's (arXiv 2604.26170) is not known to us.
    """

    has_answer: ClassVar[bool] = True  # a short one, on which other answers can agree

    instruction: str | None = option(None, "Before the examples.")
    chat: bool = option(
        False,
        "Whether the model is asked in a message, through its chat template, and replies with a whole row; else it "
        "continues the examples after the first label, which small models follow better.",
    )
    stop: tuple[str, ...] | None = option(
        None,
        "Texts at which writing stops; default: a blank line, after which the next example would follow; in a chat "
        "none.",
    )

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the fields, in order: the prompt's, then those of the completion."""
        raise NotImplementedError

    @property
    def stops(self) -> tuple[str, ...]:
        return self.stop if self.stop is not None else () if self.chat else self._stop()

    def build(self, examples: Sequence[Candidate]) -> Completion:
        """
        What asks for one more row like the examples: a text to continue or, with `chat`, messages.

        Raises:
            `ValueError`: for an example that this format cannot express.
        """
        shown = self._shown(examples)
        if not self.chat:
            return f"{shown}\n\n{self.labels[0]}:"
        return [{"role": "user", "content": f"{shown}\n\nWrite one more, on something else, in the same form."}]

    def parse(self, text: str, ended: bool = True) -> Candidate | str:
        """
        The row that a model wrote, or the reason why it is none.

        Args:
            text (`str`):
                What was written after [`build`]'s prompt.
            ended (`bool`, *optional*, defaults to `True`):
                Whether it ended by itself; else it is `"cut off"`.
        """
        if not ended:
            return "cut off"
        return self._read(text if self.chat else f"{self.labels[0]}:{text}")

    def ask(self, examples: Sequence[Candidate], candidate: Candidate) -> Completion:
        """What has the model complete a candidate's prompt anew, after the examples."""
        before = f"{self._shown(examples)}\n\n{self.labels[0]}: {candidate.question}"
        if not self.chat:
            return f"{before}\n{self.labels[1]}:"
        return [{"role": "user", "content": f"{before}\n\nComplete this one in the same form."}]

    def read_answer(self, candidate: Candidate, text: str, ended: bool = True) -> str | None:
        """The short answer in what was written after [`ask`]'s prompt, `None` where there is none."""
        between = "" if self.chat else f"{self.labels[1]}:"
        row = self._read(f"{self.labels[0]}: {candidate.question}\n{between}{text}") if ended else "cut off"
        return None if isinstance(row, str) else row.answer

    def render(self, example: Candidate) -> str:
        """An example in this format, as a model is shown it."""
        text = f"{self.labels[0]}: {example.question}\n{self._completion(example.response)}"
        back = self._read(text)
        if isinstance(back, str):
            problem = back
        elif (back.question, back.response) != (example.question.strip(), example.response.strip()):
            problem = f"it reads back as {back.question!r} and {back.response!r}"
        elif example.answer is not None and back.answer != example.answer:
            problem = f"its answer reads back as {back.answer!r}, not {example.answer!r}"
        elif at := [stop for stop in self.stops if stop in text]:
            problem = f"it contains {at[0]!r}, at which writing stops"
        else:
            return text
        raise ValueError(
            f"An example does not fit the format {type(self).__name__} ({problem}): {text!r}; change the example, its "
            "`answer` or the format."
        )

    # What differs between formats

    def _stop(self) -> tuple[str, ...]:
        return ("\n\n",)

    def _completion(self, response: str) -> str:
        """The lines of a completion's fields."""
        raise NotImplementedError

    def _row(self, fields: dict[str, str]) -> Candidate | str:
        """A row of fields that are all there, or what is wrong with them."""
        raise NotImplementedError

    # Common

    def _shown(self, examples: Sequence[Candidate]) -> str:
        parts = [self.instruction] if self.instruction else []
        return "\n\n".join([*parts, *(self.render(example) for example in examples)])

    def _read(self, text: str) -> Candidate | str:
        fields = split(text, self.labels)
        return fields if isinstance(fields, str) else self._row(fields)

    def _make(self, prompt: str, completion: str, answer: str | None) -> Candidate:
        if not self.messages:
            return Candidate(prompt, completion, answer)
        system = [{"role": "system", "content": self.system}] if self.system else []
        user, assistant = {"role": "user", "content": prompt}, {"role": "assistant", "content": completion}
        return Candidate([*system, user], [assistant], answer)


TEMPLATES: Registry[Template] = Registry(
    "template", Template, "trl_curriculum.templates", "{multiple_choice: {rationale: false}}"
)


@TEMPLATES.add("open_question")
@dataclass(frozen=True)
class OpenQuestion(Template):
    r"""
    `Question: …\nAnswer: …`: the answer is one line and the whole completion.
    """

    rationale: bool = option(
        False,
        "Whether there is `Rationale: …` before the answer; then completions are the rationale and, on a line of its "
        "own, `Answer: …`, in the examples as well.",
        kw_only=True,
    )

    @property
    def labels(self) -> tuple[str, ...]:
        return ("Question", "Rationale", "Answer") if self.rationale else ("Question", "Answer")

    def _completion(self, response: str) -> str:
        return f"{self.labels[1]}: {response}"

    def _row(self, fields: dict[str, str]) -> Candidate | str:
        if "\n" in fields["Answer"]:
            return "answer of several lines"
        answer = extract_answer(fields["Answer"])
        if not answer:
            return "no answer"
        completion = f"{fields['Rationale']}\nAnswer: {fields['Answer']}" if self.rationale else fields["Answer"]
        return self._make(fields["Question"], completion, answer)


@TEMPLATES.add("multiple_choice")
@dataclass(frozen=True)
class MultipleChoice(Template):
    r"""
    `Question: …\nA. …\nB. …\nC. …\nD. …\nRationale: …\nAnswer: B`: prompts end in the options, completions are the
    rationale and, on a line of its own, `Answer: B`. The answer may name the option's text as well.
    """

    choices: int | None = option(
        4,
        "How many; null: as many as there are, two at least.",
        least=2,
        most=26,
        kw_only=True,
    )
    rationale: bool = option(
        True, "Whether there is a rationale; else completions are the answer alone.", kw_only=True
    )

    @property
    def labels(self) -> tuple[str, ...]:
        return ("Question", "Rationale", "Answer") if self.rationale else ("Question", "Answer")

    def _completion(self, response: str) -> str:
        return f"{self.labels[1]}: {response}"

    def _row(self, fields: dict[str, str]) -> Candidate | str:
        lines = fields["Question"].splitlines()
        options = [re.fullmatch(r"([A-Z])[.)] +(\S.*)", line.strip()) for line in lines]
        found = [(match[1], match[2].strip()) for match in options if match]
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: self.choices or max(len(found), 2)]
        if "".join(letter for letter, _ in found) != letters or None in options[-len(letters) :]:
            return f"options are not {letters[0]}-{letters[-1]}"
        if len(lines) == len(letters) or not "".join(lines[: -len(letters)]).strip():
            return "no question"
        if len({text.casefold() for _, text in found}) < len(found):
            return "two options are alike"
        answer = fields["Answer"]
        right, texts = zip(*found, strict=True)
        scores = multiple_choice_accuracy([answer] * len(found), right_letter=list(right), right_text=list(texts))
        if "\n" in answer or scores.count(1.0) != 1:
            return "answer is none of the options"
        completion = f"{fields['Rationale']}\nAnswer: {answer}" if self.rationale else answer
        return self._make(fields["Question"], completion, letters[scores.index(1.0)])


@TEMPLATES.add("instruction")
@dataclass(frozen=True)
class InstructionResponse(Template):
    r"""`Instruction: …\nResponse: …`: both may have several paragraphs, and there is no short answer."""

    has_answer: ClassVar[bool] = False

    @property
    def labels(self) -> tuple[str, ...]:
        return ("Instruction", "Response")

    def _stop(self) -> tuple[str, ...]:
        return ("\nInstruction:",)

    def _completion(self, response: str) -> str:
        return f"Response: {response}"

    def _row(self, fields: dict[str, str]) -> Candidate | str:
        return self._make(fields["Instruction"], fields["Response"], None)


def split(text: str, labels: Sequence[str]) -> dict[str, str] | str:
    """The fields of a text by their labels, which begin lines, or the reason why it does not consist of them."""
    marks = list(re.finditer(rf"^({'|'.join(labels)}):", text, flags=re.MULTILINE))
    found = [mark[1] for mark in marks]
    for label in labels:
        if label not in found:
            return f"no {label.lower()}"
        if found.count(label) > 1:
            return f"two {label.lower()}s"
    if found != list(labels):
        return "fields out of order"
    if text[: marks[0].start()].strip():
        return f"text before the {labels[0].lower()}"
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    fields = {mark[1]: text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)}
    empty = [label for label in labels if not fields[label]]
    return f"no {empty[0].lower()}" if empty else fields
