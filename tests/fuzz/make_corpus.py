"""Writes the seed corpora of the fuzzers: small inputs that reach past the first check of each reader."""

import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent / "corpus"


def seed(target, name, data):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def framed(*bodies):
    return b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(b), b) for b in bodies)


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def request(method, params=None, number=1):
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def tokenizer():
    """A byte-level BPE with three merges and two special tokens, in the shape of a Hugging Face tokenizer.json."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {b: chr(b) for b in printable}
    names.update({b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in names)})
    merges = [("a", "b"), ("ab", "c"), ("Ġ", "a")]
    words = ["<|endoftext|>", "<|fim_prefix|>", *(names[b] for b in range(256)), *(x + y for x, y in merges)]
    split = {"Regex": r"\r?\n|[^\S\r\n]{2,}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|[^\S\r\n]|\s"}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": words[i], "special": True} for i in (0, 1)],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": split, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {w: i for i, w in enumerate(words)}, "merges": [" ".join(m) for m in merges]},
    }


def main():
    hello = request("initialize", {}).encode()
    seed("framing", "two", framed(hello, b"{}"))
    seed("framing", "case_and_type", b"content-type: x; charset=utf-8\r\nCONTENT-LENGTH:2 \r\n\r\n{}")
    seed("framing", "too_short", b"Content-Length: 5\r\n\r\n" + hello + framed(b"{}"))
    seed("framing", "too_long", b"Content-Length: 50\r\n\r\nnot json" + framed(b"{}", b"{}", b"{}"))
    seed("framing", "doubled", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + framed(b"{}"))
    seed("framing", "huge", b"Content-Length: 1073741824\r\n\r\n" + framed(b"{}"))
    seed("framing", "no_number", b"Content-Length: x\r\n\r\n{}" + framed(b"{}"))
    seed("framing", "garbage", bytes(range(256)) + framed(b"{}"))

    life = [request("initialize", {}), request("echo", [1, "a", None, 1.5e300], 2), request("shutdown", None, 3)]
    seed("json_rpc", "life", "\n".join(life))
    seed("json_rpc", "early", "\n".join(reversed(life)))
    seed("json_rpc", "notes", '{"jsonrpc":"2.0","method":"note","params":{}}\n{"jsonrpc":"2.0","method":"$/x"}')
    cancel = '{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"k"}}'
    seed("json_rpc", "cancel", "\n".join([life[0], request("later", {}, "k"), cancel, cancel]))
    seed("json_rpc", "forgotten", "\n".join([life[0], request("forget", {}, 7), request("later", {}, -7)]))
    seed("json_rpc", "batch", "[" + ",".join(life) + "]\n[]\n1\nnull\n{}")
    seed("json_rpc", "answers", '{"jsonrpc":"2.0","id":1,"result":1}\n{"jsonrpc":"2.0","id":1,"error":{"code":1}}')
    seed("json_rpc", "not_utf8", life[0].encode() + b'\n{"jsonrpc":"2.0","id":2,"method":"echo","params":["\xff"]}')

    place = {"textDocument": {"uri": "file:///a.py"}, "position": {"line": 1, "character": 2}}
    span = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}}
    capabilities = {
        "general": {"positionEncodings": ["utf-8", "utf-16"]},
        "textDocument": {"inlineCompletion": {}, "completion": {"completionItem": {"snippetSupport": True}}},
        "workspace": {"configuration": True},
    }
    params = {
        "initialize": {"processId": 1, "clientInfo": {"name": "x", "version": "1"}, "capabilities": capabilities,
                       "workspaceFolders": [{"uri": "file:///w", "name": "w"}], "initializationOptions": {}},
        "open": {"textDocument": {"uri": "file:///a.py", "languageId": "python", "version": 1, "text": "x"}},
        "change": {"textDocument": {"uri": "file:///a.py", "version": 2},
                   "contentChanges": [{"range": span, "text": "y"}, {"text": "z"}]},
        "inline": {**place, "context": {"triggerKind": 2, "selectedCompletionInfo": {"range": span, "text": "x"}}},
        "folders": {"event": {"added": [{"uri": "file:///v", "name": "v"}], "removed": []}},
        "generate": {"prompt": "x", "suffix": "y", "sampling_params": {"temperature": 0.5, "max_tokens": 3, "seed": 1}},
        "settings": {"settings": {"loopd": {"depth": {"identifier": 1}}}},
    }
    ref = {"id": 1, "action": "fix", "uri": "file:///a.py", "range": span, "diagnostic": {"range": span, "message": "m"}}
    params["code_action"] = {**place, "range": span, "context": {"only": ["refactor"], "diagnostics": [{"range": span, "message": "m"}]}}
    params["resolve"] = {"title": "t", "data": ref, "token": 1, "result": {"title": "t", "applied": True}}
    params["action"] = {"command": "loopd.action", "arguments": [ref], "workDoneToken": "x"}
    params["module"] = {"command": "loopd.module", "arguments": [{"folder": "file:///w", "language": "python", "about": "a"}]}
    for name, value in params.items():
        seed("protocol", name, json.dumps(value))

    two = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
           "b": {"dtype": "I8", "shape": [4], "data_offsets": [24, 28]}}
    seed("safetensors", "two", safetensors(two, bytes(28)))
    seed("safetensors", "metadata", safetensors({"__metadata__": {"format": "pt"}, **two}, bytes(28)))
    seed("safetensors", "empty", safetensors({}, b""))
    seed("safetensors", "cut_off", safetensors(two, bytes(20)))
    seed("safetensors", "long_header", struct.pack("<Q", 2**63) + b"{}")
    big = {"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}
    seed("safetensors", "overflowing_shape", safetensors(big, b""))
    negative = {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [8, 4]}}
    seed("safetensors", "negative", safetensors(negative, bytes(16)))
    odd = {"a": {"dtype": "Q3", "shape": "x", "data_offsets": [0.5]}}
    seed("safetensors", "odd_types", safetensors(odd, bytes(16)))

    good = json.dumps(tokenizer(), ensure_ascii=False, separators=(",", ":"))
    text = "def abc(a, b):\r\n    return  a + 12 # ü 😀 <|endoftext|>\n"
    seed("tokenizer", "text", good.encode() + b"\0" + text.encode())
    seed("tokenizer", "not_utf8", good.encode() + b"\0abc \xff\xfe\x80\xf0\x9f ab")
    seed("tokenizer", "no_merges", good.replace('["a b","ab c","Ġ a"]', "[]").encode() + b"\0abcabc")
    seed("tokenizer", "unknown_merge", good.replace("ab c", "zz zz").encode() + b"\0abcabc")
    seed("tokenizer", "bad_regex", good.replace(r"[^\\S\\r\\n]{2,}", "(((").encode() + b"\0abcabc")
    seed("tokenizer", "empty", b"{}\0x")

    for golden in json.loads((HERE.parents[1] / "golden/chat.json").read_text()):
        seed("chat_template", golden["name"], golden["template"])
    seed("chat_template", "operators", "{{ (1 + 2 - -3) % 4 ~ 'a' if not x is defined and 'b' in 'abc' or none is none else \"\\n\" }}")
    seed("chat_template", "calls", "{{ messages[1:-1] | length }}{{ ' a '.strip() | upper | default('d') }}{{ messages[0].get('role', 'r') }}")
    seed("chat_template", "loops", "{% for a in messages %}{% for b in messages + messages -%} {{- loop.index ~ b.content }}{%+ endfor %}{% endfor +%}")
    seed("chat_template", "namespace", "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{# {{ #}")


if __name__ == "__main__":
    main()
