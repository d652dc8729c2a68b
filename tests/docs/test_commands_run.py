"""Every command of the pages is run, page by page and in the order of the page, on a small simulated session; `not_run` lists those that are not, and why.

In the place of what the pages call the reader's own lie small files, and where a page says ``sample`` it finds a small one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w
from packaging.requirements import Requirement

from napari_neurrator.export.files import read_narrations
from napari_neurrator.recording.sample import sample_file
from napari_neurrator.session_file import write_session
from tests.saved_sessions import session_of

from .not_run import NOT_RUN, OWN_TEST, reason
from .pages import DOCS, PAGES, ROOT, lines_of, name_of, prose, shell_blocks, words_of
from .running import Server, neurrator, redirection, script, shell, window
from .running import name_of as command_of
from .test_commands import PROGRAM, found_command

FIT = ["fit", "session.nwb", "--stimulus", "natural_movie_one", "--out"]
NARRATE = ["narrate", "session.nwb", "--held-out", "--decoder", "my-decoder", "--out", "narrations.jsonl"]
# What a page takes for granted, made in the same way as the pages make it.
BEFORE = {
    "docs/concepts.md": [
        ["concepts", "train", "session.nwb", "--stimulus", "natural_movie_one", "--out", "dictionary"]
    ],
    "docs/export.md": [[*FIT, "my-decoder"], NARRATE],
    "docs/language.md": [[*FIT, "my-decoder"]],
    "docs/recorded_run.md": [[*FIT, "my-decoder"], NARRATE],
    "docs/server.md": [[*FIT, "my-decoder"]],
}
# What stands for something of the reader's; LLaVA-1.5-7B, which cannot be had in a test, for any profile.
MODEL = {"llava-1.5-7b": "tiny"}
INSTEAD = {
    "docs/concepts.md": {"DICTIONARY": "dictionary", "DIR": "converted", **MODEL},
    "docs/contributing.md": {"FILE": "session.nwb"},
    "docs/file_formats.md": {"NAME": "regions"},
    "docs/language.md": {"D": "my-decoder"},
    "docs/models.md": {"NAME": "tiny"},
    "docs/opening.md": {"SOURCE": "session.nwb"},
    "docs/own_data.md": MODEL,
    "docs/server.md": {"/etc/neurrator/tokens": "tokens.txt", "/var/lib/neurrator": "store"},
}
# A study's file is the reader's, too: these make it short.
SHORT_STUDY = {"moments": 40, "narrated": 4, "n_permutations": 19, "draws": 1, "null_draws": 19, "sizes": [3]}


class Line:
    """One command of a page."""

    def __init__(self, page: str, line: str, inline: bool):
        self.page, self.inline = page, inline
        self.line = re.sub(r"\s+", " ", re.sub(r"\s+#.*$", "", line))
        self.words = words_of(line.removeprefix("ExecStart="))

    @property
    def is_neurrator(self) -> bool:
        return bool(self.words) and Path(self.words[0]).name == "neurrator" and len(self.words) > 1

    def filled_in(self) -> list[str]:
        """Return the words after ``neurrator``, with files of the test in the place of the reader's."""
        instead = INSTEAD.get(self.page, {})
        # Which models a profile needs can be said without having them.
        kept = self.words[1:3] == ["models", "info"] and "llava-1.5-7b" in self.words
        return [word if kept else instead.get(word, word) for word in self.words[1:]]

    def is_mention(self) -> bool:
        """Tell whether it stands in a sentence and leaves something out, as in "see `neurrator narrate`"."""
        if not self.inline or not self.is_neurrator:
            return False
        words = self.filled_in()
        try:
            command, name, rest = found_command(words)
            bare = not rest and bool(command.params) and words != ["demo"]
            if not bare and "--help" not in rest:
                command.make_context(name, list(rest)).close()
        except Exception:
            return True
        return bare


