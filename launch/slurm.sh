#!/usr/bin/env bash
# Pretraining, or a whole stage plan, on many nodes under Slurm. Submitted again, it goes on from the
# newest checkpoint.
#
#   sbatch --nodes 8 launch/slurm.sh megatron_train.pretrain \
#       --config conf/pretrain/seed_coder_8b.yaml output=/shared/run
#   sbatch --nodes 64 launch/slurm.sh megatron_train.stages resume \
#       --config conf/stages/seed_coder_8b.yaml output=/shared/run
#
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
#SBATCH --signal=TERM@300
#SBATCH --output=seedbed-%j.log
set -euo pipefail

: "${GPUS_PER_NODE:=8}"
: "${PORT:=29500}"
NODES="${SLURM_JOB_NUM_NODES:-1}"
HEAD="$(scontrol show hostnames "${SLURM_JOB_NODELIST:-localhost}" 2>/dev/null | head -n 1 || true)"
HEAD="${HEAD:-localhost}"

export OMP_NUM_THREADS=8
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
    --rdzv-backend c10d --rdzv-endpoint "$HEAD:$PORT" --rdzv-id "${SLURM_JOB_ID:-0}" -m "$@"
)
echo "${TORCHRUN[@]}"
[ "${SEEDBED_DRY_RUN:-0}" = 1 ] && exit 0
srun --kill-on-bad-exit=1 "${TORCHRUN[@]}"
