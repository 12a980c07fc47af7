import asyncio

import pytest

from bento.http.problems import ProblemError
from bento.http.upload_memory import UploadMemory

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_finished_uploads_keep_their_memory_until_they_are_forgotten() -> None:
    memory = UploadMemory(100)
    async with asyncio.timeout(5) as deadline:
        memory.begin("a", deadline)
        memory.add("a", 80)
        memory.finish("a")
        memory.begin("b", deadline)
        with pytest.raises(ProblemError, match="memory"):
            memory.add("b", 30)
        memory.forget("a")
        memory.begin("c", deadline)
        memory.add("c", 100)
