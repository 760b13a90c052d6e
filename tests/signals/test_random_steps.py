"""A short campaign of random steps on signals; `python -m tests.campaigns.signals` is the long one."""

import numpy as np
import pytest
from campaigns import signals as campaign

pytestmark = pytest.mark.slow  # a campaign


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [0, 100])
def test_random_steps_are_those_of_numpy(seed):
    counts, bad = campaign.campaign(9, seed, length=6)
    assert not bad, [(number, r.path, r.text) for number, r in bad]
    right = sum(n for (_, outcome), n in counts.items() if outcome == "right")
    assert right > 0.9 * sum(counts.values())


@pytest.mark.filterwarnings("ignore")
def test_the_campaign_notices_wrong_values_axes_and_classes(monkeypatch, tmp_path):
    """Each step is judged by what NumPy says, so a step that does something else is found."""

    def wrong_value(s, t, rng, folder):
        return s * 2, t

    def wrong_axis(s, t, rng, folder):
        s.axes_manager[0].offset += 1
        return s, t

    def dense(s, t, rng, folder):
        return s.to_dense().as_lazy(), t

    rng = np.random.default_rng(1)
    for step, text in ((wrong_value, "values|type"), (wrong_axis, "offset"), (dense, "dense, where zeros stay")):
        monkeypatch.setitem(campaign.STEPS, "broken", step)
        signal, truth = campaign.beginning(np.random.default_rng(4))
        made, _, report = campaign._taken("broken", signal, truth, rng, tmp_path)
        assert made is None and report.outcome != "right"
        assert any(word in report.text for word in text.split("|")), report.text
