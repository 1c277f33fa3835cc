"""Generation with a vLLM server: for work without training, and for trainers whose weights it loads from disk."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from trl.generation.vllm_client import parse_logprobs
from urllib3.util.retry import Retry

from ..disk.fingerprint import fingerprint, redact
from ..options import check_number
from .address import check_address
from .engines import VLLM_LOGPROBS, Completion, Engine, Prompt, Sampling, TokenEntropy
from .vllm_engine import check_sampling, from_log_probs


logger = logging.getLogger(__name__)

SAME = 1e-2  # nats by which two answers of the same weights may differ, for example in bfloat16


class TalkingRetry(Retry):
    """Says at the first failure what is awaited, and for how long."""

    def increment(self, method: str | None = None, url: str | None = None, *args: Any, **kwargs: Any) -> Any:
        after = super().increment(method, url, *args, **kwargs)
        if not self.history and after.total:
            pauses = sum(self.backoff_factor * 2**k for k in range(1, int(after.total) + 1))
            failed = after.history[-1]
            logger.warning(
                "The vLLM server does not answer %s (%s): it is asked up to %d times more, over %.0f seconds.",
                url,
                failed.error or failed.status,
                after.total + 1,
                min(pauses, self.backoff_max * after.total),
            )
        return after


class ServerEngine(Engine):
    """
    Generates with a stock vLLM server over its OpenAI interface.

    Requests that fail are repeated with growing pauses, a bounded number of times. After each repetition it is made
    sure that the server still has the same model and weights: it may have been started anew in between.

    It speaks to the host of its address and to no other: a redirect is refused, and neither proxies nor credentials
    are taken from the environment or from `.netrc`. A password in the address is sent, and never shown.

    Args:
        url (`str`):
            Where it listens, for example `"http://localhost:8000"`.
        model (`str`, *optional*):
            The name that it must serve. Default: whatever it serves.
        vocabulary (`int`, *optional*):
            Size of the model's vocabulary; needed for entropies with `missing="upper"`.
        timeout (`float`, *optional*, defaults to `600.0`):
            Seconds that one request may take.
        retries (`int`, *optional*, defaults to `5`):
            How often a request is repeated.
        backoff (`float`, *optional*, defaults to `1.0`):
            Seconds before the second repetition; each later pause is twice as long as the one before.

    Raises:
        `ConnectionError`: where the server does not answer; `ValueError` where it refuses or is not what is needed.
    """

    name = "server"

    def __init__(
        self,
        url: str,
        model: str | None = None,
        vocabulary: int | None = None,
        timeout: float = 600.0,
        retries: int = 5,
        backoff: float = 1.0,
    ) -> None:
        for name, value, limits in (
            ("timeout", timeout, {"above": 0}),
            ("retries", retries, {"least": 0}),
            ("backoff", backoff, {"least": 0}),
        ):
            if isinstance(value, bool) or not isinstance(value, int | float) or (name == "retries" and value % 1):
                raise TypeError(f"{name}={value!r} of a server must be a number.")
            check_number(value, limits, f"{name}={value!r} of a server")
        self.url, login = check_address(url)
        self.model, self.vocabulary, self.timeout, self.retries = model, vocabulary, timeout, retries
        retry = TalkingRetry(
            total=retries,
            backoff_factor=backoff,
            status_forcelist=(429, 500, 502, 503, 504),
            allowed_methods=None,
            respect_retry_after_header=False,  # the pauses are ours
        )
        self.session = requests.Session()
        self.session.trust_env, self.session.auth = False, login  # no proxies, and no credentials of .netrc
        self.session.mount(self.url, HTTPAdapter(max_retries=retry))
        self.repair: Callable[[], None] | None = None  # gives a server that was started anew its weights again
        self.source: Any = None  # the model here whose weights it was given
        self._sign: tuple[list[int], float] | None = None  # a prompt, and the log-probability of its first token
        self.served, self.window = self._look()
        self.logprobs_mode = self._mode()

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a text, or of messages through the chat template: those of the server's tokenizer."""
        if isinstance(prompt, str):
            what: dict[str, Any] = {"prompt": prompt}
        else:
            switch = {"enable_thinking": False}
            what = {"messages": prompt, "add_generation_prompt": True, "chat_template_kwargs": switch}
        answer, _ = self._ask("POST", "/tokenize", json={"model": self.served} | what)
        return list(answer["tokens"])

    def complete(
        self,
        prompts: list[list[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        stop: Sequence[str] = (),
        entropy: TokenEntropy | None = None,
    ) -> list[Completion]:
        if entropy is not None:
            check_sampling(sampling, self.logprobs_mode or "processed_logprobs")
            if entropy.missing == "upper" and self.vocabulary is None:
                raise ValueError("missing='upper' needs the size of the vocabulary, which a server does not tell.")
        if self._sign is None:
            self._sign = (prompts[0], self._first(prompts[0]))
        made: dict[int, Completion] = {}
        for seed in dict.fromkeys(map(int, seeds)):  # a request has one seed
            which = [k for k, one in enumerate(seeds) if one == seed]
            written = self._of_one_seed([prompts[k] for k in which], sampling, seed, stop, entropy)
            made |= zip(which, written, strict=True)
        return [made[k] for k in range(len(prompts))]

    def identity(self) -> str:
        """By the name that it serves; its weights are only known where they were given to it."""
        return fingerprint((self.name, self.served), self.source)

    def load(self, weights: Path) -> None:
        """
        Has the server load weights from a folder that it can read; needs `VLLM_SERVER_DEV_MODE=1` in its environment.
        """
        body = {"method": "reload_weights", "kwargs": {"weights_path": str(weights)}}
        self._ask("POST", "/collective_rpc", json=body)
        self._ask("POST", "/reset_prefix_cache")

    def forget(self) -> None:
        """Forgets how it answered: it has other weights from now on."""
        self._sign = None

    # Requests

    def _of_one_seed(
        self,
        prompts: list[list[int]],
        sampling: Sampling,
        seed: int,
        stop: Sequence[str],
        entropy: TokenEntropy | None,
    ) -> list[Completion]:
        top = (entropy.logprobs or VLLM_LOGPROBS) if entropy is not None else 1
        answer, repeated = self._request(prompts, sampling, seed, stop, top)
        if repeated and not self._is_the_same():
            if self.repair is not None:
                logger.warning("The server at %s was started anew: it gets its weights again.", self.url)
                self.repair()
            if self.repair is None or not self._is_the_same():
                raise RuntimeError(
                    f"The server at {self.url} answers otherwise than before its failure: it was started anew with "
                    "other weights; give it those of before, and run again."
                )
            answer, _ = self._request(prompts, sampling, seed, stop, top)
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        log_p, _ = parse_logprobs([choice["logprobs"] for choice in choices])
        no_logs = entropy is not None and log_p and any(value is not None and value > 1e-3 for value in log_p[0][0])
        if log_p is None or no_logs:
            raise ValueError(
                f"The server at {self.url} returns no log-probabilities: start it with --logprobs-mode "
                "processed_logprobs."
            )
        return [
            Completion(
                choice["text"],
                len(one),
                choice["finish_reason"] == "stop",
                from_log_probs(one, self.vocabulary or 0, entropy, top) if entropy is not None else None,
            )
            for choice, one in zip(choices, log_p, strict=True)
        ]

    def _request(
        self, prompts: list[list[int]], sampling: Sampling, seed: int, stop: Sequence[str], top: int
    ) -> tuple[dict[str, Any], bool]:
        body = {
            "model": self.served,
            "prompt": prompts,
            "max_tokens": sampling.max_new_tokens,
            "logprobs": top,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "seed": seed,
            "stop": list(stop),
            "return_tokens_as_token_ids": True,
        }
        return self._ask("POST", "/v1/completions", json=body)

    def _first(self, prompt: list[int]) -> float:
        answer, _ = self._request([prompt], Sampling(temperature=0.0, max_new_tokens=1), 0, (), 1)
        return float(answer["choices"][0]["logprobs"]["token_logprobs"][0])

    def _is_the_same(self) -> bool:
        assert self._sign is not None
        prompt, before = self._sign
        return self._look()[0] == self.served and not abs(self._first(prompt) - before) > SAME

    def _look(self) -> tuple[str, int | None]:
        """Name and window of the model that is served."""
        answer = self._ask("GET", "/v1/models")[0]
        try:
            card = answer["data"][0]
            card["id"]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"What listens at {self.url} names no model at /v1/models: it is no vLLM server."
            ) from error
        if self.model is not None and self.model not in (card["id"], card.get("root")):
            raise ValueError(
                f"The server at {self.url} serves {card['id']!r}, but {self.model!r} is needed: start it with that "
                "model, or give the name that it has there as `model`."
            )
        return card["id"], card.get("max_model_len")

    def _mode(self) -> str | None:
        """Its `logprobs_mode`, which only its development mode tells."""
        try:
            answer, _ = self._ask("GET", "/server_info", params={"config_format": "json"})
            return answer["vllm_config"]["model_config"]["logprobs_mode"]
        except (ValueError, KeyError, TypeError):
            return None

    def _ask(self, method: str, path: str, **kwargs: Any) -> tuple[Any, bool]:
        """The answer, and whether it took more than one try."""
        start = time.monotonic()
        try:
            response = self.session.request(
                method, self.url + path, timeout=self.timeout, allow_redirects=False, **kwargs
            )
        except requests.RequestException as error:
            raise ConnectionError(
                f"The vLLM server at {self.url} did not answer {path} in {self.retries + 1} tries and "
                f"{time.monotonic() - start:.0f} s ({redact(str(error))}): start it again and run again; what was "
                "scored before is kept where a folder was given."
            ) from error
        if response.is_redirect:
            raise ValueError(
                f"The vLLM server at {self.url} sends {path} on to {redact(response.headers['location'])}: give the "
                "address itself."
            )
        if not response.ok:
            raise ValueError(
                f"The vLLM server at {self.url} refuses {path} ({response.status_code}): {_message(response)}"
            )
        history = response.raw.retries.history if response.raw.retries is not None else ()
        try:
            return (response.json() if response.content else None), bool(history)
        except ValueError as error:
            raise ValueError(
                f"What listens at {self.url} answers {path} with no JSON: it is no vLLM server."
            ) from error


def _message(response: requests.Response) -> str:
    try:
        body = response.json()
        return str(body.get("error", body).get("message", body))
    except (ValueError, AttributeError):
        return response.text[:300]
