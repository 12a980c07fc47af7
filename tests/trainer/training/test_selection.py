"""Which epoch becomes the model."""

import pytest
import torch

from trainer.training.selection import Selection, macro_f1_within_sites


def chosen(scores: list[float], images: int) -> int:
    selection = Selection(images)
    for epoch, score in enumerate(scores):
        assert selection.takes(epoch, score) == (selection.epoch == epoch)
    assert selection.macro_f1 == scores[selection.epoch]
    return selection.epoch


def test_of_epochs_that_so_few_images_cannot_tell_apart_the_latest_is_taken() -> None:
    assert chosen([0.5, 0.91, 0.90, 0.88], images=250) == 3  # 1.96 standard errors: 0.035


def test_one_that_is_clearly_worse_than_the_best_is_not_taken() -> None:
    assert chosen([0.5, 0.91, 0.90, 0.87], images=250) == 2
    assert chosen([0.9, 0.60, 0.70], images=250) == 0


def test_many_images_tell_more_epochs_apart() -> None:
    assert chosen([0.91, 0.90], images=250) == 1
    assert chosen([0.91, 0.90], images=25_000) == 0


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_scores_without_spread_are_taken_while_they_stay(score: float) -> None:
    assert chosen([score, score], images=10) == 1


def test_a_resumed_run_goes_on_from_the_best_so_far() -> None:
    selection, resumed = Selection(250), Selection(250)
    selection.takes(1, 0.91)
    resumed.load_state_dict(selection.state_dict())
    assert (resumed.epoch, resumed.macro_f1) == (1, 0.91)
    assert not resumed.takes(2, 0.80)
    assert resumed.takes(3, 0.90)


def test_the_reason_names_the_best_epoch_where_another_is_taken() -> None:
    selection = Selection(1250)
    selection.takes(7, 0.842)
    assert selection.reason == "best validation macro F1, 0.842 (n = 1,250)"
    selection.takes(8, 0.8314)
    assert selection.reason == (
        "validation macro F1 0.831, the latest that n = 1,250 can't tell from the best, 0.842 in epoch 7"
    )
    selection.takes(9, 0.5)
    assert selection.reason.startswith("validation macro F1 0.831")


def test_the_score_is_the_mean_over_sites_of_the_macro_f1_of_their_classes() -> None:
    """Site 0 has classes 0 and 1, of which a quarter each is called the other; site 1 has class 2 alone."""
    two, one = [[3, 1, 0], [1, 3, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 5, 5]]
    assert macro_f1_within_sites(torch.tensor([two, one])) == pytest.approx(0.75)
    assert macro_f1_within_sites(torch.tensor([one])) == pytest.approx(2 / 3)  # no site has two classes


def test_telling_sites_apart_is_not_rewarded() -> None:
    """Of two sites with other shares of the classes, a network that only names each site's commoner class."""
    by_site = torch.tensor([[[90, 0], [10, 0]], [[0, 10], [0, 90]]])
    assert macro_f1_within_sites(by_site) == pytest.approx((2 * 90 / 190) / 2)
    assert macro_f1_within_sites(by_site.sum(dim=0, keepdim=True)) == pytest.approx(0.9)
