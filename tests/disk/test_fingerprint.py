from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trl_curriculum.disk.fingerprint import REDACTED, fingerprint, fingerprint_rows, redact, weights_key


@dataclass(frozen=True)
class Login:
    user: str
    password: str


@dataclass(frozen=True)
class OtherLogin(Login):
    pass


SECRET = """token hub_token hf_token HF_TOKEN authToken use_auth_token password db-password passwd api_key apiKey
X-API-Key
APIKey api-key openai_api_key secret aws_secret_access_key client_secret Authorization access_token
private_key credentials
Set-Cookie"""
OPEN = """eos_token pad_token max_tokens batch_tokens tokenizer token_type_ids probe_batch_tokens bos_token_id key
keys n_key
pass monkey secretary author"""


class TestRedact:
    @pytest.mark.parametrize("name", SECRET.split())
    def test_values_of_secret_keys(self, name: str) -> None:
        assert redact({name: "abc", "x": 1}) == {name: REDACTED, "x": 1}
        assert redact([{"deep": ({name: ["abc"]},)}]) == [{"deep": ({name: REDACTED},)}]
        only_whether = {name: True, "x": {name: None}}
        assert redact(only_whether) == only_whether

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ([("Authorization", "abc")], [("Authorization", "***")]),
            (["serve", "--api-key", "abc", "--port", "1"], ["serve", "--api-key", "***", "--port", "1"]),
            (["the token", "a token", "b"], ["the token", "a token", "b"]),
        ],
    )
    def test_what_follows_a_secrets_name(self, value: Any, shown: Any) -> None:
        assert redact(value) == shown

    @pytest.mark.parametrize("name", OPEN.split())
    def test_values_of_others_stay(self, name: str) -> None:
        assert redact({name: "abc"}) == {name: "abc"}

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("http://user:word@host:80/v1", "http://***@host:80/v1"),
            ("see https://hf_x@hub.co and ftp://a:b@c@d/e", "see https://***@hub.co and ftp://***@d/e"),
            ("http://host/v1?api_key=abc&top=1&token=d#x", "http://host/v1?api_key=***&top=1&token=***#x"),
            ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ***"),
            ("--token hf_" + "a" * 34, "--token ***"),
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
            ("key sk-" + "a" * 24, "key ***"),
            ("ghp_" + "a" * 30, "***"),
            ("http://host/file?sig=abc&se=1", "http://host/file?sig=***&se=1"),
            ("the task-is-to-find-out-what-this-is", "the task-is-to-find-out-what-this-is"),
            ("mail me@host, or http://host/a@b", "mail me@host, or http://host/a@b"),
            ("http://host/?max_tokens=5", "http://host/?max_tokens=5"),
        ],
    )
    def test_texts(self, text: str, shown: str) -> None:
        assert redact({"url": [text]}) == {"url": [shown]}

    def test_what_has_no_secret_is_as_it_was(self) -> None:
        value = {"a": [1, 2.5, None, "x"], "b": (1, 2), 3: {"c": True}, "d": []}
        assert redact(value) == value and list(redact(value)) == list(value)


class TestFingerprint:
    @pytest.mark.parametrize(
        "other",
        [
            ({"a": 1, "b": 3}, "x"),
            ({"a": 1, "b": 2}, "y"),
            ({"a": 1, "b": 2},),
            ("x", {"a": 1, "b": 2}),
            ({"a": 1, "b": 2}, b"x"),
            ({"a": 1, "b": 2}, np.array([1])),
        ],
    )
    def test_another_part_is_another(self, other: Any) -> None:
        assert fingerprint(({"a": 1, "b": 2}, "x")) == fingerprint([{"a": 1, "b": 2}, "x"]) != fingerprint(other)

    def test_secrets_do_not_count(self) -> None:
        first = Login("me", "one")
        assert fingerprint([first]) == fingerprint([replace(first, password="two")])
        assert fingerprint([first]) != fingerprint([replace(first, user="you")])
        assert fingerprint([first]) != fingerprint([OtherLogin("me", "one")])
        assert fingerprint([{"url": "http://a:b@h"}]) == fingerprint([{"url": "http://a:c@h"}])

    def test_rows_in_words(self) -> None:
        rows = [Login(str(k), "") for k in range(3)]
        assert fingerprint_rows(rows).startswith("3 rows with the fingerprint ")
        assert fingerprint_rows(rows) != fingerprint_rows(rows[::-1])


class TestWeightsKey:
    def folder(self, path: Path, value: float = 0.0) -> Path:
        path.mkdir(exist_ok=True)
        save_file({"w": torch.full((10, 10), value)}, path / "model.safetensors")
        (path / "config.json").write_text("{}")
        return path

    def test_of_a_folder(self, tmp_path: Path) -> None:
        key = weights_key(self.folder(tmp_path / "a"))
        assert key == weights_key(str(self.folder(tmp_path / "b")))  # the same weights, wherever they are
        assert key != weights_key(self.folder(tmp_path / "b", 1.0))
        (tmp_path / "a" / "README.md").write_text("x")
        assert key == weights_key(tmp_path / "a")
        (tmp_path / "a" / "config.json").write_text('{"rope_theta": 2}')
        assert key != weights_key(tmp_path / "a")

    def test_of_pickled_weights(self, tmp_path: Path) -> None:
        (tmp_path / "pytorch_model.bin").write_bytes(b"1")
        key = weights_key(tmp_path)
        (tmp_path / "pytorch_model.bin").write_bytes(b"2")
        assert key != weights_key(tmp_path)

    def test_of_a_name(self) -> None:
        assert weights_key("org/model") == "org/model"
