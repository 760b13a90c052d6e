"""Whether all that a data set of an HDF5 file declares is stored, where it may be read from, and in proportion.

Parts that were never written, and sources of virtual data sets that are gone, read as the fill value, which is a good
pixel number. The library answers without a word; here that is checked first.

Source: HDF5 file format specification 3.0 (data layout, filter pipeline); h5py's low-level interface.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Any

import h5py

from rsciio_tpx3.exceptions import LimitError, LossError, Tpx3FormatError
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.hdf5.chunk_index import has_hidden_chunks
from rsciio_tpx3.utils.hdf5.files import OTHER_FILES, find, text
from rsciio_tpx3.utils.hdf5.references import check_references

__all__ = ["FREE_BYTES", "PROPORTION", "check_all_stored", "check_stored"]

FREE_BYTES = 1 << 26
"""Bytes that anything may take without being in proportion to its file."""

PROPORTION = 10
"""Bytes that anything above may take for each byte of its file; packed numbers take a third to a tenth."""


def check_stored(
    dataset: h5py.Dataset, allow_external: bool = False, file_size: int | None = None, _depth: int = 0
) -> list[FileStamp]:
    """Raise unless all that a data set declares is stored, where it may be read from, and in proportion to its file.

    Costs a look at the list of its chunks: 10 ms for 8000 of them.

    Parameters
    ----------
    dataset : h5py.Dataset
    allow_external : bool
        Whether it may lie in other files.
    file_size : int, optional
        Bytes; those of the data set's file by default.

    Returns
    -------
    list of FileStamp
        The other files that it lies in.

    Raises
    ------
    Tpx3FormatError
        If it lies in other files, and may not; or a part is packed in a way that its filters do not tell.
    LossError
        If parts were never written, or the file that holds them is absent: they would read as zeros.
    LimitError
        If what has to be unpacked at once is out of all proportion to the file, or its values are of an unknown kind.
    """
    name = f"{dataset.name} of {os.path.basename(dataset.file.filename)!r}"
    if dataset.shape is None:
        raise Tpx3FormatError(f"{name} is an empty data set (of the kind 'null'); expected a list of numbers.")
    if dataset.size == 0:
        return []
    check_references(dataset)
    if dataset.is_virtual:
        return _check_virtual(dataset, name, allow_external, _depth)
    if dataset.external:
        return _check_external(dataset, name, allow_external)
    if file_size is None:
        file_size = os.path.getsize(dataset.file.filename)
    if dataset.chunks is not None:
        _check_chunks(dataset, name, file_size)
    elif dataset.id.get_offset() is None and dataset.id.get_storage_size() < dataset.size * _item_bytes(dataset):
        raise LossError(f"{name} was never written: its {dataset.size} values would read as zeros. Copy it again.")
    elif dataset.size * _item_bytes(dataset) > file_size:
        raise LossError(f"{name} declares more bytes than the whole file has. The file is cut; copy it again.")
    return []


def check_all_stored(stamp: FileStamp, datasets: Iterable[h5py.Dataset], allow_external: bool) -> tuple[FileStamp, ...]:
    """Hold data sets against `check_stored`, and note all other files that they lie in.

    Parameters
    ----------
    stamp : FileStamp
        Of the file that was opened.
    datasets : iterable of h5py.Dataset
        Found in it; links may have led into other files.
    allow_external : bool

    Returns
    -------
    tuple of FileStamp
        Each file once, those behind links too: to be held against what is there whenever they are read.
    """
    found: dict[str, FileStamp] = {}
    for dataset in datasets:
        path = os.path.abspath(dataset.file.filename)
        linked = [] if path == stamp.path else [FileStamp.of(path)]
        found.update((other.path, other) for other in (*linked, *check_stored(dataset, allow_external)))
    return tuple(found.values())


def _item_bytes(dataset: h5py.Dataset) -> int:
    # in the file: a row of any length has 16 there, and the 8 of a pointer in memory
    return dataset.id.get_type().get_size()


def _check_chunks(dataset: h5py.Dataset, name: str, file_size: int) -> None:
    n_bytes = math.prod(dataset.chunks) * _item_bytes(dataset)
    if n_bytes > FREE_BYTES + PROPORTION * file_size:
        raise LimitError(
            f"{name} is packed in parts of {n_bytes} bytes, in a file of {file_size}: to read one number takes them "
            "all. Write it anew in smaller parts, such as by 'h5repack -l CHUNK=131072'."
        )
    expected = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks))
    count = masked = 0
    corners, ranges = set(), []
    sizes = dataset.id.get_create_plist().get_nfilters() > 0

    def look(chunk: Any) -> bool | None:
        nonlocal count, masked
        count += 1
        masked += bool(chunk.filter_mask)
        corners.add(chunk.chunk_offset)
        ranges.append((chunk.byte_offset, chunk.byte_offset + chunk.size))
        if chunk.byte_offset + chunk.size > file_size:
            raise LossError(f"{name} has a part beyond the end of the file, which is cut. Copy it again.")
        if not sizes and chunk.size != n_bytes:
            raise Tpx3FormatError(f"{name} has a part of {chunk.size} bytes instead of {n_bytes}. The file is damaged.")
        return True if count > expected else None

    if hasattr(h5py.h5d.DatasetID, "chunk_iter"):
        dataset.id.chunk_iter(look)
    else:  # h5py before 3.8
        for i in range(min(dataset.id.get_num_chunks(), expected + 1)):
            look(dataset.id.get_chunk_info(i))
    if count > expected:
        raise Tpx3FormatError(f"{name} has more than the {expected} parts that its shape needs. The file is damaged.")
    # the library passes over a part that belongs nowhere, and reads zeros in its place
    inside = sum(
        all(at % c == 0 and at < n for at, c, n in zip(corner, dataset.chunks, dataset.shape)) for corner in corners
    )
    if inside < count:
        raise Tpx3FormatError(
            f"{name} has {count - inside} parts too many in one place, or outside of its shape {dataset.shape}: "
            "what belongs there would read as zeros. The file is damaged; copy it again."
        )
    ranges.sort()
    if any(end > begin for (_, end), (begin, _) in zip(ranges, ranges[1:])):
        raise Tpx3FormatError(f"{name} has two parts in the same bytes of the file. It is damaged; copy it again.")
    if count < expected:
        raise LossError(
            f"{expected - count} of the {expected} parts of {name} were never written, or are lost: they would read "
            "as zeros. Copy the file again, or end the program that writes it."
        )
    if has_hidden_chunks(dataset):
        raise Tpx3FormatError(
            f"the index of the parts of {name} contradicts itself: some are not found by it, and would read as zeros. "
            "The file is damaged; copy it again."
        )
    if masked:
        # h5py and HDF5 leave out filters of single parts only where packing makes them longer, and only by a filter
        # that declares itself optional; a checksum is never omitted
        _check_masks(dataset, name)


def _check_masks(dataset: h5py.Dataset, name: str) -> None:
    """Refuse parts that lack a filter which is not optional, among them the checksum."""
    create = dataset.id.get_create_plist()
    required = 0
    for i in range(create.get_nfilters()):
        code, flags, *_ = create.get_filter(i)
        if code == h5py.h5z.FILTER_FLETCHER32 or not flags & h5py.h5z.FLAG_OPTIONAL:
            required |= 1 << i

    def look(chunk: Any) -> None:
        if chunk.filter_mask & required:
            raise Tpx3FormatError(f"{name} has a part without the checksum or packing of the others: it is damaged.")

    for i in range(dataset.id.get_num_chunks()):
        look(dataset.id.get_chunk_info(i))


def _check_external(dataset: h5py.Dataset, name: str, allow_external: bool) -> list[FileStamp]:
    files = list(dict.fromkeys(text(part[0]) for part in dataset.external))
    if not allow_external:
        raise Tpx3FormatError(f"{name} is in external storage: in the other file {files[0]!r}. {OTHER_FILES}")
    # as HDF5 has it, relative names begin at the folder of the process
    needed: dict = {}
    for part, offset, size in dataset.external:
        end = offset + min(size, dataset.size * dataset.dtype.itemsize)
        needed[text(part)] = max(needed.get(text(part), 0), end)
    for part, end in needed.items():
        if not os.path.isfile(part) or (len(needed) == 1 and os.path.getsize(part) < end):
            raise LossError(f"{name} is in external storage, but {part!r} is absent or cut: it would read as zeros.")
    return [FileStamp.of(part) for part in needed]


def _check_virtual(dataset: h5py.Dataset, name: str, allow_external: bool, depth: int) -> list[FileStamp]:
    if depth > 4:
        raise Tpx3FormatError(f"{name} is a virtual data set of virtual data sets without end.")
    covered, stamps = 0, []
    for source in dataset.virtual_sources():
        other = source.file_name
        if other != "." and not allow_external:
            raise Tpx3FormatError(f"{name} is a virtual data set with values in another file, {other!r}. {OTHER_FILES}")
        n = source.vspace.get_select_npoints()
        if n < 0 or n > dataset.size or "%" in other or "%" in source.dset_name:
            raise LossError(
                f"{name} is a virtual data set of sources without a fixed number ({other!r}): what is missing cannot "
                "be distinguished from zeros. Copy it into a plain data set first."
            )
        covered += n
        gone = f"{name} is a virtual data set, but its source {source.dset_name!r} in {other!r} is absent"
        if other == ".":
            part = find(dataset.file, source.dset_name, allow_external)
            stamps += _check_part(part, source, gone, allow_external, depth)
            continue
        path = _next_to(dataset.file.filename, other)
        if not os.path.isfile(path):
            raise LossError(f"{gone}: it would read as zeros. Copy that file too.")
        with h5py.File(path, "r") as file:
            part = find(file, source.dset_name, allow_external)
            stamps += [FileStamp.of(path), *_check_part(part, source, gone, allow_external, depth)]
    if covered < dataset.size:
        raise LossError(
            f"{name} is a virtual data set that has sources for {covered} of its {dataset.size} values: the rest would "
            "read as zeros."
        )
    return stamps


def _check_part(part: h5py.Dataset, source: Any, gone: Any, allow_external: bool, depth: int) -> list[FileStamp]:
    """One source of a virtual data set: that it is there, long enough, and stored."""
    if not isinstance(part, h5py.Dataset):
        raise LossError(f"{gone}: it would read as zeros.")
    selected = source.src_space
    if selected.get_select_type() != h5py.h5s.SEL_ALL and selected.get_select_npoints() > 0:
        low, high = selected.get_select_bounds()
        if len(high) != part.ndim or any(h >= n for h, n in zip(high, part.shape)):
            raise LossError(f"{gone} in part: it has {part.shape} values. The rest would read as zeros.")
    elif selected.get_select_type() == h5py.h5s.SEL_ALL and part.size < source.vspace.get_select_npoints():
        raise LossError(f"{gone} in part: it has {part.shape} values. The rest would read as zeros.")
    return check_stored(part, allow_external, _depth=depth + 1)


def _next_to(path: str, other: str) -> str:
    """Where HDF5 looks for the source of a virtual data set."""
    return other if os.path.isabs(other) else os.path.join(os.path.dirname(os.path.abspath(path)), other)
