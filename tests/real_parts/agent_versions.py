"""Further versions of a real agent: a bundle that is there, under another number and with lines added to its code."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from agent_artifact import pack_agent
from fakes.runtime_shop import RuntimeShop
from zlh_common.runtime_choice import this_platform

LOCK = Path(__file__).parents[2] / "requirements.lock"


def offer_version(template: Path, shop: RuntimeShop, version: str, *, module: str = "", added: str = "") -> None:
    """Have a catalog offer the agent of a template as another version, with lines added to a module of it."""
    bundle = shop.folder / version
    (current,) = (template / "opt/zlh/agent").glob("[0-9]*")
    subprocess.run(["cp", "-R", "--no-dereference", str(current), str(bundle)], check=True)
    site = bundle / "lib/site-packages/zlh_agent"
    _change(site / "__init__.py", lambda text: re.sub('__version__ = ".*"', f'__version__ = "{version}"', text))
    if module:
        _change(site / module, lambda text: text + added)
    pack_agent(bundle, shop.tree, version=version, platform=this_platform(), lock=LOCK)
    shutil.rmtree(bundle)
    shop.publish()


def _change(module: Path, edit: Callable[[str], str]) -> None:
    """Edit a module; what was compiled of it is not looked at by its time, so it goes."""
    module.write_text(edit(module.read_text()))
    for compiled in (module.parent / "__pycache__").glob(f"{module.stem}.*.pyc"):
        compiled.unlink()
