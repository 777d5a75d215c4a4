"""What figures are called in tables and charts; a figure without a line here is shown under its own name."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Heading:
    text: str
    format: str = ".3g"
    share: bool = False  # 0 to 1

    def show(self, value: float) -> str:
        return f"{value:{self.format}}"


def share(text: str) -> Heading:
    return Heading(text, ".1%", share=True)


def of_prior(name: str, after_all: Heading) -> dict[str, Heading]:
    """A figure of the prior after half of its budget, and after all of it."""
    half = replace(after_all, text=f"{after_all.text}, half the time")
    return {f"prior_{name}_half": half, f"prior_{name}": after_all}


HEADINGS = {  # in the order of the columns
    "bits_per_token": Heading("bits a token", ".1f"),
    "psnr": Heading("PSNR, dB", ".2f"),
    "psnr_without_caption": Heading("PSNR without caption, dB", ".2f"),
    "psnr_worst": Heading("worst frame, dB", ".2f"),
    "ssim": Heading("SSIM", ".3f"),
    "psnr_images": Heading("PSNR of images, dB", ".2f"),
    "ssim_images": Heading("SSIM of images", ".3f"),
    "words": share("characters read"),
    "ceiling_words": share("in the drawings"),
    "shapes": share("small shapes"),
    "lines": share("thin lines"),
    "motion": share("fast dots"),
    "flicker": Heading("flicker", ".2f"),
    "code_use": share("tokens used"),
    "code_use_reachable": share("reachable"),
    "perplexity": Heading("token perplexity", ",.0f"),
    "codebook_use": share("codes used"),
    "codebook_perplexity": Heading("codebook perplexity", ",.1f"),
    "codebook_evenness": share("perplexity / codes"),
    "oracle_attributes": share("oracle: attributes"),
    "ceiling_attributes": share("true clips: attributes"),
    "oracle_all": share("oracle: all right"),
    "ceiling_all": share("true clips: all right"),
    "oracle_shape": share("oracle: shape"),
    "ceiling_shape": share("true clips: shape"),
    "oracle_colour": share("oracle: color"),
    "ceiling_colour": share("true clips: color"),
    "oracle_size": share("oracle: size"),
    "ceiling_size": share("true clips: size"),
    "oracle_motion": share("oracle: motion"),
    "ceiling_motion": share("true clips: motion"),
    "psnr_levels": Heading("PSNR of the first levels, dB", ".2f"),  # numbered
    "psnr_tokens": Heading("PSNR of the first tokens, dB", ".2f"),  # numbered
    "psnr_soft": Heading("PSNR as trained, dB", ".2f"),
    "soft_gap": Heading("soft - hard, dB", ".2f"),
    "bits_per_pixel": Heading("bits a pixel", ".4f"),
    "codes_per_token": Heading("codes a token", ".0f"),
    "tokens_per_latent": Heading("tokens a latent frame", ".0f"),
    "bits_per_latent": Heading("bits a latent frame", ",.0f"),
    "encode_ms": Heading("CPU ms to encode it", ".1f"),
    "decode_ms": Heading("CPU ms to decode it", ".1f"),
    "state_kib": Heading("KiB of decoder state", ",.0f"),
    **of_prior("all_right", share("prior: all right")),
    **of_prior("attributes", share("prior: attributes")),
    "prior_attributes_chance": share("by chance: attributes"),
    **of_prior("things", share("prior: things")),
    "prior_things_chance": share("by chance: things"),
    **of_prior("shape", share("prior: shape")),
    **of_prior("colour", share("prior: color")),
    **of_prior("size", share("prior: size")),
    **of_prior("motion", share("prior: motion")),
    **of_prior("nats_per_latent", Heading("prior: nats a latent frame", ",.1f")),
    **of_prior("bits_per_latent", Heading("prior: bits a latent frame", ",.1f")),
    **of_prior("steps", Heading("steps of the prior", ",.0f")),
    "prior_ms_per_step": Heading("CPU ms a step of the prior", ".0f"),
    "prior_ms_per_latent": Heading("CPU ms a latent frame of the prior", ".0f"),
    "prior_sampling_steps": Heading("sampling steps a latent frame", ".1f"),
    "parameters": Heading("parameters", ",.0f"),
    "quantizer_parameters": Heading("of the quantizer", ",.0f"),
    "steps": Heading("steps", ",.0f"),
    "ms_per_step": Heading("CPU ms a step", ".0f"),
    "peak_mib": Heading("peak MiB", ".0f"),
}
DEFAULT_COLUMNS = (
    *("bits_per_token", "psnr", "ssim", "flicker", "codebook_use", "codebook_evenness", "perplexity"),
    *("oracle_attributes", "soft_gap", "tokens_per_latent", "bits_per_latent", "encode_ms", "decode_ms"),
    *("prior_all_right_half", "prior_all_right", "prior_things_half", "prior_things"),
    *("steps", "ms_per_step", "peak_mib"),
)


def heading(figure: str) -> Heading:
    """That of the figure; `psnr_levels_4` has that of `psnr_levels` with its number."""
    stem, _, number = figure.rpartition("_")
    if number.isdecimal() and stem in HEADINGS and figure not in HEADINGS:
        return replace(HEADINGS[stem], text=f"{HEADINGS[stem].text} ({number})")
    return HEADINGS.get(figure, Heading(figure))
