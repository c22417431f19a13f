"""kontor inspect: what it shows of sound folders, faulty folders and presets."""
import json
import os
import pathlib
import shutil
import tempfile

from harness import TESTS, expect, expect_in, expect_true, main, run, test

DATA = TESTS / "data"


def inspect_json(word, *more):
    done = run("inspect", str(word), "--json", *more)
    return done, json.loads(done.stdout)


def copy_model(tmp, name="glm4"):
    model = pathlib.Path(tmp) / "model"
    shutil.copytree(DATA / name, model)
    return model


@test
def a_sound_folder():
    done = run("inspect", str(DATA / "glm4"))
    expect(done.returncode, 0, done.stdout + done.stderr)
    for text in ("Glm4ForCausalLM (glm4)", "0.462 million (462432)",
                 "tensors: 43 in 2 files, 929424 bytes", "model.layers.*.mlp.gate_up_proj.weight",
                 "memory plan: --dtype bfloat16", "KV cache", "no faults"):
        expect_in(text, done.stdout)
    expect_true("model.layers.3." not in done.stdout, "one line per kind of tensor")
    expect_in("model.layers.3.mlp.gate_up_proj.weight",
              run("inspect", str(DATA / "glm4"), "--all-tensors").stdout)


@test
def the_same_as_json():
    done, report = inspect_json(DATA / "glm4-odd")
    expect(done.returncode, 0)
    expect(report["architecture"], "Glm4ForCausalLM")
    expect((report["layers"], report["hidden"], report["heads"], report["kv_heads"]), (3, 72, 6, 3))
    expect(report["eos_token_ids"], [832, 839, 841])
    expect(report["faults"], [])
    expect(sum(t["bytes"] for t in report["tensors"]) < report["file_bytes"], True)
    head = [t for t in report["tensors"] if t["name"] == "lm_head.weight"]
    expect(head, [{"name": "lm_head.weight", "dtype": "F32", "shape": [896, 72], "bytes": 258048,
                   "file": "model.safetensors"}])
    expect(report["plan"]["fits"], True)
    expect(report["plan"]["max_model_len"], 32768)


@test
def options_steer_the_plan():
    _, report = inspect_json(DATA / "glm4", "--dtype", "float32", "--max-model-len", "1k",
                             "--max-num-seqs", "2")
    expect(report["plan"]["dtype"], "float32")
    expect(report["plan"]["kv_bytes_per_token"], 4 * 2 * 2 * 16 * 4)
    expect(report["plan"]["kv_blocks"], 2 * 63)  # no more than two sequences of 1000 tokens need


@test
def a_preset_that_does_not_fit():
    done, report = inspect_json("preset:glm-4-32b-0414", "--max-model-len", "32768",
                                "--gpu-memory-utilization", "0.01")
    expect(done.returncode, 1)
    expect(report["parameters"], 32566081536)
    expect(report["plan"]["fits"], False)
    expect_in("bytes short", report["plan_problem"])
    expect_in("--gpu-memory-utilization", report["plan_problem"])
    expect(report["faults"], [])


@test
def unknown_presets_name_the_nearest():
    done = run("inspect", "preset:glm-4-9b-0441")
    expect(done.returncode, 1)
    expect_in("did you mean glm-4-9b-0414?", done.stdout)


@test
def every_fault_in_one_report():
    with tempfile.TemporaryDirectory(prefix="kontor-inspect-") as tmp:
        model = copy_model(tmp)
        config = json.loads((model / "config.json").read_text())
        config["num_hidden_layers"] = 1
        (model / "config.json").write_text(json.dumps(config))
        (model / "model-00002-of-00002.safetensors").unlink()
        (model / "tokenizer.json").write_text("{")
        done, report = inspect_json(model)
        expect(done.returncode, 1)
        faults = "\n".join(report["faults"])
        expect_in("model-00002-of-00002.safetensors: is missing", faults)
        expect_in("config.json says that the model has 1 layers", faults)
        expect_in("tokenizer.json", faults)
        expect(report["layers"], 1)
        text = run("inspect", str(model))
        expect(text.returncode, 1)
        expect_in(f"{len(report['faults'])} faults:", text.stdout)


@test
def a_tokenizer_of_another_model():
    with tempfile.TemporaryDirectory(prefix="kontor-inspect-") as tmp:
        model = copy_model(tmp)
        shutil.copy(DATA / "tokenizer" / "tokenizer.json", model)
        expect(run("inspect", str(model)).returncode, 0)
        tokenizer = json.loads((model / "tokenizer.json").read_text())
        tokenizer["added_tokens"] += [
            {"id": i, "content": f"<|more{i}|>", "special": True, "single_word": False,
             "lstrip": False, "rstrip": False, "normalized": False} for i in range(868, 897)]
        (model / "tokenizer.json").write_text(json.dumps(tokenizer))
        done, report = inspect_json(model)
        expect(done.returncode, 1)
        expect_in("it belongs to another model", "\n".join(report["faults"]))


@test
def architectures_that_are_not_built():
    with tempfile.TemporaryDirectory(prefix="kontor-inspect-") as tmp:
        model = copy_model(tmp)
        for name in ("Glm4MoeForCausalLM", "GlmMoeDsaForCausalLM", "ChatGLMModel"):
            config = json.loads((model / "config.json").read_text())
            config["architectures"] = [name]
            (model / "config.json").write_text(json.dumps(config))
            done, report = inspect_json(model)
            expect(done.returncode, 1)
            expect(len(report["faults"]), 1)
            expect_in(name, report["faults"][0])
            expect_in("built in: Glm4ForCausalLM", report["faults"][0])


@test
def folders_that_are_none():
    with tempfile.TemporaryDirectory(prefix="kontor-inspect-") as tmp:
        for word, says in ((tmp + "/absent", "No such file"), (tmp, "config.json: cannot open"),
                           (os.path.abspath(__file__), "is a file; name the folder")):
            done = run("inspect", word)
            expect(done.returncode, 1, f"exit code for {word}")
            expect_in(says, done.stdout)


@test
def hostile_names_do_not_reach_the_terminal():
    with tempfile.TemporaryDirectory(prefix="kontor-inspect-") as tmp:
        model = copy_model(tmp)
        config = (model / "config.json").read_text().replace("Glm4ForCausalLM", "\\u001b[31mX\\n")
        (model / "config.json").write_text(config)
        done = run("inspect", str(model))
        expect(done.returncode, 1)
        expect_true("\x1b" not in done.stdout, "no escape sequence")


@test
def usage():
    expect(run("inspect").returncode, 2)
    expect(run("inspect", str(DATA / "glm4"), "--jsn").returncode, 2)
    expect(run("inspect", "--help").returncode, 0)


if __name__ == "__main__":
    main()
