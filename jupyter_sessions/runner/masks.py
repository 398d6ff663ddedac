"""The values of secrets, kept out of what people read."""

from typing import Any, Iterable

from .templates import to_bytes


class Mask:
    """Replaces the values of secrets by ``***`` in what people will read.

    In a stream, the beginning of a secret is held back until it shows whether it is one.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        values = {to_bytes(secret) for secret in secrets if secret}
        self._secrets = sorted(values, key=len, reverse=True)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What of the stream can be passed on after `data` has come."""
        if not self._secrets:
            return data
        data = self._replaced(self._held + data)
        held = max(_overlap(data, secret) for secret in self._secrets)
        cut = len(data) - held
        self._held = data[cut:]
        return data[:cut]

    def flush(self) -> bytes:
        """What was held back of a stream that is at its end."""
        held, self._held = self._held, b""
        return held

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if not self._secrets:
            return text
        data = text.encode("utf-8", "surrogatepass")
        return self._replaced(data).decode("utf-8", "surrogatepass")

    def json(self, data: Any) -> Any:
        """`data` without secrets, in keys neither."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, list):
            return [self.json(value) for value in data]
        if isinstance(data, dict):
            return {self.json(key): self.json(value) for key, value in data.items()}
        return data

    def _replaced(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, b"***")
        return data


def _overlap(data: bytes, secret: bytes) -> int:
    """How many bytes at the end of `data` could be the beginning of `secret`."""
    most = min(len(data), len(secret) - 1)
    return next((n for n in range(most, 0, -1) if data.endswith(secret[:n])), 0)
