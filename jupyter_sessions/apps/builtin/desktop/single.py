"""One program that fills the screen: window managers told to frame and place nothing but dialogs.

Their configuration is written anew for each start, beside our other files; the user's own, with
its menus and keys that start other things, is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

OPENBOX = """\
<?xml version="1.0" encoding="UTF-8"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <focus><focusNew>yes</focusNew><focusLast>yes</focusLast></focus>
  <placement><policy>Smart</policy><center>yes</center></placement>
  <theme><name>Clearlooks</name><titleLayout>LC</titleLayout></theme>
  <desktops><number>1</number><popupTime>0</popupTime></desktops>
  <mouse>
    <context name="Titlebar">
      <mousebind button="Left" action="Drag"><action name="Move"/></mousebind>
    </context>
    <context name="Client">
      <mousebind button="Left" action="Press">
        <action name="Focus"/><action name="Raise"/>
      </mousebind>
    </context>
    <context name="Frame">
      <mousebind button="Left" action="Press">
        <action name="Focus"/><action name="Raise"/>
      </mousebind>
      <mousebind button="A-Left" action="Drag"><action name="Move"/></mousebind>
    </context>
    <context name="Close">
      <mousebind button="Left" action="Click"><action name="Close"/></mousebind>
    </context>
  </mouse>
  <applications>
    <application type="normal"><decor>no</decor><maximized>yes</maximized></application>
  </applications>
</openbox_config>
"""

JWM = """\
<?xml version="1.0"?>
<JWM>
  <Group>
    <Class>.*</Class>
    <Option>noborder</Option><Option>notitle</Option><Option>maximized</Option>
  </Group>
  <Desktops width="1" height="1"/>
  <FocusModel>click</FocusModel>
</JWM>
"""


def _openbox(program: str, directory: Path) -> list[str]:
    path = directory / "openbox.xml"
    path.write_text(OPENBOX)
    return [program, "--config-file", str(path)]


def _jwm(program: str, directory: Path) -> list[str]:
    path = directory / "jwm.xml"
    path.write_text(JWM)
    return [program, "-f", str(path)]


COMMANDS: dict[str, Callable[[str, Path], list[str]]] = {"openbox": _openbox, "jwm": _jwm}
"""How to start each that can do it; the first that is installed is taken.

Called with its program and a private folder for its configuration.
"""
