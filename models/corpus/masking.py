"""Replaces e-mail addresses, keys, tokens and private-key blocks by placeholders of the same place in the syntax."""

import re

EMAIL = re.compile(r"\b[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?\.)+[A-Za-z]{2,12}\b")
EMAIL_PLACEHOLDER = "user@example.com"
SAFE_EMAIL = re.compile(r"@(?:[a-z0-9-]+\.)*(?:example\.(?:com|org|net)|example|invalid|localhost|test)$", re.I)
PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----)(.*?)(-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----)", re.S)
TOKENS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b|"
    r"\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[0-9A-Za-z_-]{35}\b|\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,}|"
    r"\bglpat-[0-9A-Za-z_-]{20}\b|\bnpm_[A-Za-z0-9]{36}\b|\bsk-[A-Za-z0-9_-]{32,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|"
    r"\beyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{8,}")
ASSIGNED = re.compile(
    r"""((?:password|passwd|secret|api_?key|access_?key|auth_?token|access_?token|private_?key|client_?secret|token)\w*["']?\s*(?:=|:|=>)\s*["'])"""
    r"""([A-Za-z0-9+/_=-]{20,})(["'])""", re.I)
TOKEN_PLACEHOLDER = "SECRET_PLACEHOLDER"


def _looks_random(word):
    """A secret mixes digits with both cases; words joined by hyphens or underscores do not."""
    return bool(re.search(r"\d", word)) and bool(re.search(r"[A-Z]", word)) and bool(re.search(r"[a-z]", word)) or \
        bool(re.fullmatch(r"[0-9a-f]{32,}", word))


def mask(text):
    """Returns the masked text and how many places of each kind were masked."""
    counts = {"email": 0, "token": 0, "private key": 0}

    def replace_email(match):
        if SAFE_EMAIL.search(match.group()):
            return match.group()
        counts["email"] += 1
        return EMAIL_PLACEHOLDER

    def replace_token(match):
        counts["token"] += 1
        return TOKEN_PLACEHOLDER

    def replace_assigned(match):
        if not _looks_random(match.group(2)):
            return match.group()
        counts["token"] += 1
        return match.group(1) + TOKEN_PLACEHOLDER + match.group(3)

    def replace_key(match):
        counts["private key"] += 1
        return match.group(1) + "\\n" * ("\\n" in match.group(2)) + TOKEN_PLACEHOLDER + match.group(3)

    if "PRIVATE KEY" in text:
        text = PRIVATE_KEY.sub(replace_key, text)
    text = TOKENS.sub(replace_token, text)
    text = ASSIGNED.sub(replace_assigned, text)
    if "@" in text:
        text = EMAIL.sub(replace_email, text)
    return text, counts
