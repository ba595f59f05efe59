"""Adapters of low rank: models of their own names over the weights of another."""

import pathlib
import random
import shutil
import struct
import tempfile

import harness
from harness import contains, equal

PATH = "/v1/chat/completions"
BASE = "tiny-qwen2"
DIM = 256
TEMPLATE = ("{% for m in messages %}adapted {{ m.role }} {{ m.content }} {% endfor %}"
            "{% if add_generation_prompt %}answers {% endif %}")
STRONG, ZEROS = "strong", "zeros"


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def write_adapter(path, scale, architecture="qwen2", dim=DIM, template=None):
    """A GGUF file with a pair of rank 2 for the first layer's values, whose second half is `scale`
    times noise. Numbers of GGUF's types: text 8, fp32 6; of a tensor: fp32 0."""
    noise = random.Random(1)
    tensors = [("blk.0.ffn_down.weight.lora_a", 2, 2 * dim, 1 / 16),
               ("blk.0.ffn_down.weight.lora_b", dim, 2, scale)]
    keys = {"general.architecture": architecture, "general.type": "adapter",
            "adapter.type": "lora"}
    if template:
        keys["tokenizer.chat_template"] = template
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys) + 1)
    for key, value in keys.items():
        head += text(key) + struct.pack("<I", 8) + text(value)
    head += text("adapter.lora.alpha") + struct.pack("<If", 6, 2.0)
    data = b""
    for name, rows, columns, size in tensors:
        data += bytes(-len(data) % 32)
        head += text(name) + struct.pack("<IQQIQ", 2, columns, rows, 0, len(data))
        data += struct.pack(f"<{rows * columns}f",
                            *(size * noise.gauss(0, 1) for _ in range(rows * columns)))
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path


def make_server(room):
    return Adapters(room)


class Adapters:
    """A server with two adapters, and what others are made of."""

    def __init__(self, room):
        self.room = room
        self.folder = tempfile.TemporaryDirectory(prefix="minke-adapters-")
        self.base = room.tiny(BASE)
        self.strong = write_adapter(self.path("strong.gguf"), 0.5, template=TEMPLATE)
        self.zeros = write_adapter(self.path("zeros.gguf"), 0)
        self.shared = self.start(f"{STRONG}={self.strong}", f"{ZEROS}={self.zeros}")
        self.log = self.shared.log

    def path(self, name):
        return pathlib.Path(self.folder.name) / name

    def start(self, *adapters, models=None, **more):
        options = [word for one in adapters for word in ("--adapter", one)]
        return self.room.server(models=models or [self.base], options=options, **more)

    def refusal(self, *adapters, **more):
        """What the program says instead of starting."""
        try:
            started = self.start(*adapters, **more)
        except AssertionError as why:
            return str(why)
        started.close()
        raise AssertionError(f"it started with {adapters}")

    def close(self):
        status = self.shared.close()
        self.folder.cleanup()
        return status


def ask(server, model, content="Where do whales sleep?", **more):
    return server.good(PATH, {"model": model, "max_tokens": 8, "temperature": 0,
                              "logprobs": True, "logit_bias": {"0": -100, "1": -100, "2": -100},
                              "messages": [{"role": "user", "content": content}]} | more)


def logprobs(answer):
    return [one["logprob"] for one in answer["choices"][0]["logprobs"]["content"]]


def is_known(answer):
    """Whether the prompt was found in the cache: not only the template's first words."""
    usage = answer["usage"]
    return usage["prompt_tokens_details"]["cached_tokens"] > usage["prompt_tokens"] / 2


