"""The talk of the small world: threads, a pull request under review, the forum, collections, reports.

It goes in through the services, in process, after `kit.seed` has made the repositories:
`python -m kit.seed_community /path/of/LLMOS_HOME http://127.0.0.1:8642 ada=hf_… grace=hf_…`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kit.seed import MODEL_CARD, TRAIN, World, weights
from kit.seed_evals import seed_evals
from kit.seed_jobs import seed_jobs
from kit.seed_serving import seed_endpoint
from llmos.app.tasks import periodic_tasks
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, User
from llmos.features.accounts.service import follow
from llmos.features.auth.credentials import actor_for_user
from llmos.features.collections.items import add_item
from llmos.features.collections.service import create_collection, set_vote
from llmos.features.discussions.categories import access_category
from llmos.features.discussions.comments import LinePlace, add_comment, add_reaction, edit_comment
from llmos.features.discussions.forum_polls import PollWish, get_poll, vote
from llmos.features.discussions.forum_topics import start_topic
from llmos.features.discussions.merging import MergeWish, merge_pull
from llmos.features.discussions.models import Comment, Thread
from llmos.features.discussions.reviews import LineNote, submit_review
from llmos.features.discussions.threads import accept_answer, open_thread, pin_thread, set_status
from llmos.features.moderation.flags import file_flag
from llmos.features.moderation.subjects import access_subject
from llmos.features.playground.schemas import Answer, Talk, Turn
from llmos.features.playground.talks import keep_chat, share_talk
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import get_repo
from llmos.infra.queue.outbox import deliver_due
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

WARM_UP_QUESTION = """With a learning rate of `3e-4` the gradient norm jumps from 1 to 400 at step 2,100, and
the loss never comes back.

| step | loss | gradient norm |
|--:|--:|--:|
| 2,000 | 3.41 | 1.1 |
| 2,100 | 3.39 | 412 |
| 2,200 | 7.86 | 96 |

Clipping at 1.0 does not help. What would you look at first?"""
WARM_UP_ANSWER = """Look at the second moment of Adam: after a short warm-up it is still tiny for the
embeddings. Set $\\beta_2 = 0.95$ and let the warm-up last 2,000 steps:

```python
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95))
```"""
ZH_QUESTION = """训练到第 2100 步时，梯度范数从 1 跳到 400，损失再也降不下来。学习率 `3e-4`，批大小 256。

- 已经试过梯度裁剪，没有用
- 数据里没有超长的样本

大家会先检查什么？"""
ZH_ANSWER = (
    "先把预热拉长到 2000 步，再把 $\\beta_2$ 调到 0.95。预热太短时嵌入层的二阶矩还很小，步子就会过大。"
)
SHOW = """It runs in the browser, without a server: move over a word, and the triangle lights up.

> [!TIP]
> Start with a short sentence; with more than 60 tokens the drawing gets crowded.

Built on ada/tiny-llm. Tell me what is missing, @ada!"""
SPAM = "Cheap watches, best prices, click quickly before it is too late!!!"
TRAIN_FASTER = TRAIN.replace(
    "        return self.out((scores + causal_mask(length)).softmax(-1) @ v)\n",
    "        weights = (scores + causal_mask(length).to(scores.device)).softmax(-1)\n"
    "        return self.out(weights @ v)\n",
)
SUGGESTION = """The mask is built anew for every layer. Keep one:

```suggestion
        weights = (scores + self.mask[:length, :length]).softmax(-1)
```"""
POLL = ("Longer context", "More Chinese text", "Instruction tuning", "A smaller model")


class Community:
    """People act as they would in a browser; each step in a transaction of its own."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt

    def actor(self, db: Session, name: str) -> Actor:
        user = db.scalars(select(User).join(User.namespace).where(Namespace.name == name)).unique().one()
        return actor_for_user(db, user)

    def repo(self, db: Session, name: str = "ada/tiny-llm", kind: RepoType = RepoType.MODEL) -> Repo:
        repo = get_repo(db, kind, *name.split("/"))
        assert repo is not None
        return repo

    def topic(self, who: str, category: str, title: str, text: str, tags: list[str], **more: Any) -> int:
        with self.rt.database.writing() as db:
            place = access_category(db, category)
            return start_topic(db, self.actor(db, who), place, title, text, tags, **more).id

    def discussion(self, who: str, title: str, text: str) -> int:
        with self.rt.database.writing() as db:
            return open_thread(db, self.actor(db, who), self.repo(db), title, text).id

    def comment(self, who: str, thread_id: int, text: str, *emojis: str) -> int:
        """`emojis` come from the other one."""
        with self.rt.database.writing() as db:
            thread = db.get_one(Thread, thread_id)
            comment = add_comment(db, self.actor(db, who), thread, text)
            other = self.actor(db, "grace" if who == "ada" else "ada")
            for emoji in emojis:
                add_reaction(db, other, thread, comment, emoji)
            return comment.id

    def accept(self, who: str, thread_id: int, comment_id: int) -> None:
        with self.rt.database.writing() as db:
            thread, comment = db.get_one(Thread, thread_id), db.get_one(Comment, comment_id)
            accept_answer(db, self.actor(db, who), thread, comment)


