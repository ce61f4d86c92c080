"""How fast a campaign goes, and what the chart shows of it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from newsletter.campaigns.reporting import MOST_POINTS, busy_part, by_second, next_report, reached, shown, up_to_now
from newsletter.campaigns.reporting_store import Point
from newsletter.campaigns.watching import Mark, Progress, rate_of, rates
from newsletter.web.console.curves import BOTTOM, LEFT, MOST, RIGHT, STEPS, TOP, curve, step_for, written
from newsletter.web.console.live import span

AT = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)


def marks(*settled: int, every: float = 1) -> list[Mark]:
    return [Mark(AT + timedelta(seconds=number * every), count) for number, count in enumerate(settled)]


def progress(found: list[Mark], *, planned: int = 1000, state: str = "sending") -> Progress:
    at, accepted = found[-1].at, found[-1].done
    return Progress(1, at, state, planned, 0, accepted, 0, 0, 0, 0, None, tuple(found))


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    found = marks(*range(0, 1000, 100), *[900] * 11)
    assert rate_of(found[:10], found[9].at) == 100
    assert rate_of(found, found[-1].at) == 0
    assert rate_of(found[:1], AT) == 0


def test_the_time_left_follows_from_the_rate_while_it_is_sent() -> None:
    found = marks(0, 100, 200)
    assert progress(found).left == timedelta(seconds=8)
    assert progress(found, state="paused").left is None
    assert progress(found, planned=200).left is None
    assert progress(marks(5, 5)).left is None


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 20)), max_size=80))
def test_rates_are_never_negative_nor_closer_than_asked(steps: list[tuple[int, float]]) -> None:
    times = accumulate((seconds for _, seconds in steps), initial=0.0)
    counts = accumulate((count for count, _ in steps), initial=0)
    found = [Mark(AT + timedelta(seconds=seconds), count) for seconds, count in zip(times, counts, strict=True)]
    drawn = rates(found, width=timedelta(seconds=3))
    assert all(rate >= 0 for _, rate in drawn)
    assert all(later - sooner >= timedelta(seconds=3) for (sooner, _), (later, _) in pairwise(drawn))
    assert rate_of(found, found[-1].at) >= 0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e7)), max_size=400))
def test_a_curve_stays_in_its_field(points: list[tuple[float, float]]) -> None:
    drawn = curve(sorted(points))
    numbers = [float(word) for word in drawn.line.removeprefix("M").split()]
    assert len(numbers) <= 2 * MOST
    assert all(LEFT - 0.1 <= x <= RIGHT + 0.1 for x in numbers[::2])
    assert all(TOP - 0.1 <= y <= BOTTOM + 0.1 for y in numbers[1::2])
    assert len(drawn.ticks) == STEPS + 1


@given(st.floats(0, 1e12))
def test_the_grid_holds_the_most_there_is_and_not_much_more(most: float) -> None:
    step = step_for(most)
    assert step * STEPS >= most * (1 - 1e-9)
    assert step == 1 or step * STEPS <= most * 3.4


def points(*settled: int) -> list[Point]:
    return [Point(AT + timedelta(seconds=10 * number), 0, count, 0, 0, 0, 0) for number, count in enumerate(settled)]


def test_the_heading_of_the_course_says_when_half_and_nearly_all_were_taken() -> None:
    course = points(0, 300, 600, 990, 1000)
    assert reached(course, 0.5) == timedelta(seconds=20)
    assert reached(course, 0.99, AT - timedelta(seconds=5)) == timedelta(seconds=35)
    assert reached(points(0, 0), 0.5) is None
    assert reached([], 0.5) is None


def test_a_course_ends_with_the_totals_of_the_moment_or_of_the_end() -> None:
    course, now = points(0, 300), progress(marks(0, 400, every=30))
    end = AT + timedelta(seconds=20)
    assert up_to_now(course, now)[-1] == Point(AT + timedelta(seconds=30), 0, 400, 0, 0, 0, 0)
    assert up_to_now(course, now, end)[-1] == Point(end, 0, 400, 0, 0, 0, 0)
    assert up_to_now(course, now, AT)[-1].taken_at == course[-1].taken_at, "time does not run backwards"
    assert up_to_now([], now) == [Point(now.at, 0, 400, 0, 0, 0, 0)]
    assert up_to_now(points(0, 400), now) == points(0, 400), "nothing new is no point"


def test_of_two_points_in_one_second_the_later_stands() -> None:
    course = [Point(AT + timedelta(milliseconds=each), 0, each, 0, 0, 0, 0) for each in (0, 400, 999, 1000)]
    assert [point.accepted for point in by_second(course)] == [999, 1000]


def test_what_is_tried_again_for_days_does_not_press_the_chart() -> None:
    course = [*points(0, 500, 995), Point(AT + timedelta(days=3), 0, 1000, 0, 0, 0, 0)]
    assert len(busy_part(course)) == 3
    assert busy_part([]) == []
    assert MOST_POINTS >= 2 * 100


def test_a_report_costs_a_fiftieth_of_the_time_and_is_final_once_all_is_written() -> None:
    assert next_report(None, 0.01, AT) == AT + timedelta(seconds=20)
    assert next_report(None, 4.0, AT) == AT + timedelta(seconds=200)
    assert next_report(AT, 1.0, AT + timedelta(seconds=5)) == AT + timedelta(minutes=1)
    assert next_report(AT, 1.0, AT + timedelta(minutes=1)) is None


def test_a_sum_under_five_is_not_shown_but_a_nought_is() -> None:
    assert [shown(count) for count in (0, 1, 4, 5)] == [0, None, None, 5]


def test_a_length_of_time_is_said_roughly() -> None:
    said = [span(timedelta(seconds=seconds)) for seconds in (-3, 0, 59, 60, 3599, 5400, 90000)]
    assert said == ["0 s", "0 s", "59 s", "1 min", "59 min", "1 h 30 min", "1 d 1 h"]


def test_what_stands_beside_the_grid_is_short() -> None:
    assert [written(value) for value in (0, 20, 2000, 20_000, 150_000, 1_500_000)] == [
        "0",
        "20",
        "2,000",
        "20k",
        "150k",
        "1.5M",
    ]
