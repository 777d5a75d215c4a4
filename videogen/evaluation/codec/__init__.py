"""A model as a codec: bits and quality of its files beside those of H.264, HEVC, VP9 and AV1 on the same frames."""
