import random
from itertools import islice

from shared.runtime.backoff import backoff


class NoChance(random.Random):
    def random(self):
        return 0.0


def test_it_doubles_up_to_the_cap_and_stays_there():
    assert list(islice(backoff(NoChance(), first_s=0.25, cap_s=1.5), 5)) == [0.25, 0.5, 1.0, 1.5, 1.5]


def test_jitter_takes_away_at_most_half():
    pauses = list(islice(backoff(random.Random(7), first_s=1.0, cap_s=1.0), 200))
    assert all(0.5 < pause <= 1.0 for pause in pauses)
    assert len(set(pauses)) > 100
