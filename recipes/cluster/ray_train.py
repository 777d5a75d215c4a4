"""Training by Ray Train: a worker process a GPU, anywhere in a Ray cluster.

When a worker is lost, all are started again, and the run goes on from its last checkpoint.

python recipes/cluster/ray_train.py --workers 16 -- prior video_700m data.train=tokens --tokenizer runs/tok --run RUN

Data, run folder and checkout have the same paths on all nodes. The extra `cluster` brings Ray.
"""

import argparse
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer


def train(config: dict[str, Any]) -> None:
    """One worker. Ray has joined the workers into a process group, which accelerate finds."""
    import os

    if not config["gpu"]:
        os.environ["ACCELERATE_USE_CPU"] = "true"
    from videogen.cli import videogen_command

    videogen_command.main(["train", *config["arguments"]], standalone_mode=False)  # errors are raised, for Ray to see


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1, help="processes in all")
    parser.add_argument("--cpu", action="store_true", help="no GPUs")
    parser.add_argument("--cpus-per-worker", type=float, default=1)
    parser.add_argument("--retries", type=int, default=3, help="how often lost workers are started again; -1: always")
    parser.add_argument("--address", default=None, help="of the cluster, or local [default: a running one]")
    parser.add_argument("--storage", default=None, help="folder for Ray's own records, shared by all nodes")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what `videogen train` takes, after --")
    return parser.parse_args()


def main() -> None:
    given = parse()
    arguments = [word for word in given.arguments if word != "--"]
    if "--resume" not in arguments:
        arguments.append("--resume")  # begins a run that is not there, continues one that is
    ray.init(address=given.address)
    scaling = ScalingConfig(
        num_workers=given.workers, use_gpu=not given.cpu, resources_per_worker={"CPU": given.cpus_per_worker}
    )
    TorchTrainer(
        train,
        train_loop_config={"gpu": not given.cpu, "arguments": arguments},
        torch_config=TorchConfig(backend="gloo" if given.cpu else "nccl"),
        scaling_config=scaling,
        run_config=RunConfig(storage_path=given.storage, failure_config=FailureConfig(max_failures=given.retries)),
    ).fit()


if __name__ == "__main__":
    main()
