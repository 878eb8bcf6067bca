"""Imported first by the commands: Ctrl-C during their imports, of seconds, ends them without words.

errors.run_command gives Ctrl-C its usual meaning back, for the work itself.
"""

from __future__ import annotations

import signal

# Where Ctrl-C is ignored (nohup, a shell's background) it stays ignored.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
