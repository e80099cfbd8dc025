"""The welcome of the forum. One text for readers of both languages, so not translated by page."""

TITLE = "Welcome! · 欢迎！"
TEXT = """\
This forum belongs to everybody here. Ask in **Help**, show what you made in **Show and tell**.

Three ways to begin:

1. [Train your first model](/quickstart): one button, some five minutes, no graphics card.
2. Look at [llmos/tiny-en-zh](/llmos/tiny-en-zh), a model that came with this site, and let it write.
3. Read [First steps](/docs), and upload something of your own.

Admins may edit or delete this topic like any other; it does not come back.

---

论坛属于这里的每一个人。遇到问题请到 **求助** 提问，做出成果请到 **作品展示** 分享。

三种开始的方式：

1. [训练您的第一个模型](/quickstart)：点一下按钮，大约五分钟，不需要显卡。
2. 看看随站附带的模型 [llmos/tiny-en-zh](/llmos/tiny-en-zh)，让它写几句。
3. 阅读[入门指南](/docs)，上传您自己的作品。

管理员可以像对待其他主题一样编辑或删除本主题，删除后不会再出现。
"""
