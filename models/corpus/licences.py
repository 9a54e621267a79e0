"""Decides per file whether a licence on the allow-list covers it; anything unknown or contradictory is dropped."""

import fnmatch
import re

# Short names as Debian and SPDX write them, in lower case, and the identifier that the manifest records.
ALLOWED = [
    (re.compile(r"(expat|mit|x11|mit/x11|mit/expat|x11/mit)([-~ ].*)?$"), "MIT"),
    (re.compile(r"(0bsd|bsd-?0)"), "0BSD"),
    (re.compile(r"(free)?bsd[-_ ]?2([-_ ].*)?$"), "BSD-2-Clause"),
    (re.compile(r"bsd[-_ ]?3([-_ ].*)?$|(new|modified|revised)[- ]bsd$"), "BSD-3-Clause"),
    (re.compile(r"bsd([-_ ]?4?[-_ ]?(clause|style|like|license|licence|simplified|google|new)?.*)?$"), "BSD"),
    (re.compile(r"(apache|asl)[- ,]*(software[- ])?(license|licence)?[- ,]*(v|ver|version)?[-. ]*2(\.0)?([- ].*)?$"),
     "Apache-2.0"),
    (re.compile(r"isc([-~ ].*)?$"), "ISC"),
    (re.compile(r"zlib([-/~ ].*)?$"), "Zlib"),
    (re.compile(r"(bsl|boost)[- ]?(software[- ]license[- ])?(v?1(\.0)?)?$"), "BSL-1.0"),
    (re.compile(r"unlicense$|the unlicense"), "Unlicense"),
    (re.compile(r"cc0([- ]?1(\.0)?)?( universal)?$|cc-0"), "CC0-1.0"),
    (re.compile(r"(psf|python|psfl|psf-2|python-2\.0|psf-2\.0)([- ].*)?$"), "PSF-2.0"),
]
# Names that match a pattern above and still mean something else.
NOT_ALLOWED = re.compile(r"gpl|mpl|epl|cddl|proprietary|non-?commercial|no-?derivat|advertis|nuclear|with-commons|"
                         r"business|sspl|elastic|cc-by|json|\bnc\b|\bnd\b", re.I)
HEADER_CHARS = 4000
DENIED_HEADER = re.compile(
    r"GNU\s+(?:\W*\s*)?(?:Affero|Lesser|Library|General|Public)|(?<![\w-])[AL]?GPL(?:v?\d|[\s,.)\-+]|$)|"
    r"Mozilla\s+Public\s+Licen|\bMPL[- ]?[12]|Eclipse\s+(?:Public|Distribution)\s+Licen|\bEPL[- ]?v?[12]|"
    r"\bCDDL\b|Common\s+Development\s+and\s+Distribution|Common\s+Public\s+Licen|Creative\s+Commons\s+Attribution|"
    r"\bCC[- ]BY|Business\s+Source\s+Licen|Server\s+Side\s+Public|Elastic\s+Licen[sc]e|Commons\s+Clause|"
    r"proprietary|confidential|trade\s+secret|strictly\s+prohibited|non-?commercial|"
    r"European\s+Union\s+Public|\bEUPL\b|Artistic\s+Licen|Open\s+Software\s+Licen|SISSL|Netscape\s+Public|"
    r"may\s+not\s+be\s+(?:copied|reproduced|redistributed|used)\s+without", re.I)
# Words by which a licence file shows that it is one of the allowed; a file under a joke licence has none of them.
FILE_LICENCE = re.compile(r"\bMIT\b|Apache|\bISC\b|\bBSD\b|hereby\s+granted|Permission\s+to\s+use|Redistribution\s+and\s+use|"
                          r"Unlicense|unencumbered|CC0|Boost|as-is|Python\s+Software")
SPDX_LINE = re.compile(r"SPDX-License-Identifier:?\s*([^\n\r*]+?)\s*(?:\*/|-->|$)", re.M)
HEADER_LICENCES = [
    (re.compile(r"Apache\s+Licen[sc]e,?\s*(?:\(?the[^)]*\)\s*)?,?\s*Version\s+2|licenses/LICENSE-2\.0|apache\.org/licenses/LICENSE-2",
                re.I), "Apache-2.0"),
    (re.compile(r"Permission\s+is\s+hereby\s+granted,?\s+free\s+of\s+charge|(?:under|by)\s+(?:the\s+|an?\s+)?MIT(?:[- ]style)?\s+licen",
                re.I), "MIT"),
    (re.compile(r"Redistribution\s+and\s+use\s+in\s+source\s+and\s+binary|BSD[- ]style\s+licen|BSD\s+licen", re.I), "BSD"),
    (re.compile(r"Permission\s+to\s+use,\s+copy,\s+modify,\s+and(?:/or)?\s+distribute\s+this\s+software", re.I), "ISC"),
    (re.compile(r"Boost\s+Software\s+Licen[sc]e", re.I), "BSL-1.0"),
    (re.compile(r"provided\s+'as-is',\s+without\s+any\s+express\s+or\s+implied", re.I), "Zlib"),
]


