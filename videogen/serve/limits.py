"""How much a server takes on; everything that a client could ask for without end has its end here."""

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class ServerLimits:
    """Counts are at most, seconds are of the wall clock unless they are called those of a video."""

    # what one client may ask for
    prompt_chars: int = 2000
    frames: int = 960  # pictures of a job
    stream_seconds: float = 3600.0  # of video: then an endless stream ends
    steps: int = 64  # proposals a latent frame
    body_bytes: int = 64 * 2**10  # of JSON
    upload_bytes: int = 64 * MIB
    upload_pixels: int = 4096 * 2304  # of one picture
    upload_frames: int = 3600
    # what is done at once
    streams: int = 4  # streams and jobs that the model works on in turn
    queued: int = 16  # further ones that wait, or are paused
    viewers: int = 400  # of all streams together
    uploads: int = 2  # clips that are read at once
    waiting_uploads: int = 8  # further ones that wait for that
    # how long
    turn_seconds: float = 20.0  # of a stream or a job that the model works on while others wait: then it waits, too
    receive_seconds: float = 120.0  # until an upload has arrived
    upload_seconds: float = 20.0  # until it is read; of processor time too
    upload_memory: int = 1024 * MIB  # address space of the process that reads it
    idle_seconds: float = 10.0  # without a viewer: then a stream is paused
    spare_seconds: float = 5.0  # without a viewer: then a stream is ended where a newcomer finds no place
    forget_seconds: float = 60.0  # without a viewer: then it is stopped
    paused_seconds: float = 600.0  # paused on purpose: then it is stopped
    patience_seconds: float = 120.0  # of a model at work that says nothing: then its process is started again
    ahead_seconds: float = 1.0  # of video: how far a stream is made ahead of real time
    # what is kept
    recent_seconds: float = 120.0  # of each stream's video, for late viewers and downloads
    recent_bytes: int = 8 * MIB
    kept_streams: int = 32  # that have ended
    kept_videos: int = 64  # finished jobs
    kept_bytes: int = 512 * MIB  # of their videos
