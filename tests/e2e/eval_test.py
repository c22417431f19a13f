"""kontor eval: the array it writes, the path it prints, and what it says about bad input."""
import array
import ast
import json
import os
import pathlib
import shutil
import struct
import tempfile

from harness import TESTS, expect, expect_in, expect_true, main, run, test

GLM4 = TESTS / "data" / "glm4"


def folder():
    return tempfile.TemporaryDirectory(prefix="kontor-eval-")


def evaluate(tmp, ids, *more, model=GLM4):
    """Run eval on a text of ids; --logits-out goes to tmp/out.npy."""
    path = pathlib.Path(tmp) / "ids.txt"
    path.write_text(ids)
    return run("eval", "--model", str(model), "--ids", str(path), *more)


def read_npy(path):
    """(shape, values) of a float32 NumPy file, by the format's description alone."""
    raw = path.read_bytes()
    expect(raw[:8], b"\x93NUMPY\x01\x00", "magic")
    length = struct.unpack("<H", raw[8:10])[0]
    expect((10 + length) % 64, 0, "alignment of the values")
    header = ast.literal_eval(raw[10:10 + length].decode())
    expect((header["descr"], header["fortran_order"]), ("<f4", False))
    values = array.array("f")
    values.frombytes(raw[10 + length:])
    return header["shape"], values


def expected(name):
    """A tensor of tests/data/glm4/expected.safetensors as array."""
    raw = (GLM4 / "expected.safetensors").read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    entry = json.loads(raw[8:8 + n])[name]
    begin, end = entry["data_offsets"]
    values = array.array("f" if entry["dtype"] == "F32" else "i")
    values.frombytes(raw[8 + n + begin:8 + n + end])
    return values


def words(values):
    return " ".join(str(v) for v in values)


@test
def logits_of_the_reference_checkpoint():
    with folder() as tmp:
        out = pathlib.Path(tmp) / "out.npy"
        ids = expected("p2.ids")
        done = evaluate(tmp, "\n" + words(ids) + "\n", "--logits-out", str(out),
                        "--dtype", "float32")
        expect(done.returncode, 0, done.stderr)
        shape, values = read_npy(out)
        expect(shape, (len(ids), 896))
        want = expected("p2.logits_f32")
        expect(len(values), len(want), "values")
        error = max(abs(a - b) for a, b in zip(values, want))
        expect_true(error <= 1e-4, f"largest error {error}")


@test
def greedy_path_of_the_reference_checkpoint():
    with folder() as tmp:
        done = evaluate(tmp, words(expected("p1.ids")), "--greedy", "48", "--dtype", "float32")
        expect(done.returncode, 0, done.stderr)
        expect(done.stdout, words(expected("p1.greedy")) + "\n")


@test
def chunks_and_threads_change_nothing():
    with folder() as tmp:
        files = []
        for i, more in enumerate((("--chunk", "256"), ("--chunk", "1"),
                                  ("--chunk", "9", "--threads", "1"))):
            out = pathlib.Path(tmp) / f"{i}.npy"
            done = evaluate(tmp, words(expected("p3.ids")), "--logits-out", str(out), *more)
            expect(done.returncode, 0, done.stderr)
            files.append(out.read_bytes())
        expect_true(files[0] == files[1] == files[2], "the same bytes")


@test
def usage_errors_exit_two():
    for more in ((), ("--model", str(GLM4)), ("--model", str(GLM4), "--ids", "x"), ("--idz", "x"),
                 ("--model", str(GLM4), "--ids", "x", "--greedy", "0"),
                 ("--model", str(GLM4), "--ids", "x", "--greedy", "1", "--dtype", "int8")):
        expect(run("eval", *more).returncode, 2, f"exit code of {more}")


@test
def bad_ids_are_named():
    with folder() as tmp:
        for text, says in (("", "holds no token id"), ("  \n\t", "holds no token id"),
                           ("1 2 x 4", 'word 3 is "x"'), ("1 -2", 'word 2 is "-2"'),
                           ("896", 'word 1 is "896", but must be a token id from 0 to 895'),
                           ("99999999999999999999999", "word 1"), ("1.5", "word 1"),
                           ("1,2", "word 1"),
                           ("\u00fc", "word 1")):
            done = evaluate(tmp, text, "--greedy", "1")
            expect(done.returncode, 1, f"exit code for {text!r}")
            expect_in(says, done.stderr)


@test
def files_that_cannot_be_read_or_written():
    with folder() as tmp:
        done = run("eval", "--model", str(GLM4), "--ids", tmp + "/absent", "--greedy", "1")
        expect(done.returncode, 1)
        expect_in("absent: No such file", done.stderr)
        done = run("eval", "--model", str(GLM4), "--ids", tmp, "--greedy", "1")
        expect(done.returncode, 1)
        expect_in("Is a directory", done.stderr)
        done = evaluate(tmp, "1 2", "--logits-out", tmp + "/no/such/folder.npy")
        expect(done.returncode, 1)
        expect_in("cannot create", done.stderr)
        if os.path.exists("/dev/full"):
            done = evaluate(tmp, "1 2", "--logits-out", "/dev/full")
            expect(done.returncode, 1)
            expect_in("No space left", done.stderr)


@test
def too_long_for_the_model():
    with folder() as tmp:
        done = evaluate(tmp, "1 " * 32768, "--greedy", "1")
        expect(done.returncode, 1)
        expect_in("32768 ids and 1 continued ones are more than the 32768 positions", done.stderr)


@test
def unknown_levels_are_refused_with_those_there_are():
    with folder() as tmp:
        done = evaluate(tmp, "1", "--greedy", "1", "--cpu-level", "sse9")
        expect(done.returncode, 1)
        expect_in("ref", done.stderr)


@test
def faults_of_the_folder_come_all_at_once():
    with folder() as tmp:
        model = pathlib.Path(tmp) / "model"
        shutil.copytree(GLM4, model)
        (model / "model-00002-of-00002.safetensors").unlink()
        shard = model / "model-00001-of-00002.safetensors"
        os.truncate(shard, 1000)
        done = evaluate(tmp, "1", "--greedy", "1", model=model)
        expect(done.returncode, 1)
        expect_in("model-00001-of-00002.safetensors: the header claims", done.stderr)
        expect_in("model-00002-of-00002.safetensors: is missing", done.stderr)


@test
def damaged_weights_do_not_become_logits():
    with folder() as tmp:
        model = pathlib.Path(tmp) / "model"
        shutil.copytree(TESTS / "data" / "glm4-odd", model)
        weights = bytearray((model / "model.safetensors").read_bytes())
        weights[-4:] = struct.pack("<f", float("nan"))
        (model / "model.safetensors").write_bytes(weights)
        done = evaluate(tmp, "1", "--greedy", "1", model=model)
        expect(done.returncode, 1)
        expect_in("holds NaN or infinity", done.stderr)
        expect(done.stdout, "")


if __name__ == "__main__":
    main()