def lines_of_page(page: Path) -> list[Line]:
    """Return what a page has its reader type, in order; then what it names in its sentences."""
    text = page.read_text(encoding="utf-8")
    found = []
    for place, block, fenced in shell_blocks(text):
        for number, line in enumerate(lines_of(block)):
            if fenced or line.startswith("neurrator "):
                found.append((place, number, Line(name_of(page), line, False)))
    for line in re.finditer(r"^ExecStart=.+$", text, re.MULTILINE):
        found.append((line.start(), 0, Line(name_of(page), line[0], False)))
    for line in re.finditer(
        r"`((?:\S*bin/)?(?:neurrator|python|make|pip|pre-commit|hf|git|dandi) [^`\n]+)`", prose(text)
    ):
        found.append((line.start(), 0, Line(name_of(page), line[1], True)))
    found = [one for _, _, one in sorted(found, key=lambda one: one[:2])]
    return [one for one in found if not one.is_mention()]


# The reference of the command line is made from the program, and has no commands to type.
LINES = {name_of(page): lines_of_page(page) for page in PAGES if page != DOCS / "cli.md"}
ALL = [line for lines in LINES.values() for line in lines]


@pytest.fixture(scope="module")
def belongings(small_sample, tmp_path_factory):
    """Return a folder with what the pages call the reader's own."""
    import imageio.v3 as iio

    folder = tmp_path_factory.mktemp("belongings")
    (film,) = small_sample.parent.glob("*.mp4")
    for name in ("session.nwb", "a.nwb", "b.nwb"):
        shutil.copy(small_sample, folder / name)
    shutil.copy(film, folder / "natural_movie_one.mp4")
    (folder / "pictures").mkdir()
    for number, frame in enumerate(iio.imread(film)[::9]):
        iio.imwrite(folder / "pictures" / f"{number:03}.png", frame)
    (folder / "words.txt").write_text("tiger\nbus\nbeach\nnight\n", encoding="utf-8")
    (folder / "tokens.txt").write_text("the-token-of-the-first-user\nthe-token-of-a-second-one\n", encoding="utf-8")
    (folder / "my-token").write_text("the-token-of-a-second-one\n", encoding="utf-8")
    study = {"kind": "groups", "column": "region", "groups": ["VISp"], **SHORT_STUDY, "sessions": [{"recording": "session.nwb", "decoder": "my-decoder"}]}  # fmt: skip
    (folder / "my-study.toml").write_text(tomli_w.dumps(study), encoding="utf-8")
    _certificate(folder)
    return folder


