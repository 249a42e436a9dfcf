#!/usr/bin/env bash
# Pretraining, or a whole stage plan, on many nodes under Slurm. Submitted again, it goes on from the
# newest checkpoint.
#
#   sbatch --nodes 8 launch/slurm.sh megatron_train.pretrain \
#       --config conf/pretrain/seed_coder_8b.yaml output=/shared/run
#   sbatch --nodes 64 launch/slurm.sh megatron_train.stages resume \
#       --config conf/stages/seed_coder_8b.yaml output=/shared/run
#
# Ten minutes before the time limit, and when Slurm preempts the job, the run saves a checkpoint and
# is put back into the queue. `scancel --signal=TERM JOB` saves and ends it. A lost node requeues it.
# output and the code must lie where every node sees them. A dry run prints the torchrun command and
# starts nothing:
#   SEEDBED_DRY_RUN=1 bash launch/slurm.sh megatron_train.pretrain --config C output=DIR
#SBATCH --job-name=seedbed
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@600
#SBATCH --output=seedbed-%j.log
set -euo pipefail

: "${GPUS_PER_NODE:=8}"
: "${PORT:=29500}"
# torchrun hands a signal on and then waits 30 s before it kills, which may be less than a step.
: "${SHUTDOWN_TIMEOUT:=540}"
JOB="${SLURM_JOB_ID:-0}"
NODES="${SLURM_JOB_NUM_NODES:-1}"
HEAD="$(scontrol show hostnames "${SLURM_JOB_NODELIST:-localhost}" 2>/dev/null | head -n 1 || true)"
HEAD="${HEAD:-localhost}"
# The name of a node need not resolve; Slurm knows the address.
ADDRESS="$(scontrol show node "$HEAD" -o 2>/dev/null | grep -oP 'NodeAddr=\K\S+' || true)"
ADDRESS="${ADDRESS:-$HEAD}"

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-8}"
export PYTHONUNBUFFERED=1
# Tensor parallelism overlaps communication with computation only when kernels are queued in order.
export CUDA_DEVICE_MAX_CONNECTIONS=1
# A collective that hangs ends the job after processes.TIMEOUT, and says who waited for whom.
export TORCH_NCCL_ASYNC_ERROR_HANDLING=1
export TORCH_NCCL_TRACE_BUFFER_SIZE=20000
export TORCH_NCCL_DUMP_ON_TIMEOUT=1
# Where NCCL finds the wrong network card, name the right one:
# export NCCL_IB_HCA=mlx5 NCCL_SOCKET_IFNAME=eth0

TORCHRUN=(
    torchrun --nnodes "$NODES" --nproc-per-node "$GPUS_PER_NODE" --max-restarts 3
    --shutdown-timeout "$SHUTDOWN_TIMEOUT"
    --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1
    --rdzv-backend c10d --rdzv-endpoint "$ADDRESS:$PORT" --rdzv-id "$JOB" -m "$@"
)
echo "${TORCHRUN[@]}"
[ "${SEEDBED_DRY_RUN:-0}" = 1 ] && exit 0

# Slurm signals this script alone (B: above), and srun hands USR1 on to every node.
AGAIN=0
trap 'AGAIN=1; kill -USR1 "$SRUN" 2>/dev/null || true' USR1
srun --kill-on-bad-exit=1 "${TORCHRUN[@]}" &
SRUN=$!
# A trap ends a wait, so wait until srun is gone.
while true; do
    CODE=0
    wait "$SRUN" || CODE=$?
    kill -0 "$SRUN" 2>/dev/null || break
done
# A cluster may preempt by TERM to the step alone, which looks like a wish of the user.
if scontrol show job "$JOB" -o | grep -q 'PreemptTime=[0-9]'; then
    AGAIN=1
fi
if [ "$CODE" != 0 ] && [ "$AGAIN" = 1 ]; then
    echo "job $JOB saved a checkpoint and is put back into the queue"
    scontrol requeue "$JOB"
fi
# Without it a failed srun would count as a job that was completed.
exit "$CODE"
