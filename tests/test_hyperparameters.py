"""What hyperparameters take, and what is refused."""

import pytest

from avfusion.errors import UserError
from avfusion.fusion.hyperparameters import Hyperparameter, Real, Switch, Whole, check_known, resolve

TABLE: dict[str, Hyperparameter] = {
    "alpha": Real(0.5, low=0.0, high=1.0, search=(0.1, 0.9)),
    "hidden": Whole(512, low=1, high=8192, search=(128, 256)),
    "output_relu": Switch(False),
}


def test_given_values_replace_defaults() -> None:
    assert resolve(TABLE, {}) == {"alpha": 0.5, "hidden": 512, "output_relu": False}
    given = {"alpha": "0.25", "hidden": "64", "output_relu": "True"}
    assert resolve(TABLE, given) == {"alpha": 0.25, "hidden": 64, "output_relu": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha=1.5", r"alpha=1.5: expected a number in \[0, 1\]; the default is 0.5"),
        ("alpha=-0.1", r"alpha=-0.1: expected a number in \[0, 1\]"),
        ("alpha=nan", r"alpha=nan: expected a number in \[0, 1\]"),
        ("alpha=half", r"alpha=half: expected a number in \[0, 1\]"),
        ("hidden=0", r"hidden=0: expected a whole number in \[1, 8192\]"),
        ("hidden=2.5", r"hidden=2.5: expected a whole number"),
        ("output_relu=1", "output_relu=1: expected true or false"),
    ],
)
def test_illegal_values(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(TABLE, dict([text.split("=")]))


def test_unknown_names_list_the_choices() -> None:
    check_known([TABLE], {"alpha": "0.5"})
    with pytest.raises(UserError, match="unknown hyperparameter 'alfa'; choose from: alpha, hidden, output_relu"):
        check_known([TABLE], {"alfa": "0.5"})
