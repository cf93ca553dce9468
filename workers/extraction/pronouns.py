"""Who "I" is, and which words are no names at all."""

from typing import Final

from tasks.contract import Episode, EpisodeKind

# As they are written inside a sentence, in the languages most met with. Case counts: forms that are names or acronyms
# when written in capitals, or in another language (Ben, US, IT, EU), are taken in lower case only, or not at all.
_FIRST_WORDS: Final = """
I i me Me my My myself mine Myself we We us our ours ourselves
ich Ich mich mir wir Wir uns je Je moi Moi nous Nous yo Yo mí nosotros Nosotros nosotras eu nós Nós io noi Noi
я Я мне меня мы Мы нас ja ik wij jag minä ben biz
我 我们 我們 私 わたし 僕 俺 私たち 나 저 우리 저희 أنا نحن मैं मुझे हम
"""
_OTHER_WORDS: Final = """
you You your he He she She it It they They you him her them his hers its their this This that That someone Someone
er sie Sie du Du ihr il Il elle Elle ils elles tu Tu vous Vous él ella ellos ellas usted ustedes ele ela eles elas
lui lei loro он Он она Она они Они оно вы Вы ты sen siz hij zij hon hän
他 她 它 他们 她们 他們 你 您 你们 彼 彼女 あなた 그 그녀 당신 هو هي هم أنت वह वे आप तुम
"""
_FIRST_PERSON: Final = frozenset(_FIRST_WORDS.split())
_OTHER_PERSON: Final = frozenset(_OTHER_WORDS.split())
_SPEAKER: Final = frozenset({"speaker", "the speaker"})
_USER: Final = "user"


def speaker_name(episode: Episode) -> str | None:
    """What memories call the speaker: the name, else the role; None if the episode tells neither."""
    name = episode.speaker or episode.role
    return " ".join(name.split()) if name else None


def resolve_pronoun(name: str, episode: Episode) -> str | None:
    """The name behind a pronoun, the name itself if it is none; None if nobody can tell."""
    if name in _FIRST_PERSON:
        return speaker_name(episode)
    if name in _OTHER_PERSON:
        return None
    if episode.kind is EpisodeKind.MESSAGE and _means_speaker(name.casefold(), episode):
        return speaker_name(episode) or name
    return name


def _means_speaker(name: str, episode: Episode) -> bool:
    role = (episode.role or _USER).casefold()
    return name in _SPEAKER or name.removeprefix("the ") == role
