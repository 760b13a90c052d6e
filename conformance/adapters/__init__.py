"""Adapters: how the runner calls a reader.

A module with ``FORMATS``, the formats it takes ("tpx3", "t3pa", "t3p", "raw_csr", "csr_stream", "stempy", "nxevent"), a
function ``version()``, and any of the functions below. What is absent, or raises `conformance.cases.NotOffered`, is
"not offered", which is no fault.

========================================  =====================================================================
``hits(case)``                            dict of x, y, toa, tot (or None), and "unit" of toa (`score.UNITS`)
``edges(case)``                           dict of kind (the four bits), counter, ticks, each edge once
``rows(case)``                            (indptr, indices, values), or dense frames (positions, y, x)
``losses(case)``                          dict of the names in `conformance.cases.LOSSES`
``word(number, kind)``                    dict of any of the fields and values in ``vectors``; {} for none
``global_time(low, high)``                ticks of a pair of words
``pixel(layout, gap, orientation, ...)``  (column, row) of chip, x, y
========================================  =====================================================================
"""