def allowed_name(name):
    """Returns the SPDX identifier of one licence name when it is on the allow-list, else an empty string."""
    name = name.strip().strip("()").strip().lower()
    name = re.sub(r"\s+with\s+llvm[- ]exceptions?$", "", name.replace("_", "-")) if "llvm" in name else name
    name = re.sub(r"\s*\+$", "", name)
    if not name or NOT_ALLOWED.search(name):
        return ""
    for pattern, identifier in ALLOWED:
        if pattern.match(name):
            return identifier
    return ""


def allowed_expression(text):
    """Evaluates `A or B`, `A and B`, `A, and B`, `A / B` and parentheses; `or` needs one allowed part, `and` all of them."""
    text = text.strip().replace("\n", " ")
    text = re.sub(r",\s*(and|or)\s", r" \1 ", text, flags=re.I)
    while text.startswith("(") and text.endswith(")") and _matching(text) == len(text) - 1:
        text = text[1:-1].strip()
    for word, needs_all in ((r"\s+or\s+|\s*\|+\s*", False), (r"\s+and\s+|\s*[,;&]\s*", True)):
        parts = _split_outside(text, word)
        if len(parts) > 1:
            found = [allowed_expression(p) for p in parts]
            if needs_all:
                return " AND ".join(sorted(set(found))) if all(found) else ""
            return next((f for f in found if f), "")
    return allowed_name(text)


def _matching(text):
    depth = 0
    for index, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0:
            return index
    return -1


def _split_outside(text, pattern):
    """Splits at `pattern` where no parenthesis is open."""
    parts, start = [], 0
    for match in re.finditer(pattern, text, re.I):
        before = text[:match.start()]
        if before.count("(") == before.count(")"):
            parts.append(text[start:match.start()])
            start = match.end()
    parts.append(text[start:])
    return [p for p in parts if p.strip()]


def parse_dep5(text):
    """Parses a machine-readable debian/copyright into [(patterns, licence expression, copyright text)], or [] if it is free text."""
    if not re.search(r"(?im)^format(-specification)?\s*:", text[:3000]) or not re.search(r"(?m)^Files\s*:", text):
        return []
    rules = []
    for stanza in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields, key = {}, None
        for line in stanza.split("\n"):
            if line[:1] in (" ", "\t") and key:
                fields[key] += "\n" + line.strip()
            elif re.match(r"[A-Za-z][A-Za-z-]*\s*:", line):
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if "files" in fields and "license" in fields:
            patterns = [p for p in re.split(r"[\s,]+", fields["files"]) if p]
            expression = fields["license"].split("\n")[0].strip()
            rules.append((patterns, expression, fields.get("copyright", "")))
    return rules


def compile_rules(rules):
    """Turns DEP-5 globs, where `*` also crosses `/`, into [(regex, identifier, copyright)]."""
    compiled = []
    for patterns, expression, holders in rules:
        regex = re.compile("|".join(fnmatch.translate(p[2:] if p.startswith("./") else p) for p in patterns))
        compiled.append((regex, allowed_expression(expression), holders))
    return compiled


def rule_for(compiled, path):
    """Returns (identifier, copyright) of the last rule that matches, as DEP-5 defines, or None."""
    for regex, identifier, holders in reversed(compiled):
        if regex.match(path):
            return identifier, holders
    return None


def header_verdict(text):
    """Reads a file's head: returns ('deny', ''), ('allow', identifier) or ('silent', '')."""
    head = text[:HEADER_CHARS]
    spdx = SPDX_LINE.search(head)
    if spdx:
        identifier = allowed_expression(spdx.group(1))
        return ("allow", identifier) if identifier else ("deny", "")
    if DENIED_HEADER.search(head):
        return "deny", ""
    found = named_in(head)
    return ("allow", found) if found else ("silent", "")


def named_in(text):
    """Returns the first licence on the allow-list whose own words stand in the text, comment signs aside."""
    plain = re.sub(r"\s+", " ", re.sub(r"(?m)^[ \t]*(/?\*+/?|//+|#+|;+)", " ", text))
    return next((identifier for pattern, identifier in HEADER_LICENCES if pattern.search(plain)), "")


class PackageLicence:
    """The licence decision for every file of one package."""

    def __init__(self, package):
        self.rules = compile_rules(parse_dep5(package.copyright)) if package.copyright else []
        self.identifier = ""
        self.needs_declaration = package.kind == "npm"
        if package.kind == "npm":
            declared = allowed_expression(package.licence_field)
            denied = DENIED_HEADER.search(package.licence_file[:HEADER_CHARS])
            contradicted = denied and " OR " not in package.licence_field.upper()
            if declared and FILE_LICENCE.search(package.licence_file) and not contradicted:
                self.identifier = declared

    def decide(self, path, text):
        """Returns (identifier, reason): the identifier is empty when the file must be dropped for the reason."""
        verdict, from_header = header_verdict(text)
        if verdict == "deny":
            return "", "licence header"
        if self.rules:
            rule = rule_for(self.rules, path)
            if rule is None or not rule[0]:
                return "", "licence of the package"
            return rule[0], ""
        if self.identifier:
            return self.identifier, ""
        # Beside a free-text copyright file only the file's own header can tell; npm always needs field and file.
        if from_header and not self.needs_declaration:
            return from_header, ""
        return "", "licence unknown"
