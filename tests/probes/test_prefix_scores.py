"""Prefix entropies with transformers: those of a plain forward, counted once, without a trace, and not twice."""

import logging
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from harness import config, plain_forward
from transformers import LlamaConfig, LlamaForCausalLM

from trl_curriculum import CurriculumSFTConfig
from trl_curriculum.disk import partial
from trl_curriculum.lm.transformers_engine import TransformersEngine
from trl_curriculum.probes.prefix_entropy import QUICK_ANSWER, PrefixEntropy, Scores, prefix_entropy
from trl_curriculum.probes.prompts import options_of, prompt_of, tokenize


TEXTS = ["1:abc#", "22:fedc#", "k", "some longer question: what comes after abcdef?", "9:aa#", "0:ffff#", "3:bb#"]
EOS = 1


def ids(texts: list[str] = TEXTS) -> list[list[int]]:
    return [list(one) for one in tiny.tokenizer()(texts)["input_ids"]]


def model(ends: float = -1e4, scale: float = 30.0) -> LlamaForCausalLM:
    """The tiny model, less indifferent, whose answers end the sooner the larger `ends` is."""
    made = tiny.model()
    with torch.no_grad():
        made.lm_head.weight *= scale
        made.lm_head.bias = torch.nn.Parameter(torch.zeros(made.lm_head.out_features))
        made.lm_head.bias[EOS] = ends
    return made.eval()


class Counting(TransformersEngine):
    """Writes down what it was asked and what it generated; dies where `die_at` says."""

    def __init__(self, made: Any) -> None:
        super().__init__(made, tiny.tokenizer())
        self.asked: list[list[list[int]]] = []
        self.answers: list[tuple[list[int], list[int]]] = []
        self.die_at = 10**9
        generate = made.generate

        def looked(inputs: Any, **kwargs: Any) -> Any:
            out = generate(inputs, **kwargs)
            for row, mask in zip(out.tolist(), kwargs["attention_mask"].tolist(), strict=True):
                width = len(mask)
                self.answers.append((row[width - sum(mask) : width], row[width:]))
            return out

        made.generate = looked

    def complete(self, prompts: Any, *args: Any, **kwargs: Any) -> Any:
        if len(self.asked) == self.die_at:
            raise KeyboardInterrupt
        self.asked.append(prompts)
        return super().complete(prompts, *args, **kwargs)


def probe(engine: Any, spec: PrefixEntropy, prompts: Any = None, **options: Any) -> Scores:
    return prefix_entropy(ids() if prompts is None else prompts, engine, spec, **{"disable_tqdm": True} | options)


def entropies(engine: Any, prompts: list[list[int]], spec: PrefixEntropy) -> list[np.ndarray]:
    made = engine.complete(prompts, spec.sampling, [spec.seed] * len(prompts), entropy=spec.token_entropy)
    return [one.entropies for one in made]


def forced(made: Any, prompt: list[int], answer: list[int], length: int) -> list[float]:
    """Entropies of an answer's tokens, up to its end, by a plain forward of prompt and answer."""
    answer = answer[: answer.index(EOS) + 1] if EOS in answer else answer
    trained = [False] * len(prompt) + [True] * len(answer[:length])
    return plain_forward(made, prompt + answer[:length], trained)[1].tolist()


SPECS = {
    "greedy": PrefixEntropy(length=9, token_share=1, unit="nats", quick_answer=None),
    "sampled": PrefixEntropy(length=9, token_share=1, unit="nats", temperature=0.7, top_p=0.7, seed=5),
    "bits of the top": PrefixEntropy(length=9),
}


