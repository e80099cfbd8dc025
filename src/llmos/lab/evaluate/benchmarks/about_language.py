"""Language modelling and cloze: what their cards say."""

from __future__ import annotations

from llmos.lab.evaluate.benchmarks import language
from llmos.lab.evaluate.benchmarks.base import Benchmark, Counts
from llmos.lab.evaluate.benchmarks.wording import OLD, POEMS, SPEECHES, SPLIT, choice, join

ENTRIES = (
    Benchmark(
        name="english-text",
        title=("English text", "英文文本"),
        languages=("en",),
        licence="cc0-1.0",
        category="text-generation",
        tasks=(
            {
                "id": "text",
                "kind": "perplexity",
                "split": "test",
                "language": "en",
                "target": "{{text}}",
                "metrics": ["bits_per_byte", "word_perplexity"],
                "context": "stride",
            },
        ),
        what=(
            "How well a model foretells English: bits for each byte of passages from presidents' speeches.",
            "模型对英文的预测能力：总统演讲片段每字节所需的比特数。",
        ),
        made=join(("One passage of whole sentences from each speech.", "每篇演讲取一段完整句子。"), SPLIT),
        limits=join(OLD, ("Formal language of politics only.", "仅含正式的政治语言。")),
        terms=SPEECHES,
        make=language.english_text,
        small=Counts(14, 4),
        full=Counts(800, 160),
    ),
    Benchmark(
        name="chinese-text",
        title=("Chinese text", "中文文本"),
        languages=("zh",),
        licence="mit",
        category="text-generation",
        tasks=(
            {
                "id": "text",
                "kind": "perplexity",
                "split": "test",
                "language": "zh",
                "target": "{{text}}",
                "metrics": ["bits_per_character", "bits_per_byte"],
                "context": "stride",
            },
        ),
        what=(
            "How well a model foretells classical Chinese: bits for each character of Tang poems.",
            "模型对古典中文的预测能力：唐诗每个汉字所需的比特数。",
        ),
        made=join(("Whole poems without title and poet.", "整首诗，不含题目与作者。"), SPLIT),
        limits=join(OLD, ("Classical verse in traditional characters only.", "仅含繁体的古典诗歌。")),
        terms=POEMS,
        make=language.chinese_text,
        small=Counts(40, 8),
        full=Counts(2000, 400),
    ),
    Benchmark(
        name="english-cloze",
        title=("English cloze: the next sentence", "英文完形：下一句"),
        languages=("en",),
        licence="cc0-1.0",
        category="multiple-choice",
        tasks=(
            choice(
                id="next-sentence",
                language="en",
                prompt="{{question}}\n",
                choices="{{choices}}",
                target="{{answer}}",
                metrics=["accuracy", "acc_norm"],
                chance=0.25,
            ),
        ),
        what=(
            "Which of four sentences follows the one given; all four are from the same speech.",
            "四个句子中哪一句紧接给定的句子；四句出自同一篇演讲。",
        ),
        made=join(
            (
                "The right answer is the sentence that follows in the speech; the others stand at "
                "least five "
                "sentences away. Each place is right as often.",
                "正确答案是演讲中紧接的一句；其余三句至少相隔五句。各选项位置为正确答案的次数相同。",
            ),
            SPLIT,
        ),
        limits=join(
            (
                "People do not get all of them right either: now and then another sentence would "
                "follow as well.",
                "人也无法全部答对：有时另一句同样说得通。",
            ),
            OLD,
        ),
        terms=SPEECHES,
        make=language.english_cloze,
        small=Counts(32, 6),
        full=Counts(800, 160),
    ),
    Benchmark(
        name="english-words",
        title=("English cloze: the missing word", "英文完形：缺失的词"),
        languages=("en",),
        licence="cc0-1.0",
        category="multiple-choice",
        tasks=(
            choice(
                id="missing-word",
                language="en",
                prompt="",
                choices="{{choices}}",
                target="{{answer}}",
                metrics=["accuracy"],
                chance=0.25,
            ),
        ),
        what=(
            "Which of four words stands in a sentence; asked as four whole sentences.",
            "句中的词是四个词里的哪一个；以四个完整句子提问。",
        ),
        made=join(
            (
                "The word of the speech, and three others with the same ending that the speeches "
                "use about as "
                "often (half to twice).",
                "演讲原词，以及三个词尾相同、在演讲中频率相近（一半到两倍）的词。",
            ),
            SPLIT,
        ),
        limits=join(
            (
                "Nobody checked that the other words do not fit; a few do.",
                "没有人工核对其他词是否也合适；少数确实合适。",
            ),
            OLD,
        ),
        terms=SPEECHES,
        make=language.english_words,
        small=Counts(24, 6),
        full=Counts(800, 160),
    ),
    Benchmark(
        name="tang-cloze",
        title=("Tang cloze: the next couplet", "唐诗接龙：下一联"),
        languages=("zh",),
        licence="mit",
        category="multiple-choice",
        tasks=(
            choice(
                id="next-couplet",
                language="zh",
                prompt="{{question}}\n",
                choices="{{choices}}",
                target="{{answer}}",
                metrics=["accuracy"],
                chance=0.25,
            ),
        ),
        what=(
            "Which of four couplets follows the first one of a poem.",
            "四联中哪一联接在一首诗的首联之后。",
        ),
        made=join(
            (
                "The others are second couplets of other poems in the same metre (five or seven "
                "characters), so "
                "that length tells nothing.",
                "其余三联是同体（五言或七言）其他诗的第二联，长度不透露答案。",
            ),
            SPLIT,
        ),
        limits=join(
            (
                "Rhyme and subject help; the poem may be known by heart.",
                "押韵与题材有提示作用；模型可能背过该诗。",
            ),
            OLD,
        ),
        terms=POEMS,
        make=language.tang_cloze,
        small=Counts(48, 8),
        full=Counts(2000, 400),
    ),
)
