"""The site: ``python -m sphinx -W --keep-going docs docs/_build/html``, or the command in README.md.

The pages are those of this folder. What is made from the code is made while the site is built: the reference from
docstrings (the table of modules is that of ``make_reference.py``), the gallery and the tutorials by running them.

Two environment variables are for machines that are slow or without a network:

``DOCS_RUN=0``
    neither the gallery nor the tutorials are run; they are shown without their results.
``DOCS_OFFLINE=1``
    no other site is contacted. Without it an inventory that cannot be had is a note, not a warning.
"""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS), str(ROOT)]
os.environ.pop("MPLBACKEND", None)  # the figures of the tutorials belong into their pages
os.environ["TQDM_DISABLE"] = "1"  # a bar that has run is noise in a page

import make_reference  # noqa: E402

import rsciio_tpx3  # noqa: E402

RUN = os.environ.get("DOCS_RUN", "1") != "0"
OFFLINE = os.environ.get("DOCS_OFFLINE", "0") == "1"

project = "rsciio_tpx3"
author = "The rsciio_tpx3 developers"
copyright = f"{author}. Licence: GPL-3.0-or-later"
version = release = rsciio_tpx3.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "upcoming_changes",
    "gallery",  # the sources; the pages made of them are in auto_gallery
    "auto_gallery/*.ipynb",
    "**/.ipynb_checkpoints",
    "jupyter_execute",
]
default_role = "literal"  # `text` in docstrings: numpydoc's own links are those of See Also
nitpicky = False

# --- pages -----------------------------------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
# the language of a block may be followed by the name of a file, or by no-run: for the tests that run the pages
suppress_warnings = ["config.cache", "myst-nb.lexer"]

# --- tutorials -------------------------------------------------------------------------------------------------------
nb_execution_mode = "cache" if RUN else "off"
nb_execution_timeout = 600
nb_execution_in_temp = True  # what they write stays out of the pages
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# --- reference -------------------------------------------------------------------------------------------------------
autosummary_generate = True
autodoc_typehints = "none"  # docstrings have the types, with shapes and units
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # those of sparse and HyperSpy are written for other tools
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# --- gallery ---------------------------------------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"plot_" if RUN else r"^$",
    "plot_gallery": RUN,
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "download_all_examples": False,
    "within_subsection_order": "FileNameSortKey",
    "show_memory": False,
    "min_reported_time": 5,
    "matplotlib_animations": False,
    "doc_module": ("rsciio_tpx3", "hyperspy_sparse"),
    "backreferences_dir": "auto_gallery/backreferences",
    "inspect_global_variables": False,
    "capture_repr": ("_repr_html_", "__repr__"),
    "ignore_repr_types": r"matplotlib|Truth|'list'",  # what plotting and simulating give back
}

# --- other sites -----------------------------------------------------------------------------------------------------
intersphinx_mapping = (
    {}
    if OFFLINE
    else {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "dask": ("https://docs.dask.org/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
        "hyperspy": ("https://hyperspy.org/hyperspy-doc/current", None),
        "pyxem": ("https://pyxem.readthedocs.io/en/stable", None),
        "rsciio": ("https://rosettasciio.readthedocs.io/en/stable", None),
    }
)
intersphinx_timeout = 5
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_workers = 4
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]
# publishers answer programs with "forbidden"
linkcheck_ignore = [r"https://doi\.org/.*", r"http://localhost.*", r"http://127\.0\.0\.1.*"]

# --- appearance ------------------------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = f"{project} {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "rsciio_tpx3"},
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "show_toc_level": 2,
    "show_nav_level": 1,
    "navigation_with_keys": False,
    # the list of modules is at the left already
    "secondary_sidebar_items": {"**": ["page-toc"], "reference/index": [], "auto_gallery/index": []},
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"changes": [], "glossary": []}


class _Note(logging.Filter):
    """An inventory of another site that cannot be had leaves names without links, and nothing else: a note."""

    def filter(self, record):
        if "inventor" in str(record.msg):
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def _links_that_leave(text, page):
    """Links to files of the repository that are not pages of the site become names; others, paths from the page."""

    def link(match):
        label, target = match.groups()
        path = (page.parent / target.partition("#")[0]).resolve()
        if path.is_relative_to(DOCS) or not path.exists():  # what does not exist is Sphinx's to say
            return match[0]
        return label if label.startswith("`") else f"`{label}`"

    return re.sub(r"\[([^\]\n]*)\]\((?![\w+]+:)([\w./]+)\)", link, text)


def _guidelines():
    """CONTRIBUTING.md as a page of the site, without its title."""
    page = ROOT / "CONTRIBUTING.md"
    text = _links_that_leave(page.read_text(encoding="utf-8"), page).partition("\n")[2]
    return text.replace("](docs/contributing/", "](").replace("](docs/", "](../")


def _upcoming():
    """The changes since the last release, as towncrier will write them."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", f"{version}, not yet released"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.partition("\n## ")[2].partition("\n")[2]


def _read(app, docname, source):
    """What a page has in the site and not in the repository."""
    page = Path(app.env.doc2path(docname))
    text = source[0] if page.suffix == ".ipynb" else _links_that_leave(source[0], page)
    if docname == "reference/index":
        text = make_reference.with_links(text)
    elif docname == "contributing/index":
        text = text.replace("The site shows CONTRIBUTING.md here. Worked", f"{_guidelines()}\n## More\n\nWorked")
    elif docname == "changes":
        text = text.replace("[upcoming_changes](upcoming_changes)", "`upcoming_changes`")
        text += f"\n## Not yet released\n{_upcoming()}"
    source[0] = text


def setup(app):
    for name in ("sphinx.ext.intersphinx", "sphinx.ext.intersphinx._load"):
        logging.getLogger(f"sphinx.{name}").addFilter(_Note())
    # here, so that autosummary finds the lists when it starts
    make_reference.write_lists(DOCS / "reference/api")
    app.connect("source-read", _read)
