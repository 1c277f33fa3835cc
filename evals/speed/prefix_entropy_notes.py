"""What the page of `prefix_entropy.py` says besides its tables. Written after a run: read it again after another."""

HEAD = """# Does a short prefix rank prompts as whole answers do?

Made by `python evals/speed/prefix_entropy.py`; tables again with `--analyse`. {setup}.
SmolLM2-135M-Instruct (bfloat16), chat template, answers of {whole} tokens at most, sampled at T = {t} and top_p = {p}.

How to read the numbers: a row's score is the mean entropy of its answer's tokens, or of the 20 % with the largest
entropies, in nats. Everything is *cross-run*: a prefix of run A, or of the greedy answer, against the whole
answers of an independent run. rho is Spearman's. The *reliability* is rho between the whole answers of runs A and B;
*ratio* is rho as a share of it. It can exceed 1, since one sampled answer is a noisy measurement itself and a
greedy or an averaged score is a steadier one: a score without any noise would reach rho = √reliability, a ratio of 1 /
√reliability. *Within* is the mean of rho within each task; values in brackets after a number are that one. Square
brackets are 95 % bootstrap intervals over prompts.
"""
NOTES = """
In plain words:

- Most of what whole answers agree on is the task. On a pool of several tasks a task mean from a few rows is nearly
  all that can be had, and the mere length of the prompt ranks rows better than another whole answer does.
- Within a task one sampled answer of this model says little. On the eight tasks the reliability within a task is
  hardly above 0, so a ratio to it means little, and rho is given instead. The one task was chosen for a reliability
  that can be seen.
- Take the greedy answer: it ranks about as well as a sampled one or better at every length, since it has no noise
  of its own.
- 8 tokens do not tell tasks apart, 32 do. Very short prefixes order rows within a task but mislead between tasks,
  whose answers begin in different ways: use them for deviations only.
- A prompt that asks for a quick answer needs fewer tokens to be as good as its own whole answers, but its whole
  answers are short too. As a stand-in for the whole answers to the plain prompt it is no better than a plain
  prefix of the same length.
- For the top 20 % take exact entropies or a bound. Renormalised top-20 probabilities rank the same prefixes
  differently; the bounds rank them as the exact entropies do, from the same 20 numbers.
- Fewer seconds are saved than tokens: every prompt that is probed has to be read, which alone costs a tenth of its
  whole answer here. More than that is saved only by probing fewer rows, or by using rollouts.
- A high entropy is not a promise: in the run with GRPO the rows with high entropies are those of arms that are out of
  reach, so that entropy ranks usefulness the wrong way round between tasks, and says nothing that shows within them.
- Settings were chosen on some 250 other prompts (80 of the eight tasks, 40 to 48 of each candidate for the one
  task). For the one task this was L = 14, which turned out to save 89.6 %; the length that saves 90 % was set
  afterwards, from the answers' lengths alone. Many lines are compared with few prompts: believe what holds for
  neighbouring lines too.
"""
METHOD_NOTES = """
The score is the mean over the top 20 % of the tokens. *of √reliability* is rho as a share of what a score without
noise would reach; the task mean that is compared with has L = 64 of 15 % of the rows. Only generated tokens are
counted here, not the reading of the prompt (see Seconds). *two-level*: a task's mean is learned from long prefixes
of a part of its rows, deviations from prefixes of 2 tokens of all rows (8 where so said). *with prompt length*: a
standard deviation of the prompt's length counts a quarter of one of the prefix, with its sign turned. *rollouts*:
so many of the rows have a whole sampled answer from training already, which costs nothing; only one answer a row
is used, GRPO would have a group of them. In bold what was chosen on other prompts for the eight tasks and for the
one task; all other lines are there for comparison.
"""
TRUNCATED_NOTES = """
Ratio to the reliability of greedy prefixes against exact whole answers; in brackets the rank correlation with the
exact score of the same prefix.
"""
SECONDS_NOTES = """
The library's own probe with transformers, 16 prompts in one batch, all lengths in turn, three rounds; savings
are medians of each round's ratio. The machine was shared with other work.
"""
USEFUL_NOTES = """
120 problems of six arms of reasoning-gym, after the warm-up of `recipes/demo.py`; GRPO with uniform draws, every row
drawn twice, 8 rollouts a draw, answers of 6 tokens at most. The last line tells how much of mean abs. A is the row's
own: how far two draws of it agree. Two of the six arms never pay, so that nothing can be ranked within them.
"""
