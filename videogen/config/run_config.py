"""The config.json of a run folder: the configuration that the run began with, and what else the run depends on."""

import json
from pathlib import Path
from typing import Any

RUN_CONFIG = "config.json"
MOMENTUM = 0.95  # of Muon; version 1 had a key for it
VERSION = 2  # 1 had no "version", and other names of some keys


def read_run_config(path: Path) -> dict[str, Any]:
    """The file's data under the keys of this version; ValueError if it is damaged or of an unknown version."""
    try:
        data = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        raise ValueError("not a JSON object; resume with the configuration that the run began with") from None
    version = data.pop("version", 1)
    if version not in (1, VERSION):
        raise ValueError(f"version {version} is newer than this program, which reads up to {VERSION}")
    data = upgraded(data) if version == 1 else data
    if isinstance(data.get("teaching"), dict):  # a prior's run of before these settings
        for name, value in (("control_dropout", 0.0), ("caption_share", 0.0), ("caption_weight", 1.0)):
            data["teaching"].setdefault(name, value)
        data.setdefault("distillation", None)
        data.setdefault("variational", None)
        prior = data["prior"] = {"kind": "llama", "mask_noise": 0, **data["prior"]}
        if prior["kind"] == "llama":
            prior.setdefault("captions", False)
            if prior.get("sink_frames") == 0:  # a setting that was removed
                del prior["sink_frames"]
        if isinstance(prior["head"], str):
            prior["head"] = {"kind": prior["head"]}
    if isinstance(data.get("tokenizer"), dict):
        data["tokenizer"].setdefault("causal", True)
        data["tokenizer"].setdefault("layout", {"merge": 1, "kind": "grid"})
        data["tokenizer"].setdefault("kind", "cnn")
        for phase in data.get("phases", []):
            phase.setdefault("encoder_frozen", False)
        data["tokenizer"].setdefault("condition", None)
        for name in ("text", "conditioner"):
            data.setdefault(name, None)
    return data


def upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a version 1 run, with the keys of version 2."""
    if "teaching" in data:  # a prior's
        raise ValueError(
            "a prior's run of version 1, whose tokens have another form; convert its model (`videogen convert RUN "
            "MODEL`) and begin a new run with init_from=MODEL"
        )
    if "begin_with" in data:
        data["init_from"] = data.pop("begin_with")
    for optimizer in (data.get("optimizer"), data.get("discriminator_optimizer")):
        if optimizer and optimizer.get("momentum") == MOMENTUM:
            del optimizer["momentum"]
    return data
