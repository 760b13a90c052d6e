"""The loops that find diffraction disks among electrons, compiled by Numba.

A pixel's score is the number of electrons in the disk around it: whole numbers, the same however they are added up.
Each electron raises a disk of pixels, column by column, at its upper and lowers it below its lower end; one sum down
the detector makes the map of it. Where most pixels are lit, sums of whole columns take less time.
"""

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = ["SECTORS", "dense_scores", "find_in_frames", "sparse_scores"]

_jit = njit(nogil=True, cache=True, error_model="numpy")

SECTORS = 12
"""Parts of the ring around a disk in which its background is counted."""

_ROUNDS = 30
_CLOSE = 1e-3  # pixels
_BLURRED = 1.5  # pixels: where the edge is looked for first
_BROAD_ROUNDS = 4
_NOT_ROUND = 0.1  # of the electrons that a brighter disk has in a place: a real one is not an ideal disk
_LEAST_BACKGROUND = 0.02  # of the disk: a lost electron must not rule the fit


@_jit
def sparse_scores(
    data: np.ndarray, pixels: np.ndarray, width: int, half: np.ndarray, rising: np.ndarray, scores: np.ndarray
) -> None:
    """Electrons in the disk around each pixel, by what each electron adds.

    Parameters
    ----------
    data, pixels : numpy.ndarray, shape (entries,)
        Counts, and ``y * width + x``.
    width : int
        Of the detector.
    half : numpy.ndarray of int64, shape (2 * reach + 1,)
        Half the height of the disk in each of its columns.
    rising : numpy.ndarray of int32, shape (height + 1, width + 2 * reach)
        To work in.
    scores : numpy.ndarray of int32, shape (height, width)
    """
    height, reach = scores.shape[0], half.size // 2
    rising[:] = 0
    for entry in range(pixels.size):
        y, x = pixels[entry] // width, pixels[entry] % width
        n = np.int32(data[entry])
        for column in range(half.size):
            rising[max(y - half[column], 0), x + column] += n
            rising[min(y + half[column] + 1, height), x + column] -= n
    scores[0] = rising[0, reach : reach + width]
    for y in range(1, height):
        for x in range(width):
            scores[y, x] = scores[y - 1, x] + rising[y, x + reach]