def seed_community(rt: Runtime, endpoint: str, tokens: dict[str, str]) -> None:
    """Fill the world of `kit.seed` with talk, then deliver all the news of it."""
    town = Community(rt)
    seed_people(town)
    seed_discussions(town)
    world = World(endpoint, tokens)
    seed_pull(town, world)
    seed_more_pulls(town, world)
    seed_belongings(world)
    seed_jobs(rt, world)
    seed_endpoint(rt)
    seed_evals(rt, world)
    seed_forum(town)
    seed_playground(town)
    seed_collections(town)
    periodic_tasks()  # importing the tasks registers every handler of the outbox
    while deliver_due(rt.database):
        pass


def seed_people(town: Community) -> None:
    words = {
        "ada": "Small models that can be read from the first line to the last.",
        "grace": "中文语料与评测。 Corpora and evaluation.",
        "lab": "Tools for people who want to see inside.",
    }
    with town.rt.database.writing() as db:
        spaces = {space.name: space for space in db.scalars(select(Namespace)).unique()}
        for name, text in words.items():
            spaces[name].details = text
        follow(db, town.actor(db, "ada"), spaces["grace"])
        follow(db, town.actor(db, "grace"), spaces["ada"])
        follow(db, town.actor(db, "grace"), spaces["lab"])


def seed_discussions(town: Community) -> None:
    licence = town.discussion("grace", "May the weights be used at school?", "The card says Apache-2.0. 🎒")
    answer = town.comment(
        "ada", licence, "Yes, that is what they are for. Name the model, and go.", "❤️", "🎉"
    )
    town.accept("grace", licence, answer)
    with town.rt.database.writing() as db:
        thread, comment = db.get_one(Thread, licence), db.get_one(Comment, answer)
        text = "Yes, that is what they are for. Name the model and its licence, and go."
        edit_comment(db, town.actor(db, "ada"), thread, comment, text)
    closed = town.discussion("grace", "config.json lacks rope_theta", "vLLM warns about it.")
    town.comment("ada", closed, "Thank you! Added in the last commit.", "👍")
    with town.rt.database.writing() as db:
        set_status(db, town.actor(db, "ada"), db.get_one(Thread, closed), "closed")
    town.discussion("grace", "中文标点被切成两个词元", "`，` 和 `。` 各占两个词元，是词表太小吗？ @ada")
    spam = town.comment("grace", licence, SPAM)
    with town.rt.database.writing() as db:
        ada = town.actor(db, "ada")
        file_flag(
            db,
            ada,
            access_subject(db, ada, "comment", db.get_one(Comment, spam).public_id),
            "spam",
            "Nothing about the model.",
        )


def seed_pull(town: Community, world: World) -> None:
    from huggingface_hub import CommitOperationAdd

    operations = [
        CommitOperationAdd("training/train.py", TRAIN_FASTER.encode()),
        CommitOperationAdd("training/recipe.yaml", b"layers: 8\nheads: 8\nwidth: 256\nsteps: 24000\n"),
    ]
    made = world.apis["grace"].create_commit(
        "ada/tiny-llm",
        operations,
        commit_message="Put the mask where the scores are",
        commit_description="Training on a GPU failed: the mask stayed on the CPU.",
        create_pr=True,
    )
    line = TRAIN_FASTER.splitlines().index(
        "        weights = (scores + causal_mask(length).to(scores.device)).softmax(-1)"
    )
    with town.rt.database.writing() as db:
        repo, ada = town.repo(db), town.actor(db, "ada")
        thread = db.scalars(
            select(Thread).where(Thread.repo_id == repo.id, Thread.num == made.pr_num)
        ).unique().one()  # fmt: skip
        assert thread.pull is not None
        place = LinePlace("training/train.py", "new", line + 1, thread.pull.head_oid)
        submit_review(db, ada, thread, "comment", "Good catch.", [LineNote(place, SUGGESTION)])
        submit_review(db, ada, thread, "approve", "Works here on one GPU.")


