# The studio and all commands in a container, for a CPU or for NVIDIA GPUs; docs/deploy.md tells how to run it.
#   docker build -t videogen .                                                          # with what pip's index serves as torch
#   docker build -t videogen --build-arg PIP_EXTRA_INDEX_URL=INDEX_OF_CPU_WHEELS .      # small, for a CPU
#   docker build -t videogen --build-arg BASE=nvidia/cuda:13.0.1-runtime-ubuntu24.04 .  # for tools that need CUDA's own base
ARG BASE=python:3.11-slim
FROM ${BASE}

# Bases without Python get that of their distribution.
RUN python3 -c "import ensurepip" 2>/dev/null || (apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*)

ARG EXTRAS="serve codec storage trackers"
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /opt/videogen
COPY pyproject.toml constraints.txt bootstrap.py README.md LICENSE ./
COPY interfaces interfaces
COPY tokenizer tokenizer
COPY prior prior
COPY sampling sampling
COPY videogen videogen
# videogen/presets is a link to it
COPY configs configs
RUN PIP_NO_CACHE_DIR=1 python3 bootstrap.py ${EXTRAS}

# Not root. Models, runs and the server's state are volumes, so that a new container finds them.
RUN useradd --create-home --uid 10001 videogen \
    && mkdir -p /models /state /data && chown videogen /models /state /data
USER videogen
ENV PATH=/opt/videogen/.venv/bin:$PATH HF_HOME=/models/hub PYTHONUNBUFFERED=1
VOLUME ["/models", "/state", "/data"]
WORKDIR /data

# A token is required on any address but the container's own: VIDEOGEN_TOKEN, or --token-file with a secret.
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
    CMD ["videogen", "serve", "--check", "http://127.0.0.1:8000"]
ENTRYPOINT ["videogen"]
CMD ["serve", "--host", "0.0.0.0", "--state", "/state"]
