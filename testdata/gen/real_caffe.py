"""Calls into real Caffe below pycaffe: its own text and binary readers and its upgrade, without setting up any layer.

Needs: CPython 3.8 with kendryte-caffe 1.0.0.20210829 (Linux x86-64) and protobuf 3.20.3. Imported by the scripts beside it.

pycaffe has no call for the upgrade alone, and a net with data layers or without its data cannot be set up. But the
wheel's extension module exports Caffe's C++ functions, so this module builds a `caffe::NetParameter` in place and
hands it to `ReadNetParamsFromTextFileOrDie`, `ReadNetParamsFromBinaryFileOrDie`, `ReadSolverParamsFromTextFileOrDie`
and `ReadProtoFromTextFile`. Caffe ends the process on a fatal error, so every call runs in a forked child.
"""
import ctypes
import os
import re
import tempfile

os.environ["GLOG_minloglevel"] = "1"
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import caffe  # noqa: E402
from caffe import _caffe  # noqa: E402

STRING = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"


class Fatal(Exception):
    """Real Caffe ended the process, or its reader said no; the text is what it printed."""


class _StdString(ctypes.Structure):
    """libstdc++'s std::string; long texts only point to memory that Python owns, so it is never destroyed."""

    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t), ("rest", ctypes.c_size_t)]


def _library():
    return ctypes.CDLL(_caffe.__file__)


def _message(library, kind):
    memory = ctypes.create_string_buffer(1 << 14)
    constructor = getattr(library, "_ZN5caffe%d%sC1EPN6google8protobuf5ArenaE" % (len(kind), kind))
    constructor.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    constructor.restype = None
    constructor(ctypes.addressof(memory), None)
    return memory


def tidy(log):
    """The part of Caffe's stderr that says what went wrong: no dates, thread numbers, addresses or stack."""
    lines = []
    for line in log.splitlines():
        if line.startswith("*** Check failure stack trace"):
            break
        match = re.match(r"^[WEF]\d{4,8} [\d:.]+ +\d+ ([\w.]+:\d+)\] (.*)$", line)
        if match:
            lines.append(re.sub(r"0x[0-9a-f]+", "0x?", match.group(2)).strip())
        elif re.match(r"^\[libprotobuf \w+ [^\]]*\] ", line):
            lines.append(re.sub(r"^\[libprotobuf \w+ [^\]]*\] ", "", line).strip())
        elif line.startswith("WARNING: Logging before"):
            continue
        elif line.strip():
            lines.append(line.strip())
    return "\n".join(lines)


def isolated(function):
    """Runs function() in a forked child and returns (ok, what it returned as bytes, tidied stderr).

    ok is False when the child was ended by Caffe. `function` returns bytes or str.
    """
    result = tempfile.NamedTemporaryFile(delete=False)
    log = tempfile.NamedTemporaryFile(delete=False)
    result.close()
    log.close()
    child = os.fork()
    if child == 0:
        code = 3
        try:
            descriptor = os.open(log.name, os.O_WRONLY)
            os.dup2(descriptor, 2)
            os.dup2(descriptor, 1)
            value = function()
            with open(result.name, "wb") as stream:
                stream.write(value if isinstance(value, bytes) else value.encode())
            code = 0
        except BaseException as error:  # the parent reads the text
            os.write(2, (str(error) + "\n").encode())
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    with open(result.name, "rb") as stream:
        value = stream.read()
    with open(log.name, "r", errors="replace") as stream:
        text = tidy(stream.read())
    os.unlink(result.name)
    os.unlink(log.name)
    if os.WIFSIGNALED(status) and not text:
        text = "(ended by signal %d, without a word)" % os.WTERMSIG(status)
    return status == 0, value, text


def _read(symbol, kind, path, takes_string, out_text=False):
    def call():
        library = _library()
        message = _message(library, kind)
        function = getattr(library, symbol)
        encoded = os.fsencode(path)
        if takes_string:
            # A text longer than 15 bytes keeps libstdc++ from using its inner buffer; never destroyed, so never freed.
            holder = _StdString(encoded, len(encoded), max(len(encoded), 16), 0)
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
            function.restype = None
            function(ctypes.addressof(holder), ctypes.addressof(message))
        else:
            function.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
            function.restype = ctypes.c_bool
            if not function(encoded, ctypes.addressof(message)):
                raise Fatal("the reader returned false")
        target = tempfile.mktemp()
        name = "WriteProtoToTextFile" if out_text else "WriteProtoToBinaryFile"
        write = getattr(library, "_ZN5caffe%d%sERKN6google8protobuf7MessageEPKc" % (len(name), name))
        write.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        write.restype = None
        write(ctypes.addressof(message), os.fsencode(target))
        with open(target, "rb") as stream:
            value = stream.read()
        os.unlink(target)
        return value

    return isolated(call)


def upgrade_text(path, out_text=False):
    """A net prototxt through ReadNetParamsFromTextFileOrDie: (ok, upgraded message, log)."""
    return _read("_ZN5caffe30ReadNetParamsFromTextFileOrDieERK%sPNS_12NetParameterE" % STRING, "NetParameter", path, True, out_text)


def upgrade_binary(path, out_text=False):
    """A .caffemodel through ReadNetParamsFromBinaryFileOrDie: (ok, upgraded message, log)."""
    return _read("_ZN5caffe32ReadNetParamsFromBinaryFileOrDieERK%sPNS_12NetParameterE" % STRING, "NetParameter", path, True, out_text)


def upgrade_solver(path, out_text=False):
    """A solver prototxt through ReadSolverParamsFromTextFileOrDie."""
    return _read("_ZN5caffe33ReadSolverParamsFromTextFileOrDieERK%sPNS_15SolverParameterE" % STRING, "SolverParameter", path, True, out_text)


def parse_text(path, kind="NetParameter", out_text=False):
    """Text through Caffe's C++ TextFormat parser, without any upgrade."""
    return _read("_ZN5caffe21ReadProtoFromTextFileEPKcPN6google8protobuf7MessageE", kind, path, False, out_text)


def parse_binary(path, kind="NetParameter", out_text=False):
    """Bytes through Caffe's C++ binary parser, without any upgrade."""
    return _read("_ZN5caffe23ReadProtoFromBinaryFileEPKcPN6google8protobuf7MessageE", kind, path, False, out_text)


PROTO = caffe.proto.caffe_pb2
