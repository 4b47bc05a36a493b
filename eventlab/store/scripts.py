"""Runs the Lua scripts of this package by their digests."""

from __future__ import annotations

import codecs
import functools
import hashlib
import inspect
from importlib import resources
from typing import Any

from redis.client import NEVER_DECODE, Pipeline
from redis.cluster import ClusterPipeline
from redis.exceptions import NoScriptError

from eventlab.errors import InvalidArgument

RAW: dict[str, Any] = {NEVER_DECODE: True}  # return bytes, even if the client decodes responses


@functools.cache
def _load(*names: str) -> tuple[str, str]:
    files = [resources.files("eventlab").joinpath(f"{name}.lua") for name in names]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Script:
    """A ``.lua`` file of this package; its first lines document KEYS, ARGV and the reply.

    Several files are joined. The last file is the main script, and the files before it contain
    parts that the main script uses.

    redis-py's own Script takes 8 to 10 percent longer per call. In a pipeline, it also asks the
    server first whether the script is loaded.
    """

    def __init__(self, *names: str) -> None:
        self._text, self._sha = _load(*names)

    def __call__(self, redis: Any, keys: list[bytes], args: list[Any]) -> Any:
        """Run the script in one round trip; strings in the reply are bytes."""
        try:
            return redis.execute_command("EVALSHA", self._sha, len(keys), *keys, *args, **RAW)
        except NoScriptError:
            return redis.execute_command("EVAL", self._text, len(keys), *keys, *args, **RAW)


def checked_client(redis: Any) -> Any:
    """Return a client unchanged, or raise InvalidArgument if a store cannot use it."""
    call = getattr(redis, "execute_command", None)
    kind = type(redis).__name__
    if call is None or isinstance(redis, Pipeline | ClusterPipeline):
        raise InvalidArgument(f"a {kind} is not a client: give the store a redis.Redis(...)")
    if inspect.iscoroutinefunction(call):
        raise InvalidArgument(
            f"the {kind} is for asyncio: give the store a redis.Redis(...), and run its calls "
            "with asyncio.to_thread"
        )
    encoder = redis.get_encoder()
    if encoder.decode_responses and codecs.lookup(encoder.encoding).name != "utf-8":
        raise InvalidArgument(f"the client decodes names as {encoder.encoding}: use utf-8")
    return redis
