r"""
Ways to ask a question, and the form that each asks an answer to have. The words are our own.

Every form leaves the answer where [`~trl_curriculum.rewards.answers.extract_answer`] finds it.
"""

import re
from dataclasses import dataclass


COLUMN = "prompt_template"  # names the form of a row's prompt, for rewards to read

LAST = r"(?:\A|\n)The answer is \S[^\n]*\Z"
BOXED = r"\\boxed\{\s*[^\s}]"
EXAMPLES = (
    (
        "A shelf holds 3 rows of 8 cups, and 5 cups are taken away. How many are left?",
        "There were 3 * 8 = 24 cups. Then 24 - 5 = 19 are left.\nThe answer is 19.",
    ),
    ("What is 15% of 60?", "One percent of 60 is 0.6, and 15 * 0.6 = 9.\nThe answer is 9."),
    ("Solve 2x + 7 = 1 for x.", "Taking 7 from both sides gives 2x = -6, so x = -3.\nThe answer is -3."),
    (
        "Two dice are thrown. In how many ways can they sum to 5?",
        "The pairs are 1 and 4, 2 and 3, 3 and 2, 4 and 1.\nThe answer is 4.",
    ),
)


def _shots(n: int) -> str:
    shown = [f"Problem: {question}\nSolution: {answer}\n\n" for question, answer in EXAMPLES[:n]]
    return "".join(shown) + "Problem: {question}\nSolution:"


@dataclass(frozen=True)
class Form:
    """
    A way to ask.

    Args:
        text (`str`):
            With `{question}` where the question stands.
        marks (`tuple[str, ...]`, *optional*):
            Regular expressions, each of which an answer must match after the one before; none where any answer does.
    """

    text: str
    marks: tuple[str, ...] = ()

    def asks(self, question: str) -> str:
        """The question in this form."""
        return self.text.replace("{question}", question)

    def kept(self, answer: str) -> bool:
        """Whether an answer has the form, spaces around it aside."""
        text, at = answer.strip(), 0
        for mark in self.marks:
            if (found := re.compile(mark).search(text, at)) is None:
                return False
            at = found.end()
        return True


FORMS = {
    "as_is": Form("{question}"),
    "boxed": Form("{question}\n\nReason step by step, and write the final answer in \\boxed{}.", (BOXED,)),
    "answer_only": Form(
        "{question}\n\nWrite the final answer in \\boxed{}, and nothing else.", (r"\A\\boxed\{\s*[^\s}][^\n]*\}\Z",)
    ),
    "tags": Form(
        "{question}\n\nFirst think between <think> and </think>. Then give the final answer between <answer> and "
        "</answer>.",
        (r"\A<think>", r"</think>\s*<answer>\s*[^\s<]", r"</answer>\Z"),
    ),
    "tags_boxed": Form(
        "{question}\n\nThink between <think> and </think>. After that sum up in a few words, with the final answer in "
        "\\boxed{}.",
        (r"\A<think>", r"</think>", BOXED),
    ),
    "last_line": Form(
        "{question}\n\nShow your work. The last line must be 'Answer: ' and the final answer.",
        (r"(?:\A|\n)Answer: \S[^\n]*\Z",),
    ),
    "hashes": Form(
        "{question}\n\nWork it out, then write #### and the final answer on a line of their own.",
        (r"(?:\A|\n)#### \S[^\n]*\Z",),
    ),
    "steps": Form(
        "{question}\n\nNumber the steps of your solution 1., 2. and so on, a line each, and end with the final answer "
        "in \\boxed{}.",
        (r"(?:\A|\n)1\. ", r"\n2\. ", BOXED),
    ),
    "check": Form(
        "{question}\n\nSolve it. Then begin a line with 'Check:' and look for mistakes in what you wrote. Give the "
        "final answer in \\boxed{} only after that.",
        (r"\S\s*\nCheck:\s*(?=\S)", BOXED),
    ),
    "plan": Form(
        "{question}\n\nWrite 'Plan:' and how you will go about it, then 'Solution:' and the work, with the final "
        "answer in \\boxed{}.",
        (r"\APlan:\s*\S", r"\nSolution:\s*(?=\S)", BOXED),
    ),
    "pupil": Form(
        "A pupil asks you:\n\n{question}\n\nExplain it to them so that they could solve the next one alone. Put the "
        "final answer in \\boxed{}.",
        (BOXED,),
    ),
    "one_shot": Form(_shots(1), (LAST,)),
    "four_shot": Form(_shots(4), (LAST,)),
}
