# ruff: noqa: RUF001  # letters of other scripts are what is tested
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.extraction.evidence import Source, fold
from workers.extraction.schema import SENTENCE_CHARS

LETTER = (
    "Dear Zoë,\nI've moved to  “New” York — at last! My café opens on 1 May… and Łukasz isn't coming.\n"
    "We never liked the old flat in Queens. The landlord was rude. See you soon."
)


@pytest.mark.parametrize(
    ("claimed", "kept"),
    [
        # verbatim
        ("I've moved to", "I've moved to"),
        # whitespace, quotation marks, dashes, case, punctuation at the end
        ("moved to New York - at last", "moved to  “New” York — at last"),
        ('I’ve moved to "New" York', "I've moved to  “New” York"),
        ("I'VE MOVED", "I've moved"),
        ("The landlord was rude.", "The landlord was rude."),
        ("the landlord was rude!!", "The landlord was rude"),
        ('"The landlord was rude."', "The landlord was rude"),
        # accents, composed or not, and letters that only look different
        ("Dear Zoe", "Dear Zoë"),
        ("Dear Zoe\u0308", "Dear Zoë"),
        ("cafe opens", "café opens"),
        ("My cafe\u0301 opens", "My café opens"),
        ("ｏｌｄ ｆｌａｔ", "old flat"),
        # line breaks
        ("Dear Zoë, I've moved", "Dear Zoë,\nI've moved"),
        # ellipses join passages that follow one another
        ("My café opens ... isn't coming", "My café opens on 1 May… and Łukasz isn't coming"),
        ("We never liked […] Queens", "We never liked the old flat in Queens"),
        ("...the old flat...", "the old flat"),
    ],
)
def test_a_quote_is_found_however_it_was_tidied_and_kept_as_the_text_has_it(claimed: str, kept: str) -> None:
    assert Source(LETTER).quote(claimed) == kept
    assert kept in LETTER


@pytest.mark.parametrize(
    "claimed",
    [
        "",
        " ",
        "I moved to Boston",
        "isn't coming ... My café opens",
        "!?",
        "...",
        "the landlord was not rude",
        "Dear Zoé K",
    ],
)
def test_what_the_text_does_not_say_is_no_quote(claimed: str) -> None:
    assert Source(LETTER).quote(claimed) is None


@pytest.mark.parametrize(
    ("text", "claimed", "kept"),
    [
        ("我上周五搬到了 里斯本。很开心！", "我上周五搬到了里斯本", "我上周五搬到了 里斯本"),
        ("私は先週、リスボンに引っ越しました。", "リスボンに引っ越しました。", "リスボンに引っ越しました。"),
        ("ﾘｽﾎﾞﾝに住む", "リスボンに住む", "ﾘｽﾎﾞﾝに住む"),
        ("وقّعتُ العقد أمس", "وقعت العقد", "وقّعتُ العقد"),
        ("मैं दिल्ली में रहती हूँ।", "दिल्ली में रहती हूँ", "दिल्ली में रहती हूँ"),
        ("Я живу в Москве.", "я живу в москве", "Я живу в Москве"),
        ("Mi cafe\u0301, hoy", "MI CAFE", "Mi cafe\u0301"),
        ("हाँ, मैं गया था", "मैं गय", "मैं गय"),
        ("İstanbul'da yaşıyorum", "istanbul'da yaşıyorum", "İstanbul'da yaşıyorum"),
        ("Straße 5", "STRASSE 5", "Straße 5"),
        ("so happy 🎉🎉", "🎉🎉", "🎉🎉"),
    ],
)
def test_quotes_are_found_in_any_script(text: str, claimed: str, kept: str) -> None:
    assert Source(text).quote(claimed) == kept


@pytest.mark.parametrize(
    ("text", "claimed", "kept"),
    [
        ('{"city":"Lisbon","since":2019}', '"city": "Lisbon"', 'city":"Lisbon'),
        (r'{"note":"line one\nline two"}', "line one line two", r"line one\nline two"),
        (r'{"city":"S\u00e3o Paulo"}', "São Paulo", r"S\u00e3o Paulo"),
        (r'{"by":"\u00c1lvaro"}', "Álvaro", r"\u00c1lvaro"),
        (r'{"at":"the caf\u00e9\nnow"}', "the café", r"the caf\u00e9"),
    ],
)
def test_quotes_from_json_are_read_through_its_escapes(text: str, claimed: str, kept: str) -> None:
    assert Source(text, is_json=True).quote(claimed) == kept


