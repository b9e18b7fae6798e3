"""The pages: what they name exists, links lead somewhere, both READMEs agree, the site needs no network."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
import typer
import yaml
from dvc.cli.parser import get_main_parser

from conftest import ROOT
from documents import PAGES, blocks, commands, read, without_blocks
from ilt.cli import app
from ilt.tools.experiments.ablation.file import read_ablation_file
from ilt.tools.experiments.ablation.results import write_page

LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_what_is_read_as_a_command_is_what_stands_there():
    found = [words for _, words in commands("README.md")]
    assert ["dvc", "exp", "run", "--temp", "-S", "+iterations.it2={prev: it1}"] in found
    assert ["ilt", "export", "it3", "--to", "merged", "--output", "out/it3"] in found
    assert [words for words in found if words[:2] == ["ilt", "doctor"]]  # behind `cd mine && `
    assert ["make", "repro"] in found
    assert len([words for page in PAGES for _, words in commands(page)]) > 150


def click_command(words):
    """The click command that words call, and the words that are left."""
    command, rest = typer.main.get_command(app), words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"ilt has no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def problem_of_ilt(words):
    try:
        command, rest = click_command(words)
    except AssertionError as error:
        return str(error)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    wrong = [word for word in rest if word.startswith("-") and word.split("=")[0] not in known | {"--help"}]
    return f"{command.name} has no {', '.join(wrong)}" if wrong else None


def dvc_parser(words):
    """The parser of a subcommand of DVC, as `exp run`, and how many words name it."""
    parser, depth = get_main_parser(), 1
    while depth < len(words):
        choices = next((action.choices for action in parser._actions if action.dest in ("cmd",)), None)
        choices = choices or next((a.choices for a in parser._actions if isinstance(a.choices, dict)), None)
        if not choices:
            break
        if words[depth] not in choices:
            return None, depth
        parser, depth = choices[words[depth]], depth + 1
    return parser, depth


def unknown_parameter(setting):
    """A key of `-S key=value` that params.yaml does not have; `+key` is new, and free."""
    key = setting.split("=", 1)[0]
    if key.startswith(("+", "~")):
        return None
    at = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for part in key.split("."):
        if not isinstance(at, dict) or part not in at:
            return key
        at = at[part]
    return None


def problem_of_dvc(words):
    parser, depth = dvc_parser(words)
    if parser is None:
        return f"dvc has no {' '.join(words[1 : depth + 1])!r}"
    known = set(parser._option_string_actions)
    wrong = [
        word for word in words[depth:]
        if (word.startswith("--") and word.split("=")[0] not in known)
        or (re.fullmatch("-[A-Za-z]", word) and word not in known)
    ]  # fmt: skip
    if wrong:
        return f"{' '.join(words[:depth])} has no {', '.join(wrong)}"
    pairs = pairwise(words)
    keys = [unknown_parameter(after) for option, after in pairs if option in ("-S", "--set-param")]
    missing = [key for key in keys if key]
    return f"params.yaml has no {', '.join(missing)}" if missing else None


def problem_of_make(words):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    wrong = [word for word in words[1:] if "=" not in word and word not in targets]
    return f"the Makefile has no target {', '.join(wrong)}" if wrong else None


PROBLEM = {"ilt": problem_of_ilt, "dvc": problem_of_dvc, "make": problem_of_make}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_exists_with_its_options_and_parameters(page):
    found = [
        f"{where}: {problem} ({' '.join(words)})"
        for where, words in commands(page)
        if len(words) > 1 and (problem := PROBLEM[words[0]](words))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    ["ilt no-such", "ilt diff it1 it2 --no-such", "dvc no-such", "dvc exp no-such", "dvc push --no-such",
     "dvc exp run -S select.no_such=1", "make no-such"],
)  # fmt: skip
def test_a_command_that_does_not_exist_is_found(line):
    words = line.split()
    assert PROBLEM[words[0]](words)


def test_parameters_named_in_prose_exist():
    """`-S key=value` in inline code, without its command."""
    for page in PAGES:
        for key in re.findall(r"`-S ([\w.]+)=", without_blocks(page)):
            assert unknown_parameter(f"{key}=") is None, f"{page}: {key}"


@pytest.mark.parametrize(
    "page", [*PAGES, "data/models/demo-whisper/README.md", "data/models/demo-qwen2-audio/README.md"]
)
def test_links_of_a_page_lead_to_files_as_a_git_host_shows_them(page):
    folder = (ROOT / page).parent
    for link in LINK.findall(without_blocks(page)):
        path = link.partition("#")[0]
        if not re.match("[a-z]+:", link) and path:
            assert (folder / path).exists(), f"{page}: {link}"


def figures(text):
    """How often each number stands in a text; 7B and it3 are names, and counts up to ten may be words."""
    bare = re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)
    found = Counter(re.findall(r"(?<![A-Za-z\d.-])\d[\d,]*(?:\.\d+)?(?![A-Za-z\d])", bare))
    return {figure: count for figure, count in found.items() if figure not in map(str, range(1, 11))}


def test_the_japanese_readme_says_what_the_english_one_does():
    english, japanese = read("README.md"), read("README.ja.md")
    assert [(b.language, b.text) for b in blocks("README.md")] == [(b.language, b.text) for b in blocks("README.ja.md")]
    heads = [re.findall(r"^(#+) ", without_blocks(page), re.MULTILINE) for page in ("README.md", "README.ja.md")]
    assert heads[0] == heads[1]
    for name, left, right in zip(heads[0], _sections("README.md"), _sections("README.ja.md"), strict=True):
        assert len(left.split("\n\n")) == len(right.split("\n\n")), f"paragraphs: {name} {left[:60]}"
        code = [sorted(re.findall(r"`[^`\n]+`", text)) for text in (left, right)]
        assert code[0] == code[1], f"code in {left[:60]}"
        links = [sorted(LINK.findall(text)) for text in (left, right)]
        switched = [link.replace("README.ja.md", "README.md") for link in links[0]]
        assert switched == links[1], f"links in {left[:60]}"
        assert _tables(left) == _tables(right), f"tables in {left[:60]}"
        assert figures(left) == figures(right), f"figures in {left[:60]}"
    assert "(README.ja.md)" in english[:200] and "(README.md)" in japanese[:200]


def _sections(page):
    return re.split(r"^#+ ", without_blocks(page), flags=re.MULTILINE)[1:]


def _tables(text):
    """Rows and columns of tables; what stands in their cells is compared as figures and code."""
    return [line.count("|") for line in text.splitlines() if line.startswith("|")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder], cwd=ROOT, check=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True,
    )  # fmt: skip
    return folder


def test_the_site_has_every_page_and_its_links_lead_within_it(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= len(PAGES) + 2
    for page in pages:
        if page.name == "404.html":
            continue
        for link in re.findall(r'(?:href|src)="([^"#?]+)[^"]*"', page.read_text(encoding="utf-8")):
            if not re.match("[a-z]+:", link):
                assert (page.parent / link).exists(), f"{page.relative_to(site)}: {link}"


def test_the_site_fetches_nothing_from_a_network(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r'<(?:script|img|iframe|source)[^>]*?\ssrc="(\w+:[^"]*)"', text)
        fetched += re.findall(r'<link[^>]*?\shref="(\w+:[^"]*)"', text)
        assert not fetched, f"{page.name}: {fetched}"


def test_a_broken_link_fails_the_build(tmp_path):
    copied = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, stdout=-1, text=True
    )
    for name in copied.stdout.splitlines():
        if (name.startswith("docs/") or name.endswith(".md") or name == "mkdocs.yml") and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "src").symlink_to(ROOT / "src")
    page = tmp_path / "README.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[no such](docs/no-such.md)\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build"], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "no-such.md" in done.stderr
    assert done.stderr.count("WARNING -") == 1, done.stderr  # nothing else is wrong with the copy


def test_the_site_has_a_page_of_docstrings_for_every_room(site):
    package = ROOT / "src" / "ilt"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert {page.stem for page in (site / "api").glob("*.html")} == rooms | {"ground"}
    text = (site / "api" / "params.html").read_text(encoding="utf-8")
    assert "ilt.params.TrainParams" in text or "ilt.params.schema.TrainParams" in text
    assert "<code>gold_share</code>: share of each batch" in text  # fields of a docstring are a list
    assert "Section.model_config" not in text and "_no_chain" not in text  # public names alone


def test_readme_is_short():
    for text in (read("README.md"), without_blocks("README.md")):
        assert len(text.split()) <= 1000


def test_the_glossary_is_short_and_sorted():
    rows = [line for line in read("docs/glossary.md").splitlines() if line.startswith("| ")][1:]
    terms = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert 0 < len(terms) <= 25
    assert terms == sorted(terms, key=str.lower)


def test_the_page_of_parameters_is_what_the_schema_says():
    assert build("parameters").page() == read("docs/parameters.md")


def build(name):
    """A script of docs/build."""
    if (folder := str(ROOT / "docs" / "build")) not in sys.path:
        sys.path.insert(0, folder)
    return import_module(name)


def test_the_tables_of_the_pages_are_those_of_the_results():
    tables, pages = build("tables"), build("pages")
    for name in tables.SCRIPTS:
        script = tables.script(name)
        for mark, lines in script.tables().items():
            assert pages.block(script.PAGE, mark) == lines, f"{script.PAGE}: {mark}"


def test_every_table_of_results_that_a_page_shows_has_a_script():
    tables = build("tables")
    for page in PAGES:
        for script in re.findall(r"<!-- \w+: benchmarks/(\w+)\.py -->", read(page)):
            assert script in tables.SCRIPTS, f"{page}: {script}"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_blocks_of_the_readmes_are_up_to_date(language):
    readme, pages = build("readme"), build("pages")
    for name, lines in readme.blocks(language).items():
        assert pages.block(readme.PAGES[language], name) == lines, name


def test_the_tour_types_what_its_script_types():
    tour = build("tour")
    own = tour.own_steps(
        "/models/whisper-base", "/data/l2english/manifest.jsonl", "/data/l2english/pool_reference.jsonl"
    )
    typed = [f"$ {step.command.removeprefix('cd mine && ')}" for step in (*tour.demo_steps(), *own)]
    shown = [block.text.splitlines()[0] for block in blocks("docs/tour.md")]
    assert shown == typed


def test_the_page_of_the_ablation_is_that_of_the_results(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "benchmarks/results", tmp_path / "benchmarks/results")
    shutil.copy(ROOT / "ablation.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    write_page(read_ablation_file(Path("ablation.yaml")))
    assert Path("docs/RESULTS.md").read_text(encoding="utf-8") == read("docs/RESULTS.md")


def test_the_worksheet_of_the_course_and_its_table_say_the_same():
    worksheet, pages = build("worksheet"), build("pages")
    table = pages.block(ROOT / worksheet.PAGE, "worksheet")
    rows = [line.split(" | ") for line in table if line.startswith("| ")][1:]
    sheet = list(csv.reader((ROOT / worksheet.SHEET).read_text(encoding="utf-8").splitlines()))[1:]
    assert len(rows) == len(sheet) == len(worksheet.LINES)
    for row, cells, line in zip(rows, sheet, worksheet.LINES, strict=True):
        assert line.says in row[0] and line.says == cells[0]
        assert row[2].strip() == cells[2]
        assert cells[3].startswith("=") == bool(line.formula)
