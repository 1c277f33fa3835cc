"""What may go wrong with a vLLM server, played by a small one; tests/real_vllm has the real one."""

import base64
import json
import logging
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from ports import held_port

from trl_curriculum.lm.address import check_address
from trl_curriculum.lm.engines import Sampling
from trl_curriculum.lm.server_engine import ServerEngine
from trl_curriculum.probes.prefix_entropy import PrefixEntropy, Scores, prefix_entropy


SPEC = PrefixEntropy(length=4, token_share=1, unit="nats", logprobs=3, quick_answer=None)
PROMPTS = [[k + 1, 7, 7] for k in range(6)]
COMPLETIONS = "/v1/completions"
PATIENT = 600.0  # seconds: no request meets this limit, however busy the machine is


def distribution(weights: int, prompt: list[int], t: int) -> list[float]:
    """Log-probabilities of the 3 most probable tokens after t tokens of an answer, for weights of some number."""
    p = np.array([4.0 + prompt[0] + t, 2.0 + weights, 1.0])
    return np.log(p / p.sum()).tolist()


def expected(weights: int = 0, prompts: list[list[int]] = PROMPTS) -> np.ndarray:
    log_p = [[distribution(weights, prompt, t) for t in range(4)] for prompt in prompts]
    return np.array([np.mean([-(np.exp(step) * step).sum() for step in np.array(answer)]) for answer in log_p])


class Fake:
    """A server of one model: `before(path, number)` may answer in its stead; number counts the path's requests."""

    def __init__(self) -> None:
        self.weights, self.model, self.info = 0, "tiny", {"logprobs_mode": "processed_logprobs"}
        self.log_p: Callable[[int, list[int], int], list[float]] = distribution
        self.before: Callable[[str, int], tuple[int, Any] | None] = lambda path, number: None
        self.requests: list[tuple[str, Any]] = []
        self.logins: list[str | None] = []
        self.headers: dict[str, str] = {}  # of every reply
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None: ...

            def do_GET(self) -> None:
                self.answer(None)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.answer(json.loads(self.rfile.read(length)) if length else None)

            def answer(self, body: Any) -> None:
                path = self.path.split("?")[0]
                fake.requests.append((path, body))
                fake.logins.append(self.headers.get("Authorization"))
                status, shown = fake.before(path, fake.count(path)) or fake.reply(path, body)
                data = json.dumps(shown).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    for name, value in fake.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the client did not wait
                self.close_connection = status >= 500

        self.holder, self.port = held_port()  # once it has stopped nobody else listens there
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, path: str = COMPLETIONS) -> int:
        return sum(asked == path for asked, _ in self.requests)

    def prompts(self) -> list[list[int]]:
        """Prompts whose prefixes were asked for, without the looks at one token."""
        bodies = [body for path, body in self.requests if path == COMPLETIONS and body["max_tokens"] > 1]
        return [prompt for body in bodies for prompt in body["prompt"]]

    def reply(self, path: str, body: Any) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"data": [{"id": self.model, "root": "/models/tiny", "max_model_len": 64}]}
        if path == "/server_info":
            return (200, {"vllm_config": {"model_config": self.info}}) if self.info else (404, {"error": {}})
        if path == "/tokenize":
            text = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
            return 200, {"tokens": list(map(ord, text))}
        if path in ("/collective_rpc", "/reset_prefix_cache"):
            return 200, None
        choices = []
        for k, prompt in enumerate(body["prompt"]):
            table = [self.log_p(self.weights, prompt, t) for t in range(body["max_tokens"])]
            tops = [{f"token_id:{v}": value for v, value in enumerate(row)} for row in table]
            shown = {"tokens": ["token_id:0"] * len(table), "token_logprobs": [row[0] for row in table]}
            choices.append(
                {
                    "index": k,
                    "text": f"text {k}",
                    "finish_reason": "length",
                    "logprobs": shown | {"top_logprobs": tops},
                }
            )
        return 200, {"choices": choices[::-1]}  # in any order

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    yield made
    made.stop()