class TestScores:
    @pytest.mark.parametrize("name", SPECS)
    @pytest.mark.parametrize("ends", [-1e4, 5.0], ids=["long", "ends early"])
    def test_are_those_of_a_plain_forward(self, name: str, ends: float) -> None:
        made, spec = model(ends), SPECS[name]
        engine = Counting(made)
        found = entropies(engine, ids(), spec)
        assert len(engine.answers) == len(TEXTS)
        lengths = []
        for values, (prompt, answer) in zip(found, engine.answers, strict=True):
            assert values == pytest.approx(forced(made, prompt, answer, 9), abs=1e-4)
            lengths.append(len(values))
        assert (set(lengths) == {9}) if ends < 0 else (len(set(lengths)) > 1 and min(lengths) < 9)
        greedy = [greedy_token(made, prompt) for prompt in ids()]
        first = [answer[0] for _, answer in engine.answers]
        assert (first == greedy) == (spec.temperature == 0)
        scored = probe(Counting(made), spec)
        bits = math.log(2) if spec.unit == "bits" else 1
        k = [max(1, int(spec.token_share * n)) for n in lengths]
        expected = [np.sort(e)[::-1][:m].mean() / bits for e, m in zip(found, k, strict=True)]
        if spec.temperature == 0:  # a probe makes up its own batches, on which samples depend
            assert scored.value == pytest.approx(np.array(expected), abs=1e-5) and scored.tokens.tolist() == lengths
        assert scored.missing == {} and np.isfinite(scored.value).all()

    @pytest.mark.parametrize("batch_tokens", [1, 60, 130])
    def test_do_not_depend_on_the_batch(self, batch_tokens: int) -> None:
        made = model(4.0)
        spec = SPECS["greedy"]
        alone = [probe(Counting(made), spec, [prompt]).value[0] for prompt in ids()]
        engine = Counting(made)
        together = probe(engine, spec, batch_tokens=batch_tokens)
        assert together.value == pytest.approx(np.array(alone), abs=1e-5) and np.ptp(alone) > 0.01
        for asked in engine.asked:
            longest = max(map(len, asked)) + spec.length
            assert len(asked) == 1 or len(asked) * longest <= batch_tokens
        longest = [max(map(len, asked)) for asked in engine.asked]
        assert longest == sorted(longest, reverse=True)

    def test_an_answer_of_its_end_alone(self) -> None:
        found = probe(Counting(model(1e4)), SPECS["greedy"])
        assert found.value.tolist() == pytest.approx([0] * 7, abs=1e-6) and found.tokens.tolist() == [1] * 7

    def test_the_models_own_ends_and_the_tokenizers_are_ends(self) -> None:
        made = model()
        token = greedy_token(made, ids()[0])
        made.generation_config.eos_token_id = [token]
        assert probe(Counting(made), SPECS["greedy"], ids()[:1]).tokens.tolist() == [1]

    def test_a_model_without_an_end(self) -> None:
        made, tokens = model(), tiny.tokenizer()
        made.generation_config.eos_token_id = tokens.eos_token = None
        assert len(entropies(TransformersEngine(made, tokens), ids()[:1], SPECS["greedy"])[0]) == 9

    def test_generation_configs_are_set_back_through_an_adapter(self) -> None:
        from peft import LoraConfig, get_peft_model

        base = model()
        adapted = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
        before = (adapted.generation_config, base.generation_config)
        entropies(TransformersEngine(adapted, tiny.tokenizer()), ids()[:1], SPECS["greedy"])
        assert adapted.generation_config is before[0] and base.generation_config is before[1]

    def test_its_generation_config_has_no_say(self) -> None:
        made = model()
        plain = probe(Counting(made), SPECS["greedy"]).value
        made.generation_config.update(repetition_penalty=3.0, no_repeat_ngram_size=1, min_new_tokens=2, do_sample=True)
        assert np.array_equal(probe(Counting(made), SPECS["greedy"]).value, plain)

    @pytest.mark.parametrize("missing", ["renormalize", "lower", "upper"])
    def test_from_the_most_probable_tokens_only(self, missing: Any) -> None:
        made = model()
        exact = probe(Counting(made), SPECS["greedy"]).value
        spec = PrefixEntropy(length=9, token_share=1, unit="nats", logprobs=5, missing=missing)
        found = probe(Counting(made), spec).value
        if missing == "lower":
            assert (found < exact).all()
        elif missing == "upper":
            assert (found > exact).all()
        else:
            assert (found <= math.log(5)).all()
        every = PrefixEntropy(length=9, token_share=1, unit="nats", logprobs=1000, missing=missing)
        assert probe(Counting(made), every).value == pytest.approx(exact, abs=1e-5)

    def test_samples_are_averaged(self) -> None:
        made, prompts = model(), ids()[:3]
        one = [PrefixEntropy(length=6, temperature=1.0, seed=seed) for seed in (3, 4, 5)]
        each = np.array([probe(Counting(made), spec, prompts).value for spec in one])
        together = probe(Counting(made), PrefixEntropy(length=6, temperature=1.0, seed=3, samples=3), prompts)
        assert together.value == pytest.approx(each.mean(axis=0)) and together.tokens.tolist() == [18] * 3
        assert (each.std(axis=0) > 1e-3).all(), "all samples are alike"