def test_every_dialect_lists_an_adapter_as_a_model(adapters):
    server = adapters.shared
    models = {one["id"]: one for one in server.get("/v1/models").json()["data"]}
    equal({name: one.get("parent") for name, one in models.items()},
          {BASE: None, STRONG: BASE, ZEROS: BASE})
    equal(models[STRONG]["context_length"], models[BASE]["context_length"])
    tags = {one["name"]: one for one in server.get("/api/tags").json()["models"]}
    equal(tags[STRONG]["details"]["parent_model"], BASE)
    equal(tags[STRONG]["size"], tags[BASE]["size"] + adapters.strong.stat().st_size)
    equal(len({one["digest"] for one in tags.values()}), 3)
    shown = {one["name"]: one for one in server.get("/app/v1/state").json()["models"]}
    equal(shown[STRONG]["description"], f"{BASE} with an adapter")
    equal([name for name, one in shown.items() if one["is_default"]], [BASE])
    equal(server.get(f"/v1/models/{STRONG}").json()["parent"], BASE)


def test_a_request_chooses_the_adapter_by_its_name(adapters):
    server = adapters.shared
    plain, zeros = ask(server, BASE), ask(server, ZEROS)
    equal(zeros["model"], ZEROS)
    equal(logprobs(zeros), logprobs(plain), "an adapter of zeros changes nothing")
    prompt = {"prompt": "Where do whales sleep?", "max_tokens": 8, "temperature": 0, "logprobs": 0}
    scores = [server.good("/v1/completions", prompt | {"model": name})["choices"][0]["logprobs"]
              for name in (BASE, STRONG)]
    assert scores[0]["token_logprobs"] != scores[1]["token_logprobs"], scores


def test_the_prompt_is_written_as_the_adapter_was_trained(adapters):
    server = adapters.shared
    equal(server.good("/api/show", {"model": STRONG})["template"], TEMPLATE)
    tokens = ask(server, STRONG)["usage"]["prompt_tokens"]
    raw = {"model": STRONG, "prompt": "adapted user Where do whales sleep? answers ",
           "max_tokens": 1}
    equal(tokens, server.good("/v1/completions", raw)["usage"]["prompt_tokens"])


def test_what_one_has_read_is_no_other_ones(adapters):
    server = adapters.shared
    content = "A long way down. " * 30
    for name in (BASE, ZEROS):
        for cached in (False, True):
            equal(is_known(ask(server, name, content)), cached, name)


def test_each_counts_in_the_one_budget(adapters):
    server = adapters.shared
    for name in (BASE, STRONG, ZEROS):
        ask(server, name)
    loaded = {one["name"]: one["size"] for one in server.get("/api/ps").json()["models"]}
    equal(set(loaded), {BASE, STRONG, ZEROS})
    models = server.get("/app/v1/system").json()
    equal(models["memory"]["used"], sum(loaded.values()))
    weights = {one["name"]: one["memory"]["weights"] for one in models["models"]}
    # As it is and as it is multiplied; panels are padded.
    least = 2 * 4 * (2 * 2 * DIM + 2 * DIM)
    assert weights[STRONG] - weights[BASE] >= least, weights
    small = adapters.start(f"{ZEROS}={adapters.zeros}", memory="180MB")
    for name in (BASE, ZEROS):
        ask(small, name)
        equal(small.get("/health").json()["models_loaded"], [name])
    equal(small.close(), 0)


def test_what_they_have_read_outlives_the_server_for_each(adapters):
    cache, content = adapters.path("cache"), "The sea is deep. " * 30
    for round_number in range(2):
        server = adapters.start(f"{ZEROS}={adapters.zeros}", cache=cache, keeps_prompts=True)
        for name in (BASE, ZEROS):
            equal(is_known(ask(server, name, content)), round_number > 0, name)
        equal(server.close(), 0)
    equal(len(list((cache / "minke/prompts").glob("*.kv"))), 2)


def test_without_a_name_the_model_itself_has_it(adapters):
    server = adapters.start(adapters.strong, f"plain@{adapters.base}={adapters.zeros}")
    equal([one["id"] for one in server.get("/v1/models").json()["data"]], ["plain", BASE])
    equal(server.good("/api/show", {"model": BASE})["template"], TEMPLATE)
    assert logprobs(ask(server, BASE)) != logprobs(ask(server, "plain"))
    equal(server.close(), 0)


