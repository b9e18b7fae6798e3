"""Codes of languages, and the code that stands for another name of a language: `EN`, `en-US`, `eng`, `english`."""

from __future__ import annotations

import functools
import re

__all__ = ["suggested_code", "unknown_language"]

# ISO 639-3 and 639-2, deprecated codes, and members of macrolanguages, of the languages that Whisper has.
OTHER_CODES = dict(
    pair.split(":")
    for pair in """
    afr:af sqi:sq alb:sq als:sq amh:am ara:ar arb:ar hye:hy arm:hy asm:as aze:az azj:az bak:ba eus:eu baq:eu bel:be
    ben:bn bos:bs bre:br bul:bg mya:my bur:my yue:yue cat:ca zho:zh chi:zh cmn:zh hrv:hr ces:cs cze:cs dan:da nld:nl
    dut:nl eng:en est:et ekk:et fao:fo fin:fi fra:fr fre:fr glg:gl kat:ka geo:ka deu:de ger:de ell:el gre:el guj:gu
    hat:ht hau:ha haw:haw heb:he iw:he hin:hi hun:hu isl:is ice:is ind:id in:id ita:it jpn:ja jav:jw jv:jw kan:kn
    kaz:kk khm:km kor:ko lao:lo lat:la lav:lv lvs:lv lin:ln lit:lt ltz:lb mkd:mk mac:mk mlg:mg plt:mg msa:ms may:ms
    zsm:ms mal:ml mlt:mt mri:mi mao:mi mar:mr mon:mn khk:mn nep:ne npi:ne nor:no nob:no nb:no nno:nn oci:oc pus:ps
    pbt:ps fas:fa per:fa pes:fa prs:fa pol:pl por:pt pan:pa ron:ro rum:ro mo:ro rus:ru san:sa srp:sr sna:sn snd:sd
    sin:si slk:sk slo:sk slv:sl som:so spa:es sun:su swa:sw swh:sw swe:sv tgl:tl fil:tl tgk:tg tam:ta tat:tt tel:te
    tha:th bod:bo tib:bo tur:tr tuk:tk ukr:uk urd:ur uzb:uz uzn:uz vie:vi cym:cy wel:cy yid:yi ydd:yi ji:yi yor:yo
    zh-yue:yue zh-hk:yue
    """.split()  # noqa: SIM905  a list of so many strings would be hard to read
)


@functools.cache
def _names() -> dict[str, str]:
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    return dict(TO_LANGUAGE_CODE)


@functools.cache
def suggested_code(name: str, known: frozenset[str]) -> str | None:
    """Return the code in `known` that another name stands for, or None where it is no name of one of them.

    Names are codes in other case, with a region or a script, of three letters or out of date, and English names.
    """
    plain = name.strip().casefold().replace("_", "-")
    first = re.split(r"[-. (@]", plain, maxsplit=1)[0]
    candidates = [plain, OTHER_CODES.get(plain), _names().get(plain.replace("-", " "))]
    candidates += [first, OTHER_CODES.get(first), _names().get(first)]
    return next((code for code in candidates if code in known), None)


@functools.cache
def unknown_language(name: str, known: frozenset[str], of_row: bool = True) -> str:
    """Return the message for a language that a model does not know, with the code to write where there is one.

    of_row: whether a row of a source has it; else a parameter has.
    """
    message = f"the model does not know the language {name!r}"
    if code := suggested_code(name, known):
        if not of_row:
            return f"{message}; write {code!r}"
        how = f"(`lang` in a manifest, language: {{{name}: {code}}} in corpus.sources)"
        return f"{message}, but {code!r}: write its code {how}"
    some = ", ".join(sorted(known) if len(known) < 12 else sorted(known & {"de", "en", "es", "ko", "zh"}))
    message += f"; it has {some}" if len(known) < 12 else f"; it has {len(known)}, with codes as {some}"
    alias = f"languages: {{{name}: {{as: CODE}}}} in params.yaml"
    if not of_row:
        return f"{message}. Write one of these, or say which one it is to be taken for: {alias}"
    return (
        f"{message}. If this is another name of one of them, write its code (`lang` in a manifest, language: "
        f"{{{name}: CODE}} in corpus.sources); if not, say which one it is to be taken for: {alias}"
    )
