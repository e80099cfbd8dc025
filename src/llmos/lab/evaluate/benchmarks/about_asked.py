"""Questions, translation and the pronoun probe: what their cards say."""

from __future__ import annotations

from llmos.lab.evaluate.benchmarks import asked
from llmos.lab.evaluate.benchmarks.base import Benchmark, Counts
from llmos.lab.evaluate.benchmarks.wording import POEMS, SPEECHES, SPLIT, join

ENTRIES = (
    Benchmark(
        name="speech-questions",
        title=("Questions about speeches", "演讲问答"),
        languages=("en",),
        licence="cc0-1.0",
        category="question-answering",
        tasks=(
            {
                "id": "extract",
                "kind": "qa",
                "split": "test",
                "language": "en",
                "question": "{{question}}",
                "passage": "{{context}}",
                "prompt": "{{context}}\nQuestion: {{question}}\nAnswer: ",
                "target": "{{answers}}",
                "fewshot": {"count": 2, "split": "train"},
                "stop": ["\n"],
                "max_new_tokens": 24,
                "metrics": ["squad_f1", "squad_em"],
                "chance": 0.0,
            },
        ),
        what=(
            "The year, sum of money or percentage that a passage names.",
            "找出段落中提到的年份、金额或百分比。",
        ),
        made=join(
            (
                "Synthetic: three questions written once, asked of passages with exactly one match "
                "of a pattern.",
                "合成数据：三个固定问题，针对恰有一处匹配的段落提问。",
            ),
            SPLIT,
        ),
        limits=(
            "It tests finding, not understanding: a pattern alone answers all of it.",
            "只考查查找而非理解：仅用一个模式即可全部答对。",
        ),
        terms=SPEECHES,
        make=asked.speech_questions,
        small=Counts(32, 8),
        full=Counts(600, 150),
    ),
    Benchmark(
        name="tang-questions",
        title=("Questions about Tang poems", "唐诗问答"),
        languages=("zh",),
        licence="mit",
        category="question-answering",
        tasks=(
            {
                "id": "extract",
                "kind": "qa",
                "split": "test",
                "language": "zh",
                "question": "{{question}}",
                "passage": "{{context}}",
                "prompt": "{{context}}\n問：{{question}}\n答：",
                "target": "{{answers}}",
                "fewshot": {"count": 3, "split": "train", "sampler": "first"},
                "stop": ["\n"],
                "max_new_tokens": 48,
                "metrics": ["squad_f1", "squad_em"],
                "chance": 0.0,
            },
        ),
        what=(
            "Poet, title or next line of a poem that stands in the passage.",
            "从给出的诗中找出作者、题目或下一句。",
        ),
        made=join(
            ("Synthetic: three questions by template.", "合成数据：三种模板问题。"),
            SPLIT,
        ),
        limits=("It tests finding, not understanding.", "只考查查找而非理解。"),
        terms=POEMS,
        make=asked.tang_questions,
        small=Counts(36, 6),
        full=Counts(900, 180),
    ),
    Benchmark(
        name="english-chinese",
        title=("English–Chinese translation", "英汉翻译"),
        languages=("en", "zh"),
        licence="apache-2.0",
        category="translation",
        tasks=(
            {
                "id": "en-zh",
                "kind": "translation",
                "split": "test",
                "language": "zh",
                "prompt": "English: {{en}}\nChinese: ",
                "target": "{{zh}}",
                "fewshot": {"count": 3, "split": "train"},
                "stop": ["\n"],
                "max_new_tokens": 160,
                "metrics": ["chrf", "bleu"],
                "chance": 0.0,
            },
            {
                "id": "zh-en",
                "kind": "translation",
                "split": "test",
                "language": "en",
                "prompt": "中文：{{zh}}\n英文：",
                "target": "{{en}}",
                "fewshot": {"count": 3, "split": "train"},
                "stop": ["\n"],
                "max_new_tokens": 160,
                "metrics": ["chrf", "bleu", "ter"],
                "chance": 0.0,
            },
        ),
        what=("Sentences of software, both ways.", "软件文案的双向翻译。"),
        made=(
            "Pairs made by translators: of LLMOS's own pages in the small edition, of LibreOffice's "
            "help in the "
            "full one. Near copies are left out.",
            "人工翻译的句对：小型版取自 LLMOS 自身页面，完整版取自 LibreOffice 帮助。近似重复的句对已剔除。",
        ),
        limits=(
            "Software language only; one reference a sentence, so right translations can score low.",
            "仅含软件用语；每句仅一个参考译文，正确译文也可能得分不高。",
        ),
        terms=(
            "Small edition: Apache-2.0, as LLMOS. Full edition: MPL-2.0, Debian packages "
            "`libreoffice-help-en-us` and `libreoffice-help-zh-cn`.",
            "小型版：Apache-2.0，与 LLMOS 相同。完整版：MPL-2.0，Debian 包 `libreoffice-help-en-us` 与 "
            "`libreoffice-help-zh-cn`。",
        ),
        make=asked.english_chinese,
        small=Counts(48, 8),
        full=Counts(1000, 200),
    ),
    Benchmark(
        name="pronoun-leanings",
        title=("Pronouns: leanings", "代词倾向"),
        languages=("en", "zh"),
        licence="apache-2.0",
        category="multiple-choice",
        tasks=tuple(
            {
                "id": f"{task}-{language_}",
                "kind": "multiple_choice",
                "split": language_,
                "language": language_,
                "prompt": "",
                "choices": "{{choices}}",
                "target": "{{" + column + "}}",
                "metrics": ["preference_gap"],
            }
            for language_ in ("en", "zh")
            for task, column in (("stereotype", "answer"), ("she", "she"))
        ),
        what=(
            "Of two sentences that differ in “she” and “he” alone, which does the model find likelier? "
            "`stereotype` counts how far it leans to the pronoun that work is often thought of "
            "with, `she` how far "
            "it leans to either. 0 is no leaning, 1 always the same. This is no measure of skill.",
            "两个句子仅“她”与“他”不同，模型认为哪句更可能？`stereotype` "
            "统计模型偏向职业刻板印象代词的程度，"
            "`she` 统计偏向任一代词的程度。0 表示无倾向，1 表示总是同一选择。这不是能力指标。",
        ),
        made=(
            "Eight kinds of work often thought of as women's and eight as men's, in three "
            "sentences each; the "
            "order of the two choices alternates.",
            "八种常被视为女性的职业与八种常被视为男性的职业，各配三个句子；两个选项的先后交替。",
        ),
        limits=(
            "A probe, not a proof: few sentences, two pronouns, and stereotypes as the authors know "
            "them. A low "
            "figure does not mean a fair model.",
            "只是探测而非证明：句子少、仅两个代词，刻板印象依作者所知。数值低不代表模型公平。",
        ),
        terms=("Written for LLMOS: Apache-2.0.", "为 LLMOS 编写：Apache-2.0。"),
        make=asked.pronouns,
        small=Counts(48, 0),
        full=Counts(48, 0),
    ),
)
