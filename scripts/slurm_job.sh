#!/bin/bash
# Runs a command as a SLURM job; the command saves itself before the time limit and exits with 75,
# and the job is then queued again:
# sbatch --time=1-0 --gpus=1 scripts/slurm_job.sh .venv/bin/python scripts/train.py ... resume=true
#SBATCH --requeue --open-mode=append --signal=B:USR1@300
trap 'early=1' USR1
"$@" & run=$!
trap 'kill -USR1 $run' USR1
wait $run; code=$?
while kill -0 $run 2> /dev/null; do wait $run; code=$?; done   # the trap ends the first wait
# 138: the signal came before Python was ready for it
if [ $code -eq 75 ] || [ $code -eq 138 ]; then exec scontrol requeue "$SLURM_JOB_ID"; fi
exit $code
