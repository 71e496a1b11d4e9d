"""When a run is saved, and when its session is over: by the clock, because a session ends by the clock."""

from __future__ import annotations

from time import monotonic


class Clock:
    """save_minutes: between saves. session_minutes: after which the session is over; 0 for no limit."""

    def __init__(self, save_minutes: float, session_minutes: float):
        self.save_seconds, self.session_seconds = save_minutes * 60, session_minutes * 60
        self.started = self.last_save = self.asked = monotonic()
        self.longest_save = 0.0

    def until_save(self) -> float:
        """Seconds to the next save; 0 or less when it is due."""
        return self.last_save + self.save_seconds - monotonic()

    def saved(self, started: float) -> None:
        """A save that was begun at `started` (of `monotonic`) has just ended."""
        self.last_save = monotonic()
        self.longest_save = max(self.longest_save, self.last_save - started)

    def session_over(self, seconds_to_copy: float = 0.0) -> bool:
        """Whether the run must stop now to be saved within its session; asked at every tick.

        As long as since it was asked last is kept for the next tick; twice as long as the longest save so far, and once
        as long as the last copy to the run's folder, for the last save.
        """
        tick, self.asked = monotonic() - self.asked, monotonic()
        needed = tick + 2 * self.longest_save + seconds_to_copy
        return self.session_seconds > 0 and self.asked - self.started + needed >= self.session_seconds
