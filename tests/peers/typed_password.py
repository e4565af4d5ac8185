"""Runs a command in a pseudo-terminal and types at its prompts. Prints what the terminal showed.

    typed_password.py PASSWORD AGAIN COMMAND ARGUMENT...

Ends with the command's own exit code; 124 when it takes too long.
"""

import os
import pty
import select
import sys
import time

PATIENCE_SECONDS = 60
TYPING_SECONDS = 0.5  # the prompt is shown before the terminal stops to echo

first, second, *command = sys.argv[1:]
typed = [(b"Password: ", first), (b"Again: ", second)]

pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)

shown = b""
deadline = time.monotonic() + PATIENCE_SECONDS
while time.monotonic() < deadline:
    ready, _, _ = select.select([terminal], [], [], 1)
    if not ready:
        continue
    try:
        piece = os.read(terminal, 4096)
    except OSError:  # the command has ended
        break
    if not piece:
        break
    shown += piece
    if typed and typed[0][0] in shown:
        time.sleep(TYPING_SECONDS)
        os.write(terminal, typed.pop(0)[1].encode() + b"\n")
else:
    os.kill(pid, 9)
    sys.exit(124)

_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(status))
