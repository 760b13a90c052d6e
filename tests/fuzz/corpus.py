"""Every file that once failed, so that it never fails again: a folder for each, read by every test run.

``corpus/<target>/<digest>/`` holds the files as they were read; ``seed-<name>`` next to them is the file before the
damage, where the oracle needs it.
"""

import hashlib
from pathlib import Path

__all__ = ["cases", "keep"]

_FOLDER = Path(__file__).parent / "corpus"
_SEED = "seed-"


def keep(name, files, seed):
    """Add the files of a run to the corpus; their folder."""
    digest = hashlib.blake2b(repr(sorted(files.items())).encode(), digest_size=6).hexdigest()
    folder = _FOLDER / name / digest
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, group in (("", files), (_SEED, seed)):
        for file, content in group.items():
            if not prefix or files.get(file) != content:
                (folder / f"{prefix}{file}").write_bytes(content)
    return folder


def cases():
    """All of them: name of the target, digest, files, seed."""
    for folder in sorted(_FOLDER.glob("*/*")):
        found = {p.name: p.read_bytes() for p in sorted(folder.iterdir())}
        files = {n: c for n, c in found.items() if not n.startswith(_SEED)}
        seed = {**files, **{n[len(_SEED) :]: c for n, c in found.items() if n.startswith(_SEED)}}
        yield folder.parent.name, folder.name, files, seed
