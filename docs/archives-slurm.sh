#!/bin/bash
#SBATCH --job-name=archive
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem-per-cpu=1G
#SBATCH --time=24:00:00
set -euo pipefail
source .venv/bin/activate

# No telemetry; a token of this job alone; judging is what the nodes are for, so it is not nice.
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_worker_niceness=0
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

head=$(hostname)
port=6379
nodes=(--num-cpus="$SLURM_CPUS_PER_TASK" --object-store-memory=1000000000 --block)
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --port="$port" --include-dashboard=false "${nodes[@]}" &
until (: < "/dev/tcp/$head/$port") 2> /dev/null; do sleep 1; done
if [ "$SLURM_NNODES" -gt 1 ]; then
    srun --overlap --nodes="$((SLURM_NNODES - 1))" --ntasks="$((SLURM_NNODES - 1))" --exclude="$head" \
        ray start --address="$head:$port" "${nodes[@]}" &
fi

# Submitted again after its time is over, it goes on. Exit code 1: done, some images can't be read.
python -m trainer predict names.parquet --out answers.parquet --ray "$head:$port" || [ $? = 1 ]
