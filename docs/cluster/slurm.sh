#!/bin/bash
# A sweep on one node of a SLURM cluster, which goes back into the queue until it is done.
#
#     sbatch docs/cluster/slurm.sh configs/remedies/regimes.yaml
#
# Two minutes before the time is up, or when a more urgent job needs the node, SLURM sends SIGUSR1 to
# this script. It tells imgcollapse, whose workers keep what they have; the exit code 75 means "put it
# in the queue again". runs/ must be on a file system that all nodes share.

#SBATCH --job-name=imgcollapse
#SBATCH --time=04:00:00
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

source .venv/bin/activate

imgcollapse sweep "$@" --jobs "$SLURM_CPUS_PER_TASK" &
sweep=$!
trap 'kill -USR1 $sweep' USR1 TERM

# A signal ends `wait`, too: wait until the sweep itself has ended.
while kill -0 $sweep 2>/dev/null; do
    wait $sweep
done
wait $sweep
code=$?

if [ "$code" -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
