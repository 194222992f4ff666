"""Commands run as a user types them, in this process."""

import json
from typing import Any

from click.testing import CliRunner, Result
from head2toe.pipeline import main


def call(*words: object) -> Result:
    """Run `head2toe WORDS`."""
    return CliRunner().invoke(main, [str(word) for word in words])


def document(*words: object) -> dict[str, Any]:
    """Run `head2toe WORDS --json`, which must end well; return what it prints."""
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    parsed = json.loads(result.stdout)
    assert isinstance(parsed, dict)
    return parsed
