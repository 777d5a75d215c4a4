"""A model process that dies is restarted, even if several attempts fail."""

import asyncio
import errno
from pathlib import Path

import pytest

from tests.serve.scenes import until
from tests.serve.scripted import ScriptedProcess, job_done, scripted
from videogen.errors import ResourceError
from videogen.serve.child_process import ChildProcess
from videogen.serve.engine.launcher import ModelProcessLauncher
from videogen.serve.errors import BusyError
from videogen.serve.requests import GenerationParams

NO_MEMORY = OSError(errno.ENOMEM, "Cannot allocate memory")


@pytest.fixture
def crowded(monkeypatch):
    """A machine that is out of memory for processes."""

    async def start(*arguments, **options):
        raise NO_MEMORY

    monkeypatch.setattr(ChildProcess, "start", staticmethod(start))


@pytest.mark.usefixtures("crowded")
def test_failed_start_is_a_resource_error():
    with pytest.raises(ResourceError, match="Cannot allocate memory"):
        asyncio.run(ModelProcessLauncher(Path("play"), None, None, None).start())


@pytest.mark.usefixtures("crowded")
def test_restart_is_retried(caplog):
    """The log reports each death, each attempt and the recovery."""
    caplog.set_level("INFO", "videogen")

    class Crowded(ScriptedProcess):
        """The second start is a real one, and fails."""

        async def start(self):
            if self.starts == 1:
                self.starts += 1
                await ModelProcessLauncher(Path("play"), None, None, None).start()
            return await super().start()

    async def scene():
        script = Crowded()
        async with scripted(script) as engine:
            stream, job = await engine.open_stream(GenerationParams("x")), await engine.submit(GenerationParams("x"))
            script.die()
            await until(lambda: stream.status == job.status == "failed")
            await until(lambda: engine.replicas[0].supervisor.failure is not None)
            with pytest.raises(BusyError, match="Cannot allocate memory"):
                await engine.submit(GenerationParams("x"))
            await until(engine.healthy)
            assert (await job_done(engine, script, GenerationParams("x"))).status == "completed"
        ours = [record for record in caplog.records if record.name.startswith("videogen")]
        said = [record.getMessage() for record in ours if not hasattr(record, "fields")]
        assert said == [
            "the model process (4711) has ended: exit code 1; it is being started again",
            "1 streams and 1 videos failed with it",
            "the model process cannot be started again: play: its process cannot be started (Cannot allocate memory); "
            "next attempt in 1 s",
            "the model process (4711) was started again and works",
        ]

    asyncio.run(scene())
