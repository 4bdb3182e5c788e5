"""Finds the loops of a compiled program in XLA's text of it.

>>> hlo = '''
... %body.1 (p: f32[2]) -> f32[2] {
...   %p = f32[2]{0} parameter(0)
...   ROOT %f = f32[2]{0} fusion(%p), kind=kLoop, calls=%fused.2
... }
...
... %fused.2 (q: f32[2]) -> f32[2] {
...   %q = f32[2]{0} parameter(0)
...   ROOT %c = f32[2]{0} copy(%q)
... }
...
... ENTRY %main (x: f32[2]) -> f32[2] {
...   %x = f32[2]{0} parameter(0)
...   ROOT %w = f32[2]{0} while(%x), condition=%cond.3, body=%body.1
... }
... '''
>>> [len(body) for body in loop_bodies(hlo)], kernels(loop_bodies(hlo)[0])
([2], 1)
>>> [line.split()[1] for line in loop_instructions(hlo)]
['%p', '%f', '%q', '%c']
"""

import re

# Not kernels: they launch nothing on the device, or only name existing values.
_FREE = re.compile(r" (?:parameter|constant|bitcast|tuple|get-tuple-element|after-all|iota)\(")
_SCALAR = re.compile(r"= (?:s32|u32|pred)\[\]")


def _computations(hlo: str) -> dict[str, list[str]]:
    """Returns the instructions of each computation by its name."""
    parts = re.split(r"\n(?=(?:ENTRY )?%\S+ \()", hlo)
    headed = ((re.match(r"(?:ENTRY )?(%\S+) \(", part), part) for part in parts)
    return {
        match[1]: [line.replace("ROOT ", "") for line in part.splitlines()[1:] if " = " in line]
        for match, part in headed
        if match
    }


def _body_names(hlo: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r" while\(.*?body=(%[\w.\-]+)", hlo)))


def loop_bodies(hlo: str) -> list[list[str]]:
    """Returns the instructions of each loop's body, without those of the computations it calls."""
    computations = _computations(hlo)
    return [computations[name] for name in _body_names(hlo)]


def loop_instructions(hlo: str) -> list[str]:
    """Returns the instructions of all loops and of everything they call."""
    computations, seen = _computations(hlo), dict.fromkeys(_body_names(hlo))
    waiting = list(seen)
    while waiting:
        text = "\n".join(computations[waiting.pop()])
        called = re.findall(r"(?:calls|to_apply|body)=(%[\w.\-]+)", text)
        waiting += [name for name in called if name not in seen]
        seen |= dict.fromkeys(called)
    return [f"  {line.strip()}" for name in seen for line in computations[name]]


def kernels(body: list[str]) -> int:
    """Counts the instructions of a body that launch something on a device."""
    return sum(not _FREE.search(line) and not _SCALAR.search(line) for line in body)


def of_whole_sequences(instructions: list[str], steps: int) -> list[str]:
    """Selects conversions, copies and arithmetic on arrays of all time steps, [T, ..., ...].

    >>> of_whole_sequences(["%a = f32[7,2,3]{2,1,0} convert(%b)", "%c = f32[2,3]{1,0} copy(%d)"], 7)
    ['%a = f32[7,2,3]{2,1,0} convert(%b)']
    """
    whole = re.compile(
        rf"= (?:bf16|f16|f32|u16)\[{steps},\d+,\d+\]\S* "
        r"(?:convert|copy|copy-start|select|add|multiply)\("
    )
    return [line for line in instructions if whole.search(line)]