class TestWhomItSpeaksTo:
    def test_addresses_are_written_one_way(self) -> None:
        assert check_address("http://me:a%40b@host:8000/v1/") == ("http://host:8000/v1", ("me", "a@b"))
        assert check_address("https://host//") == ("https://host", None)
        assert check_address("http://me@host") == ("http://host", ("me", ""))
        for url in ("http://host:0", "http://host:99999", "http://:80", "http://host/#part"):
            with pytest.raises(ValueError, match="is no address of a server"):
                check_address(url)

    def test_a_redirect_is_not_followed(self, fake: Fake) -> None:
        """Neither to another host nor to another path: prompts go where the user said, and nowhere else."""
        other = Fake()
        where = f"http://user:hunter2@127.0.0.1:{other.port}/v1/models"
        fake.before = lambda path, number: (307, {}) if path == "/v1/models" else None
        fake.headers = {"Location": where}
        with pytest.raises(
            ValueError, match=r"sends /v1/models on to http://\*\*\*@127.*: give the address"
        ) as caught:
            connect(fake)
        other.stop()
        assert not other.requests and "hunter2" not in str(caught.value)

    def test_no_login_of_netrc_and_no_proxy(self, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password hunter2")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        connect(fake)
        assert set(fake.logins) == {None}

    def test_a_login_in_the_address_is_sent_and_never_shown(
        self, fake: Fake, caplog: pytest.LogCaptureFixture
    ) -> None:
        url = f"http://me:hunter%402@127.0.0.1:{fake.port}/"
        engine = ServerEngine(url, retries=0, timeout=PATIENT)
        assert set(fake.logins) == {"Basic " + base64.b64encode(b"me:hunter@2").decode()}
        fake.before = lambda path, number: (400, {"error": {"message": "no"}})
        with pytest.raises(ValueError) as refused:
            engine.encode("a")
        engine.session.close()
        fake.stop()
        with pytest.raises(ConnectionError) as silent:
            engine.encode("a")
        for shown in (str(refused.value), str(silent.value), engine.url, engine.identity(), caplog.text):
            assert "hunter" not in shown

    @pytest.mark.parametrize(
        "url",
        [
            *("localhost:8000", "ftp://me:hunter2@host", "http://", "http://host:port", "file:///etc/passwd"),
            *("", None, 8000, "http://host?token=hunter2", "http://host/#a"),
        ],
    )
    def test_what_is_no_address_is_refused(self, url: Any) -> None:
        with pytest.raises(ValueError, match="is no address of a server: give one such as") as caught:
            ServerEngine(url)
        assert "hunter" not in str(caught.value)

    @pytest.mark.parametrize(
        "options", [{"timeout": 0}, {"timeout": math.nan}, {"retries": -1}, {"retries": 1.5}, {"backoff": math.inf}]
    )
    def test_its_numbers_have_limits(self, fake: Fake, options: Any) -> None:
        with pytest.raises(
            (TypeError, ValueError), match=rf"^{next(iter(options))}=.* of a server must be|not a number"
        ):
            ServerEngine(fake.url, **options)
        assert not fake.requests

    @pytest.mark.parametrize("shown", [{}, {"data": []}, {"data": [{}]}, [1], "text"])
    def test_what_is_no_vllm_server(self, fake: Fake, shown: Any) -> None:
        fake.before = lambda path, number: (200, shown)
        with pytest.raises(ValueError, match="names no model at /v1/models: it is no vLLM server"):
            connect(fake)

    def test_a_server_does_not_say_how_long_to_wait(self, fake: Fake) -> None:
        fake.before = lambda path, number: (503, {}) if number < 2 else None
        fake.headers = {"Retry-After": "3600"}
        connect(fake)


def connect(fake: Fake, **options: Any) -> ServerEngine:
    return ServerEngine(fake.url, **({"retries": 3, "backoff": 0.01, "timeout": PATIENT} | options))


def score(back: ServerEngine, folder: Path | None = None) -> Scores:
    """One prompt a batch."""
    return prefix_entropy(PROMPTS, back, SPEC, batch_tokens=7, folder=folder, disable_tqdm=True)


def test_all_goes_well(fake: Fake) -> None:
    back = connect(fake, model="tiny")
    assert (back.served, back.window, back.logprobs_mode) == ("tiny", 64, "processed_logprobs")
    found = score(back)
    assert found.value == pytest.approx(expected()) and np.ptp(found.value) > 0.05
    assert found.tokens.tolist() == [4] * 6 and fake.count() == 7, "6 batches, and one look at the first token"
    body = fake.requests[-1][1]
    wanted = {"logprobs": 3, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "seed": 0, "repetition_penalty": 1.0}
    assert {name: body[name] for name in wanted} == wanted
    whole = prefix_entropy(PROMPTS, back, SPEC, disable_tqdm=True)  # all in one batch, whose answers come in any order
    assert whole.value == pytest.approx(expected())


def test_texts(fake: Fake) -> None:
    engine = connect(fake)
    assert engine.encode("ab") == [97, 98] and engine.encode([{"role": "user", "content": "c"}]) == [99]
    asked = fake.requests[-1][1]
    assert asked["add_generation_prompt"] and asked["chat_template_kwargs"] == {"enable_thinking": False}
    made = engine.complete(PROMPTS[:3], Sampling(0.7, 0.9, 5), [4, 8, 4], ("\n",))
    assert [(one.text, one.tokens, one.ended, one.entropies) for one in made] == [
        ("text 0", 5, False, None),
        ("text 0", 5, False, None),
        ("text 1", 5, False, None),
    ]
    bodies = [body for path, body in fake.requests if path == COMPLETIONS and body["max_tokens"] > 1]
    assert [(body["seed"], body["prompt"]) for body in bodies] == [(4, PROMPTS[:3:2]), (8, PROMPTS[1:2])]
    assert all(body["stop"] == ["\n"] and body["top_p"] == 0.9 for body in bodies)


def test_an_identity_of_the_weights_that_it_was_given(fake: Fake) -> None:
    engine = connect(fake)
    names = {engine.identity()}
    for seed in (0, 1, 0):
        engine.source = tiny.model(seed=seed)
        names.add(engine.identity())
    assert len(names) == 3


class TestFailures:
    def test_down_from_the_start(self) -> None:
        gone = Fake()
        gone.stop()
        with pytest.raises(ConnectionError, match=rf"{gone.url} did not answer /v1/models in 4 tries and .* s"):
            connect(gone)

    def test_a_passing_failure(self, fake: Fake) -> None:
        fake.before = lambda path, number: (503, {}) if path == COMPLETIONS and number in (3, 4) else None
        assert score(connect(fake)).value == pytest.approx(expected())
        assert len(fake.prompts()) == 6 + 2 and fake.count() == 6 + 2 + 2, "two tries more, and one look more"

    def test_from_the_start_of_a_server_that_is_loading(self, fake: Fake) -> None:
        fake.before = lambda path, number: (503, {}) if path == "/v1/models" and number < 3 else None
        assert connect(fake).served == "tiny"

    def test_down_for_good_half_way(self, fake: Fake, tmp_path: Path) -> None:
        fake.before = lambda path, number: (500, {}) if path == COMPLETIONS and number > 4 else None
        with pytest.raises(
            ConnectionError, match=r"did not answer /v1/completions in 4 tries.*start it again"
        ) as error:
            score(connect(fake), tmp_path)
        assert "\n" not in str(error.value) and "is kept where a folder was given" in str(error.value)
        assert fake.count() == 4 + 4, "a bounded number of tries"
        done = [prompt for path, body in fake.requests[:6] if path == COMPLETIONS for prompt in body["prompt"][:1]]
        again = Fake()
        try:
            found = score(connect(again), tmp_path)
            assert len(again.prompts()) == 3 and not [one for one in again.prompts() if one in done[1:]]
            assert found.value == pytest.approx(expected()) and not list(tmp_path.glob("*"))
        finally:
            again.stop()

    def test_too_slow(self, fake: Fake) -> None:
        """The server answers nothing until the client has given up."""
        back, given_up, asked = connect(fake, retries=1), threading.Event(), threading.Semaphore(0)
        back.timeout = 0.2

        def before(path: str, number: int) -> None:
            asked.release()
            given_up.wait(PATIENT)

        fake.before = before  # type: ignore[assignment]
        with pytest.raises(ConnectionError, match=r"did not answer /v1/completions in 2 tries.*timed out"):
            score(back)
        assert all(asked.acquire(timeout=PATIENT) for _ in range(2)), "the server saw both tries"
        given_up.set()
        assert fake.count() == 2

    def test_slow_once(self, fake: Fake) -> None:
        """A request is not answered before it has come again."""
        back, came_again = connect(fake, retries=100), threading.Event()
        back.timeout = 0.5

        def before(path: str, number: int) -> None:
            if path == COMPLETIONS and number > 3:
                came_again.set()
            elif path == COMPLETIONS and number == 3:
                came_again.wait(PATIENT)

        fake.before = before  # type: ignore[assignment]
        assert score(back).value == pytest.approx(expected())
        assert came_again.is_set() and len(fake.prompts()) > len(PROMPTS)

    def test_what_it_refuses_is_passed_on_and_not_tried_again(self, fake: Fake) -> None:
        back = connect(fake)
        message = "Requested sample logprobs of 3, which is greater than max allowed: 2"
        fake.before = lambda path, number: (400, {"error": {"message": message}}) if path == COMPLETIONS else None
        with pytest.raises(ValueError, match=rf"refuses /v1/completions \(400\): {message}"):
            score(back)
        assert fake.count() == 1

    def test_a_refusal_that_is_no_json(self, fake: Fake) -> None:
        back = connect(fake)
        fake.before = lambda path, number: (404, "not here") if path == COMPLETIONS else None
        with pytest.raises(ValueError, match=r"\(404\).*not here"):
            score(back)


class TestAnotherServer:
    @pytest.mark.parametrize("name", ["tiny", "/models/tiny"])
    def test_the_model_by_the_name_it_is_served_under_or_its_path(self, fake: Fake, name: str) -> None:
        assert connect(fake, model=name).served == "tiny"

    def test_another_model(self, fake: Fake) -> None:
        with pytest.raises(ValueError, match="serves 'tiny', but 'large' is needed: start it with that model"):
            connect(fake, model="large")

    def fails_and_restarts(self, fake: Fake, at: int, **changes: Any) -> None:
        """Answers the request of that number with a failure, and has other weights afterwards."""

        def before(path: str, number: int) -> tuple[int, Any] | None:
            if path == COMPLETIONS and number == at:
                vars(fake).update(changes)
                return 503, {}
            return None

        fake.before = before

    def test_other_weights_after_a_failure(self, fake: Fake, tmp_path: Path) -> None:
        self.fails_and_restarts(fake, 4, weights=1)
        with pytest.raises(RuntimeError, match=r"answers otherwise than before its failure.*give it those of"):
            score(connect(fake), tmp_path)
        fake.weights = 0
        found = score(connect(fake), tmp_path)
        assert found.value == pytest.approx(expected()), "a score of the other weights was kept"

    def test_other_weights_that_can_be_repaired(self, fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
        self.fails_and_restarts(fake, 4, weights=1)
        back, repaired = connect(fake), []

        def repair() -> None:
            repaired.append(fake.count())
            fake.weights = 0

        back.repair = repair
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            found = score(back)
        assert found.value == pytest.approx(expected()) and len(repaired) == 1
        assert "was started anew: it gets its weights again" in caplog.text

    def test_a_repair_that_does_not_help(self, fake: Fake) -> None:
        self.fails_and_restarts(fake, 4, weights=1)
        back = connect(fake)
        back.repair = lambda: None
        with pytest.raises(RuntimeError, match="answers otherwise than before"):
            score(back)

    def test_another_model_after_a_failure(self, fake: Fake) -> None:
        self.fails_and_restarts(fake, 4, model="other")
        with pytest.raises(RuntimeError, match="answers otherwise than before"):
            score(connect(fake))

    def test_weights_that_were_given_to_it_on_purpose(self, fake: Fake, tmp_path: Path) -> None:
        back = connect(fake)
        score(back)
        fake.weights = 2
        back.load(tmp_path)
        back.forget()
        self.fails_and_restarts(fake, fake.count() + 3)
        assert score(back).value == pytest.approx(expected(2))
        rpc = next(body for path, body in fake.requests if path == "/collective_rpc")
        assert rpc == {"method": "reload_weights", "kwargs": {"weights_path": str(tmp_path)}}
        assert fake.count("/reset_prefix_cache") == 1


class TestWhatItReturns:
    def test_nan(self, fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
        def log_p(weights: int, prompt: list[int], t: int) -> list[float]:
            return [math.nan] * 3 if prompt[0] == 3 and t == 2 else distribution(weights, prompt, t)

        fake.log_p = log_p
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            found = score(connect(fake))
        assert np.isnan(found.value).tolist() == [k == 2 for k in range(6)] and found.missing == {"not a number": 1}
        kept = np.arange(6) != 2
        assert found.value[kept] == pytest.approx(expected()[kept])
        fake.log_p = lambda *_: [math.nan] * 3
        with pytest.raises(FloatingPointError, match="None of 6 prompts"):
            score(connect(fake))

    def test_logits(self, fake: Fake) -> None:
        fake.log_p = lambda *_: [7.5, 3.0, -2.0]
        with pytest.raises(ValueError, match="returns no log-probabilities: start it with --logprobs-mode processed_"):
            score(connect(fake))

    def test_none_at_all(self, fake: Fake) -> None:
        back = connect(fake)
        back._sign = (PROMPTS[0], 0.0)
        empty = {"choices": [{"index": k, "text": "", "finish_reason": "stop", "logprobs": None} for k in range(6)]}
        fake.before = lambda path, number: (200, empty) if path == COMPLETIONS else None
        with pytest.raises(ValueError, match="returns no log-probabilities"):
            score(back)

    @pytest.mark.parametrize("mode", ["raw_logits", "processed_logits"])
    def test_a_server_that_says_so(self, fake: Fake, mode: str) -> None:
        fake.info = {"logprobs_mode": mode}
        with pytest.raises(ValueError, match=f"vLLM runs with logprobs_mode='{mode}' and returns no log-prob"):
            score(connect(fake))

    @pytest.mark.parametrize("info", [{"logprobs_mode": "processed_logprobs"}, None], ids=["told", "not told"])
    @pytest.mark.parametrize("sampling", [{"temperature": 0.7}, {"temperature": 1.0, "top_p": 0.7}])
    def test_what_sampling_made_of_the_distribution(self, fake: Fake, info: Any, sampling: Any) -> None:
        fake.info = info
        spec = PrefixEntropy(length=4, **sampling)
        with pytest.raises(ValueError, match="would return what sampling made of the model's distribution"):
            prefix_entropy(PROMPTS, connect(fake), spec, disable_tqdm=True)
        assert not fake.prompts()
        fake.info = {"logprobs_mode": "raw_logprobs"}
        assert np.isfinite(prefix_entropy(PROMPTS, connect(fake), spec, disable_tqdm=True).value).all()
        assert fake.requests[-1][1]["temperature"] == sampling["temperature"]

    def test_the_upper_bound_needs_the_vocabulary(self, fake: Fake) -> None:
        spec = PrefixEntropy(length=4, logprobs=3, missing="upper")
        with pytest.raises(ValueError, match="missing='upper' needs the size of the vocabulary"):
            prefix_entropy(PROMPTS, connect(fake), spec, disable_tqdm=True)
        assert np.isfinite(prefix_entropy(PROMPTS, connect(fake, vocabulary=9), spec, disable_tqdm=True).value).all()
