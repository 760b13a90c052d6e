"""Hit lists of Advacam: text and records."""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from rsciio_tpx3.recording import open_recording
from tests.fuzz.case import Hits, Target, Verdict, missing_and_invented
from tests.fuzz.mutate import change_bytes, change_text, some

__all__ = ["T3p", "T3pa"]

_RECORD = np.dtype([("pixel", "<u4"), ("toa", "<u8"), ("overflow", "u1"), ("ftoa", "u1"), ("tot", "<u2")])
_N = 40


def _hits(width):
    rng = np.random.default_rng(width)
    out = np.zeros(_N, _RECORD)
    out["pixel"], out["toa"] = rng.integers(0, width * width, _N), np.sort(rng.integers(0, 9000, _N))
    out["tot"], out["ftoa"] = rng.integers(1, 1000, _N), rng.integers(0, 30, _N)
    return out


class _Lists(Target):
    """What both kinds share: which hits were found, and which a plain reader finds."""

    def read(self, folder):
        [path] = Path(folder).iterdir()
        source, *_ = open_recording(path, {"layout": path.stem, "on_loss": "warn", "show_progressbar": False})
        index = source.index()
        hits = source.hits()
        lost = sum(index.losses.values())
        return Hits(Counter(zip(hits.pixel.tolist(), hits.tot.tolist())), lost, dict(index.losses))

    def judge(self, found, files, seed):
        [content] = files.values()
        sure, possible = self.plain(content)
        missing, _ = missing_and_invented(found.keys, sure)
        _, invented = missing_and_invented(found.keys, possible)
        if invented:
            return Verdict("silent", f"{invented.total()} hits that nobody wrote, such as {next(iter(invented))}")
        if missing > found.lost:
            return Verdict("silent", f"{missing} hits are missing, losses {found.notes}")
        return Verdict("loss counted" if found.lost else "equal")

    def plain(self, content):
        """(pixel, ToT) of rows that are hits without a doubt, and of all that may be taken for hits."""
        raise NotImplementedError


_ROW = re.compile(rb"\d+\t\d+\t\d+\t\d+\t\d+\t\d+")


class T3pa(_Lists):
    """Lists as text, a row for each hit."""

    name = "t3pa"

    def seeds(self):
        out = {}
        for name, width in (("single", 256), ("quad", 512)):
            rows = "".join(
                f"{i}\t{h['pixel']}\t{h['toa']}\t{h['tot']}\t{h['ftoa']}\t0\n" for i, h in enumerate(_hits(width))
            )
            out[name] = ("Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n" + rows).encode()
        return [{f"{name}.t3pa": content} for name, content in out.items()]

    def mutate(self, rng, files):
        [(name, content)] = files.items()
        return {name: change_text(rng, content)}

    def plain(self, content):
        sure, possible = Counter(), Counter()
        for line in re.split(rb"[\r\n]+", content.removeprefix(b"\xef\xbb\xbf")):
            fields = re.split(rb"[\t ,;]+", line.strip(b" \t,;"))
            numbers = [int(f) if re.fullmatch(rb"\+?\d{1,18}", f) else None for f in fields]
            # where white space alone parts values, a comma or semicolon may stand in a column that is passed over
            spaced = [int(f) if re.fullmatch(rb"\+?\d{1,18}", f) else None for f in line.split()]
            for key in {tuple(n[1:4:2]) for n in (numbers, spaced) if len(n) >= 6}:
                possible[key] += None not in key
            plainly = _ROW.fullmatch(line) and None not in numbers
            if (
                plainly
                and numbers[1] < 65536
                and 0 < numbers[3] < 1024
                and numbers[2] < 2**28
                and numbers[4] < 32
                and numbers[5] == 0
            ):
                sure[numbers[1], numbers[3]] += 1
        return sure, possible


def _other_record(rng, content):
    """A record with one field at its end, dropped, repeated or moved."""
    out = np.frombuffer(content[: len(content) // 16 * 16], _RECORD).copy()
    if not len(out):
        return content
    i = int(rng.integers(len(out)))
    how = int(rng.integers(5))
    if how == 0:
        out = np.delete(out, i)
    elif how == 1:
        out = np.insert(out, int(rng.integers(len(out))), out[i])
    elif how == 2:
        j = int(rng.integers(len(out)))
        out[[i, j]] = out[[j, i]]
    else:
        field = some(rng, _RECORD.names)
        info = np.iinfo(_RECORD[field])
        out[field][i] = some(
            rng, (0, 1, info.max, info.max // 2 + 1, int(rng.integers(info.max, dtype=_RECORD[field].type)))
        )
    return out.tobytes() + content[len(content) // 16 * 16 :]


class T3p(_Lists):
    """Lists as records of 16 bytes."""

    name = "t3p"

    def seeds(self):
        return [{f"{name}.t3p": _hits(width).tobytes()} for name, width in (("single", 256), ("quad", 512))]

    def mutate(self, rng, files):
        [(name, content)] = files.items()
        return {name: some(rng, (_other_record, _other_record, change_bytes))(rng, content)}

    def plain(self, content):
        out = np.frombuffer(content[: len(content) // 16 * 16], _RECORD)
        good = (
            (out["pixel"] < 65536)
            & (out["tot"] < 1024)
            & (out["toa"] < 2**28)
            & (out["ftoa"] < 32)
            & (out["overflow"] == 0)
        )
        good &= out["tot"] > 0
        keys = [Counter(zip(h["pixel"].tolist(), h["tot"].tolist())) for h in (out[good], out)]
        return keys[0], keys[1]
