"""The limits of a server: nothing that a client can ask for is without end."""

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class ServerLimits:
    """Counts are upper bounds; seconds are wall-clock time unless marked as video time."""

    # of one request
    prompt_chars: int = 2000
    frames: int = 960  # of a job
    stream_seconds: float = 3600.0  # video time: an endless stream ends after it
    steps: int = 64  # of sampling, per latent frame
    body_bytes: int = 64 * 2**10  # of JSON
    upload_bytes: int = 64 * MIB
    upload_pixels: int = 4096 * 2304  # of one frame
    upload_frames: int = 3600
    # at the same time
    streams: int = 4  # streams and jobs that a model process works on in turn
    queued: int = 16  # further streams and jobs, waiting or paused
    viewers: int = 400  # of all streams together
    uploads: int = 2  # being read
    waiting_uploads: int = 8
    # time
    turn_seconds: float = 20.0  # until a stream or job makes way for one that waits
    receive_seconds: float = 120.0  # for an upload to arrive
    upload_seconds: float = 20.0  # for an upload to be read; of processor time as well
    upload_memory: int = 1024 * MIB  # address space of the process that reads an upload
    idle_seconds: float = 10.0  # without a viewer, until a stream is paused
    spare_seconds: float = 5.0  # without a viewer, until a stream can be stopped for a new one
    forget_seconds: float = 60.0  # without a viewer, until a stream is stopped
    paused_seconds: float = 600.0  # paused by its client, until a stream is stopped
    patience_seconds: float = 120.0  # without a message from a busy model process, until it is restarted
    grace_seconds: float = (
        30.0  # for streams and jobs to end, before the operator's restart of a model process ends them
    )
    ahead_seconds: float = 1.0  # video time that a stream may run ahead of its viewers
    # kept
    recent_seconds: float = 120.0  # video time of each stream, for late viewers and downloads
    recent_bytes: int = 8 * MIB
    kept_streams: int = 32  # finished
    kept_videos: int = 64  # finished jobs
    kept_bytes: int = 512 * MIB  # of their files
