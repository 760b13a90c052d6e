"""Kind: one wrong number of a chunk decides over how many are lost."""

import numpy as np
import pytest

from rsciio_tpx3.tpx3.chunk_counts import N_FIELDS, lost_chunks, note_chunk, swapped_chunks


def _tables(numbers):
    table = np.zeros((1, N_FIELDS), np.int64)
    for number in numbers:
        note_chunk(table[0], number)
    return table


def _lost(numbers):
    return lost_chunks(_tables(numbers)).get(0, 0)


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ([], 0),
        ([7], 0),
        ([0, 1, 2, 3], 0),
        ([5, 6, 7, 26, 27, 28], 18),
        ([5, 6, 7, 26, 89, 192, 193], 18 + 62 + 102),
        ([10, 12, 14, 16, 18, 20], 4),  # a chunk missing after the very first cannot be seen
        ([0, 1, 2, 3, 325], 321),
        ([0, 1, 3], 1),
        ([0, 1, 3, 2, 4, 5], 0),
        ([0, 1, 4, 3, 2, 5, 6, 9, 10], 2),
        ([100, 101, 102, 105, 106, 0, 1, 2, 3, 6, 7], 4),  # two measurements: the counter begins anew
    ],
)
def test_numbers_that_leap_and_go_on_are_lost_chunks(numbers, lost):
    assert _lost(numbers) == lost


def test_any_single_flipped_bit_changes_no_loss():
    rng = np.random.default_rng(1)
    for numbers in (np.arange(12), 1000 + np.arange(15), 2**20 - 6 + np.arange(12)):
        for at in range(len(numbers)):
            for bit in range(48):
                wrong = numbers.copy()
                wrong[at] ^= 1 << bit
                # after the last one comes none to compare with: a short leap may be a loss
                at_end = at == len(numbers) - 1 and bit < 4
                assert _lost(wrong) <= (15 if at_end else 0), (numbers[0], at, bit)
    for _ in range(300):
        numbers = int(rng.integers(0, 5000)) + np.arange(60)
        lost = np.sort(rng.choice(np.arange(8, 48, 4), 2, replace=False))
        numbers[lost[0] :] += int(rng.integers(1, 400))
        numbers[lost[1] :] += int(rng.integers(1, 400))
        truth = int(numbers[-1] - numbers[0]) + 1 - len(numbers)
        assert _lost(numbers) == truth
        # with a loss, a wrong number leaves nothing to compare with: fewer may be reported, but not more
        at = int(rng.integers(len(numbers) - 1))
        numbers[at] ^= 1 << int(rng.integers(48))
        near = np.abs(at - lost).min() <= 2 or at < 2 or at == len(numbers) - 2
        assert _lost(numbers) <= truth if near else _lost(numbers) == truth, (at, lost)


def test_late_chunks_are_counted_and_not_missed():
    rng = np.random.default_rng(2)
    for _ in range(100):
        numbers = np.arange(40)
        for at in rng.choice(np.arange(3, 36, 3), 4, replace=False):
            numbers[[at, at + 1]] = numbers[[at + 1, at]]
        assert _lost(numbers) == 0
    assert swapped_chunks(_tables([0, 1, 2, 3, 2, 4, 5])) == {0: 1}