def greedy_token(made: Any, prompt: list[int]) -> int:
    with torch.no_grad():
        return int(made(input_ids=torch.tensor([prompt])).logits[0, -1].argmax())


class TestWhatIsNotScored:
    def test_equal_prompts_are_scored_once(self) -> None:
        prompts = [ids()[k] for k in (0, 1, 0, 2, 0, 1)]
        engine = Counting(model())
        found = probe(engine, SPECS["greedy"], prompts)
        assert len(engine.answers) == 3 and sum(map(len, engine.asked)) == 3
        assert found.value[[0, 0, 1]].tolist() == found.value[[2, 4, 5]].tolist() and len(set(found.value)) == 3
        assert found.tokens.tolist() == [9, 9, 0, 9, 0, 0]
        assert found.prompt[0] == found.prompt[2] and len(set(found.prompt.tolist())) == 3

    def test_empty_and_too_long_prompts_are_told(self, caplog: pytest.LogCaptureFixture) -> None:
        fits, too_long = [3] * (128 - 9), [3] * (128 - 8)
        prompts = [[], ids()[0], too_long, fits, [], too_long]
        engine = Counting(model())
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            found = probe(engine, SPECS["greedy"], prompts)
        assert np.isnan(found.value).tolist() == [True, False, True, False, True, True]
        assert found.missing == {"empty": 2, "too long": 2} and len(engine.answers) == 2
        assert found.tokens.tolist() == [0, 9, 0, 9, 0, 0]
        expected = "4 of 6 prompts have no prefix entropy (2 empty, 2 too long; prompt and prefix must fit into 128"
        assert expected in caplog.text

    def test_none_that_fits_is_an_error(self) -> None:
        words = (
            "None of 2 prompts has a prefix entropy (1 empty, 1 too long): the longest has 120 tokens, the prefix 9"
        )
        with pytest.raises(FloatingPointError, match=re.escape(words)):
            probe(Counting(model()), SPECS["greedy"], [[], [3] * 120])

    def test_logits_that_are_not_numbers(self, caplog: pytest.LogCaptureFixture) -> None:
        made, letter = model(), ids(["z"])[0][0]
        with torch.no_grad():
            made.model.embed_tokens.weight[letter] = math.nan  # only prompts with a z
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            found = probe(Counting(made), SPECS["greedy"], ids(["abc", "azc", "def"]), batch_tokens=1)
        assert np.isnan(found.value).tolist() == [False, True, False] and found.missing == {"not a number": 1}
        assert "1 of 3 prompts have no prefix entropy (1 not a number): they come last" in caplog.text
        with torch.no_grad():
            made.lm_head.weight[5] = math.nan
        with pytest.raises(FloatingPointError, match=r"None of 3 .*3 not a number.*logits that are not numbers"):
            probe(Counting(made), SPECS["greedy"], ids(["abc", "azc", "def"]))

    def test_nan_logits_while_sampling(self) -> None:
        made = model()
        with torch.no_grad():
            made.lm_head.weight[5] = math.nan
        with pytest.raises((FloatingPointError, RuntimeError), match=r"None of|nan"):
            probe(Counting(made), SPECS["sampled"])