def _certificate(folder: Path) -> None:
    """Write a certificate of loopback's, where openssl can make one."""
    if shutil.which("openssl"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", "server.key", "-out", "server.pem"], cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        shutil.copy(folder / "server.pem", folder / "lab-ca.pem")


@pytest.fixture
def home(belongings, own_cache, small_sample, tmp_path, monkeypatch):
    """Return a folder with these files, in which the simulated session is a small one."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for shared in ("patches", "sentences"):
        (own_cache / shared).mkdir(exist_ok=True)
        (cache / shared).symlink_to(own_cache / shared)
    monkeypatch.setenv("NEURRATOR_CACHE", str(cache))
    shutil.copytree(small_sample.parent, sample_file().parent)
    if small_sample.name != sample_file().name:
        (sample_file().parent / small_sample.name).rename(sample_file())
    return Path(shutil.copytree(belongings, tmp_path / "home"))


class Page:
    """Runs the commands of one page, as one reader in one folder."""

    def __init__(self, name: str, home: Path, monkeypatch):
        self.name, self.home, self.patch = name, home, monkeypatch
        self.printed: dict[str, str] = {}
        self.server: Server | None = None

    def run(self) -> None:
        for words in BEFORE.get(self.name, []):
            neurrator(words, self.home)
        if self.name in ("docs/export.md", "docs/recorded_run.md"):
            self._save_session()
        try:
            for line in LINES[self.name]:
                if reason(line.line) is None:
                    self._one(line)
        finally:
            self._stop()

    def _one(self, line: Line) -> None:
        if line.line.startswith("export "):
            if "=…" not in line.line:
                if shutil.which("openssl") is None:
                    self.patch.setenv("NEURRATOR_TOKEN", "no-openssl-is-on-this-machine")
                else:
                    self.patch.setenv("NEURRATOR_TOKEN", shell(line.line, self.home))
        elif line.words[:2] == ["python", "-m"]:
            _checkout(self.home)
            script(line.words[1:], self.home)
        elif not line.is_neurrator:
            raise AssertionError(f"no test runs this command: {line.line!r}")
        else:
            self._neurrator(line)

    def _neurrator(self, line: Line) -> None:
        words = line.filled_in()
        if words == ["demo"] or words[:2] == ["demo", "--no-window"]:
            self._demo(words)
        elif words[0] == "serve":
            self._stop()
            if "--tls-cert" in words and not (self.home / "server.pem").exists():
                return
            token = (self.home / "my-token").read_text().strip() if "--token-file" in words else os.environ.get("NEURRATOR_TOKEN", "")  # fmt: skip
            self.server = Server(words, self.home, token or "a-token-for-this-page")
            self.server.is_there()
        else:
            if words[0] == "study" and "--example" not in words:
                _shorten(self.home / words[1])
            if "--backend" in words:
                if self.server is None:
                    return
                place = words.index("--backend") + 1
                words[place] = re.sub(r"https?://[^/]+", self.server.address, words[place])
            if "…" in words:
                # "as before"
                words[words.index("…") : words.index("…") + 1] = ["session.nwb", "--decoder", "my-decoder", "--held-out", "--out", "over-tls.jsonl"]  # fmt: skip
            words = [self._of_the_third(word) for word in words] if words[0] == "export" else words
            done = neurrator(words, self.home, redirection(line.line))
            self.printed[command_of(words)] = self.printed.get(command_of(words), "") + done.printed

    def _demo(self, words: list[str]) -> None:
        if not sys.platform.startswith("linux"):
            return
        window(words, self.home)

    def _of_the_third(self, word: str) -> str:
        """Return a concept or word of the narration that the page's examples are of, in the place of the page's."""
        if word not in ("night", "word:tiger"):
            return word
        third = read_narrations(self.home / "narrations.jsonl")[2]
        return str(third.concepts[0]["name"]) if word == "night" else "word:" + re.findall(r"[a-z]{3,}", third.text)[0]

    def _save_session(self) -> None:
        lines = read_narrations(self.home / "narrations.jsonl")
        write_session(self.home / "session.neurrator.toml", session_of(lines, self.home / "session.nwb", self.home / "my-decoder"))  # fmt: skip

    def _stop(self) -> None:
        if self.server is not None:
            self.server.stop()
        self.server = None


def _checkout(folder: Path) -> None:
    """Lay copies of the pages and of what makes some of them into a folder."""
    for part in ("tools", "docs"):
        if not (folder / part).exists():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.png"))


def _shorten(study: Path) -> None:
    fields = tomllib.loads(study.read_text(encoding="utf-8"))
    fields |= SHORT_STUDY
    fields["groups"] = ["VISp", "CA1"]
    for session in fields["sessions"]:
        if "fit" in session:
            session["fit"]["options"] = {"calibration_steps": 40}
    study.write_text(tomli_w.dumps(fields), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, lines in LINES.items() if name not in OWN_TEST and any(reason(line.line) is None for line in lines)])  # fmt: skip
def test_the_commands_of_a_page_do_what_it_says(name, home, monkeypatch):
    page = Page(name, home, monkeypatch)
    page.run()
    CHECKS.get(name, lambda page: None)(page)


# -- what has come of them -------------------------------------------------------------------------------------------------------------
def json_lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _readme(page: Page) -> None:
    narrations = json_lines(page.home / "narrations.jsonl")
    assert [one["frame"] for one in narrations] == [10, 110, 210]
    assert all(one["held_out"] for one in narrations)
    assert "3 sentences made again" in page.printed["replay"]
    assert "3 are as they were saved" in page.printed["replay"]
    assert (page.home / "narrations.replayed.jsonl").read_bytes() == (page.home / "narrations.jsonl").read_bytes()
    for made in ("report/report.html", "report/report.json", "study/report.html", "my-dictionary/cfg.json"):
        assert (page.home / made).stat().st_size > 0, made
    assert "llava-1.5-7b" in page.printed["models list"]
    assert "model.safetensors" in page.printed["models info"] or "hf download" in page.printed["models info"]


def _export(page: Page) -> None:
    assert (page.home / "again.jsonl").read_bytes() == (page.home / "narrations.jsonl").read_bytes()
    assert "3 are as they were saved" in page.printed["replay"]


def _concepts(page: Page) -> None:
    assert "64" in page.printed["concepts info"]
    assert (page.home / "converted" / "cfg.json").is_file()
    names = json.loads((page.home / "my-dictionary" / "names.json").read_text(encoding="utf-8"))
    assert len(names["features"]) == 64
    labels = json.loads((page.home / "dictionary" / "labels.json").read_text(encoding="utf-8"))
    assert labels["labels"] == {"17": "tiger stripes"}


def _opening(page: Page) -> None:
    assert "80 units" in page.printed["inspect"]
    assert "160 units" in neurrator(["inspect", "both.toml"], page.home).printed


def _studies(page: Page) -> None:
    assert (page.home / "report" / "report.html").stat().st_size > 0
    assert "hippocampal-control" in page.printed["study"]


def _server(page: Page) -> None:
    here = neurrator([*NARRATE[:-1], "here.jsonl"], page.home).written[0].read_bytes()
    assert (page.home / "n.jsonl").read_bytes() == here
    if (page.home / "server.pem").exists():
        assert (page.home / "over-tls.jsonl").read_bytes() == here


def _language(page: Page) -> None:
    for one in json_lines(page.home / "n.jsonl"):
        assert [answer["prompt"] for answer in one["answers"]] == [
            "Describe this scene in one sentence.",
            "What moves?",
        ]
        assert one["config"]["speaking"]["beams"] == 4


def _tour(page: Page) -> None:
    narrations = json_lines(page.home / "narrations.jsonl")
    assert [one["frame"] for one in narrations] == [0, 30, *range(60, 91)]
    assert all(one["simulated"] for one in narrations)


CHECKS = {
    "README.md": _readme,
    "docs/concepts.md": _concepts,
    "docs/export.md": _export,
    "docs/language.md": _language,
    "docs/opening.md": _opening,
    "docs/server.md": _server,
    "docs/studies.md": _studies,
    "docs/tour.md": _tour,
}


# -- what is not run -------------------------------------------------------------------------------------------------------------------
def test_every_command_of_the_program_is_run():
    run = {command_of(line.filled_in()) for line in ALL if line.is_neurrator and reason(line.line) is None and line.page not in OWN_TEST}  # fmt: skip
    known = set()
    for name, command in PROGRAM.commands.items():
        known |= {f"{name} {sub}" for sub in getattr(command, "commands", {})} or {name}
    assert run == known


def test_what_is_not_run_is_in_some_page():
    for begins in NOT_RUN:
        assert [line for line in ALL if re.match(begins, line.line)], begins
    for page, test in OWN_TEST.items():
        assert f'"{Path(page).name}"' in (ROOT / test).read_text(encoding="utf-8")
        block = (ROOT / page).read_text(encoding="utf-8").split("```neurrator\n")[1].split("```")[0]
        others = [line for line in LINES[page] if reason(line.line) is None and line.line not in block]
        assert not others, others[0].line


def test_a_new_command_that_nothing_runs_is_noticed(tmp_path):
    page = Page("docs/export.md", tmp_path, None)
    for line in ("rm -rf cache", "python new_tool.py", "neurrator-gpu serve"):
        assert reason(line) is None
        with pytest.raises(AssertionError, match="no test runs this command"):
            page._one(Line("docs/export.md", line, False))
    assert not Line("docs/export.md", "neurrator narrate --out n.jsonl", False).is_mention()
    assert Line("docs/export.md", "neurrator narrate --out n.jsonl", True).is_mention()


def test_what_is_not_run_can_be_read():
    """Of what is installed the extras exist, make knows the targets, and a shell can read each block."""
    extras = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    )
    seen = 0
    for line in ALL:
        words = line.words
        if "install" in words and Path(words[0]).name == "pip":
            for word in words[words.index("install") + 1 :]:
                wanted = Requirement(word)
                assert wanted.name != "napari-neurrator" or wanted.extras <= extras, line.line
                seen += 1
        if words[0] == "make" and shutil.which("make"):
            asked = subprocess.run(
                ["make", "--dry-run", words[1]], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert asked.returncode == 0, asked.stderr
            seen += 1
    assert seen > 8
    if shutil.which("sh"):
        for page in PAGES:
            for _, block, fenced in shell_blocks(page.read_text(encoding="utf-8")):
                if fenced:
                    read = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
                    assert read.returncode == 0, (name_of(page), block, read.stderr)
