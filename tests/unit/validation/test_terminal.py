"""What a job wrote, as it is seen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.validation.names import unseen_places
from app.validation.terminal import Run, Style, escaped, harmless, nearest, one_line, plain, printable, rendition, runs
from web.filters.texts import seen


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("10 %\r50 %\r100 %", "100 %"),
        ("100 %\r7 %", "7 % %"),
        ("100 %\r\x1b[K7 %", "7 %"),
        ("working |\b/\b-\bok", "working ok"),
        ("\b\babc", "abc"),
        ("a\r\nb", "a\nb"),
        ("a\nbc\rd", "a\ndc"),
        ("abc\x1b[2Dx", "axc"),
        ("a\x1b[3Cb", "a   b"),
        ("abc\x1b[2Gx", "axc"),
        ("abc\x1b[2K\rx", "x"),
        ("abcd\x1b[2D\x1b[1Kx", "  xd"),
        ("e\u0301x\b\by", "yx"),
        ("a\tb", "a\tb"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$q\x1b\\x", "x"),
        ("\x1b]0;it never ends", "]0;it never ends"),
        ("\x1b[?25lx\x1b[2J\x1b[H\x1b(B\x1b=\x1b7y", "xy"),
        ("\x9b31mx\x9b0m", "x"),
        ("\x1b[31", "[31"),
        ("x\x1b", "x"),
        ("\x1b[999999999Cx", None),
        ("\x00\x07\x0c\x7f", "⟨U+0000⟩⟨U+0007⟩⟨U+000C⟩⟨U+007F⟩"),
        ("\x85\ud800", "⟨U+0085⟩⟨U+D800⟩"),
        ("a\u202eb\u2069c\u061c", "a⟨U+202E⟩b⟨U+2069⟩c⟨U+061C⟩"),
        ("a\u2028b\u200bc\ufeff\u00ad", "a⟨U+2028⟩b⟨U+200B⟩c⟨U+FEFF⟩⟨U+00AD⟩"),
        ("👩‍💻 می‌خواهم", "👩‍💻 می‌خواهم"),
        ("", ""),
        ("plain", "plain"),
    ],
)
def test_a_line_has_its_last_state(written: str, shown: str | None) -> None:
    assert plain(written) == shown if shown is not None else len(plain(written)) <= 20_001


@pytest.mark.parametrize(
    ("parameters", "style"),
    [
        ("", Style()),
        ("0", Style()),
        ("1;4", Style(bold=True, underline=True)),
        ("31", Style(ink=1)),
        ("97;104", Style(ink=15, ground=12)),
        ("38;5;9", Style(ink=9)),
        ("38;5;196", Style(ink=9)),
        ("48;5;22", Style(ground=2)),
        ("38;5;244", Style(ink=8)),
        ("38;5;300", Style()),
        ("38;2;255;0;0;1", Style(ink=9, bold=True)),
        ("38:2::0:0:200", Style(ink=4)),
        ("38:2:0:0:200", Style(ink=4)),
        ("38:5:3", Style(ink=3)),
        ("58;2;1;2;3;3", Style(italic=True)),
        ("38;2", Style()),
        ("38", Style()),
        ("4:0", Style()),
        ("4:3", Style(underline=True)),
        ("7;9;2", Style(inverse=True, strike=True, dim=True)),
        ("99999999999999999999", Style()),
        ("1;22", Style()),
        ("31;39;41;49", Style()),
    ],
)
def test_renditions_become_styles(parameters: str, style: Style) -> None:
    assert rendition(Style(), parameters) == style


def test_a_colour_is_the_nearest_of_the_page() -> None:
    asked = [
        (255, 95, 95),
        (0, 95, 0),
        (128, 128, 128),
        (0, 0, 0),
        (255, 255, 255),
        (255, 165, 0),
        (0, 255, 255),
        (255, 0, 255),
        (10, 20, 250),
    ]
    assert [nearest(*one) for one in asked] == [9, 2, 8, 0, 15, 11, 14, 13, 12]


def test_colours_reset_and_marks_are_runs() -> None:
    assert runs("a\x1b[1;31mb\x1b[0mc\u202e") == [
        Run("a", Style()),
        Run("b", Style(ink=1, bold=True)),
        Run("c", Style()),
        Run("⟨U+202E⟩", Style(), "right-to-left override (U+202E)"),
    ]
    assert str(seen("\x1b[1;31m<b>\x1b[7mx\x1b[0m&\x1b[7my\x00")) == (
        '<span class="t-bold t-ink-1">&lt;b&gt;</span><span class="t-bold t-ground-1">x</span>&amp;<span class="t-inverse">y</span>'
        '<span class="unseen" title="NUL (U+0000)">⟨U+0000⟩</span>'
    )


control = st.sampled_from(
    [
        "\x1b[",
        "\x1b]",
        "\x9b",
        "m",
        "K",
        ";",
        "38",
        "5",
        "2",
        "\r",
        "\b",
        "\n",
        "\t",
        "\x07",
        "\u202e",
        "\u200d",
        "\ud800",
        "a",
        "é",
        "👩",
        "\x1b\\",
    ]
)


@given(st.lists(st.one_of(control, st.characters()), max_size=60).map("".join))
def test_nothing_that_is_not_seen_comes_through(text: str) -> None:
    shown = plain(text)
    assert plain(shown) == shown
    assert all(shown[place] in "\n\t" for place in unseen_places(shown))
    assert "".join(run.text for run in runs(text)) == shown
    str(seen(text)).encode()
    assert not set(printable(text)) & {*map(chr, range(9)), *map(chr, range(11, 32)), *map(chr, range(0x7F, 0xA0)), "\u202e", "\ud800"}
    assert harmless(harmless(text)) == harmless(text)
    assert one_line(text) == " ".join(shown.split())


@given(st.text())
def test_json_is_the_same_value_with_escapes(text: str) -> None:
    written = escaped(json.dumps({text: [text]}, indent=1, ensure_ascii=False))
    assert json.loads(written) == {text: [text]}
    assert all(written[place] in "\n" for place in unseen_places(written))


@pytest.mark.parametrize(
    "text", ["\x1b]" * 4_000, "\x1b[31m" * 1_600, "\u0301\u200c" * 4_000, "\b" * 8_000, "\r" * 8_000, "\x1b[19999Cx\r" * 600]
)
def test_a_hostile_line_costs_no_more_than_its_length(text: str) -> None:
    assert len(plain(text)) <= 80_000
