"""How often do the 95 % intervals of shares hold the truth? ``python -m tests.benchmarks.coverage``.

Exact for one image a patient, by the binomial distribution; by simulation for several images a patient, whose answers
go together (beta-binomial, intra-class correlation 0.5).
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from trainer.evaluation.shares import share_interval, share_limits

SIZES = (5, 8, 12, 20, 35, 60, 100, 200, 500)
SHARES = np.linspace(0.5, 0.995, 100)
CLUSTERS = (20, 60, 200)
CLUSTER_SHARES = (0.6, 0.8, 0.9, 0.95)
IMAGES = 3
SIMULATIONS = 1000


def exact_coverage(size: int, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probability that the interval of ``size`` single images holds the true share, for each of ``shares``."""
    hits = np.arange(size + 1)
    limits = np.array([share_limits(k / size, size) for k in hits])
    holds = (limits[:, :1] <= shares) & (shares <= limits[:, 1:])
    return np.asarray((binom.pmf(hits[:, None], size, shares) * holds).sum(axis=0))


def simulated_coverage(patients: int, share: float, simulations: int) -> float:
    """Share of simulations whose interval holds ``share``, of :data:`IMAGES` images a patient."""
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(patients).astype(str), IMAGES).tolist()
    held = 0
    for _ in range(simulations):
        chances = rng.beta(share, 1 - share, patients)
        interval = share_interval((rng.random((patients, IMAGES)) < chances[:, None]).ravel(), names)
        held += interval.low <= share <= interval.high
    return held / simulations


def main() -> None:
    """Print both tables."""
    print(f"one image a patient, true share {SHARES[0]} to {SHARES[-1]}")
    print(f"{'patients':>8}{'mean':>8}{'5th %':>8}{'least':>8}")
    for size in SIZES:
        coverage = exact_coverage(size, SHARES)
        print(f"{size:8}{coverage.mean():8.3f}{np.percentile(coverage, 5):8.3f}{coverage.min():8.3f}")
    print(f"\n{IMAGES} images a patient\n{'patients':>8}" + "".join(f"{share:8}" for share in CLUSTER_SHARES))
    for patients in CLUSTERS:
        cells = (simulated_coverage(patients, share, SIMULATIONS) for share in CLUSTER_SHARES)
        print(f"{patients:8}" + "".join(f"{cell:8.3f}" for cell in cells))


if __name__ == "__main__":
    main()
