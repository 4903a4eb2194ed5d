import pickle

import pytest

from crossent import errors

KINDS = [errors.DataError, errors.SettingError, errors.ShapeError, errors.ModelFileError, errors.ProcessError]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_a_value_error_that_survives_another_process(kind: type[errors.CrossentError]) -> None:
    error = kind("The rule.", "What was met.", "The fix.")
    assert isinstance(error, ValueError)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "The rule. What was met. The fix."
    assert (copy.rule, copy.met, copy.fix) == ("The rule.", "What was met.", "The fix.")
