"""Blocks of good rows are read in one pass: the same as by the way that takes any block."""

import numpy as np
import pytest

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.t3pa import AdvacamSource, index, source
from rsciio_tpx3.t3pa.record_size import RECORDS

OLD, PADDED = 1, 2


def _rows(rng, n):
    """Hits with a clock of 28 bits that may start again, or of more bits, and rows that are none."""
    rows = np.zeros(n, RECORDS[0])
    times = 1000 + np.cumsum(rng.integers(0, rng.choice([3, 3000, 2_000_000]), n)) + rng.integers(-20, 20, n)
    rows["toa"] = np.abs(times) % (1 << rng.choice([28, 40]))
    rows["pixel"] = rng.integers(0, rng.choice([1 << 16, 1 << 18]), n)
    rows["tot"], rows["ftoa"] = rng.integers(1, 1024, n), rng.integers(0, 32, n)
    for i in rng.integers(0, n, rng.integers(0, 6)):
        name = rng.choice(rows.dtype.names)
        rows[name][i] = (int(rng.integers(1 << 63)) >> int(rng.integers(0, 63))) & int(np.iinfo(rows.dtype[name]).max)
    rows["overflow"][rng.integers(0, n, n // 50)] = rng.choice([0, 10])
    return rows


def _write(path, rows, kind):
    if kind == "text":
        columns = [rows[name].tolist() for name in ("pixel", "toa", "tot", "ftoa", "overflow")]
        lines = ("\t".join(map(str, row)) for row in zip(range(len(rows)), *columns))
        path.write_text("Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n" + "\n".join(lines) + "\n")
    else:
        out = np.zeros(len(rows), RECORDS[kind])
        for name in out.dtype.names:
            out[name] = rows[name]
        out.tofile(path)


def _found(path, **options):
    try:
        made = AdvacamSource(path, on_loss="warn", show_progressbar=False, **options)
    except (ValueError, Tpx3FormatError) as error:
        return str(error)
    hits = made.hits()
    columns = [getattr(hits, name) for name in ("pixel", "toa", "tot")]
    return [repr(made.index()), made._blocks.tolist(), *((c.dtype, c.tolist()) for c in columns)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, OLD, PADDED, "text"])
@pytest.mark.parametrize("options", [{}, {"layout": "quad"}, {"layout": "strip"}, {"toa_bits": 28}], ids=str)
def test_good_blocks_are_read_as_any_block(tmp_path, monkeypatch, kind, options):
    rng = np.random.default_rng(len(str(kind)) + len(options))
    path = tmp_path / ("list.t3pa" if kind == "text" else "list.t3p")
    monkeypatch.setattr("rsciio_tpx3.t3pa.records._BINARY_BLOCK", 200)
    monkeypatch.setattr("rsciio_tpx3.t3pa.records._TEXT_BLOCK", 6000)
    n_read = 0
    for _ in range(12):
        _write(path, _rows(rng, int(rng.integers(40, 900))), kind)
        fast = _found(path, **options)
        with monkeypatch.context() as careful:
            careful.setattr(index, "survey", lambda *_: None)
            careful.setattr(source, "plain_hits", lambda *_: None)
            assert fast == _found(path, **options)
        n_read += not isinstance(fast, str)
    assert n_read > 0 or options


def test_good_blocks_do_take_the_fast_way(tmp_path, monkeypatch):
    rows = _rows(np.random.default_rng(0), 500)
    rows["toa"], rows["pixel"], rows["overflow"] = np.arange(500) * 3, rows["pixel"] % (1 << 16), 0
    rows["tot"], rows["ftoa"] = rows["tot"] % 1024, rows["ftoa"] % 32
    rows["overflow"][[7, 70]] = 10  # a trigger now and then
    _write(tmp_path / "list.t3p", rows, 0)
    monkeypatch.setattr(index, "judged", None)
    monkeypatch.setattr(source, "judged", None)
    made = AdvacamSource(tmp_path / "list.t3p", show_progressbar=False)
    hit = rows["overflow"] == 0
    assert made.index().statistics["records"] == {"hits": 498, "data_gaps": 0, "service_rows": 2}
    found = made.hits()
    np.testing.assert_array_equal(found.pixel, rows["pixel"][hit])
    np.testing.assert_array_equal(found.toa, (rows["toa"].astype(np.int64) * 96 - rows["ftoa"] * 6)[hit])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_written_otherwise_read_the_same(tmp_path, end):
    """A row with spaces around, with two separators, or with zeros in front of a number is a row too."""
    rows = ["0\t5\t100\t20\t3\t0", "1\t6\t101\t21\t4\t0", "2\t7\t102\t22\t5\t0"]
    others = [f"  {rows[0]} ", rows[1].replace("\t", "\t\t"), rows[2].replace("\t7\t", f"\t{'0' * 30}7\t")]
    for name, lines in (("plain", rows), ("other", others)):
        text = end.join(["Index\tMatrix Index\tToA\tToT\tFToA\tOverflow", *lines, ""])
        (tmp_path / f"{name}.t3pa").write_bytes(text.encode())
    plain, other = (_found(tmp_path / f"{name}.t3pa", layout="single")[2:] for name in ("plain", "other"))
    assert plain == other and len(plain[0][1]) == 3
