# ruff: noqa: RUF001  # letters of other scripts are what is tested
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.extraction import estimate_tokens
from workers.extraction.tokens import HUNDREDTHS, running_weights

PROSE = {
    "English": (
        "Last Friday I finally signed the contract with Northwind Traders, and from the first of Ma"
        "y I will be leading their logistics team in Rotterdam. My partner is staying in Utrecht un"
        "til the lease ends, so we will see each other at weekends for a while."
    ),
    "German": (
        "Am vergangenen Freitag habe ich endlich den Vertrag mit der Nordwind Handelsgesellschaft u"
        "nterschrieben. Ab dem ersten Mai leite ich die Logistikabteilung in Rotterdam, während mei"
        "ne Lebensgefährtin bis zum Ende des Mietvertrags in Utrecht bleibt."
    ),
    "Spanish": (
        "El viernes pasado firmé por fin el contrato con la naviera y desde el primero de mayo diri"
        "giré su equipo de logística en Róterdam. Mi pareja se queda en Utrecht hasta que termine e"
        "l alquiler, así que nos veremos los fines de semana."
    ),
    "French": (
        "Vendredi dernier, j'ai enfin signé le contrat avec l'armateur ; à partir du premier mai, j"
        "e dirigerai son équipe logistique à Rotterdam. Ma compagne reste à Utrecht jusqu'à la fin "
        "du bail, nous nous verrons donc le week-end."
    ),
    "Finnish": (
        "Viime perjantaina allekirjoitin vihdoin sopimuksen varustamon kanssa, ja toukokuun alusta "
        "johdan heidän logistiikkatiimiään Rotterdamissa. Kumppanini jää Utrechtiin vuokrasopimukse"
        "n loppuun asti."
    ),
    "Polish": (
        "W zeszły piątek wreszcie podpisałem umowę z armatorem i od pierwszego maja będę kierować i"
        "ch zespołem logistycznym w Rotterdamie. Moja partnerka zostaje w Utrechcie do końca umowy "
        "najmu."
    ),
    "Vietnamese": (
        "Thứ Sáu tuần trước cuối cùng tôi cũng đã ký hợp đồng với công ty vận tải biển, và từ ngày "
        "mùng một tháng Năm tôi sẽ phụ trách đội hậu cần của họ ở Rotterdam."
    ),
    "Turkish": (
        "Geçen cuma nihayet nakliye şirketiyle sözleşmeyi imzaladım ve mayısın birinden itibaren Ro"
        "tterdam'daki lojistik ekibini yöneteceğim. Eşim kira sözleşmesi bitene kadar Utrecht'te ka"
        "lıyor."
    ),
    "Russian": (
        "В прошлую пятницу я наконец подписал договор с судоходной компанией и с первого мая буду р"
        "уководить их отделом логистики в Роттердаме. Моя подруга остаётся в Утрехте до конца аренд"
        "ы."
    ),
    "Greek": (
        "Την περασμένη Παρασκευή υπέγραψα επιτέλους τη σύμβαση με τη ναυτιλιακή εταιρεία και από τη"
        "ν πρώτη Μαΐου θα διευθύνω την ομάδα εφοδιασμού τους στο Ρότερνταμ."
    ),
    "Hebrew": (
        "ביום שישי שעבר חתמתי סוף סוף על החוזה עם חברת הספנות, ומהראשון במאי אנהל את צוות הלוגיסטיקה שלה ברוטרדם."
    ),
    "Arabic": (
        "وقّعت يوم الجمعة الماضي العقد مع شركة الشحن أخيرًا، وابتداءً من الأول من مايو سأدير فريق ا"
        "لخدمات اللوجستية في روتردام."
    ),
    "Hindi": (
        "पिछले शुक्रवार मैंने आखिरकार शिपिंग कंपनी के साथ अनुबंध पर हस्ताक्षर किए और पहली मई से मैं"
        " रॉटरडैम में उनकी लॉजिस्टिक्स टीम का नेतृत्व करूँगा।"
    ),
    "Thai": ("เมื่อวันศุกร์ที่แล้วในที่สุดฉันก็เซ็นสัญญากับบริษัทเดินเรือ และตั้งแต่วันที่หนึ่งพฤษภาคมฉันจะเป็นหัวหน้าทีมโลจิสติกส์ที่รอตเทอร์ดาม"),
    "Georgian": (
        "გასულ პარასკევს საბოლოოდ გავაფორმე ხელშეკრულება გადამზიდავ კომპანიასთან და პირველი მაისიდა"
        "ნ მათ ლოგისტიკის გუნდს ვუხელმძღვანელებ როტერდამში."
    ),
    "Tamil": (
        "கடந்த வெள்ளிக்கிழமை நான் கப்பல் நிறுவனத்துடன் ஒப்பந்தத்தில் கையெழுத்திட்டேன், மே முதல் தேத"
        "ியிலிருந்து ரோட்டர்டாமில் அவர்களின் தளவாடக் குழுவை வழிநடத்துவேன்."
    ),
    "Amharic": ("ባለፈው ዓርብ ከመርከብ ኩባንያው ጋር ውሉን ፈረምኩ፤ ከግንቦት አንድ ጀምሮ በሮተርዳም የሎጂስቲክስ ቡድናቸውን እመራለሁ።"),
    "Chinese": (
        "上周五我终于和航运公司签了合同，从五月一日起我将负责他们在鹿特丹的物流团队。我的伴侣会留在"
        "乌得勒支，直到租约结束，所以这段时间我们只能周末见面。"
    ),
    "Japanese": (
        "先週の金曜日、ようやく海運会社との契約に署名しました。五月一日からロッテルダムで物流チーム"
        "を率いることになります。パートナーは賃貸契約が終わるまでユトレヒトに残ります。"
    ),
    "Korean": (
        "지난주 금요일에 드디어 해운 회사와 계약서에 서명했고, 5월 1일부터 로테르담에서"
        " 물류팀을 이끌게 됩니다. 제 파트너는 임대 계약이 끝날 때까지 위트레흐트에 남습"
        "니다."
    ),
    "JSON": (
        '{"order_id":"A-20931","customer":{"name":"Ana Lima","tier":"gold"},"lines":[{"sku":"QX-88"'
        ',"qty":3,"price":19.95},{"sku":"QX-90","qty":1,"price":240.0}],"shipped_at":"2026-03-04T11'
        ':20:00Z","tracking":null}'
    ),
    "code": (
        'def total(items: list[Item], *, tax: float = 0.2) -> float:\n    """Sum of all items."""\n  '
        "  return sum(item.price * item.quantity for item in items) * (1 + tax)\n"
    ),
    "emoji": ("just landed in Lisbon 🎉🎉 so happy 😍✈️ meeting Rui tomorrow 🍷"),
    "chat": ("lol ok brb, gonna call u l8r!! btw thx 4 the gift :) it's gr8, luv it sooo much"),
}


