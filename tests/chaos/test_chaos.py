"""A small part of what ``python -m tests.chaos`` tries: no file lies under its final name, whatever happened to it."""

import os

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="children are forked, killed and limited"),
]

if os.name == "posix":
    import chaos_scenarios as scenarios
    from chaos_readers import READERS
    from chaos_writers import WRITERS

    # `s.save` ends in the writers that are here already: one of them shows the way to it
    names = [writer.name for writer in WRITERS if not writer.name.startswith("save as")]
    everything = pytest.mark.parametrize("name", names)
    formats = pytest.mark.parametrize("name", list(READERS))
else:
    names = []
    everything = formats = pytest.mark.parametrize("name", [])


@pytest.mark.parametrize("name", [*names, "save as nxevent"])
def test_a_writer_killed_at_any_rename_or_removal_leaves_the_old_or_the_new(name):
    every = 2 if name.startswith("convert") else 1
    table = scenarios.kills(scenarios.by_name(name), whats=("kill before",), olds=(True,), every=every)
    assert not table.wrong
    assert table.runs


@pytest.mark.parametrize("name", ["raw_csr", "nxevent", "stempy"])
def test_of_two_writers_of_one_name_one_wins_whole(name):
    assert not scenarios.two_writers(scenarios.by_name(name), rounds=2).wrong


@everything
def test_a_full_disk_gives_an_error_and_no_file(name):
    assert not scenarios.full_disk(scenarios.by_name(name), sizes=(4096, 1 << 20)).wrong


@everything
def test_a_read_only_folder_gives_an_error_and_a_cache_there_is_none(name):
    assert not scenarios.read_only_folder(scenarios.by_name(name)).wrong


@pytest.mark.parametrize("ending", ["hspy", "zspy"])
def test_a_killed_save_in_a_format_of_hyperspy_leaves_nothing_that_opens(ending):
    table = scenarios.host_formats(ending, moments=(1,))
    assert not table.wrong
    assert table.found == {"does not open": 1}


@formats
def test_a_file_that_changes_under_a_lazy_signal_gives_its_own_counts_or_an_error(name):
    changes = ("cut", "removed", "grown", "replaced")
    assert not scenarios.changing_input(name, changes=changes, moments=(1,)).wrong
