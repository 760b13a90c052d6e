"""A writer's own convention is not the format's: hit lists as other programs and devices write them, and damaged ones.

Each file is read as it was written, or refused with words; a part of its hits is never given without a loss.
"""

import logging

import numpy as np
import pytest
from advacam_files import HEADER, OLD_RECORD, RECORD, expected_ticks, hits, write_binary, write_text

from rsciio_tpx3.exceptions import ConflictError, FormatError, LossError, Tpx3FormatError
from rsciio_tpx3.hit_table import read_hits
from rsciio_tpx3.t3pa import AdvacamSource, file_reader

NAMES = ("Index", "Matrix Index", "ToA", "ToT", "FToA", "Overflow")
_FORMATS = [RECORD[name] for name in RECORD.names]
PADDED = np.dtype({"names": RECORD.names, "formats": _FORMATS, "offsets": [0, 8, 16, 17, 18], "itemsize": 24})
TABLE = [{"chip": c, "x": 256 * (c % 2), "y": 256 * (c // 2)} for c in range(4)]


def same(source, c):
    found = source.hits()
    assert np.array_equal(found.pixel, c["pixel"])
    assert np.array_equal(found.toa, expected_ticks(c))
    assert np.array_equal(found.tot, c["tot"])
    assert source.index().n_hits == len(c["toa"])


def rows_of(c):
    columns = [np.arange(len(c["toa"])), c["pixel"], c["written"], c["tot"], c["ftoa"], np.zeros(len(c["toa"]), int)]
    return np.stack(columns, axis=1)


def by_chip(n=4000, seed=5, chips=4):
    """Clusters of two hits, numbered chip by chip; (chip, y, x) of each and the columns."""
    rng = np.random.default_rng(seed)
    chip, y, x = rng.integers(0, chips, n // 2), rng.integers(0, 255, n // 2), rng.integers(0, 256, n // 2)
    chip, y, x = np.repeat(chip, 2), np.repeat(y, 2) + np.tile([0, 1], n // 2), np.repeat(x, 2)
    toa = np.repeat(np.arange(n // 2) * 100, 2)
    c = {"pixel": chip * 65536 + y * 256 + x, "toa": toa, "written": toa, "tot": np.full(n, 9)}
    c["ftoa"] = np.zeros(n, int)
    return chip, y, x, c


# -- columns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_columns_in_any_order_and_with_others_between_them(tmp_path, seed, caplog):
    rng = np.random.default_rng(seed)
    c = hits(80, seed)
    order = rng.permutation(6)
    parted = rng.choice(["\t", ";", ", ", "  "])
    names, rows = [NAMES[i] for i in order], rows_of(c)[:, order].astype(str)
    change = rng.choice([str, str.lower, str.upper])
    at = int(rng.integers(0, 6))
    names, rows = [*names[:at], "Energy [keV]", *names[at:]], np.insert(rows, at, "-1.5e3", axis=1)
    text = parted.join(change(n) for n in names) + "\n" + "".join(parted.join(row) + "\n" for row in rows)
    path = tmp_path / "A.T3PA"
    path.write_bytes(rng.choice([b"", b"\xef\xbb\xbf"]) + text.replace("\n", rng.choice(["\n", "\r\n"])).encode())
    same(AdvacamSource(path), c)
    assert "are not known and passed over" in caplog.text.replace("Columns", "columns")


def test_comments_marks_and_single_spaces_before_the_rows(tmp_path):
    c = hits(30)
    path = write_text(tmp_path / "a.t3pa", c, header="# written by hand\n#Index Matrix Index ToA ToT FToA Overflow\n")
    same(AdvacamSource(path), c)
    path.write_bytes(b"\xef\xbb\xbf" + write_text(tmp_path / "b.t3pa", c, header="").read_bytes())
    same(AdvacamSource(path), c)


@pytest.mark.parametrize(
    "content, words",
    [
        ("\ufeffIndex\tToA\n1\t2\n".encode("utf-16"), "UTF-16"),
        (b"Matrix Index\tToA\tToT\tFToA\n1\t2\t3\t4\n" + b"7" * 5000, "damaged|longer"),
        (b"Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\r0\t1\t2\t3\t4\t0\r" * 200, "CR alone"),
        (b"# t\n1\t2\t3\t4\n", "rows of 4 values"),
        (HEADER.encode() + b"0\t1,5\t2\t3\t4\t0\n", "rows of 7 values|integers"),
        (HEADER.encode() + b"0\t1\t" + b"9" * 4000 + b"\t3\t4\t0\n", "integers|not a hit list"),
        (HEADER.encode() + b"0\t-1\t2\t3\t4\t0\n", "integers"),
        (HEADER.encode() + b"0\t1\t2\t3\t4\t0\n" * 3 + b"\xff\xfe\n", "integers"),
        (b"Matrix Index\tToA\tToA\tToT\n1\t2\t3\t4\n", "rows of 4 values"),
    ],
)
def test_what_is_no_row_of_known_columns_is_refused_with_words(tmp_path, content, words):
    (tmp_path / "a.t3pa").write_bytes(content)
    with pytest.raises(FormatError, match=words):
        AdvacamSource(tmp_path / "a.t3pa")


def test_columns_in_an_order_that_no_name_tells_are_noticed_by_their_limits(tmp_path):
    rows = rows_of(hits(50, last=1 << 25))[:, [0, 2, 1, 4, 3, 5]]
    path = tmp_path / "a.t3pa"
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    for on_loss in ("raise", "warn"):
        with pytest.raises(Tpx3FormatError, match="another order"):
            AdvacamSource(path, on_loss=on_loss)


# -- chips -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True])
def test_chip_numbers_in_overflow_are_questioned_and_read_with_a_table(tmp_path, binary):
    chip, y, x, c = by_chip()
    path = tmp_path / ("a.t3p" if binary else "a.t3pa")
    if binary:
        out = np.zeros(len(chip), RECORD)
        out["pixel"], out["toa"], out["tot"], out["overflow"] = c["pixel"], c["toa"], c["tot"], chip
        out.tofile(path)
    else:
        rows = rows_of(c)
        rows[:, 5] = chip
        path.write_text(HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    with pytest.raises(ConflictError, match="number of the chip.*layout="):
        AdvacamSource(path)
    found = AdvacamSource(path, layout=TABLE).hits()
    assert np.array_equal(found.y, y + 256 * (chip // 2)) and np.array_equal(found.x, x + 256 * (chip % 2))
    table = np.concatenate([batch["x"] for batch in read_hits(path, layout=TABLE)])
    assert len(table) == len(chip)


def test_two_numberings_of_a_quad_are_distinguished_by_neighbouring_hits(tmp_path):
    chip, y, x, c = by_chip()
    path = write_text(tmp_path / "a.t3pa", c)
    with pytest.raises(ConflictError, match="differ by 256.*chip by chip"):
        AdvacamSource(path)
    assert np.array_equal(AdvacamSource(path, layout=TABLE).hits().x, x + 256 * (chip % 2))
    assert AdvacamSource(path, layout="quad").sig_shape == (512, 512)
    with pytest.raises(ConflictError, match="no place for chip 3"):
        AdvacamSource(path, layout=TABLE[:3])
    rows, columns = y + 256 * (chip // 2), x + 256 * (chip % 2)
    wide = {**c, "pixel": rows * 512 + columns}
    same(AdvacamSource(write_text(tmp_path / "b.t3pa", wide)), wide)
    low = {name: values[wide["pixel"] < 65536] for name, values in wide.items()}
    with pytest.raises(ConflictError, match="differ by 512.*layout='quad'"):
        AdvacamSource(write_text(tmp_path / "c.t3pa", low))


def test_a_quad_that_shows_no_neighbours_is_said_to_be_a_guess(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        AdvacamSource(write_text(tmp_path / "a.t3pa", hits(width=512)))
    assert "do not show whether pixels are numbered" in caplog.text


# -- records ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [RECORD, OLD_RECORD, PADDED])
@pytest.mark.parametrize("seed", range(5))
def test_records_of_every_size_and_number_cut_anywhere_are_never_others(tmp_path, dtype, seed):
    c = hits(60, seed, last=1 << (14 + 2 * seed))
    path = write_binary(tmp_path / "a.t3p", c, dtype)
    content = path.read_bytes()
    same(AdvacamSource(path), c)
    for size in (*range(2, len(content), 29), *range(2, 5 * dtype.itemsize, 3)):
        path.write_bytes(content[:size])
        whole, rest = divmod(size, dtype.itemsize)
        try:
            found = AdvacamSource(path, on_loss="warn")
        except FormatError:
            assert whole < 4  # too few to tell
            continue
        assert np.array_equal(found.hits().pixel, c["pixel"][:whole])
        assert found.index().losses.get("bytes_cut", 0) == rest
        if rest:
            with pytest.raises(FormatError, match="on_loss"):
                AdvacamSource(path)


def test_records_of_zeros_are_lost_and_a_file_of_them_is_refused(tmp_path):
    c = hits(200)
    path = write_binary(tmp_path / "a.t3p", c)
    content = bytearray(path.read_bytes())
    content[1600:2400] = bytes(800)
    path.write_bytes(content)
    with pytest.raises(FormatError, match="on_loss"):
        AdvacamSource(path)
    source = AdvacamSource(path, on_loss="warn")
    assert source.index().losses == {"rows_impossible": 50} and source.index().n_hits == 150
    path.write_bytes(bytes(4800))
    with pytest.raises(FormatError, match="records"):
        AdvacamSource(path)


# -- losses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_every_row_is_a_hit_known_service_or_lost(tmp_path, seed):
    rng = np.random.default_rng(seed)
    c = hits(400, seed)
    lines = ["\t".join(map(str, row)) for row in rows_of(c)]
    odd = rng.choice(400, 40, replace=False)
    kinds = {}
    for i in odd:
        kind = rng.choice(["damaged", "impossible", "unknown", "service", "time"])
        row = rows_of(c)[i].tolist()
        if kind == "damaged":
            lines[i] = lines[i][: rng.integers(1, 3)] + "x" + lines[i][3:]
        if kind == "impossible":
            row[rng.choice([3, 4])] = 5000
        if kind == "unknown":
            row[5] = int(rng.integers(2, 9))
        if kind == "service":
            row[1], row[5] = int(rng.choice([0x74, 0x75])), 1
        if kind == "time":
            if i < 3 or i > 396 or len({*range(i - 3, i + 4)} & {*odd.tolist()}) > 1:
                kind = None
            else:
                row[2] += 1 << 34
        if kind in ("impossible", "unknown", "service", "time"):
            lines[i] = "\t".join(map(str, row))
        kinds[int(i)] = kind
    path = tmp_path / "a.t3pa"
    path.write_text(HEADER + "\n".join(lines) + "\n")
    with pytest.raises((LossError, FormatError), match='on_loss="warn"'):
        AdvacamSource(path)
    source = AdvacamSource(path, on_loss="warn")
    left = np.array([kinds.get(i) is None for i in range(400)])
    same(source, {name: values[left] for name, values in c.items()})
    losses = dict(source.index().losses)
    losses.pop("data_gaps", None)
    named = {"damaged": "rows_damaged", "impossible": "rows_impossible", "unknown": "rows_unknown",
             "time": "rows_of_wrong_time"}  # fmt: skip
    counted = {key: sum(kind == word for kind in kinds.values()) for word, key in named.items()}
    assert losses == {key: n for key, n in counted.items() if n}


@pytest.mark.parametrize("columns", [3, 6])
def test_a_list_cut_at_any_byte_loses_no_digit_without_a_word(tmp_path, columns):
    c = hits(12, 3, last=1 << 28)
    path = write_text(tmp_path / "a.t3pa", c, columns=columns)
    content = path.read_bytes()
    for size in range(len(content) - 60, len(content)):
        path.write_bytes(content[:size])
        source = AdvacamSource(path, on_loss="warn")
        n = source.index().n_hits
        assert np.array_equal(source.hits().tot, c["tot"][:n]) and np.array_equal(source.hits().pixel, c["pixel"][:n])
        assert source.index().losses or n == content[:size].count(b"\n") - 1 or content[:size].endswith(b"\t0")


def test_losses_are_in_the_metadata_and_reported_again_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(tmp_path / "cache"))
    path = write_binary(tmp_path / "a.t3p", hits(300))
    path.write_bytes(path.read_bytes()[:-5])
    options = {"signal": "frames", "frame_time": "1 ms", "cache": True}
    for _ in range(2):
        [found] = file_reader(path, on_loss="warn", **options)
        assert found["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Losses"] == {"bytes_cut": 11}
        with pytest.raises(FormatError, match="on_loss"):
            file_reader(path, **options)


# -- measurements ----------------------------------------------------------------------------------


def numbered(path, *series):
    rows = [(i, 5 + k, toa, 9, 0, 0) for k, (i, toa) in enumerate(row for rows in series for row in rows)]
    path.write_text(HEADER + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


N = 1 << 24


@pytest.mark.parametrize(
    "series, n",
    [
        ([[(0, 1000)], [(0, 10)]], 2),
        ([[(0, 1000)], [(0, 2000), (1, 2001)]], 2),
        ([[(3, 1000), (4, 1001)], [(0, 10), (1, 20)]], 2),
        ([[(0, 5), (0, 4)], [(0, 3), (1, 4)]], 2),
        ([[(N - 2, 10), (N - 1, 11), (0, 12), (1, 13)]], 1),
        ([[(N - 9, 10), (N - 8, 11), (3, 12), (4, 13)]], 1),
        ([[(N - 2, 10), (N - 1, (1 << 28) - 5), (0, 2), (1, 13)]], 1),
        ([[(i, 10 * i) for i in range(2000)], [(i, 10 * i) for i in range(5)]], 2),
        ([[(1, 10), (0, 11), (2, 12), (4, 13), (3, 14)]], 1),  # sorted by time
        ([[(0, 10), (0, 11), (0, 9), (0, 12)]], 1),  # a column that is not used
        ([[(0, 10), (1, 11), (0, 12), (3, 13), (4, 14)]], 1),  # one damaged number
        ([[(0, 10), (1, 11), (N + 7, 12), (3, 13), (4, 14)]], 1),
    ],
)
def test_a_measurement_ends_where_numbers_and_times_say_so(tmp_path, series, n):
    path = numbered(tmp_path / "a.t3pa", *series)
    if n == 1:
        assert AdvacamSource(path).index().n_hits == len(series[0])
        return
    with pytest.raises(Tpx3FormatError, match=f"holds {n} measurements"):
        AdvacamSource(path)
    assert [AdvacamSource(path, measurement=i).index().n_hits for i in range(n)] == [len(rows) for rows in series]


def test_two_lists_without_numbers_that_were_joined_are_refused(tmp_path):
    c = hits(3000, last=1 << 29)
    both = {name: np.concatenate([values, values]) for name, values in c.items()}
    both["written"] = both["toa"] = np.concatenate([c["toa"] + (1 << 31), c["toa"]])
    path = write_binary(tmp_path / "a.t3p", both)
    with pytest.raises(FormatError, match="time goes back.*joined"):
        AdvacamSource(path)
    assert AdvacamSource(path, on_loss="warn").index().losses == {"clock_steps_back": 1}


def test_a_list_that_is_followed_takes_a_scan_delay(tmp_path):
    path = write_text(tmp_path / "a.t3pa", hits(2000))
    options = {"navigation_shape": (4, 3), "dwell_time": "100 us", "lazy": True}
    plain = file_reader(path, scan_delay="10 us", **options)[0]["data"].sum().compute()
    assert file_reader(path, scan_delay="10 us", follow=True, **options)[0]["data"].sum().compute() == plain
