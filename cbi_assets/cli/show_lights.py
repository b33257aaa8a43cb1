"""Show the three lights and the next step, at the end of a command."""

from __future__ import annotations

from cbi_assets.cli.console import say
from cbi_assets.report.lights import Color, Lights

_STYLES: dict[Color, str] = {"green": "green", "amber": "yellow", "red": "red"}


def show_lights(lights: Lights) -> None:
    """Print how far the data reaches, a line per light, and the next command."""
    if lights.through is not None:
        say(f"{lights.through.text[:1].upper()}{lights.through.text[1:]}.")
    for light in lights.all:
        lead = f"{light.name:<10}{light.color:<7}"
        say(f"{lead}{light.text}", indent=" " * len(lead), style=_STYLES[light.color])
    say(f"Next: {lights.next.command}")
