"""LiberTEM: raw_csr, and with LiberTEM-live the same as a network stream."""

import importlib.util
import socket
import threading
from importlib import metadata

import numpy as np

from conformance.cases import NotOffered

__all__ = ["FORMATS", "rows", "version"]

FORMATS = ("raw_csr", "csr_stream")
_SECONDS = 10
_made = {}


def version():
    own = f"LiberTEM {metadata.version('libertem')}"
    if importlib.util.find_spec("libertem_live") is None:
        return own
    live = (f"{name} {metadata.version(name)}" for name in ("libertem-live", "libertem-asi-tpx3"))
    return ", ".join([own, *live])


def rows(case):
    return _from_file(case) if case.about["format"] == "raw_csr" else _from_stream(case)


def _from_file(case):
    from libertem.api import Context
    from libertem.udf.raw import PickUDF

    if "context" not in _made:
        _made["context"] = Context.make_with("inline")
    context = _made["context"]
    dataset = context.load("raw_csr", path=str(case.paths[0]))
    frames = context.run_udf(dataset=dataset, udf=PickUDF(), roi=np.ones(tuple(dataset.shape.nav), bool))
    found = np.asarray(frames["intensity"].raw_data)
    return found.reshape(-1, *found.shape[-2:])


def _all_frames():
    """A function for LiberTEM that gives every frame back: picking one by one needs a file."""
    from libertem.udf import UDF

    class AllFrames(UDF):
        def get_result_buffers(self):
            shape = tuple(self.meta.dataset_shape.sig)
            return {"frames": self.buffer(kind="nav", extra_shape=shape, dtype="float64")}

        def process_frame(self, frame):
            self.results.frames[:] = np.asarray(frame).reshape(self.results.frames.shape)

    return AllFrames()


def _from_stream(case):
    """Send the file over a socket, and add up its scans."""
    if importlib.util.find_spec("libertem_live") is None:
        raise NotOffered("libertem-live is not installed")
    from libertem_live.api import LiveContext

    received = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = (server, case.paths[0].read_bytes(), received)
        threading.Thread(target=_send, args=arguments, daemon=True).start()
        context = LiveContext.make_with("inline")
        # the slots are large enough for every chunk of the kit
        slots = {"bytes_per_chunk": 1 << 16, "chunks_per_stack": 4}
        connection = context.make_connection("asi_tpx3").open(data_port=server.getsockname()[1], **slots)
        with connection:
            total = 0
            for _ in range(case.about["n_scans"]):
                pending = connection.wait_for_acquisition(_SECONDS)
                if pending is None:
                    raise TimeoutError(f"no acquisition within {_SECONDS} s")
                acquisition = context.make_acquisition(conn=connection, pending_aq=pending, frames_per_partition=7)
                total = total + np.asarray(context.run_udf(dataset=acquisition, udf=_all_frames())["frames"].data)
            received.set()
    return total.reshape(-1, *total.shape[-2:])


def _send(server, content, received):
    connection, _ = server.accept()
    with connection:
        connection.sendall(content)
        received.wait(2 * _SECONDS)
