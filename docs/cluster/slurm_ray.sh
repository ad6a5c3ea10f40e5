#!/bin/bash
# A sweep over several nodes of a SLURM cluster: Ray on each of them, the sweep on the first.
#
#     sbatch --nodes=4 docs/cluster/slurm_ray.sh configs/remedies/regimes.yaml
#
# It ends, and goes back into the queue, as slurm.sh does.

#SBATCH --job-name=imgcollapse-ray
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

source .venv/bin/activate
export RAY_USAGE_STATS_ENABLED=0

# Ray's ports are open to whoever reaches the node, and Ray asks nobody for a password: choose the
# address of the cluster's inner network, never a public one.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | cut -d' ' -f1)

srun --nodes=1 --ntasks=1 -w "$head" ray start --head --node-ip-address="$address" --port=6379 \
    --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false --block &
until ray status --address="$address:6379" >/dev/null 2>&1; do sleep 1; done

others=$((SLURM_JOB_NUM_NODES - 1))
if [ "$others" -gt 0 ]; then
    srun --nodes=$others --ntasks=$others --exclude="$head" \
        ray start --address="$address:6379" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
fi

imgcollapse sweep "$@" --ray "$address:6379" &
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