def seed_more_pulls(town: Community, world: World) -> None:
    """One that was merged, one whose weights differ, one in conflict, and a draft."""
    from huggingface_hub import CommitOperationAdd

    def propose(title: str, path: str, data: bytes) -> int:
        made = world.apis["grace"].create_commit(
            "ada/tiny-llm", [CommitOperationAdd(path, data)], commit_message=title, create_pr=True
        )
        num: int = made.pr_num
        return num

    notes = "# Notes\n\nSteps: %s\n\nThe loss was still falling when the lesson ended.\n"
    world.put("ada/tiny-llm", "model", "Keep notes", {"training/notes.md": notes % 12000})
    propose("Train for longer", "training/notes.md", (notes % 48000).encode())
    world.put("ada/tiny-llm", "model", "Train a little longer", {"training/notes.md": notes % 16000})
    propose("Store the norms as numbers of 32 bits", "model.safetensors", weights(norm="F32"))
    cite = propose("Say how to cite", "README.md", (MODEL_CARD + "\n## Citation\n\nCite us.\n").encode())
    with town.rt.database.reading() as db:
        ada, repo = town.actor(db, "ada"), town.repo(db)
        found = select(Thread.id).where(Thread.repo_id == repo.id, Thread.num == cite)
        thread_id = db.scalars(found).one()
    merge_pull(town.rt, ada, thread_id, MergeWish())
    world.apis["ada"].create_pull_request("ada/tiny-llm", title="A longer context", description="Soon.")


def seed_belongings(world: World) -> None:
    """What ada keeps beside repositories."""
    world.apis["ada"].create_bucket("ada/corpus")
    world.apis["ada"].create_webhook(
        url="https://hooks.example.org/llmos", watched=[{"type": "user", "name": "ada"}], domains=["repo"]
    )


def seed_playground(town: Community) -> None:
    """What ada said to her model, kept and shared."""
    said = [
        Turn(
            text="What is **attention**?",
            answers=[Answer(text="A *weighted* look back.", tokens=9, rate=41.0)],
        )
    ]
    talk = Talk(models=["ada/tiny-llm"], system="Be brief.", turns=said)
    with town.rt.database.writing() as db:
        actor = town.actor(db, "ada")
        keep_chat(db, actor, talk)
        share_talk(db, actor, talk)


def seed_forum(town: Community) -> None:
    welcome = town.topic(
        "root-admin", "announcements", "Welcome", "Say who you are and what you build. 👋", []
    )
    with town.rt.database.writing() as db:
        pin_thread(db, town.actor(db, "root-admin"), db.get_one(Thread, welcome), True)
    town.comment("ada", welcome, "Hello! I train small models and write down how.", "👍")
    loss = town.topic(
        "grace",
        "help",
        "Why does the loss explode after warm-up?",
        WARM_UP_QUESTION,
        ["training", "optimiser"],
    )
    town.comment("grace", loss, "Forgot to say: bfloat16, batch of 256.")
    town.accept("grace", loss, town.comment("ada", loss, WARM_UP_ANSWER, "❤️", "🚀", "🧠"))
    zh = town.topic("grace", "help", "训练到一半损失突然爆炸，怎么办？", ZH_QUESTION, ["训练", "优化器"])
    town.accept("grace", zh, town.comment("ada", zh, ZH_ANSWER, "👍"))
    town.topic("grace", "show", "Attention, drawn: watch a small model look back", SHOW, ["visualisation"])
    wish = PollWish("What should tiny-llm learn next?", POLL)
    asked = town.topic("ada", "languages", "The next tiny-llm", "One vote each.", ["tiny-llm"], poll=wish)
    town.topic(
        "grace", "papers", "读书会：Attention Is All You Need", "周五晚八点，一起读第三节。", ["读书会"]
    )
    town.topic(
        "ada", "help", "Which tokenizer for mixed Chinese and English?", "BPE or unigram?", ["tokenizer"]
    )
    with town.rt.database.writing() as db:
        poll = db.get_one(Thread, asked)
        found = get_poll(db, asked)
        assert found is not None
        vote(db, town.actor(db, "grace"), poll, [found.options[1].id])
        vote(db, town.actor(db, "root-admin"), poll, [found.options[0].id])


def seed_collections(town: Community) -> None:
    entries = (
        ("model", "ada/tiny-llm", "Start here: every line is meant to be read."),
        ("dataset", "grace/news-zh", "中文标题，适合练习。"),
        ("space", "lab/attention-drawn", ""),
        ("paper", "1706.03762", "Where the triangle comes from."),
    )
    with town.rt.database.writing() as db:
        ada, grace = town.actor(db, "ada"), town.actor(db, "grace")
        text = "Everything that runs on a laptop without a fan."
        first = create_collection(db, ada, "ada", "Small models for teaching", description=text)
        for kind, item_id, note in entries:
            add_item(db, ada, first, kind, item_id, note)
        set_vote(db, grace, first, True)
        second = create_collection(
            db, grace, "grace", "中文数据", description="整理过、许可证清楚的中文语料。"
        )
        second.theme = "purple"
        add_item(db, grace, second, "dataset", "grace/news-zh")
        add_item(db, grace, second, "dataset", "grace/dialogues", "需要申请访问。")


def main() -> None:
    home, endpoint, *pairs = sys.argv[1:]
    rt = open_runtime(Settings(home=Path(home)))
    seed_community(rt, endpoint, dict(pair.split("=", 1) for pair in pairs))
    rt.close()


if __name__ == "__main__":
    main()
