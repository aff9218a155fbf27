"""Text of the images is decoded only where it is certain what it says."""

import pytest

from dicom_node.encode.characters import decode, to_ascii

KOREAN = "김희중"


@pytest.mark.parametrize(
    ("value", "terms", "text"),
    [
        (b"Plain^Name", (), "Plain^Name"),
        ("Äneas".encode("latin-1"), ("ISO_IR 100",), "Äneas"),
        ("Люкceмбypг".encode("iso8859_5"), ("ISO_IR 144",), "Люкceмбypг"),
        ("王^小東".encode(), ("ISO_IR 192",), "王^小東"),
        ("王^小东".encode("gb18030"), ("GB18030",), "王^小东"),
        # 秋 is 0x3D 0x29 in JIS X 0208: the first byte looks like the = between component groups
        (b"Aki=\x1b$B=)\x1b(B^\x1b$B;3\x1b(B", ("", "ISO 2022 IR 87"), "Aki=秋^山"),
        (b"\xd4\xcf\xc0\xde=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J", ("ISO 2022 IR 13", "ISO 2022 IR 87"), "ﾔﾏﾀﾞ=山田^太郎"),
        # case I1: the designation of G1 ends at ^, without a second escape
        (b"\xe7^\x1b$)C" + KOREAN.encode("euc_kr") + b"^\xe7", ("ISO 2022 IR 100", "ISO 2022 IR 149"), f"ç^{KOREAN}^ç"),
    ],
)
def test_text_is_decoded_by_its_declared_set(value: bytes, terms: tuple[str, ...], text: str) -> None:
    assert decode(value, terms) == text


@pytest.mark.parametrize(
    ("value", "terms"),
    [
        (b"\xc4neas", ()),  # no set declared
        (b"\xc4neas", ("",)),
        (b"\xc4neas", ("ISO_IR 192",)),  # wrong set declared
        ("Äneas".encode(), ("ISO_IR 100",)),  # UTF-8 under Latin-1: 0x84 is a control character there
        (b"\xc4neas", ("ISO-IR 999",)),  # unknown set
        (b"\x1b$B;3\x1b(B", ("ISO 2022 IR 100",)),  # escape to a set that was not declared
        (b"\x1b$B;", ("", "ISO 2022 IR 87")),  # half a character
        (b"\x1b&7x", ("", "ISO 2022 IR 87")),
    ],
)
def test_text_is_not_guessed(value: bytes, terms: tuple[str, ...]) -> None:
    """Trap: wrong or missing character set."""
    assert decode(value, terms) is None


def test_our_own_text_can_be_said_in_ascii() -> None:
    assert to_ascii("Résultat non vérifié : nœud") == "Resultat non verifie : noeud"
    assert to_ascii("d’après – “Groß”") == 'd\'apres - "Gross"'


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("Лёгкие", "??????"),
        (KOREAN, "???"),  # one for each character, not for each part of it
        ("結節 1", "?? 1"),
        ("½ mm", "1?2 mm"),  # not 12
        ("\u221231\u00a0mm³", "-31 mm3"),
        ("e\u0301", "e"),
        ("\u0301", "?"),
        ("", ""),
    ],
)
def test_what_ascii_cannot_say_is_a_question_mark(text: str, spelt: str) -> None:
    assert to_ascii(text) == spelt
