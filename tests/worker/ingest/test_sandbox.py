"""What the decoding child has given up, tried from inside a process that gives it up."""

import json
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Says whether it left the network, what a connection does before and after, and if it may write.
SCRIPT = """
import json, socket, sys
from pathlib import Path
from worker.ingest import sandbox

def reaches(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True

port, target = int(sys.argv[1]), Path(sys.argv[2])
before = reaches(port)
left = sandbox.leave_network()
after = reaches(port)
target.write_text("clean copy")
print(json.dumps({"before": before, "left": left, "after": after}))
"""


def test_a_decoder_without_a_network_reaches_nobody(tmp_path: Path) -> None:
    """Code in a broken decoder could send photos home, or reach the database."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, port, str(tmp_path / "out")],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
    said = json.loads(done.stdout)
    assert said["before"]
    # Where the kernel refuses, it says so, and nothing is claimed.
    assert said["after"] is not said["left"]
    assert (tmp_path / "out").read_text() == "clean copy"
