#!/bin/bash
# A training on 4 machines of 4 GPUs each that survives time limits and preemption:
#
#     sbatch configs/trainer/slurm.sh configs/a_t_112.yaml [more options of `wav2uti fit`]
#
# Two minutes before its time is over SLURM sends SIGTERM: the step that runs is finished and saved. The job is put into
# the queue again and goes on from the newest checkpoint that is whole, in the same folder.
#SBATCH --job-name=wav2uti
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=6
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=runs/slurm-%j.log
set -u
config=$1
shift
srun --kill-on-bad-exit=0 wav2uti fit --config "$config" --config configs/trainer/nodes_4.yaml \
    --ckpt_path last --trainer.logger.init_args.version "${WAV2UTI_RUN:-main}" "$@"
status=$?
# 143: ended by SIGTERM and saved.
if [ "$status" -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
