"""What a prior is, in words and numbers."""

from typing import Any

from videogen.models import PriorModel, sampler_of


def describe_prior(model: PriorModel) -> dict[str, Any]:
    """What `videogen info` says of a prior, after what it says of the tokenizer."""
    config, taught, network = model.config, model.taught_on, model.network
    f_s, f_t = model.tokenizer.config.f_s, model.tokenizer.config.f_t
    pictures = model.tokenizer.config.video_frames(taught.frames)
    size = f"{taught.height * f_s} x {taught.width * f_s}"
    places = config.context_length + (config.sink_frames + config.window + 1) * taught.height * taught.width
    past = 2 * config.layers * config.kv_heads * config.channels_a_head * places
    sampler = sampler_of(model)
    return {
        "prior": f"{config.layers} layers of {config.width}, {config.heads} heads, {config.kv_heads} of keys",
        "prior's parameters": sum(parameter.numel() for parameter in network.parameters()),
        "taught": f"{'with masks' if config.objective == 'masked' else 'token by token'}, on clips of "
        f"{pictures} pictures of {size} at {taught.fps:g} a second",
        "looks back": f"{config.window} latent frames ({config.window * f_t / taught.fps:.3g} s)"
        + (f" and the first {config.sink_frames}" if config.sink_frames else ""),
        "digits of an id": " x ".join(map(str, config.digits)),
        "text": "none" if model.conditioner is None else f"{model.conditioner.length} tokens of a prompt",
        "past of a stream": f"{past * 4 / 2**20:.1f} MiB in float32",
        "sampled": f"order {sampler.order}, {sampler.steps_of(taught.height * taught.width)} proposals a latent frame, "
        f"{sampler.opening} x as many in the first two of a scene, guidance {sampler.guidance_scale:g} "
        f"({sampler.guidance_schedule}), temperature {sampler.temperature:g}",
        "model's fingerprint": model.fingerprint,
    }
