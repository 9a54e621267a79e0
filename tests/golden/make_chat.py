"""Writes chat.json: chat templates in the habits of today's checkpoints, rendered by Jinja itself as checkpoints' own tools do.

    python3 tests/golden/make_chat.py > tests/golden/chat.json      # needs python3-jinja2
"""

import json

from jinja2.sandbox import ImmutableSandboxedEnvironment

# ChatML with a default system message, a branch for tools that is never taken, and string concatenation in expressions.
CHATML = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nAnswer with code.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {{- message.content | tojson }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# Plain blocks without minus signs, one text over several lines, a comment, a default by `is defined`.
PLAIN = """{# turns #}
{% if add_generation_prompt is not defined %}
{% set add_generation_prompt = false %}
{% endif %}
{% for message in messages %}
  {% if loop.index0 == 0 and message['role'] != 'system' %}
<|im_start|>system
You write code.<|im_end|>
  {% endif %}
<|im_start|>{{ message['role'] }}
{{ message['content'] | trim }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""

# Instruction and response under headings, a namespace, slices, an exception, ~ and a conditional expression.
HEADINGS = """{%- set ns = namespace(system=false, turns=0) -%}
{%- for message in messages -%}
    {%- if message['role'] == 'system' -%}
        {%- set ns.system = true -%}
    {%- endif -%}
{%- endfor -%}
{{ bos_token }}{{ messages[0].content ~ '\\n' if ns.system else 'Help with code.\\n' }}
{%- set rest = messages[1:] if ns.system else messages -%}
{%- for message in rest -%}
    {%- if message.role != 'user' and message.role != 'assistant' -%}
        {{ raise_exception('the role ' + message.role + ' is not known') }}
    {%- endif -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception("turns must alternate") -}}
    {%- endif -%}
    {%- set ns.turns = ns.turns + 1 -%}
    {%- if message['role'] == 'user' %}
{{ '### Instruction ' ~ ns.turns }}:
{{ message['content'].strip() }}
    {% else %}
### Response:
{{ message['content'] + '\\n' + eos_token }}
    {% endif %}
{%- endfor -%}
{% if add_generation_prompt %}### Response:
{% endif %}"""

CONVERSATIONS = [
    [{"role": "user", "content": "Write area."}],
    [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Write area(w, h):\n```python\ndef area(w, h):\n```"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c {{ d }} {% e %}"}],
    [{"role": "user", "content": "  blanks around \n"}],
]


def render(source, messages, answer_next, bos, eos):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)

    def raise_exception(message):
        raise ValueError(message)

    environment.globals["raise_exception"] = raise_exception
    template = environment.from_string(source)
    return template.render(messages=messages, add_generation_prompt=answer_next, bos_token=bos, eos_token=eos)


def main():
    out = []
    for name, source, bos, eos in [("chatml", CHATML, "", "<|im_end|>"), ("plain", PLAIN, "<s>", "<|im_end|>"), ("headings", HEADINGS, "<s>", "</s>")]:
        cases = []
        for messages in CONVERSATIONS:
            for answer_next in (True, False):
                cases.append({"messages": messages, "answer_next": answer_next, "rendered": render(source, messages, answer_next, bos, eos)})
        out.append({"name": name, "template": source, "bos_token": bos, "eos_token": eos, "cases": cases})
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
