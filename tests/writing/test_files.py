"""A file appears whole or not at all."""

from __future__ import annotations

import pytest

from errors import explain
from writing.files import replacing, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as error:
        fail()
    assert str(explain(error.value)).startswith(f"{path}: No space left on device")
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]
