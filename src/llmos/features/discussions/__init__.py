"""Talk: threads of repositories (discussions, pull requests) and the topics of the forum.

One engine, several entrances. Words: *thread*, *comment*, *pull request* (a thread on `refs/pr/N`),
*review*, *topic* (a thread of the forum, in a *category*). Knows `repos`; nothing here knows who is
told about it (`notifications`) or who keeps order (`moderation`).
"""
