#!/bin/sh
# The training processes of one node, one a GPU (or PROCESSES of them): NODES RANK HEAD [what `videogen train` takes ...]
# HEAD is the address of the node with rank 0. All nodes run it at the same time, in the same checkout at the same path,
# and see the same data and run folder. slurm.sbatch and ssh.sh call it; other schedulers can do the same.
#   PORT               of the head [29500]
#   PROCESSES          of this node [its GPUs, or 1]
#   ACCELERATE_CONFIG  a configuration of accelerate, such as configs/accelerate/fsdp2.yaml [torchrun: DDP]
set -eu
nodes=$1 rank=$2 head=$3
shift 3
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
processes=${PROCESSES:-$("$python" -c 'import torch; print(max(1, torch.cuda.device_count()))')}
if [ -n "${ACCELERATE_CONFIG:-}" ]; then
    exec "$python" -m accelerate.commands.launch --config_file "$ACCELERATE_CONFIG" \
        --num_machines "$nodes" --machine_rank "$rank" --num_processes "$((nodes * processes))" \
        --main_process_ip "$head" --main_process_port "${PORT:-29500}" -m videogen train "$@"
fi
exec "$python" -m torch.distributed.run --nnodes "$nodes" --node-rank "$rank" --nproc-per-node "$processes" \
    --master-addr "$head" --master-port "${PORT:-29500}" -m -- videogen train "$@"
