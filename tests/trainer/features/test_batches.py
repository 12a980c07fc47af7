"""Batches: order, sharding and resumption."""

from itertools import islice

import numpy as np
import pytest
import torch

from trainer.features.batches import PlainBatches, Targets, TrainBatches, even_weights, from_cache

CPU = torch.device("cpu")


def data(n: int = 50, views: int = 2) -> tuple[np.ndarray, np.ndarray]:
    features = np.arange(n, dtype=np.float16)[None, :, None] + 100 * np.arange(views, dtype=np.float16)[:, None, None]
    return features, np.arange(n, dtype=np.int64)


def epoch(batches: TrainBatches, number: int) -> list[tuple[list[float], list[int]]]:
    batches.first_epoch = number
    return [(x[:, 0].tolist(), y.tolist()) for x, y, _, _ in islice(iter(batches), len(batches))]


def test_an_epoch_shows_each_image_at_most_once_with_its_label_and_view() -> None:
    features, labels = data(views=3)
    batches = TrainBatches(from_cache(features, CPU), Targets(labels), batch_size=8, seed=1)
    assert len(batches) == 6
    for number in range(1, 7):
        rows = epoch(batches, number)
        seen = [label for _, part in rows for label in part]
        assert len(seen) == len(set(seen)) == 48
        for xs, ys in rows:
            for x, y in zip(xs, ys, strict=True):
                assert x == y + 100 * [0, 1, 0, 2][(number - y % 2) % 4], (number, y)


def test_a_later_start_sees_the_batches_of_the_unbroken_run() -> None:
    features, labels = data()
    stream = TrainBatches(from_cache(features, CPU), Targets(labels), 8, 1)
    unbroken = [y.tolist() for _, y, _, _ in islice(iter(stream), 3 * len(stream))]
    assert [y for _, y in epoch(TrainBatches(from_cache(features, CPU), Targets(labels), 8, 1), 3)] == unbroken[12:]
    assert unbroken[:6] != unbroken[6:12]


def test_processes_share_an_epoch_without_overlap() -> None:
    features, labels = data()
    shares = [epoch(TrainBatches(from_cache(features, CPU), Targets(labels), 8, 1, rank, 2), 1) for rank in (0, 1)]
    assert len(shares[0]) == len(shares[1]) == 3
    seen = [label for share in shares for _, part in share for label in part]
    assert len(seen) == len(set(seen)) == 48


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    features, labels = data(5)
    assert len(TrainBatches(from_cache(features, CPU), Targets(labels), 32, 1)) == 1


def test_plain_batches_hold_everything_once_over_all_processes() -> None:
    features, labels = data(131, views=1)
    for world in (1, 2, 3):
        seen = [
            y
            for rank in range(world)
            for _, part, _ in PlainBatches(from_cache(features, CPU), Targets(labels), rank, world)
            for y in part.tolist()
        ]
        assert seen == list(range(131))


def test_groups_weigh_the_same_whatever_their_size() -> None:
    features, labels = data(400)
    weights = even_weights(["rare"] * 20 + ["common"] * 380)
    assert weights[:20].sum() == pytest.approx(weights[20:].sum())
    assert weights.mean() == pytest.approx(1)
    batches = TrainBatches(from_cache(features, CPU), Targets(labels, weights), 40, 1)
    for _, y, batch, _ in islice(iter(batches), 5):
        np.testing.assert_array_equal(batch.numpy(), weights[y.numpy()])
