"""``.env.example`` names every setting that exists, and nothing that does not."""

import importlib
import re
from pathlib import Path

import pytest
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = (REPOSITORY / ".env.example").read_text()
LISTED = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", EXAMPLE, flags=re.MULTILINE))
CONFIGS = sorted(
    str(path.relative_to(REPOSITORY).with_suffix("")).replace("/", ".")
    for path in (REPOSITORY / "services").rglob("config.py")
)


def variables(settings):
    """Return the names under which a settings class reads the environment."""
    prefix = settings.model_config.get("env_prefix", "")
    names = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or f"{prefix}{name}"]
        names |= {str(choice).upper() for choice in choices}
    return names


def settings_of(module):
    return [
        found
        for found in vars(importlib.import_module(module)).values()
        if isinstance(found, type) and issubclass(found, BaseSettings) and found.__module__ == module
    ]


@pytest.mark.parametrize("module", CONFIGS)
def test_every_setting_is_listed(module):
    assert settings_of(module), f"{module} declares no settings"
    for settings in settings_of(module):
        assert sorted(variables(settings) - LISTED) == []


def test_nothing_is_listed_that_nobody_reads():
    read = {name for module in CONFIGS for settings in settings_of(module) for name in variables(settings)}
    compose = (REPOSITORY / "compose.yaml").read_text() + (REPOSITORY / "Makefile").read_text()
    read |= set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", compose))
    assert sorted(LISTED - read) == []
