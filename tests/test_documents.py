"""What the documents say can be done: their links lead somewhere, and the command line knows their commands."""

import re
import shlex
from pathlib import Path

import pytest

from dragface_lib.__main__ import parse

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMAND = re.compile(r"^    (?:[\w-]+=\S+ )*(?:\S*/)?python (\S+.*)$", re.MULTILINE)


@pytest.fixture(params=DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def document(request):
    return request.param


def commands(text):
    """The commands of a document's code, continued lines joined, comments left out."""
    for match in COMMAND.finditer(re.sub(r"\\\n\s*", "", text)):
        yield shlex.split(match.group(1), comments=True)


def test_links_to_files_lead_to_files(document):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_files_that_are_named_exist(document):
    named = re.findall(
        r"`((?:dragface_lib|tests|tools|notebooks)/[\w./-]+\.\w+)`", document.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_command_line_knows_every_command(document):
    for words in commands(document.read_text(encoding="utf-8")):
        if words[:2] == ["-m", "dragface_lib"]:
            parse(words[2:])
        elif words[0] not in ("-m", "-c"):
            assert (ROOT / words[0]).is_file(), words


def test_the_readme_names_every_command():
    named = {words[2] for words in commands((ROOT / "README.md").read_text(encoding="utf-8")) if len(words) > 2}
    assert named >= {"transform", "scrape", "practice", "crop", "train", "bench"}


def test_links_to_code_lead_to_the_file_that_defines_it():
    links = re.findall(r"\[`(\w+)`\]\(([\w/.]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 10
    for name, path in links:
        assert re.search(rf"^\s*(def|class) {name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), name


def test_errors_that_the_readme_explains_are_raised_somewhere():
    code = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("dragface_lib/**/*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)  # sentences that go on in the next line
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## When something goes wrong")[1].split("\n## ")[0]
    quoted = re.findall(r'"([^"]+)"', table)
    assert len(quoted) > 5
    assert [sentence for sentence in quoted if sentence not in code] == []
