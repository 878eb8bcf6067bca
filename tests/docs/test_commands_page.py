"""docs/commands.md is what the options say today."""

from __future__ import annotations

from docs.make_commands import PAGE, make_page
from tests.conftest import ROOT


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == make_page(), (
        "options have changed: python -m docs.make_commands"
    )


def test_each_command_has_its_section():
    scripts = [p.name for p in ROOT.glob("*.py") if "\n    run_command(main" in p.read_text()]
    assert len(scripts) >= 6
    page = make_page()
    assert [name for name in scripts if f"\n## {name}\n" not in page] == []
