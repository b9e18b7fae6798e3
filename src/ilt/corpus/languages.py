"""Codes of languages, and the code that stands for another name of one: `EN`, `en-US`, `eng`, `english`, `Deutsch`."""

from __future__ import annotations

import functools
import re
import unicodedata

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
    zh-yue:yue zh-hk:yue zh-hant-hk:yue zh-mo:yue scr:hr scc:sr
    """.split()  # noqa: SIM905  a list of so many strings would be hard to read
)


OWN_NAMES = """
    中文:zh; Deutsch:de; español:es; русский:ru; 한국어:ko; français:fr; 日本語:ja; português:pt; Türkçe:tr;
    polski:pl; català:ca; Nederlands:nl; العربية:ar; svenska:sv; italiano:it; Indonesia:id; हिन्दी:hi; suomi:fi;
    Tiếng Việt:vi; עברית:he; українська:uk; Ελληνικά:el; Melayu:ms; čeština:cs; română:ro; dansk:da; magyar:hu;
    தமிழ்:ta; norsk:no; ไทย:th; اردو:ur; hrvatski:hr; български:bg; lietuvių:lt; Latina:la; Māori:mi; മലയാളം:ml;
    Cymraeg:cy; slovenčina:sk; తెలుగు:te; فارسی:fa; latviešu:lv; বাংলা:bn; српски:sr; azərbaycan:az;
    slovenščina:sl; ಕನ್ನಡ:kn; eesti:et; македонски:mk; brezhoneg:br; euskara:eu; íslenska:is; հայերեն:hy;
    नेपाली:ne; монгол:mn; bosanski:bs; қазақ:kk; shqip:sq; Kiswahili:sw; galego:gl; मराठी:mr; ਪੰਜਾਬੀ:pa; සිංහල:si;
    ខ្មែរ:km; chiShona:sn; Èdè Yorùbá:yo; Soomaali:so; occitan:oc; ქართული:ka; беларуская:be; тоҷикӣ:tg; سنڌي:sd;
    ગુજરાતી:gu; አማርኛ:am; ייִדיש:yi; ລາວ:lo; o‘zbek:uz; føroyskt:fo; Kreyòl Ayisyen:ht; پښتو:ps; türkmen:tk;
    norsk nynorsk:nn; Malti:mt; संस्कृत:sa; Lëtzebuergesch:lb; မြန်မာ:my; བོད་སྐད་:bo; Filipino:tl; অসমীয়া:as;
    татар:tt; ʻŌlelo Hawaiʻi:haw; lingála:ln; башҡорт:ba; Jawa:jw; 粵語:yue; bokmål:no; norsk bokmål:no; farsi:fa;
    dari:fa; azeri:az; bangla:bn; slovene:sl; castellano:es; srpski:sr; हिंदी:hi; 汉语:zh; 漢語:zh; 普通话:zh;
    普通話:zh; 国语:zh; 國語:zh; putonghua:zh; 粤语:yue; 廣東話:yue; 广东话:yue; bahasa indonesia:id;
    bahasa melayu:ms; basa jawa:jw; basa sunda:su; қазақша:kk; o‘zbekcha:uz; татарча:tt; azərbaycanca:az;
    türkmençe:tk; yorùbá:yo
"""
"""Names of languages in themselves, mostly as Babel 2.18 has them from CLDR, and others that are common."""

QUALIFIERS = re.compile(
    r"(?:(?:american|australian|brazilian|british|canadian|european|indian|latin american|mexican|modern|simplified|"
    r"standard|traditional)\s+)+"
)
"""Words before a name that lead to no other language of a model: Brazilian Portuguese, Traditional Chinese."""


def _folded(name: str) -> str:
    """Return a name without case, accents, and the white space and marks around it."""
    plain = unicodedata.normalize("NFKD", re.sub("[\u2018\u2019\u02bb\u02bc]", "'", name.casefold()))
    return " ".join(re.sub("[\u0300-\u036f]", "", plain).split()).strip(" .,;:'\"<>|[]")


@functools.cache
def _names() -> dict[str, str]:
    from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

    own = dict(pair.strip().rsplit(":", 1) for pair in OWN_NAMES.split(";"))
    return {_folded(name): code for name, code in {**own, **TO_LANGUAGE_CODE}.items()}


@functools.cache
def suggested_code(name: str, known: frozenset[str]) -> str | None:
    """Return the code in `known` that another name stands for, or None where it is no name of one of them.

    Names are codes in other case, with a region or a script, of three letters or out of date, and names in English
    and in the language itself.
    """
    plain = _folded(name).replace("_", "-")
    unqualified = QUALIFIERS.sub("", plain.replace("-", " "))
    first, word = (re.split(r"[-. (@]", text, maxsplit=1)[0] for text in (plain, unqualified))
    candidates = [plain, OTHER_CODES.get(plain), _names().get(plain.replace("-", " ")), _names().get(unqualified)]
    candidates += [first, OTHER_CODES.get(first), _names().get(first), _names().get(word)]
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
