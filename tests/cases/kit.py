"""
Small inputs on which the package was once wrong or unhelpful, and the commands that show it: `case("F08a")`.

All inputs are self-written; their shapes come from public bug reports of other tools. Each case stands for its kind.
"""

import shlex
from pathlib import Path

from commands import Done, command


SELECT = (
    "select --model_name_or_path models/tiny --use_cpu --bf16 false --report_to none "
    """--proxy '{"steps": 2}' --features '{"dimension": 64}' --targets data/targets/train.jsonl"""
)
SCORE = (
    "score --model_name_or_path models/tiny --use_cpu "
    """--probe '{"prefix_entropy": {"length": 4, "quick_answer": null}}'"""
)
SFT, GRPO = "sft --config sft.yaml", "grpo --config grpo.yaml --reward_funcs exact_match"
BLOCKED = """--curriculum '{"order": {"mode": "blocked"}}' --max_steps 6"""
CARRY = "--curriculum evo_curate --arms topic --max_steps 6 --save_strategy steps --save_steps 2"

COMMANDS = {
    # Names from data are text, never markup
    "F01a": f"{SFT} --dataset_name f01_markup --arms topic --curriculum mixture --disable_tqdm false",
    "F01b": f"{SFT} --dataset_name data/markup_open --arms topic --curriculum mixture --disable_tqdm false",
    "F01c": f"{SELECT} --candidates data/pool_markup/train.jsonl",
    # A reward that cannot pay
    "F02b": f"{GRPO} --dataset_name f02_gsm8k --prompt_column question",
    # Role names of ShareGPT
    "F03a": f"{SCORE} --dataset_name f03_sharegpt --out out/f03.parquet",
    "F03b": f"{SFT} --dataset_name f03_sharegpt --curriculum order --difficulty_from answer_length",
    # Lists and mappings are never turned into text
    "F04a": f"{SFT} --dataset_name f04_chosen --completion_column chosen",
    "F04b": f"{SFT} --dataset_name f04_squad --prompt_column question --completion_column answers",
    # Names made into keys stay one to one
    "F06": f"{SFT} --dataset_name f06_evalnames --arms topic --eval_per_arm true --eval_strategy steps --eval_steps 3",
    # Rows are checked before the first step
    "F08a": f"{GRPO} --dataset_name f08_grpo_rows_empty --max_steps 8",
    "F08b": f"{GRPO} --dataset_name f08_grpo_rows_null --max_steps 8",
    "F08c": f"{GRPO} --model_name_or_path models/nosys --dataset_name f08_grpo_rows_system --max_steps 8",
    "F08d": f"{SFT} --dataset_name data/sft_null_text",
    "F08e": f"{SFT} --dataset_name data/sft_empty_messages",
    # An order of arms is the user's to say
    "F09a": f"{SFT} --dataset_name f09_order --arms diff {BLOCKED}",
    "F09b": f"{SFT} --dataset_name data/order_numbers --arms diff {BLOCKED}",
    # Option values of a likely but wrong type
    "F10a": "sft --config f10_ints.yaml",
    "F10b": "sft --config f10_list.yaml",
    # The formats that SFT takes are taken everywhere
    "F12": "evolve --config sft.yaml --dataset_name f12_messages_evolve --use_peft true --rounds 1 --candidates 4 "
    """--generators '{"file": {"path": "good.jsonl"}}'""",
    "N07": f"{SELECT} --candidates data/pool_messages/train.jsonl",
    # Text that cannot be encoded or read
    "F14": f"{SELECT} --candidates f14_surrogate.jsonl --targets good.jsonl",
    "F16": f"{SCORE} --dataset_name f16_score_empty_messages --out out/f16.parquet",
    "R06": f"{SELECT} --candidates data/pool_utf16/train.jsonl",
    "R17": f"{SFT} --dataset_name data/bad_line",
    # One's own file
    "R01": f"{SFT} --dataset_name data/texts/train.jsonl",
    "R02": f"{SFT} --dataset_name data/disk",
    # Prompts beyond the window, and what a chat template refuses
    "R04": f"{GRPO} --model_name_or_path models/short --dataset_name data/long_prompts",
    "R05a": f"{SFT} --model_name_or_path models/nosys --dataset_name data/qa --prompt_column question "
    "--completion_column answer --system_prompt brief",
    "R05b": f"{SCORE} --model_name_or_path models/nosys --dataset_name data/no_system --out out/r05b.parquet",
    # Output for many names
    "R08": f"{SFT} --dataset_name data/many_arms --arms id --dry_run",
    # Columns that have a meaning
    "R10": f"{SFT} --dataset_name data/images",
    "R13": f"{SFT} --dataset_name data/labels",
    # What identifies a row: the first is trained, its last two checkpoints go, the second resumes
    "R11": f"{SFT} --dataset_name data/texts {CARRY}",
    "R11a": f"{SFT} --dataset_name data/texts_extra_column {CARRY} --resume_from_checkpoint true",
    "R11b": f"{SFT} --dataset_name data/texts_arms_renamed {CARRY} --resume_from_checkpoint true",
    # Mistakes found below us
    "R15": f"{SFT} --dataset_name data/texts --eval_strategy steps --eval_steps 1",
    # Numerical limits of options
    "R18": f"""{SELECT} --candidates data/pool/train.jsonl --selection '{{"evoselect": {{"epsilon": 1e-5}}}}'""",
    # Comparing with the baseline; what an installed wheel can do
    "N01": "grpo --config n01.yaml --curriculum uniform --dry_run",
    "N02": "sft --config recipes/sft/competence_math.yaml --dry_run",
    # A method without what it lives from
    "N03a": f"{GRPO} --dataset_name data/prompts --curriculum sec --dry_run",
    "N03b": f"{GRPO} --dataset_name data/prompts --curriculum sec --arms id --dry_run",
    # Two runs in one folder: after R01 in its folder
    "N05": f"{SFT} --dataset_name data/texts --max_steps 2",
    "N06": "methods sec",
    "N08": f"{SELECT} --candidates data/pool_ids/train.jsonl",
    "N09": f"{SFT} --dataset_name data/texts --curriculum evo_curate --max_steps -1 --num_train_epochs 1 --dry_run",
}


def case(name: str, folder: Path, *more: str) -> Done:
    """Runs a case, or one like it with `more` arguments, in the folder of the inputs (the fixture `inputs`)."""
    argv = shlex.split(COMMANDS[name])
    if argv[0] not in ("methods", "score") and "--output_dir" not in more:
        argv += ["--output_dir", f"out/{name.lower()}"]
    return command([*argv, *more], folder)
