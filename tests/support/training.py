"""Made-up training batches."""

import torch


def radiographs(count: int = 64, features: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings in which the class is told by the first feature and the site by the second."""
    generator = torch.Generator().manual_seed(0)
    y, sites = (torch.randint(high, (count,), generator=generator) for high in (2, 3))
    x = torch.randn(count, features, generator=generator)
    x[:, 0] += 4 * y
    x[:, 1] += 2 * sites
    return x, y, sites