@_jit
def dense_scores(
    data: np.ndarray, pixels: np.ndarray, width: int, half: np.ndarray, sums: np.ndarray, scores: np.ndarray
) -> None:
    """The same as `sparse_scores`, by differences of sums down each column; `sums` is its `rising`."""
    height, reach = scores.shape[0], half.size // 2
    sums[:] = 0
    for entry in range(pixels.size):
        sums[pixels[entry] // width + 1, pixels[entry] % width + reach] += np.int32(data[entry])
    for y in range(1, height + 1):
        for x in range(reach, reach + width):
            sums[y, x] += sums[y - 1, x]
    for y in range(height):
        scores[y] = 0
        for column in range(half.size):
            below, above = sums[min(y + half[column] + 1, height)], sums[max(y - half[column], 0)]
            for x in range(width):
                scores[y, x] += below[x + column] - above[x + column]


@_jit
def _highest(scores: np.ndarray, least: int, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of at least this score that no neighbour exceeds, ``(n, 2)``, and their scores; the highest first."""
    height, width = scores.shape
    places, values = np.empty((64, 2), np.int64), np.empty(64, np.int64)
    n = 0
    for y in range(margin, height - margin):
        # Most lines have no score that is high enough, and their pixels need no look at neighbours.
        highest = np.int32(0)
        for x in range(width):
            highest = max(highest, scores[y, x])
        if highest < least:
            continue
        for x in range(margin, width - margin):
            value = scores[y, x]
            if value < least:
                continue
            # Equal neighbours are all taken: `_apart` makes one place of them.
            top = True
            for j in range(max(y - 1, 0), min(y + 2, height)):
                for i in range(max(x - 1, 0), min(x + 2, width)):
                    if scores[j, i] > value:
                        top = False
            if not top:
                continue
            if n == values.size:
                more_places, more_values = np.empty((2 * n, 2), np.int64), np.empty(2 * n, np.int64)
                more_places[:n], more_values[:n] = places, values
                places, values = more_places, more_values
            places[n, 0], places[n, 1], values[n] = y, x, value
            n += 1
    order = np.argsort(-values[:n], kind="mergesort")
    return places[:n][order], values[:n][order]


@_jit
def _apart(places: np.ndarray, values: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """The highest of pixels that are nearer to each other than a distance; the middle of equal ones."""
    merged = np.empty((values.size, 2))
    scores, number = np.empty(values.size, np.int64), np.empty(values.size, np.int64)
    first = np.empty((values.size, 2), np.int64)
    n = 0
    for i in range(values.size):
        # There are few candidates: each is compared with all before it.
        near = -1
        for j in range(n):
            dy, dx = places[i, 0] - first[j, 0], places[i, 1] - first[j, 1]
            if dy * dy + dx * dx < distance * distance:
                near = j
                break
        if near < 0:
            first[n] = places[i]
            merged[n, 0], merged[n, 1], scores[n], number[n] = places[i, 0], places[i, 1], values[i], 1
            n += 1
        # Pixels of the same score around one place: the mean of them is its middle.
        elif scores[near] == values[i]:
            merged[near, 0] += places[i, 0]
            merged[near, 1] += places[i, 1]
            number[near] += 1
    for j in range(n):
        merged[j] /= number[j]
    return merged[:n], scores[:n]


@_jit
def _background(
    y0: int, x0: int, ys: np.ndarray, xs: np.ndarray, n: np.ndarray, sectors: np.ndarray, shape: tuple[int, int]
) -> float:
    """Electrons per pixel in the ring around a place, in which single neighbours count for little.

    `sectors` has the part of the ring that each pixel of a square belongs to, and -1.
    """
    reach = sectors.shape[0] // 2
    counts, area = np.zeros(SECTORS), np.zeros(SECTORS)
    # Pixels of each sector that lie on the detector, then electrons in them.
    for dy in range(max(-reach, -y0), min(reach, shape[0] - 1 - y0) + 1):
        for dx in range(max(-reach, -x0), min(reach, shape[1] - 1 - x0) + 1):
            sector = sectors[dy + reach, dx + reach]
            if sector >= 0:
                area[sector] += 1
    for i in range(n.size):
        dy, dx = ys[i] - y0, xs[i] - x0
        if abs(dy) <= reach and abs(dx) <= reach:
            sector = sectors[dy + reach, dx + reach]
            if sector >= 0:
                counts[sector] += n[i]
    full, used = area.max(), 0
    for sector in range(SECTORS):  # those that the border leaves half of
        if area[sector] > 0.5 * full:
            counts[used] = counts[sector] * full / area[sector]
            used += 1
    if used == 0:
        return 0.0
    typical = np.median(counts[:used])
    # neighbouring disks raise a few sectors, noise raises none by so much
    ceiling, total = typical + 2 * np.sqrt(typical) + 1, 0.0
    for sector in range(used):
        total += min(counts[sector], ceiling)
    return total / (used * full)


@_jit
def _everywhere(values: np.ndarray, pixels: np.ndarray, shape: tuple[int, int], side: int) -> float:
    """Electrons per pixel of a dark part of a frame: the lower quartile of tiles of this side.

    A ring around one place that happens to have no electrons does not prove that there is no background.
    """
    rows, columns = shape[0] // side, shape[1] // side
    if rows * columns < 8:
        return 0.0
    tiles = np.zeros(rows * columns)
    for entry in range(pixels.size):
        row, column = pixels[entry] // shape[1] // side, pixels[entry] % shape[1] // side
        if row < rows and column < columns:
            tiles[row * columns + column] += values[entry]
    return np.sort(tiles)[tiles.size // 4] / (side * side)


@_jit
def _of_others(y: float, x: float, found: np.ndarray, radius: float) -> float:
    """Electrons of disks that were found before, brighter ones, in a disk here."""
    total = 0.0
    for i in range(len(found)):
        distance = np.sqrt((found[i, 0] - y) ** 2 + (found[i, 1] - x) ** 2) / radius
        if distance < 2:
            half = 0.5 * distance
            total += found[i, 2] * 2 / np.pi * (np.arccos(half) - half * np.sqrt(1 - half * half))
    return total


@_jit
def _edge_fit(
    place: np.ndarray,
    ys: np.ndarray,
    xs: np.ndarray,
    n: np.ndarray,
    radius: float,
    scale: float,
    brightness: float,
    background: float,
) -> tuple[float, float]:
    """Centre of the disk that makes these electrons most likely: steps along the slope over Fisher's information.

    The disk falls off as a logistic function of this scale, on a uniform background.
    """
    y, x = place[0], place[1]
    b = max(background / brightness, _LEAST_BACKGROUND)
    for turn in range(_ROUNDS):
        # A blurred edge at first: a sharp one has no slope where a start that is off by a pixel needs it.
        s = max(scale, _BLURRED) if turn < _BROAD_ROUNDS else scale
        up, right = 0.0, 0.0
        for i in range(n.size):
            dy, dx = ys[i] - y, xs[i] - x
            distance = np.sqrt(dy * dy + dx * dx)
            # Where the model is flat, an electron says nothing about the centre, which has no direction itself.
            if distance < radius - 7 * s or distance > radius + 12 * s or distance == 0.0:
                continue
            t = 1 / (1 + np.exp((distance - radius) / s))
            pull = n[i] * t * (1 - t) / (s * (t + b)) / distance
            up += pull * dy
            right += pull * dx
        # Fisher's information of the model, integrated over the plane: no sum over electrons, so it does not scatter.
        known = np.pi * radius * brightness / s * (0.5 + b - b * (1 + b) * np.log((1 + b) / b))
        step_y, step_x = up / known, right / known
        length = np.sqrt(step_y * step_y + step_x * step_x)
        # The slope holds nearby only: no step is longer than a pixel.
        if length > 1.0:
            step_y, step_x = step_y / length, step_x / length
        y, x = y + step_y, x + step_x
        if length < _CLOSE and turn >= _BROAD_ROUNDS:
            break
    return y, x


@_jit
def _mean_fit(
    place: np.ndarray, ys: np.ndarray, xs: np.ndarray, n: np.ndarray, radius: float, background: float
) -> tuple[float, float]:
    """Centre of a window, a pixel wider than the disk, that is the mean place of the electrons in it.

    A uniform background pulls to the centre of the window, which is the answer: it changes the way, not the end.
    """
    y, x = place[0], place[1]
    window = radius + 1.0
    for _ in range(_ROUNDS):
        total, up, right = 0.0, 0.0, 0.0
        for i in range(n.size):
            dy, dx = ys[i] - y, xs[i] - x
            # the window's edge is a pixel wide: whole pixels would jump in and out
            weight = n[i] * min(max(window + 0.5 - np.sqrt(dy * dy + dx * dx), 0.0), 1.0)
            total += weight
            up += weight * dy
            right += weight * dx
        total -= background * np.pi * window * window
        if total <= 0:
            break
        y, x = y + up / total, x + right / total
        if up * up + right * right < (_CLOSE * total) ** 2:
            break
    return y, x


@_jit
def find_in_frames(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    shape: tuple[int, int],
    half: np.ndarray,
    sectors: np.ndarray,
    radius: float,
    scale: float,
    least: int,
    significance: float,
    distance: float,
    way: int,
    dense_from: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Disks of some frames: ``(disks, 3)`` with y, x and electrons, and how many each frame has.

    Parameters
    ----------
    data, indices, indptr : numpy.ndarray
        Rows of CSR, pixels sorted.
    shape : (int, int)
        Of the detector.
    half, sectors
        See `sparse_scores` and `_background`.
    radius, scale : float
        Of the disk, and of its edge.
    least : int
        Electrons that a disk has at least.
    significance : float
        Excess over the background, in standard deviations of that, from which it is a disk.
    distance : float
        Between disks, at least.
    way : int
        Of refining: 0 for none, 1 by the edge, 2 by the mean.
    dense_from : int
        Entries of a frame from which `dense_scores` is used.
    """
    # Space that all frames share, and the area of the disk as it was rasterised.
    height, width = shape
    reach, wide = half.size // 2, sectors.shape[0] // 2
    work = np.empty((height + 1, width + 2 * reach), np.int32)
    scores = np.empty((height, width), np.int32)
    n_pixels = 0
    for column in range(half.size):
        n_pixels += 2 * half[column] + 1
    margin = int(np.ceil(radius - 0.5))
    found, counts, n_found = np.empty((256, 3)), np.zeros(indptr.size - 1, np.int64), 0
    starts = np.empty(height + 1, np.int64)
    for row in range(indptr.size - 1):
        first, last = indptr[row], indptr[row + 1]
        values, pixels = data[first:last], indices[first:last]
        total = 0
        for entry in range(values.size):
            total += np.int64(values[entry])
        # A frame with fewer electrons than a disk cannot have one.
        if total < least:
            continue
        # Score of every pixel, in the way that takes less time; both give the same integers.
        if pixels.size < dense_from:
            sparse_scores(values, pixels, width, half, work, scores)
        else:
            dense_scores(values, pixels, width, half, work, scores)
        # Candidates: the highest scores that are far enough apart, brightest first.
        places, tops = _highest(scores, least, margin)
        if tops.size == 0:
            continue
        middles, tops = _apart(places, tops, distance)
        level = _everywhere(values, pixels, shape, 4 * reach)
        # First entry of each line of the detector: the surroundings of a place are then a few slices of the frame.
        line = 0
        for entry in range(pixels.size):
            while line <= pixels[entry] // width:
                starts[line] = entry
                line += 1
        while line <= height:
            starts[line] = pixels.size
            line += 1
        for i in range(tops.size):
            # Entries around this candidate.
            y0, x0 = int(round(middles[i, 0])), int(round(middles[i, 1]))
            low, high = starts[max(y0 - wide, 0)], starts[min(y0 + wide + 1, height)]
            ys, xs, n = np.empty(high - low, np.int64), np.empty(high - low, np.int64), np.empty(high - low)
            near = 0
            for entry in range(low, high):
                x = pixels[entry] % width
                if abs(x - x0) <= wide:
                    ys[near], xs[near], n[near] = pixels[entry] // width, x, values[entry]
                    near += 1
            ys, xs, n = ys[:near], xs[:near], n[:near]
            # Its electrons above what the background and brighter disks would give: is that more than their noise?
            background = max(_background(y0, x0, ys, xs, n, sectors, shape), level)
            expected = background * n_pixels
            # the shoulder of a brighter disk is not its own
            others = _of_others(middles[i, 0], middles[i, 1], found[n_found - counts[row] : n_found], radius)
            expected += others
            excess = tops[i] - expected
            if excess < significance * np.sqrt(expected + 1 + (_NOT_ROUND * others) ** 2):
                continue
            # Centre to a fraction of a pixel.
            y, x = middles[i, 0], middles[i, 1]
            if way == 1:
                y, x = _edge_fit(middles[i], ys, xs, n, radius, scale, excess / n_pixels, background)
            elif way == 2:
                y, x = _mean_fit(middles[i], ys, xs, n, radius, background)
            # a fit that ran away has found something else
            if (y - middles[i, 0]) ** 2 + (x - middles[i, 1]) ** 2 > 0.25 * radius * radius:
                y, x = middles[i, 0], middles[i, 1]
            # How many disks there are is known at the end only: the table is doubled as needed.
            if n_found == len(found):
                more = np.empty((2 * n_found, 3))
                more[:n_found] = found
                found = more
            found[n_found, 0], found[n_found, 1], found[n_found, 2] = y, x, excess
            n_found += 1
            counts[row] += 1
    return found[:n_found], counts
