import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossent.cli.named_values import join_named_values, parse_shares
from crossent.errors import SettingError

# Any text but the byte that no command line can hold, and halves of characters.
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
SIMPLE = st.text(string.ascii_letters + string.digits + "_- ", min_size=1, max_size=8)
WEIGHTS = st.floats(0.001, 1000).map(repr)


def values(arguments: list[str], flag: str) -> dict[str, str]:
    (joined,) = [argument for argument in arguments if argument.startswith(flag)]
    return {name: str(value) for name, value in json.loads(joined.removeprefix(f"{flag}=")).items()}


@given(st.dictionaries(NAMES.filter(lambda name: not name.lstrip().startswith("{")), WEIGHTS, min_size=1, max_size=4))
def test_every_name_can_be_given_a_value(weights: dict[str, str]) -> None:
    apart = [part for name, weight in weights.items() for part in ("--class-weight", f"{name}={weight}")]
    joined = [f"--class-weight={name}={weight}" for name, weight in weights.items()]
    dotted = [f"--class-weight.{name}={weight}" for name, weight in weights.items()]
    for arguments in (apart, joined, dotted):
        assert values(join_named_values(["train", *arguments, "--seed", "3"]), "--class-weight") == weights


@given(st.dictionaries(NAMES, WEIGHTS, max_size=4))
def test_json_can_name_anything(weights: dict[str, str]) -> None:
    for arguments in (["--class-weight", json.dumps(weights)], [f"--class-weight={json.dumps(weights)}"]):
        assert values(join_named_values(arguments), "--class-weight") == weights
    if weights:
        assert parse_shares(json.dumps(weights)) == weights


@given(st.dictionaries(SIMPLE, WEIGHTS, min_size=1, max_size=4))
def test_shares_of_simple_labels(shares: dict[str, str]) -> None:
    assert parse_shares(",".join(f"{name}={share}" for name, share in shares.items())) == shares


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("red, or so=0.5,x=1=0.5", {"red, or so": "0.5", "x=1": "0.5"}),
        ("a=.5, b=5e-1", {"a": ".5", " b": "5e-1"}),
        ("v1.5=0.2,v2, beta=0.8", {"v1.5": "0.2", "v2, beta": "0.8"}),
        ("a,b", {"": "a,b"}),
        ("a=half", {"a": "half"}),
    ],
)
def test_a_comma_belongs_to_a_label_unless_a_number_stands_before_it(text: str, shares: dict[str, str]) -> None:
    assert parse_shares(text) == shares


def test_spellings_may_be_mixed_and_other_arguments_stay_as_they_are() -> None:
    given = ["train", "--kind.a", "text", "--class_weight.x=2", "--kind", "b=1=date", "--kindly=3", "--name", "kind"]
    left = ["train", "--kindly=3", "--name", "kind"]
    assert join_named_values([*given, "--", "--kind", "c"]) == [
        *left,
        '--kind={"a": "text", "b=1": "date"}',
        '--class-weight={"x": "2"}',
        "--",
        "--kind",
        "c",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "colour"], r"'colour' has no value\. Write --kind zip=category"),
        (["--kind"], r"Both are missing.."),
        (["--kind.colour"], "'colour=' has no value"),
        (["--class-weight=rare="], "'rare=' has no value"),
        (["--class-weight={rare: 5}"], "has no value"),
        (["--kind", "a=text", "--kind.a=date"], "'a' has two"),
        (["--kind", '{"a": "text", "a": "date"}'], "'a' has two"),
    ],
)
def test_a_name_without_a_value_or_with_two_is_one_clear_error(arguments: list[str], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        join_named_values(arguments)


def test_a_label_with_two_shares_is_one_clear_error() -> None:
    with pytest.raises(SettingError, match="'a' has two"):
        parse_shares("a=0.5,a=0.5")
