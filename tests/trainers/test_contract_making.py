"""One test a seam of making rollouts: what it relies on in TRL. A red one names what changed."""

import inspect
from typing import Any

import tiny
from contracts import changed, parameters, source
from trl import GRPOTrainer
from trl.chat_template_utils import deepseek_r1_distill_template, parse_response
from trl.generation.vllm_generation import VLLMGeneration
from trl.models.utils import disable_gradient_checkpointing


def test_rows_reach_prompts_and_rewards() -> None:
    text = source(GRPOTrainer._generate_and_score_completions)
    assert 'prompts = [x["prompt"] for x in inputs]' in text, changed("where prompts come from")
    assert "self._calculate_rewards(inputs, prompts, completions, completion_ids_list)" in text, changed(
        "what rewards are given"
    )
    names = parameters(GRPOTrainer._calculate_rewards)
    assert names == ["self", "inputs", "prompts", "completions", "completion_ids_list"], changed("_calculate_rewards")


def test_where_the_temperature_lives() -> None:
    text = source(GRPOTrainer._generate_single_turn)
    assert text.count("generation_config=self.generation_config") == 2, changed("transformers' generation")
    assert "self.vllm_generation.generate(" in text, changed("vLLM's generation")
    assert "temperature = self.temperature" in source(VLLMGeneration.generate), changed("where vLLM's is read")
    made = source(GRPOTrainer.__init__)
    assert made.count("temperature=self.temperature") == 3, changed("the heads no longer keep the first temperature")
    assert '"temperature": self.temperature' in made, changed("generation_config's temperature")


def test_a_turn_of_generation() -> None:
    names = parameters(GRPOTrainer._generate_single_turn)
    assert names[:5] == ["self", "prompt_ids", "images", "multimodal_fields", "num_generations"], changed(
        "the signature of _generate_single_turn"
    )
    text = source(GRPOTrainer._generate)
    assert "completion_ids, logprobs = self._generate_single_turn(" in text, changed("what a turn returns")
    assert '"max_new_tokens": self.max_completion_length' in source(GRPOTrainer.__init__), changed("max_new_tokens")
    assert parameters(disable_gradient_checkpointing)[:1] == ["model"], changed("disable_gradient_checkpointing")


def test_what_rewards_log_waits_until_all_are_scored() -> None:
    """So that what a second scoring logs can be taken away."""
    text = source(GRPOTrainer._generate_and_score_completions)
    scored = text.index("self._calculate_rewards(")
    for name in ("_pending_extra_logs", "_pending_metrics"):
        assert text.index(f"self.{name}.clear()") > scored, changed(f"when {name} is emptied")
    assert "self._pending_extra_logs[column]" in source(GRPOTrainer._log_completion_extra), changed("log_extra")
    assert "self._pending_metrics[name]" in source(GRPOTrainer._log_metric), changed("log_metric")


def test_how_completions_are_read() -> None:
    text = source(GRPOTrainer._generate)
    for words in ("skip_special_tokens=True", 'getattr(self._tokenizer, "response_template", None)',
                  'getattr(self._tokenizer, "response_schema", None)', '[{"role": "assistant", "content": content}]',
                  "parse_response(self._tokenizer, ids, prefix=prompt_ids[i]"):  # fmt: skip
        assert words in text, changed(f"how completions are decoded: {words!r} is gone")
    assert list(inspect.signature(parse_response).parameters)[:3] == ["tokenizer", "ids", "prefix"], changed(
        "parse_response"
    )


def test_what_was_cut_is_parsed_where_the_tokenizer_can() -> None:
    from types import SimpleNamespace

    from trl_curriculum.trainers.cutting import Cutting

    tokenizer: Any = tiny.tokenizer()
    frame = Cutting((), SimpleNamespace(_tokenizer=tokenizer))
    ids = tokenizer("abc")["input_ids"] + [1]
    plain = {"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}
    assert frame._decode(ids, [], True) == plain["content"] and frame._decode(ids, [], False) == [plain]
    tokenizer.response_template = deepseek_r1_distill_template
    parsed = frame._decode(ids, [], False)
    assert parsed == [parse_response(tokenizer, ids, prefix=[])] and parsed != [plain], parsed