class TestNoTrace:
    @pytest.mark.parametrize("name", ["greedy", "sampled"])
    def test_in_generators_mode_weights_and_config(self, name: str) -> None:
        made = LlamaForCausalLM(LlamaConfig(**tiny.SIZES, attention_dropout=0.5))
        for training in (True, False):
            made.train(training)
            own, written = made.generation_config, made.generation_config.to_dict()
            before = torch.cat([p.detach().flatten() for p in made.parameters()]).clone()
            random = torch.get_rng_state()
            numpy_random = np.random.get_state()[1].tolist()  # noqa: NPY002
            first = probe(Counting(made), SPECS[name])
            assert torch.equal(torch.get_rng_state(), random)
            assert np.random.get_state()[1].tolist() == numpy_random  # noqa: NPY002
            assert made.generation_config is own and own.to_dict() == written
            assert all(module.training == training for module in made.modules())
            assert torch.equal(torch.cat([p.detach().flatten() for p in made.parameters()]), before)
            assert all(p.grad is None and p.requires_grad for p in made.parameters()) and torch.is_grad_enabled()
            torch.rand(3)
            assert np.array_equal(probe(Counting(made), SPECS[name]).value, first.value), "dropout, or other samples"

    def test_when_it_fails(self) -> None:
        made = model().train()
        own, random = made.generation_config, torch.get_rng_state()
        made.lm_head.register_forward_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            probe(Counting(made), SPECS["sampled"])
        assert made.generation_config is own and made.training and torch.equal(torch.get_rng_state(), random)


