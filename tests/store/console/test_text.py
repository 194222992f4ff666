"""Numbers as people write them."""

from head2toe.store.console.text import days, decimal, interval, percent, plus_minus, readable, table


def test_bytes_as_people_say_them() -> None:
    assert [readable(n) for n in (0, 999, 1000, 1.25e9, 3e12)] == ["0 bytes", "999 bytes", "1.0 kB", "1.2 GB", "3.0 TB"]


def test_shares_decimals_and_durations() -> None:
    assert (percent(0.125), percent(1.0), days(216_000)) == ("12.5 %", "100.0 %", "2.5 days")
    assert (decimal(0.12345), decimal(None)) == ("0.123", "–")


def test_what_is_unknown_is_a_dash_and_an_unknown_error_is_left_out() -> None:
    assert plus_minus(0.9, 0.0125) == "0.900 ± 0.013"
    assert (plus_minus(0.9, None), plus_minus(None, None)) == ("0.900", "–")
    assert (interval((0.1, 0.25)), interval(None)) == ("0.100 – 0.250", "–")


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("a", "b"), [("long", "1"), ("x", "1234")]) == "a        b\nlong     1\nx     1234"
