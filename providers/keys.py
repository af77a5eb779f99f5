"""Where is a provider's secret? In its option, or in the file that the option with `_file` behind it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from providers.faults import problem_of
from recall.errors import Misconfigured
from recall.settings import Settings

AnyOptions = TypeVar("AnyOptions", bound=BaseModel)
_LARGEST = 100_000


def with_secrets(
    options: Mapping[str, str], secrets: tuple[str, ...], settings: Settings, *, name: str
) -> dict[str, str]:
    """The options with every `<secret>_file` replaced by what stands in the file, below the project folder."""
    read = dict(options)
    for secret in secrets:
        path = read.pop(f"{secret}_file", None)
        if path is None:
            continue
        if secret in read:
            raise Misconfigured(f"provider {name}: give {secret} or {secret}_file, not both")
        try:
            with (settings.project_dir / path).open(encoding="utf-8") as file:
                read[secret] = file.read(_LARGEST).strip()
        except (OSError, ValueError) as error:
            raise Misconfigured(
                f"provider {name}: the file of option {secret}_file cannot be read ({type(error).__name__})"
            ) from None
    return read


def options_from(
    kind: type[AnyOptions], options: Mapping[str, str], settings: Settings, *, secrets: tuple[str, ...], name: str
) -> AnyOptions:
    """The options as this kind; raises Misconfigured, whose text shows no value."""
    try:
        return kind.model_validate(with_secrets(options, secrets, settings, name=name))
    except ValidationError as error:
        raise Misconfigured(
            f"provider {name}: option {problem_of(error)}; set it in RECALL_PROVIDER_OPTIONS"
        ) from None  # the cause shows the values