def test_a_file_is_known_by_the_name_under_which_it_is_served(adapters):
    server = adapters.start(f"named@{BASE}={adapters.zeros}")
    equal(server.get("/v1/models/named").json()["parent"], BASE)
    equal(server.close(), 0)
    contains(adapters.refusal(f"one={adapters.zeros}", f"two@one={adapters.zeros}"), "'one'")


def test_what_an_adapter_is_over_is_not_deleted(adapters):
    name, cache = "smollm2:135m", adapters.path("pulled")
    pulled = cache / "minke/models/smollm2-135m-instruct-q4_1.gguf"
    pulled.parent.mkdir(parents=True)
    shutil.copy(adapters.base, pulled)
    server = adapters.start(f"over@{name}={adapters.zeros}", cache=cache)
    ask(server, "over")
    for method, path, body in (("DELETE", f"/app/v1/models/{name}", None),
                               ("DELETE", "/api/delete", {"model": name})):
        answer = server.ask(method, path, body)
        equal(answer.status, 409, answer.body)
        contains(answer.body.decode(), "'over'")
    assert pulled.exists()
    equal(server.close(), 0)
    server = adapters.start(cache=cache)
    equal(server.ask("DELETE", f"/app/v1/models/{name}").status // 100, 2)
    assert not pulled.exists()
    equal(server.close(), 0)


def test_what_is_wrong_is_told_at_the_start(adapters):
    good, path = adapters.strong, adapters.path
    llama = write_adapter(path("llama.gguf"), 1, architecture="llama")
    narrow = write_adapter(path("narrow.gguf"), 1, dim=64)
    for wrong, parts in (
            ((f"x={path('none.gguf')}",), ("none.gguf", "No such file")),
            ((f"x={adapters.base}",), ("this is no LoRA adapter",)),
            ((f"x={llama}",), ("llama.gguf", "architecture 'llama', and this one is 'qwen2'")),
            ((f"x={narrow}",), ("narrow.gguf", "blk.0.ffn_down.weight", "[64, 128]",
                                "[256, 512]", "another model")),
            ((f"x@none-such={good}",), ("none-such",)),
            ((f"{BASE}={good}",), (f"there is a model '{BASE}' already",)),
            (("qwen2.5-coder:0.5b=" + str(good),), ("'qwen2.5-coder:0.5b' already",)),
            ((f"x={good}", f"x={good}"), ("there is a model 'x' already",)),
            ((good, good), (f"{BASE} has one already", "NAME=FILE")),
            ((f"a b={good}",), ("no spaces",)),
            ((f"a\tb={good}",), ("no spaces",)),
            (("x=",), ("NAME@MODEL=FILE, got 'x='",)),
            ((f"x@={good}",), ("NAME@MODEL=FILE",))):
        said = adapters.refusal(*wrong)
        for part in parts:
            contains(said, part)


def test_the_folder_of_trainings_may_come_later_and_is_no_file(adapters):
    server = adapters.room.server(models=[adapters.base],
                                  options=["--runs", adapters.path("later")])
    equal(server.close(), 0)
    contains("".join(server.log), "there is no such folder yet")
    try:
        adapters.room.server(models=[adapters.base], options=["--runs", adapters.strong])
    except AssertionError as why:
        contains(str(why), "expected a folder of trainings")
    else:
        raise AssertionError("it started")


def test_one_that_is_gone_when_it_is_asked_for_is_told_to_who_asks(adapters):
    lost = write_adapter(adapters.path("lost.gguf"), 1)
    server = adapters.start(f"lost={lost}")
    lost.unlink()
    answer = server.post(PATH, {"model": "lost", "max_tokens": 1,
                                "messages": [{"role": "user", "content": "x"}]})
    equal(answer.status, 500)
    for part in ("lost cannot be loaded", "lost.gguf"):
        contains(answer.json()["error"]["message"], part)
    ask(server, BASE)
    equal(server.close(), 0)
