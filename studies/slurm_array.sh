#!/usr/bin/env bash
# A Slurm array job: every task computes its part of one study into one run directory.
#   sbatch studies/slurm_array.sh
# A task that is lost or out of time: submit again; finished units are not computed twice.
#SBATCH --job-name=jaxcnn
#SBATCH --array=0-15
#SBATCH --cpus-per-task=4
#SBATCH --time=02:00:00
set -euo pipefail
jaxcnn sweep study.toml --out runs/study --shard "${SLURM_ARRAY_TASK_ID}/${SLURM_ARRAY_TASK_COUNT}"
