"""A small Hub on this machine: what huggingface_hub asks for to send, list and load files; it fails on demand."""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from huggingface_hub import constants


USER, TOKEN = "me", "hf_" + "t" * 34
LARGE = 20_000  # bytes from which a file goes by LFS
REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


@dataclass
class Failure:
    """
    What goes wrong with requests whose `METHOD /path` matches, from the `nth` on, so many `times`.

    `how` is a status, `"cut"` (the connection closes in the middle of the body) or `"slow"` (an answer in .3 s).
    """

    match: str
    how: int | str
    nth: int = 1
    times: int = 1
    seen: int = field(default=0, init=False)

    def is_due(self, request: str) -> bool:
        if not re.search(self.match, request):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


class Hub:
    """
    Repositories as `repo -> branch -> path -> sha256`, and contents in a folder by their sha256.

    `requests` is what was asked, in order; `failures` what goes wrong.
    """

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder, self.url = folder, url
        self.repos: dict[str, dict[str, dict[str, str]]] = {}
        self.private: dict[str, bool] = {}
        self.large: set[str] = set()  # contents that came by LFS
        self.commits: list[str] = []  # their messages
        self.requests: list[str] = []
        self.failures: list[Failure] = []
        self.lock = threading.Lock()
        (folder / "objects").mkdir(parents=True)

    def content(self, sha: str) -> bytes:
        return (self.folder / "objects" / sha).read_bytes()

    def put(self, content: bytes) -> str:
        sha = hashlib.sha256(content).hexdigest()
        (self.folder / "objects" / sha).write_bytes(content)
        return sha

    def has(self, sha: str) -> bool:
        return (self.folder / "objects" / sha).exists()

    def files(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        """What is in a branch, as a user would load it."""
        return {path: self.content(sha) for path, sha in self.repos[repo][branch].items()}

    def head(self, repo: str, branch: str) -> str:
        return hashlib.sha1(repr(sorted(self.repos[repo][branch].items())).encode()).hexdigest()

    def oid(self, sha: str) -> str:
        """Git's name of a blob."""
        content = self.content(sha)
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        with self.hub.lock:
            self.hub.requests.append(request)
            due = next((one for one in self.hub.failures if one.is_due(request)), None)
        length = int(self.headers.get("Content-Length") or 0)
        if due is not None and due.how == "cut":
            self.rfile.read(length // 2)
            self.close_connection = True
            self.connection.close()
            return
        body = self.body(length)
        if due is not None and isinstance(due.how, int):
            self.json({"error": f"made to fail with {due.how}"}, due.how)
            return
        if due is not None:
            time.sleep(0.3)
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, request):
                getattr(self, method)(body, **found.groupdict())
                return
        self.json({"error": f"no such place: {request}"}, 404)

    def body(self, length: int) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(length)
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def json(self, value: Any, status: int = 200, **headers: str) -> None:
        self.send(json.dumps(value).encode(), status, {"Content-Type": "application/json"} | headers)

    def send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def may_write(self, repo: str) -> bool:
        """Answers with an error where not."""
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.json({"error": "Invalid credentials in Authorization header"}, 401)
        elif not repo.startswith(f"{USER}/"):
            self.json({"error": f"You don't have the rights to write to {repo}"}, 403)
        else:
            return True
        return False

    def tree(self, repo: str, revision: str) -> dict[str, str] | None:
        """The files of a branch or a commit; answers with an error where there is none."""
        branches = self.hub.repos.get(repo)
        if branches is None:
            self.json({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
            return None
        for branch in branches:
            if revision in (branch, self.hub.head(repo, branch)):
                return branches[branch]
        self.json({"error": f"Invalid rev id: {revision}"}, 404, **{"X-Error-Code": "RevisionNotFound"})
        return None

    # Endpoints

    def create_repo(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked.get('organization') or USER}/{asked['name']}"
        if not self.may_write(repo):
            return
        there = repo in self.hub.repos
        if not there:
            self.hub.repos[repo] = {"main": {}}
            self.hub.private[repo] = asked.get("visibility") == "private" or asked.get("private") is True
        status = 409 if there else 200
        self.json({"url": f"{self.hub.url}/{repo}", "error": "You already created this model repo"}, status)

    def create_branch(self, body: bytes, repo: str, branch: str) -> None:
        if self.may_write(repo) and self.tree(repo, "main") is not None:
            there = branch in self.hub.repos[repo]
            self.hub.repos[repo].setdefault(branch, dict(self.hub.repos[repo]["main"]))
            self.json({"error": "Reference already exists"} if there else {}, 409 if there else 201)

    def validate_yaml(self, body: bytes) -> None:
        content = json.loads(body)["content"]
        try:
            front = yaml.safe_load(content.split("---")[1]) if content.startswith("---") else {}
            errors = [] if isinstance(front, dict) else [{"message": "the front matter is no mapping"}]
        except yaml.YAMLError as error:
            errors = [{"message": str(error)}]
        self.json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        if not self.may_write(repo) or (tree := self.tree(repo, revision)) is None:
            return
        files = []
        for one in json.loads(body)["files"]:
            mode = "lfs" if one["size"] >= LARGE or one["path"].endswith(".safetensors") else "regular"
            sha = tree.get(one["path"])
            oid = None if sha is None else sha if sha in self.hub.large else self.hub.oid(sha)
            files.append({"path": one["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.json({"files": files})

    def lfs_batch(self, body: bytes, repo: str) -> None:
        if not self.may_write(repo):
            return
        objects: list[dict[str, Any]] = []
        for one in json.loads(body)["objects"]:
            objects.append(dict(one))
            if not self.hub.has(one["oid"]):
                place = f"{self.hub.url}/lfs/{one['oid']}"
                objects[-1]["actions"] = {"upload": {"href": place}, "verify": {"href": f"{place}/verify"}}
        self.json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self.json({"error": "the content is not that of its sha256"}, 400)
        else:
            self.hub.put(body)
            self.send(b"", 200, {})

    def lfs_verify(self, body: bytes, oid: str) -> None:
        whole = self.hub.has(oid) and len(self.hub.content(oid)) == json.loads(body)["size"]
        self.json({} if whole else {"error": "not there"}, 200 if whole else 404)

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        if not self.may_write(repo) or self.tree(repo, revision) is None:
            return
        lines = [json.loads(line) for line in body.splitlines()]
        with self.hub.lock:
            new = dict(self.hub.repos[repo][revision])
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    new[value["path"]] = self.hub.put(base64.b64decode(value["content"]))
                elif line["key"] == "lfsFile":
                    if not self.hub.has(value["oid"]):
                        self.json({"error": f"{value['path']} was not uploaded"}, 400)
                        return
                    self.hub.large.add(value["oid"])
                    new[value["path"]] = value["oid"]
                elif line["key"] == "deletedFile":
                    del new[value["path"]]
            self.hub.repos[repo][revision] = new
            self.hub.commits.append(next(line["value"]["summary"] for line in lines if line["key"] == "header"))
        head = self.hub.head(repo, revision)
        self.json({"commitUrl": f"{self.hub.url}/{repo}/commit/{head}", "commitOid": head, "success": True})

    def list_tree(self, body: bytes, repo: str, revision: str) -> None:
        if (tree := self.tree(repo, revision)) is not None:
            self.json([self.entry(path, sha) for path, sha in sorted(tree.items())])

    def paths_info(self, body: bytes, repo: str, revision: str) -> None:
        if (tree := self.tree(repo, revision)) is not None:
            asked = parse_qs(body.decode())["paths"]
            self.json([self.entry(path, tree[path]) for path in asked if path in tree])

    def entry(self, path: str, sha: str) -> dict[str, Any]:
        size = len(self.hub.content(sha))
        found: dict[str, Any] = {"type": "file", "path": path, "size": size, "oid": self.hub.oid(sha)}
        return found | ({"lfs": {"oid": sha, "size": size, "pointerSize": 134}} if sha in self.hub.large else {})

    def info(self, body: bytes, repo: str, revision: str = "main") -> None:
        if (tree := self.tree(repo, revision)) is not None:
            branch = next(name for name, files in self.hub.repos[repo].items() if files is tree)
            siblings = [{"rfilename": path} for path in sorted(tree)]
            self.json({"id": repo, "sha": self.hub.head(repo, branch), "siblings": siblings, "tags": []})

    def resolve(self, body: bytes, repo: str, revision: str, path: str) -> None:
        if (tree := self.tree(repo, revision)) is None:
            return
        branch = next(name for name, files in self.hub.repos[repo].items() if files is tree)
        head = {"X-Repo-Commit": self.hub.head(repo, branch)}
        if path not in tree:
            self.json({"error": "Entry not found"}, 404, **head, **{"X-Error-Code": "EntryNotFound"})
            return
        content = self.hub.content(tree[path])
        etag = tree[path] if tree[path] in self.hub.large else self.hub.oid(tree[path])
        self.send(content, 200, head | {"ETag": f'"{etag}"', "Accept-Ranges": "none"})

    def whoami(self, body: bytes) -> None:
        self.json({"type": "user", "name": USER, "orgs": []})


ROUTES = [
    (r"POST /api/repos/create", "create_repo"),
    (r"POST /api/validate-yaml", "validate_yaml"),
    (r"GET /api/whoami-v2", "whoami"),
    (rf"POST /api/models/{REPO}/branch/(?P<branch>.+)", "create_branch"),
    (rf"POST /api/models/{REPO}/preupload/(?P<revision>.+)", "preupload"),
    (rf"POST /api/models/{REPO}/commit/(?P<revision>.+)", "commit"),
    (rf"GET /api/models/{REPO}/tree/(?P<revision>[^/]+)", "list_tree"),
    (rf"POST /api/models/{REPO}/paths-info/(?P<revision>.+)", "paths_info"),
    (rf"GET /api/models/{REPO}/revision/(?P<revision>.+)", "info"),
    (rf"GET /api/models/{REPO}", "info"),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", "lfs_batch"),
    (r"PUT /lfs/(?P<oid>\w+)", "lfs_upload"),
    (r"POST /lfs/(?P<oid>\w+)/verify", "lfs_verify"),
    (rf"(?:GET|HEAD) /{REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
]


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """A Hub that answers while the block runs."""
    hub = Hub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def use(hub: Hub, patch: pytest.MonkeyPatch) -> None:
    """Has huggingface_hub in this process know no other Hub, and be logged in to it."""
    place = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    settings = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": place,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_XET": True,  # the client alone decides between Xet and LFS
        "HF_TOKEN_PATH": str(hub.folder / "no_token"),
    }
    for name, value in settings.items():
        patch.setattr(constants, name, value)
    patch.setenv("HF_ENDPOINT", hub.url)
    patch.setenv("HF_TOKEN", TOKEN)
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        patch.delenv(name, raising=False)
