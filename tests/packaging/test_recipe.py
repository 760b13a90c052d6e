"""The conda recipe, the citation and the paper say what the project says."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "conda/recipe.yaml"
PAPER = ROOT / "paper/paper.md"

pytestmark = pytest.mark.skipif(not RECIPE.exists(), reason="recipe and paper are in the repository only")

# what a package of the index is called on conda-forge, where the smaller of two is meant
CONDA = {"hyperspy": "hyperspy-base", "matplotlib": "matplotlib-base", "pyxem": "pyxem-base"}
CONDA["rosettasciio"] = "rosettasciio-base"


def _project():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_recipe_needs_what_the_project_needs():
    wanted = set()
    for requirement in _project()["dependencies"]:
        name, _, bound = re.match(r"([\w-]+)(\[.*?\])?(>=[\d.]+)?", requirement).groups()
        wanted.add(f"{CONDA.get(name, name)} {bound}")
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    run = recipe["requirements"]["run"]
    assert run[0] == f"python {_project()['requires-python']}"
    assert set(run[1:]) == wanted


def test_recipe_has_the_version_and_the_commands():
    import rsciio_tpx3

    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    assert recipe["context"]["version"] == rsciio_tpx3.__version__
    scripts = [f"{name} = {target}" for name, target in _project()["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts


def test_recipe_is_read_by_the_program_that_builds():
    rattler_build = pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")
    [variant] = rattler_build.Stage0Recipe.from_file(str(RECIPE)).render()
    assert str(variant.recipe.package.name) == "rsciio-tpx3"


def test_every_reference_of_the_paper_is_there_and_used():
    text = PAPER.read_text(encoding="utf-8")
    cited = set(re.findall(r"@(\w+)", text.partition("\n# Summary")[2]))
    known = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "paper/paper.bib").read_text(encoding="utf-8"), re.MULTILINE))
    assert cited == known


def test_commands_of_the_paper_exist():
    for command in re.findall(r"`python -m ([\w.]+)", PAPER.read_text(encoding="utf-8")):
        path = ROOT / command.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), command


def test_the_paper_invents_no_author():
    head = PAPER.read_text(encoding="utf-8").split("---")[1]
    assert re.findall(r"name: (.*)", head) == ["'To be named'"] * 2


def test_citation_is_valid_by_its_schema():
    cffconvert = pytest.importorskip("cffconvert", reason="cffconvert is not installed")
    cffconvert.Citation((ROOT / "CITATION.cff").read_text(encoding="utf-8")).validate()
