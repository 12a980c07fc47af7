"""Everything that makes a model artifact: sites, split, training, evaluation, publication."""

import os

# Read once, when PyTorch loads its OpenMP library: threads that wait sleep instead of spinning. Beside a busy
# neighbour spinning makes a training step four times slower; on an idle machine the difference is small.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
