"""That the sanitizers' build would say it if something were wrong. Collected in that build only."""

import pytest


@pytest.mark.parametrize("role", ["CONSENSUS", "HTTP"])
def test_a_worker_that_has_lost_memory_is_told_of_when_it_stops(nodes, fake, role):
    n = nodes.node(program=fake).start(**{f"FAKE_{role}": "leaky"})
    assert n.stop() == 0
    (report,) = nodes.take_reports()
    assert "LeakSanitizer: detected memory leaks" in report and "Direct leak of 4711 byte(s)" in report
    assert "in lose_memory" in report


def test_nothing_is_told_of_one_that_has_not(nodes, fake):
    n = nodes.node(program=fake).start()
    assert n.stop() == 0
    assert nodes.take_reports() == []
