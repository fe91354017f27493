"""Builds the world the settings ask for: which story each asset tells, on which schedule, and what to say of it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, takewhile

from services.simulator.calibration import ASSETS, CHAINLINK_LAG, RESOLUTION_DELAY_SHARE
from services.simulator.generator import GeneratedStory
from services.simulator.prices import Grid
from services.simulator.recorded import RecordedWindow
from services.simulator.recordings import M15, RecordingMissing, read_sample, read_set
from services.simulator.replay import RecordedStory
from services.simulator.story import Story, flat_frame
from services.simulator.ticks import Feeds
from services.simulator.timeline import Schedule, Timeline
from services.simulator.world import FeedTick, Ladder, SimWindow, World, WorldSettings

RECORDINGS_PREFIX = "recordings:"
SHORTEST_WINDOW_S = 4
# A reader draws prices on a one-second grid in reality; compressed, an average keeps at least 15 prices.
TICKS_MS = (1000, 500, 250, 200, 125, 100, 50)
LEAST_POINTS = 15
FRAME_MS = 50  # at most twenty books a second of real time
FLAT_EVERY_MS = 5_000
BASIS_POINT = 1e-4


class WorldImpossible(ValueError):
    """The settings describe no world; the message says what to change."""


def world_from(config: WorldSettings, start_ms: int) -> World:
    """Return the world of these settings, beginning now (``start_ms``).

    Raises WorldImpossible for settings that fit nothing and RecordingMissing when a recording is not there.
    """
    schedule = _schedule(config, start_ms)
    stories = _stories(config, schedule)
    return _ScheduledWorld(config, schedule, stories)


class _ScheduledWorld:
    """A world whose assets share one schedule; see World."""

    def __init__(self, config: WorldSettings, schedule: Schedule, stories: Mapping[str, Story]) -> None:
        self._config = config
        self._schedule = schedule
        self._stories = stories
        self._timelines: dict[str, Timeline] = {}
        self._feeds: dict[str, Feeds] = {}
        self._windows: list[SimWindow] = []
        self._places: dict[str, int] = {}
        for asset, story in stories.items():
            seed = f"{config.seed}:{asset}"
            timeline = Timeline(asset, story, schedule, grid=_grid(schedule, story.duration_s), seed=seed)
            self._timelines[asset] = timeline
            compression = _compression(schedule, story.duration_s)
            self._feeds[asset] = Feeds(timeline, compression=compression, seed=seed)

    def windows_until(self, at_ms: int) -> Sequence[SimWindow]:
        """Return every window listed at or before ``at_ms``, in order of opening."""
        while self._schedule.listed_ms(index := len(self._windows) // len(self._timelines)) <= at_ms:
            for timeline in self._timelines.values():
                window = timeline.window(index)
                self._places[window.slug] = index
                self._windows.append(window)
        return list(takewhile(lambda window: window.listed_at_ms <= at_ms, self._windows))

    def ladders(self, window: SimWindow) -> Iterator[Ladder]:
        """Yield the liquidity of a listed window in time order."""
        seed = f"{self._config.seed}:{window.slug}"
        for turn in count():
            at_ms = window.listed_at_ms + turn * FLAT_EVERY_MS
            if at_ms >= window.opens_at_ms:
                break
            yield Ladder(at_ms, *flat_frame(seed, turn))
        length_ms = window.closes_at_ms - window.opens_at_ms
        for frame in self._timelines[window.asset].frames(self._places[window.slug]):
            yield Ladder(window.opens_at_ms + int(frame.at_share * length_ms), frame.bids, frame.asks)

    def feed(self, asset: str, from_ms: int) -> Iterator[FeedTick]:
        """Yield all feeds of an asset from ``from_ms`` on."""
        return self._feeds[asset].ticks(from_ms)

    def banner(self) -> Sequence[str]:
        """Return what is recorded and what is derived, a line each."""
        schedule, config = self._schedule, self._config
        story = next(iter(self._stories.values()))
        compression = _compression(schedule, story.duration_s)
        lag_ms = (CHAINLINK_LAG.floor_s + CHAINLINK_LAG.excess_median_s) * 1000 / compression
        return [
            f"source {config.source}, seed {config.seed}, assets {', '.join(self._stories)}",
            (
                f"windows of {story.duration_s} s last {schedule.window_ms // 1000} s ({compression:g} times faster); "
                f"their average has {schedule.points} prices over {schedule.lookback_s} s, one every "
                f"{schedule.tick_ms} ms"
            ),
            *_origin(story),
            f"every feed comes late by its own seeded delay, as recorded and compressed (Chainlink: {lag_ms:.0f} ms)",
            *(
                f"{asset}: start price and movement are assumed, no recording has them"
                for asset in self._stories
                if not ASSETS[asset].measured
            ),
        ]


def _origin(story: Story) -> list[str]:
    if not isinstance(story, RecordedStory):
        return ["books, reference and Binance are generated, calibrated on the recordings"]
    reference = {
        "recorded": "the reference is the recorded Chainlink price, bent in the last look-back only",
        "binance": "the reference is the recorded Binance price, bent in the last look-back to the official winner",
        "implied": "the reference is derived: the price the book's mid and the time left imply under a seeded "
        "volatility, seen through an opinion of its own, bent in the last look-back to the recorded winner",
    }[story.reference_origin]
    return [
        (
            f"books are recorded: {story.count} whole windows, each followed by its mirror; where only the best level "
            "was recorded the levels behind it are seeded"
        ),
        reference,
        "Binance is recorded, plus a seeded basis"
        if story.binance_recorded
        else "Binance is derived: the reference plus a seeded basis, arriving sooner",
    ]


def _schedule(config: WorldSettings, start_ms: int) -> Schedule:
    if config.window_s < SHORTEST_WINDOW_S:
        raise WorldImpossible(f"a window needs at least {SHORTEST_WINDOW_S} s, not {config.window_s}")
    lookback_s = config.lookback_s or max(round(config.window_s / 15), 1)
    if lookback_s > config.window_s // 2:
        raise WorldImpossible(
            f"a look-back of {lookback_s} s does not fit into half a window of {config.window_s} s"
        )
    delay_s = config.resolution_delay_s
    if delay_s is None:
        delay_s = config.window_s * RESOLUTION_DELAY_SHARE
    # The first open is on a whole second: the slug says it.
    first_open_ms = -(-start_ms // 1000) * 1000 + config.first_open_in_s * 1000
    return Schedule(
        start_ms=start_ms,
        first_open_ms=first_open_ms,
        window_ms=config.window_s * 1000,
        tick_ms=next((tick for tick in TICKS_MS if lookback_s * 1000 >= tick * LEAST_POINTS), TICKS_MS[-1]),
        lookback_s=lookback_s,
        resolution_delay_ms=round(delay_s * 1000),
        ahead=max(config.windows_ahead, 1),
    )


def _stories(config: WorldSettings, schedule: Schedule) -> Mapping[str, Story]:
    if not config.assets:
        raise WorldImpossible("name at least one asset")
    unknown = [asset for asset in config.assets if asset not in ASSETS]
    if unknown:
        raise WorldImpossible(f"unknown assets {', '.join(unknown)}: choose from {', '.join(ASSETS)}")
    if config.source == "generator":
        return {asset: _generated(config, schedule, asset) for asset in config.assets}
    if tuple(config.assets) != ("btc",):
        raise WorldImpossible(
            "recordings hold btc only: set ASSETS to btc, or SOURCE=generator for other assets"
        )
    windows = _recorded(config, schedule)
    story = RecordedStory(
        windows,
        grid=_grid(schedule, windows[0].duration_s),
        volatility=ASSETS["btc"].volatility_bp * BASIS_POINT,
        seed=f"{config.seed}:btc",
    )
    return {"btc": story}


def _generated(config: WorldSettings, schedule: Schedule, asset: str) -> GeneratedStory:
    return GeneratedStory(
        duration_s=M15,
        grid=_grid(schedule, M15),
        volatility=ASSETS[asset].volatility_bp * BASIS_POINT,
        seed=f"{config.seed}:{asset}",
        least_gap_s=FRAME_MS / 1000 * _compression(schedule, M15),
    )


def _recorded(config: WorldSettings, schedule: Schedule) -> list[RecordedWindow]:
    def read(every_s: float) -> list[RecordedWindow]:
        if config.source == "sample":
            return read_sample(every_s=every_s)
        if config.source.startswith(RECORDINGS_PREFIX):
            return read_set(config.recordings, config.source.removeprefix(RECORDINGS_PREFIX), every_s=every_s)
        raise WorldImpossible(f"unknown source {config.source!r}: sample, generator or recordings:<set>")

    duration_s = M15 if config.source == "sample" or "15m" in config.source else M15 // 3
    windows = read(FRAME_MS / 1000 * _compression(schedule, duration_s))
    if not windows:
        raise RecordingMissing(f"{config.source} holds no whole window")
    return windows


def _grid(schedule: Schedule, duration_s: int) -> Grid:
    steps = schedule.window_ms // schedule.tick_ms
    return Grid(steps=steps, step_s=duration_s / steps, points=schedule.points)


def _compression(schedule: Schedule, duration_s: int) -> float:
    return duration_s * 1000 / schedule.window_ms