class TestInterrupted:
    """What was measured before a kill is not measured again, if weights, prompts and options are the same."""

    SPEC = PrefixEntropy(length=5, unit="nats", temperature=1.0)

    def stop(self, made: Any, folder: Path, at: int, spec: PrefixEntropy = SPEC) -> None:
        engine = Counting(made)
        engine.die_at = at
        with pytest.raises(KeyboardInterrupt):
            probe(engine, spec, folder=folder, batch_tokens=30)

    @pytest.mark.parametrize("at", [1, 2, 3])
    def test_goes_on_where_it_was(self, tmp_path: Path, at: int) -> None:
        made = model()
        whole = Counting(made)
        expected = probe(whole, self.SPEC, batch_tokens=30)
        assert len(whole.asked) == 4
        self.stop(made, tmp_path, at)
        rest = Counting(model())
        found = probe(rest, self.SPEC, folder=tmp_path, batch_tokens=30)
        assert rest.asked == whole.asked[at:]
        assert np.array_equal(found.value, expected.value) and np.array_equal(found.tokens, expected.tokens)
        assert not list(tmp_path.glob("*"))

    @pytest.mark.parametrize("what", ["weights", "spec", "prompts", "order", "batch_tokens", "cut file", "no file"])
    def test_another_measurement_starts_afresh(self, tmp_path: Path, what: str) -> None:
        self.stop(model(), tmp_path, 2)
        file, made, prompts = tmp_path / "prefix_entropy-0.npz", model(), ids()
        spec, tokens = self.SPEC, 30
        if what == "weights":
            with torch.no_grad():
                made.model.layers[1].mlp.up_proj.weight += 1e-3
        elif what == "spec":
            spec = PrefixEntropy(length=5, unit="nats", temperature=1.0, seed=1)
        elif what == "prompts":
            prompts[3] = [*prompts[3][:-1], 4]
        elif what == "order":
            prompts = [prompts[k] for k in (1, 0, 2, 3, 4, 5, 6)]
        elif what == "batch_tokens":
            tokens = 31
        elif what == "cut file":
            file.write_bytes(file.read_bytes()[:200])
        else:
            file.unlink()
        again = Counting(made)
        found = probe(again, spec, prompts, folder=tmp_path, batch_tokens=tokens)
        assert sum(map(len, again.asked)) == 7
        expected = probe(Counting(made), spec, prompts, folder=tmp_path / "other", batch_tokens=tokens)
        assert np.array_equal(found.value, expected.value)

    def test_what_a_kill_leaves_on_the_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing can be saved any more when it comes: what was saved by then is used, and the rest is measured."""
        monkeypatch.setattr(partial, "SAVE_EVERY_SECONDS", -1.0)
        running = Counting(model())
        complete, left = running.complete, tmp_path / "left"

        def look(*args: Any, **kwargs: Any) -> Any:
            if len(running.asked) == 2:
                shutil.copytree(tmp_path / "running", left)
            return complete(*args, **kwargs)

        running.complete = look  # type: ignore[method-assign]
        whole = probe(running, self.SPEC, folder=tmp_path / "running", batch_tokens=30)
        rest = Counting(model())
        found = probe(rest, self.SPEC, folder=left, batch_tokens=30)
        assert rest.asked == running.asked[2:] and np.array_equal(found.value, whole.value)


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"lenght": 3}, r"Probe 'prefix_entropy' has no option 'lenght' \(did you mean 'length'\?\): it has "),
            ({"length": "long"}, "length='long' of prefix_entropy must be int"),
            ({"length": True}, "length=True of prefix_entropy must be int"),
            ({"unit": "bit"}, "unit='bit' of prefix_entropy must be one of 'bits', 'nats'"),
            ({"missing": "none"}, "missing='none' of prefix_entropy must be one of 'renormalize', 'lower', 'upper'"),
            ({"quick_answer": 3}, "quick_answer=3 of prefix_entropy must be str or None"),
            ({"length": 0}, "length=0 of prefix_entropy must be at least 1"),
            ({"samples": 0}, "samples=0 of prefix_entropy must be at least 1"),
            ({"token_share": 0.0}, "token_share=0.0 of prefix_entropy must be above 0 and at most 1"),
            ({"token_share": 20}, "token_share=20"),
            ({"logprobs": 1}, "logprobs=1 of prefix_entropy must be at least 2"),
            ({"temperature": -1.0}, "temperature=-1.0 of prefix_entropy must be at least 0"),
            ({"samples": 2}, "samples=2 of a greedy prefix are all alike; set a temperature above 0"),
            ({"top_p": 0.7}, "top_p=0.7 has no effect at temperature 0"),
            ({"temperature": 0.7, "top_p": 0.0}, "top_p=0.0 of prefix_entropy must be above 0 and at most 1"),
            ({"back_end": "sglang"}, "back_end='sglang' of prefix_entropy must be one of 'auto', 'transformers', 'vl"),
            ({"back_end_options": 3}, "back_end_options=3 of prefix_entropy must be "),
            (
                {"back_end": "transformers", "back_end_options": {"url": "x"}},
                "back_end_options have no effect with back_end 'transformers': leave them out",
            ),
            ({"batch_tokens": 0}, "batch_tokens=0 of prefix_entropy must be at least 1"),
        ],
    )
    def test_mistakes_are_told_in_one_sentence(self, tmp_path: Path, options: Any, words: str) -> None:
        for make in (config, lambda folder, **given: CurriculumSFTConfig(str(folder), use_cpu=True, **given)):
            with pytest.raises((ValueError, TypeError), match=words) as error:
                make(tmp_path, probe={"prefix_entropy": options})
            assert "\n" not in str(error.value)

    @pytest.mark.parametrize("options", [{"missing": "none"}, {"unit": "bit"}])
    def test_and_without_a_config(self, options: Any) -> None:
        with pytest.raises(TypeError, match=r"of prefix_entropy must be one of"):
            PrefixEntropy(**options)

    @pytest.mark.parametrize(
        ("probe", "words"),
        [
            (
                "length",
                "Unknown probe 'length': choose one of loss, angle_concentration, prefix_entropy, prompt_entropy",
            ),
            ({"length": 3}, r"The probe {'length': 3} is not a name, or {name: {option: value}}"),
            ("prefix_entrpy", r"Unknown probe 'prefix_entrpy' \(did you mean 'prefix_entropy'\?\)"),
            ('{"prefix_entropy": {', "is no JSON"),
            (3, "The probe 3 is not a name"),
        ],
    )
    def test_of_the_probe(self, tmp_path: Path, probe: Any, words: str) -> None:
        with pytest.raises((ValueError, TypeError), match=words):
            config(tmp_path, probe=probe)

    def test_as_a_command_line_gives_them(self, tmp_path: Path) -> None:
        made = config(tmp_path, probe='{"prefix_entropy": {"length": 7, "quick_answer": null}}')
        assert made.probe == {"prefix_entropy": {"length": 7, "quick_answer": None}}
        assert made.prefix_entropy == PrefixEntropy(length=7, quick_answer=None)

    def test_options_of_a_back_end_are_any_values(self) -> None:
        options = {"url": "http://localhost:8000", "retries": 2, "timeout": None}
        assert PrefixEntropy(back_end="server", back_end_options=options).back_end_options == options


class TestPrompts:
    def text(self, prompts: Any, template: str | None = None, **options: Any) -> list[str]:
        tokens = tiny.tokenizer()
        spec = PrefixEntropy(**({"quick_answer": "say: "} | options))
        return [tokens.decode(one).replace(" ", "") for one in tokenize(prompts, tokens, spec, template)]

    CHAT = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]

    def test_texts_with_and_without_the_chat_template(self) -> None:
        assert self.text(["ab", "c"]) == ["say:ab", "say:c"]
        assert self.text(["ab"], quick_answer=None) == ["ab"]
        assert self.text(["ab"], chat_template=True) == ["<user:say:ab><assistant:"]

    def test_conversations_have_it_before_the_last_message_only(self) -> None:
        assert self.text([self.CHAT]) == ["<system:s><user:say:q><assistant:"]
        assert self.text([self.CHAT], quick_answer=None) == ["<system:s><user:q><assistant:"]
        assert self.text([self.CHAT], chat_template=False) == ["say:s[unk]q"]  # a line each
        assert self.CHAT[1]["content"] == "q", "the dataset's own row was changed"

    def test_another_template(self) -> None:
        assert self.text([self.CHAT], "{{ messages[-1]['content'] }}|") == ["say:q|"]

    def test_without_thinking_where_the_template_has_that_switch(self) -> None:
        switch = "{% if enable_thinking is defined and enable_thinking is false %}no{% else %}yes{% endif %}"
        assert self.text([self.CHAT], switch) == ["no"]
        tokens, thinks = tiny.tokenizer(), {"enable_thinking": True}  # the rollouts
        for spec, words in ((PrefixEntropy(), "no"), (PrefixEntropy(quick_answer=None), "yes")):
            given = tokenize([self.CHAT], tokens, spec, switch, None, thinks)
            assert tokens.decode(given[0]).replace(" ", "") == words

    def test_what_a_row_has_of_its_own(self) -> None:
        template = "{{ tools[0]['name'] if tools else '' }}{{ mood }}|"
        rows = [{"tools": '[{"name": "add"}]', "chat_template_kwargs": {"mood": "x"}}, {"chat_template_kwargs": None}]
        tokens, spec = tiny.tokenizer(), PrefixEntropy(quick_answer=None)
        own = [options_of(row) for row in rows]
        given = tokenize([self.CHAT] * 2, tokens, spec, template, None, {"mood": "y"}, own)
        assert [tokens.decode(ids).replace(" ", "") for ids in given] == ["addx|", "y|"]

    def test_conversations_are_cut_before_the_last_answer(self) -> None:
        turns = [{"role": role, "content": text} for role, text in zip(("user", "assistant") * 2, "abcd", strict=True)]
        assert prompt_of({"messages": turns}) == turns[:3]
        assert prompt_of({"messages": turns[:3]}) == turns[:1]
        assert prompt_of({"messages": turns[:1]}) == turns[:1]
        assert self.text([prompt_of({"messages": turns})]) == ["<user:a><assistant:b><user:say:c><assistant:"]

    def test_sharegpt(self) -> None:
        row = {"conversations": [{"from": "user", "value": "a"}, {"from": "assistant", "value": "b"}]}
        assert prompt_of(row) == [{"role": "user", "content": "a"}]

    def test_rows_with_a_prompt_and_rows_without(self) -> None:
        assert prompt_of({"prompt": "ab", "completion": "c"}) == "ab"
        assert prompt_of({"text": "abc"}) is None and prompt_of({"messages": []}) is None

    def test_a_conversation_that_begins_with_its_only_answer(self) -> None:
        assert prompt_of({"messages": [{"role": "assistant", "content": "a"}]}) == []
        assert self.text([[], self.CHAT]) == ["<assistant:", "<system:s><user:say:q><assistant:"]

    def test_quick_answer(self) -> None:
        assert PrefixEntropy().text_before() == QUICK_ANSWER["en"] and QUICK_ANSWER["en"].endswith("Question:\n")
        assert PrefixEntropy(quick_answer="zh").text_before().startswith("请用最多三句话")
        assert PrefixEntropy(quick_answer="Briefly: ").text_before() == "Briefly: "
        assert PrefixEntropy(quick_answer=None).text_before() == ""
