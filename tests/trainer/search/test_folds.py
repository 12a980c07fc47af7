"""Folds: a group on one side, a site left out, and never an image of the test split."""

from trainer.data.manifest import Record, Split
from trainer.search.folds import fresh_splits, left_out_fold, own_splits, validation_fold

SITES = ("a", "b", "c")


def _records() -> list[Record]:
    """30 patients of two images for each class of each site; the third site has one class."""
    rows: list[Record] = []
    for site in SITES:
        for label in ("NORMAL", "TUBERCULOSIS") if site != "c" else ("TUBERCULOSIS",):
            for patient in range(30):
                split: Split = "test" if patient < 3 else "val" if patient < 6 else "train"
                for image in range(2):
                    name = f"{site}-{label}-{patient}"
                    rows.append(
                        Record(
                            path=f"raw/{label}/{name}-{image}.png", label=label, split=split, site=site,
                            patient=name, sha256=f"{len(rows):064x}", group=name,
                        )
                    )  # fmt: skip
    return rows


def _pool() -> list[Record]:
    return [record for record in _records() if record.split != "test"]


def test_a_validation_fold_is_the_data_folders_own_split() -> None:
    pool = _pool()
    fold = validation_fold(pool, own_splits(pool))
    assert {pool[row].split for row in fold.train} == {"train"}
    assert {pool[row].split for row in fold.judged} == {"val"}
    assert len(fold.train) + len(fold.validation) == len(pool)


def test_a_site_left_out_is_in_no_training_and_judged_whole() -> None:
    pool = _pool()
    fold = left_out_fold(pool, own_splits(pool), _records(), "a")
    assert {pool[row].site for row in [*fold.train, *fold.validation]} == {"b", "c"}
    assert sorted(pool[row].path for row in fold.judged) == sorted(one.path for one in pool if one.site == "a")


def test_fresh_splits_keep_a_patient_on_one_side_and_as_many_images_on_each() -> None:
    pool = _pool()
    first, second = fresh_splits(pool, 2), fresh_splits(pool, 3)
    assert first != second != own_splits(pool)
    for splits in (first, second):
        assert abs(splits.count("val") - own_splits(pool).count("val")) <= 4
        sides: dict[str, set[str]] = {}
        for record, side in zip(pool, splits, strict=True):
            sides.setdefault(record.group, set()).add(side)
        assert all(len(both) == 1 for both in sides.values())
