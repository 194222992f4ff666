"""A term of the objective that lacks a method is refused by name, before anything is computed."""

import numpy as np
import pytest
from head2toe.select.objective.datafits import Datafit, Multinomial, Quadratic
from head2toe.select.objective.group_penalty import GroupNorm
from head2toe.select.objective.penalties import L1, GroupL21, GroupL21Ridge, Penalty, Separable
from head2toe.select.objective.requirements import require_members
from head2toe.select.solver.path import path
from head2toe.store.common.errors import BadRequest


class Untouchable:
    """A design that must not be looked at."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} of the design was asked for")


class HalfAPenalty(Separable):
    """It has no prox, no dual and no local model."""

    def value(self, *_):
        return 0.0

    def norms(self, R, _):
        return R


class OnlyByName(Penalty):
    """It inherits all methods of the protocol, which have no body."""

    def value(self, *_):
        return 0.0


class NoCurvature(Multinomial):
    """The curvature is no method, and is asked for as well."""

    curvature = property(lambda _: (_ for _ in ()).throw(AttributeError("curvature")))


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"penalty": HalfAPenalty()}, r"^penalty HalfAPenalty lacks prox, dual, local: .*penalties\.Penalty says"),
        (
            {"penalty": OnlyByName()},
            "^penalty OnlyByName lacks prox, norms, pooled, dual, local, alive, cut, checked",
        ),
        ({"penalty": "l1"}, "^penalty str lacks value, prox"),
        ({"penalty": GroupL21}, "^the penalty is the class GroupL21 itself: hand in an instance"),
        ({"datafit": NoCurvature()}, r"^datafit NoCurvature lacks curvature: .*datafits\.Datafit says"),
        ({"datafit": HalfAPenalty()}, "^datafit HalfAPenalty lacks curvature, classes, targets"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_computed(term, message, cpu):
    with pytest.raises(BadRequest, match=message) as caught:
        next(path(Untouchable(), np.arange(4), np.ones((1, 4), bool), n_classes=4, ratios=(1.0,), arrays=cpu, **term))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("penalty", [GroupL21(), GroupL21Ridge(0.5), L1(), GroupNorm(np.arange(3))])
def test_penalties_of_the_house_have_all_methods(penalty):
    require_members(penalty, Penalty)


@pytest.mark.parametrize("datafit", [Multinomial(), Quadratic()])
def test_data_terms_of_the_house_have_all_members(datafit):
    require_members(datafit, Datafit)


def test_a_wrapper_that_hands_everything_on_has_all_methods():
    class Wrapped:
        """A penalty that counts, say."""

        def __getattr__(self, name):
            return getattr(GroupL21(), name)

    require_members(Wrapped(), Penalty)
