"""The pages of the documentation: their code runs, their links resolve, their tables are up to date."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rsciio import IO_PLUGINS

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.cli.main import main
from rsciio_tpx3.corrections.fit import MAKERS
from rsciio_tpx3.corrections.options import CORRECTIONS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MADE = ("_build", "auto_gallery", "jupyter_execute")  # by a build of the site
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.relative_to(DOCS).parts[0] not in MADE)
NAMES = [page.relative_to(DOCS).as_posix() for page in PAGES]

# pages with tests of their own
SCAN_OPTION = "contributing/add_a_scan_option.md"
TESTED_ELSEWHERE = {"guide/simulate.md", SCAN_OPTION}
# pages that come with the formats and the signals; a link to them may be ahead of them
COMING = {
    "guide/sparse_signals.md",
    "guide/which_format.md",
    "formats/raw_csr.md",
    "formats/nxevent.md",
    "formats/stempy.md",
    "formats/advacam.md",
}

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="the pages are in the repository only")


def _code(text):
    """Python blocks of a page that are to run: all but those marked ``no-run``."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _files(text):
    """Files that the code of a page imports or reads: blocks that carry a name, such as ``python hit_list.py``."""
    return re.findall(r"^```\w+ ([\w.]+\.\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def _prose(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def _anchors(text):
    """Anchors as code hosts make them from headings."""
    headings = re.findall(r"^#+ (.*)$", _prose(text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", h).lower()) for h in headings)
    return {h.strip().replace(" ", "-") for h in plain}


RUNNABLE = [n for n in NAMES if n not in TESTED_ELSEWHERE and _code((DOCS / n).read_text("utf-8"))]


@pytest.fixture
def tables_restored():
    """The pages for contributors add to tables of formats and corrections."""
    tables = (IO_PLUGINS, CORRECTIONS, MAKERS)
    before = [table.copy() for table in tables]
    yield
    for table, rows in zip(tables, before, strict=True):
        table.clear()
        table.extend(rows) if isinstance(table, list) else table.update(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNNABLE)
def test_code_of_a_page_runs(name, tmp_path, monkeypatch, tables_restored):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    text = (DOCS / name).read_text(encoding="utf-8")
    for file, content in _files(text):
        (tmp_path / file).write_text(content, encoding="utf-8")
        # takes the module that the page imports out again
        monkeypatch.setitem(sys.modules, Path(file).stem, None)
        del sys.modules[Path(file).stem]
    monkeypatch.syspath_prepend(tmp_path)
    blocks = _code(text)
    space = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{name}, block {number}", "exec"), space)
    plt.close("all")


_PATCHED = """
import importlib, pathlib
for folder in ("reader", "scan"):
    changed = pathlib.Path("rsciio_tpx3", folder).resolve()
    importlib.import_module(f"rsciio_tpx3.{folder}").__path__.insert(0, str(changed))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="git applies the changes of the page")
def test_code_of_the_page_on_scan_options_runs_with_its_changes(tmp_path):
    text = (DOCS / SCAN_OPTION).read_text(encoding="utf-8")
    for patch in re.findall(r"^```diff\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        file = re.search(r"^\+\+\+ b/(.*)$", patch, re.MULTILINE)[1]
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
        subprocess.run(["git", "apply", "--recount", "-"], cwd=tmp_path, input=patch, text=True, check=True)
    # the changed modules before those of the package, whose compiled loops are there already
    code = "".join([_PATCHED, *_code(text)])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mirrored=")


@pytest.mark.parametrize("name", NAMES)
def test_links_and_pictures_of_a_page_exist(name):
    page = DOCS / name
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page.read_text(encoding="utf-8"))):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        other = (page.parent / file).resolve() if file else page
        if not other.exists():
            assert other.relative_to(DOCS).as_posix() in COMING, f"{name} links to {target}, which does not exist"
            continue
        if anchor:
            assert anchor in _anchors(other.read_text(encoding="utf-8")), f"{name}: no heading for {target}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md"])
def test_links_of_the_pages_outside_the_docs_exist(name):
    for target in re.findall(r"\]\(([^)\s#]+)\)", _prose((ROOT / name).read_text(encoding="utf-8"))):
        assert "://" in target or (ROOT / target).exists(), f"{name} links to {target}, which does not exist"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_no_place_outside_the_project(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(work|home|tmp|root|Users)/", text)


# a page that only lists the pages of its folder has no code
OURS = [
    n
    for n in NAMES
    if n.split("/")[0] in ("guide", "formats", "explanation") and n not in COMING and not n.endswith("/index.md")
]


@pytest.mark.parametrize("name", OURS)
def test_a_page_begins_with_code_that_runs(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    first = re.search(r"^```(.*)$", text, re.MULTILINE)
    assert first and first[1] in ("python", "sh"), f"{name} should begin with code"


def test_every_picture_is_used():
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "README.md"])
    unused = [p.name for p in (DOCS / "images").glob("*.png") if f"images/{p.name}" not in text]
    assert not unused


@pytest.mark.parametrize("folder", ["guide", "formats", "explanation", "contributing", "upstream"])
def test_every_page_is_in_the_list_of_its_folder(folder):
    listed = (DOCS / folder / "index.md").read_text(encoding="utf-8").split()
    pages = {page.stem for page in (DOCS / folder).glob("*.md")} - {"index"}
    assert pages <= set(listed), f"add to the toctree of docs/{folder}/index.md: {sorted(pages - set(listed))}"


def test_nothing_that_examples_write_remains():
    files = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("not a git checkout")
    kinds = {"gallery": {".py", ".rst"}, "tutorials": {".md", ".ipynb"}}
    for path in map(Path, files.stdout.splitlines()):
        assert path.suffix in kinds.get(path.parts[1], {path.suffix}), f"{path} is made by an example"


def _script(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["reference/index.md", "guide/metadata.md"])
def test_generated_parts_are_up_to_date(page):
    make = _script("make_reference")
    text = (DOCS / page).read_text(encoding="utf-8")
    assert make.renewed(page, text) == text, "run python docs/make_reference.py"


def test_info_on_the_page_is_what_the_command_prints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    simulate.recording("scan.tpx3", (24, 32), dwell_time="5 us", electrons_per_position=20)
    assert main(["info", "scan.tpx3"]) == 0
    printed = capsys.readouterr().out
    shown = re.search(r"```text\nscan.tpx3\n(.*?)```", (DOCS / "guide/load.md").read_text("utf-8"), re.DOTALL)[1]
    for line in shown.splitlines():
        assert line.split("…")[0].strip() in printed
    assert main(["info", "scan.tpx3", "--json", "-o", "navigation_shape=32,24"]) == 0
    assert '"navigation_shape"' in capsys.readouterr().out


def test_the_real_raster_is_as_the_guide_tells(real):
    pytest.importorskip("hyperspy")
    [found] = file_reader(
        real("timestem_raster_000000"), lazy=True, all_parts=True, layout="strip", navigation_shape=(64, 513),
        active_fraction=1.0, show_progressbar=False,
    )  # fmt: skip
    scan = found["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
    assert found["data"].shape == (129, 513, 64, 256, 1024)
    assert (scan["lines_placed"], scan["lines_expected"], scan["edges_in_bursts"]) == (65383, 66177, 128 * 142)
    assert (scan["hits_placed"], scan["hits_total"]) == (3856, 3859)
    assert scan["line_period"] == pytest.approx(40.0203e-6, abs=1e-10)