def test_a_quote_of_the_whole_text_is_cut_to_a_passage() -> None:
    text = "word " * 1_000

    passage = Source(text).quote(text)

    assert passage is not None
    assert text.startswith(passage)
    assert len(passage) == SENTENCE_CHARS


@pytest.mark.parametrize(
    ("claimed", "kept"),
    [
        # a word left out, added, misspelt, in another form
        ("We never liked the flat in Queens.", "We never liked the old flat in Queens."),
        ("We have never liked the old flat in Queens", "We never liked the old flat in Queens."),
        ("We nevr liked the old flat in Quens", "We never liked the old flat in Queens."),
        # two sentences in one
        (
            "We never liked that old flat in Queens, the landlord was so rude",
            "We never liked the old flat in Queens. The landlord was rude.",
        ),
    ],
)
def test_an_inexact_quote_leads_to_the_sentence_it_came_from(claimed: str, kept: str) -> None:
    source = Source(LETTER)

    assert source.quote(claimed) is None
    assert source.nearest(claimed) == kept
    assert kept in LETTER


@pytest.mark.parametrize(
    "claimed",
    [
        "",
        "soon",
        "zyx wvu qpk jjj xxq zzz",
        "He bought a boat in Lisbon",
        "Queens was never what we liked, and York is no better a place",
    ],
)
def test_what_is_not_near_is_nothing(claimed: str) -> None:
    assert Source(LETTER).nearest(claimed) is None


def test_a_sentence_without_end_is_no_evidence() -> None:
    text = "and so on " * 500 + "Ana moved to Rome on a Friday"

    assert Source(text).nearest("Ana moved over to Rome on a Friday") is None


@pytest.mark.parametrize(
    ("text", "name", "plain"),
    [
        ("Ana moved to New York.", "New York", True),
        ("Ana moved to New\nYork.", "new york", True),
        ("Ana's flat", "Ana", True),
        ("The items are IT-related", "IT", True),
        ("The items are here", "IT", False),
        ("She planned it", "Ann", False),
        ("Annabel came", "Ann", False),
        ("in Warszawa", "Warszaw", True),
        ("I live in Rome", "Boston", False),
        ("我在里斯本工作", "里斯本", True),
        ("안나가 왔다", "안나", True),
        ("עברתי לרוטרדם", "רוטרדם", True),
        ("I love 🍷", "🍷", True),
        ("", "", True),
        ("no wine", "🍷", False),
    ],
)
def test_names_are_looked_up_as_words_where_the_script_has_them(text: str, name: str, *, plain: bool) -> None:
    assert Source(text).names(name) is plain


@pytest.mark.parametrize(
    ("text", "name", "borne_out"),
    [
        ("My sister called", "Ana's sister", True),
        ("Acme called", "Acme Corporation", True),
        ("Я живу в Москве", "Москва", True),
        ("Asun Helsingissä", "Helsinki", True),
        ("Mieszkam w Warszawie", "Warszawa", True),
        ("Bydlím v Praze", "Praha", True),
        ("Wohne in Wien", "Vienna", False),
        ("Hello there", "Bob Smith", False),
        ("Yes, the Smiths came", "John Smith", True),
        ("nothing of the kind", "K", False),
        ("plan B", "B", True),
    ],
)
def test_names_may_be_inflected_or_completed_but_not_invented(text: str, name: str, *, borne_out: bool) -> None:
    assert Source(text).accounts_for(name) is borne_out


@given(text=st.text(max_size=200), claimed=st.text(max_size=80), is_json=st.booleans())
def test_whatever_is_kept_is_in_the_text(text: str, claimed: str, *, is_json: bool) -> None:
    source = Source(text, is_json=is_json)

    for kept in (source.quote(claimed), source.nearest(claimed)):
        assert kept is None or (kept in text and 0 < len(kept) <= SENTENCE_CHARS)
    source.names(claimed)
    source.accounts_for(claimed)


@given(text=st.text(min_size=1, max_size=200), data=st.data())
def test_every_passage_with_letters_is_found_again(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(min_value=0, max_value=len(text) - 1))
    passage = text[start : data.draw(st.integers(min_value=start + 1, max_value=len(text)))]

    assert Source(text).quote(passage) is not None or not passage.strip()
    assert Source(text).quote(fold(passage)) is not None or not fold(passage)
