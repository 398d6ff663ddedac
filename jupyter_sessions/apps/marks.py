"""Where in a YAML file a value stands: `Marks`, for messages about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

Mark = tuple[int, int]
"""Line and column, both from 1; 0 and 0 for nowhere."""
NOWHERE: Mark = (0, 0)


class Marks:
    """The places of a file's values, from PyYAML's tree of nodes.

    Parameters
    ----------
    root
        The file's top node; None for a file that has no such tree.
    """

    def __init__(self, root: yaml.Node | None) -> None:
        self._root = root

    @classmethod
    def of(cls, path: Path) -> Marks:
        """Those of the file `path`; none if it is no YAML. Called after something was wrong."""
        try:
            return cls.of_text(path.read_bytes())
        except OSError:
            return cls(None)

    @classmethod
    def of_text(cls, content: bytes) -> Marks:
        """Those of `content`, a file's; none if it is no YAML."""
        try:
            return cls(yaml.compose(content.decode("utf-8"), Loader=yaml.SafeLoader))
        except (RecursionError, ValueError, yaml.YAMLError):
            return cls(None)

    def at(self, path: Sequence[str | int]) -> Mark:
        """Where the value at `path` stands: its key if it has one, or what it should stand in."""
        node, mark = self._root, NOWHERE if self._root is None else _mark(self._root)
        for step in path:
            if isinstance(node, yaml.MappingNode):
                pairs = [(k, v) for k, v in node.value if getattr(k, "value", None) == step]
                if not pairs:
                    break
                key, node = pairs[-1]
                mark = _mark(key)
            elif isinstance(node, yaml.SequenceNode) and str(step).isdecimal():
                if int(step) >= len(node.value):
                    break
                node = node.value[int(step)]
                mark = _mark(node)
            else:
                break
        return mark

    def doubles(self) -> Iterator[tuple[str, Mark]]:
        """Keys that one mapping has twice, of which YAML keeps the last without a word."""
        todo, seen = [self._root], set[int]()
        while todo:
            node = todo.pop()
            if node is None or id(node) in seen:  # an alias, or one that holds itself
                continue
            seen.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                todo += node.value
            elif isinstance(node, yaml.MappingNode):
                keys = set[str]()
                for key, value in node.value:
                    name = getattr(key, "value", None)
                    if isinstance(name, str):
                        if name in keys:
                            yield name, _mark(key)
                        keys.add(name)
                    todo.append(value)


def _mark(node: yaml.Node) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1