@pytest.mark.parametrize("name", PROSE)
def test_estimate_stays_within_the_stated_error(name: str, count_tokens: Callable[[str], int]) -> None:
    text = PROSE[name]

    ratio = estimate_tokens(text) / count_tokens(text)

    assert 0.9 <= ratio <= 1.6


def test_identifiers_in_a_row_are_underestimated_by_a_quarter_at_most(count_tokens: Callable[[str], int]) -> None:
    text = "9f8a2c71-44de-4b1e-9c33-7f0e5ad21b60 2026-03-04T11:20:00+02:00 +31 6 1234 5678 https://example.com/a/b?x=1"

    assert estimate_tokens(text) >= 0.75 * count_tokens(text)


@given(text=st.text(max_size=200))
def test_both_ways_of_weighing_agree(text: str) -> None:
    weights = running_weights(text)

    assert len(weights) == len(text) + 1
    assert estimate_tokens(text) == math.ceil(weights[-1] / HUNDREDTHS)


def test_mixed_text_weighs_about_the_sum_of_its_parts() -> None:
    texts = list(PROSE.values())

    assert abs(estimate_tokens("".join(texts)) - sum(map(estimate_tokens, texts))) <= len(texts)


def test_nothing_weighs_nothing() -> None:
    assert estimate_tokens("") == 0


@given(text=st.text(max_size=200), more=st.text(max_size=50))
def test_a_longer_text_never_weighs_less(text: str, more: str) -> None:
    assert estimate_tokens(text + more) >= estimate_tokens(text)


@given(text=st.text(min_size=1, max_size=200))
def test_no_more_than_four_characters_make_one_token(text: str) -> None:
    assert len(text) / 4 <= estimate_tokens(text) <= 2 * len(text) + 1
