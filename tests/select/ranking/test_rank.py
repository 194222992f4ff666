"""Rankings by any score, what is kept of them, and what they are called."""

import numpy as np
import pytest
from head2toe.select.options import SCORES, SelectOptions
from head2toe.select.ranking.rank import rank_features, rank_features_by_recipe
from head2toe.select.ranking.relevance import Score, feature_scores
from head2toe.select.ranking.selection import Selection
from head2toe.select.stage import TrainingSet, select_features
from head2toe.store.common.errors import BadRequest
from head2toe.store.format.layer_index import LayerIndex
from head2toe.store.reading.design_matrix import ArrayDesign

LAYERS = LayerIndex(("strong", "weak"), (9, 31))
FOLDS = np.arange(60) % 2


@pytest.fixture
def data(make_data):
    X, y = make_data(n=60, d=40, noise=0.7)
    return ArrayDesign(X, LAYERS), y


@pytest.fixture
def ranked(data, cpu):
    design, y = data
    path = {"ratios": (1.0, 0.5, 0.2), "standardize": "feature", "tol": 1e-2}

    def rank(**score):
        return rank_features(design, y, FOLDS, 3, **path, top=12, arrays=cpu, score=Score(**score))

    return rank


@pytest.mark.parametrize("name", SCORES)
def test_a_ranking_is_by_its_score_and_models_are_the_path_s(name, ranked, data, cpu):
    design, y = data
    selection, plain = ranked(name=name), ranked()
    masks = np.stack([FOLDS != 0, FOLDS != 1, FOLDS >= 0])
    score = Score(name, ratio=0.2, n_ratios=3)
    scores = feature_scores(score, design, y, masks, n_classes=3, arrays=cpu)
    if name in ("variance", "f_classif", "mutual_info", "random", "trees"):  # the same at every λ
        assert selection.ranked_ratios == (1.0,)
        assert np.array_equal(selection.rankings[-1], [score.rank(s, 12) for s in scores])
    elif name != "layer":  # two layers have little choice
        assert selection.ranked_ratios == (1.0, 0.5, 0.2)
    for one, other in zip(selection.models, plain.models, strict=True):
        assert all(np.array_equal(a.coef, b.coef) for a, b in zip(one, other, strict=True))


def test_an_offset_leaves_out_the_best(ranked):
    plain, rest = ranked(name="f_classif"), ranked(name="f_classif", offset=4)
    assert np.array_equal(rest.rankings[..., :8], plain.rankings[..., 4:])
    assert rest.rankings.shape == (3, 3, 12)
    with pytest.raises(BadRequest, match="leaves none of 40 features"):
        ranked(offset=40)


def test_layers_as_a_whole(ranked):
    assert (ranked(layer_share=1.0).rankings[1:, :, :9] < 9).all()


def test_scores_average_over_runs(ranked):
    one, two = ranked(name="random"), ranked(name="random", runs=2)
    assert not np.array_equal(one.rankings, two.rankings)
    assert Score("l21", runs=1).description() == Score("l21", runs=2).description()  # nothing there is left to chance


def test_the_paper_s_recipe_ranks_by_any_score(data, cpu):
    design, y = data
    settings = {"lambdas": (1e-3, 1e-5), "top": 12, "steps": 20, "seed": 0, "arrays": cpu}
    of_weights = rank_features_by_recipe(design, y, FOLDS, 3, **settings, score=Score("l1", "paper", runs=2))
    of_features = rank_features_by_recipe(design, y, FOLDS, 3, **settings, score=Score("variance", "paper"))
    assert of_weights.rankings.shape == of_features.rankings.shape == (2, 3, 12)
    assert of_features.ranked_ratios == (1e-3,)


def test_what_a_lambda_has_to_say_is_kept(ranked, tmp_path):
    selection = ranked()
    assert "no feature is left" in selection.certificates[0].note
    selection.save(tmp_path / "a.npz", {})
    assert Selection.load(tmp_path / "a.npz").certificates == selection.certificates


@pytest.fixture
def select(data, cpu, tmp_path):
    design, y = data

    def kept(recipe="exact", n_classes=3, **score):
        training = TrainingSet("toy", ["image"] * 60, y, FOLDS, n_classes)
        options = SelectOptions(output=tmp_path, **score)
        settings = {"recipe": recipe, "standardize": "feature", "seed": 0}
        return select_features(training, {1: design}, {1: ["key"]}, options, **settings, arrays=cpu)

    return kept


def test_a_kept_selection_is_named_by_its_score(select):
    first = select(score="variance")
    assert select(score="variance").recalled
    others = [{"score": "l1"}, {}, {"score": "variance", "score_offset": 1}, {"score_layer_share": 0.5}]
    assert len({select(**other).files[1] for other in others} | {first.files[1]}) == 5
    assert first.document()[0]["path"][0]["note"]


def test_a_class_more_is_another_selection(select):
    """A class that only test images have, say: models and the recipe's heads have an output for it."""
    select()
    more = select(n_classes=4)
    assert not more.recalled
    assert more.selections[1].models[-1][-1].coef.shape[1] == 4


def test_operations_are_those_of_the_heads_that_were_trained(select):
    once = select("paper").flops(60, 3)
    assert once > 0
    assert select("paper", score_runs=2).flops(60, 3) == 2 * once
    assert select("paper", score="variance").flops(60, 3) == 0
    assert select(score="variance").flops(60, 3) == select(score_runs=2).flops(60, 3) > 0


@pytest.mark.parametrize(
    "wrong", [{"score": "best"}, {"score_offset": -1}, {"score_runs": 0}, {"score_layer_share": 1.5}]
)
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(BadRequest):
        SelectOptions(**wrong)
