"""Which commands there are, where they live and what ``lepton --help`` says about them.

This table is all that the program knows before a command runs; the modules are imported when they are needed.
"""

from __future__ import annotations

from typing import NamedTuple

EVERYDAY = "Everyday"
BRANCHES = "Branches and names"
UNDO = "Going back"
TEAM = "With others"
HOUSE = "Keeping house"


class Entry(NamedTuple):
    """A command: its name, ``module:function`` in this room, its line in the help, and where that stands.

    A hidden one is another spelling of a command, or not for everyday.
    """

    name: str
    target: str
    help: str
    section: str
    hidden: bool = False


COMMANDS = (
    Entry("init", "init:init", "Make a repository.", EVERYDAY),
    Entry("save", "save:save", "Save files as the next version.", EVERYDAY),
    Entry("update", "save:update", "Write a new revision of a version.", EVERYDAY),
    Entry("versions", "versions:versions", "List versions.", EVERYDAY),
    Entry("list-versions", "versions:versions", "List versions.", EVERYDAY, hidden=True),
    Entry("list_versions", "versions:versions", "List versions.", EVERYDAY, hidden=True),
    Entry("log", "log:log", "Show who moved what, when and why.", EVERYDAY),
    Entry("show", "show:show", "Show everything that a version carries.", EVERYDAY),
    Entry("checkout", "files:checkout", "Write a version's files into a folder.", EVERYDAY),
    Entry("diff", "diff:diff", "Show what lies between two versions.", EVERYDAY),
    Entry("tensors", "tensors:tensors", "List the tensors of a version.", EVERYDAY),
    Entry("tensor", "tensors:tensor", "Read one tensor of a version.", EVERYDAY),
    Entry("demo", "demo:demo", "Show the whole journey on a real model.", EVERYDAY),
    Entry("branch", "branches:branch", "List, create, rename or delete branches.", BRANCHES),
    Entry("switch", "branches:switch", "Choose the branch that commands mean.", BRANCHES),
    Entry("merge", "merging:merge", "Bring what a branch has into another.", BRANCHES),
    Entry("conflicts", "conflicts:conflicts", "Show what a merge in progress waits for.", BRANCHES),
    Entry("resolve", "conflicts:resolve", "Decide conflicts of a merge in progress.", BRANCHES),
    Entry(
        "cherry-pick", "picking:cherry_pick", "Take one version's change over to another branch.", BRANCHES
    ),
    Entry("tag", "labels:tag", "List, set or remove tags: fixed names.", BRANCHES),
    Entry("alias", "labels:alias", "List, move or remove aliases: movable names.", BRANCHES),
    Entry("rollback", "undo:rollback", "Make a new version with what an older one carries.", UNDO),
    Entry("revert", "picking:revert", "Take one version's change back.", UNDO),
    Entry("delete", "undo:delete", "Delete a version, restorable until gc.", UNDO),
    Entry("restore", "undo:restore", "Bring a deleted version or branch back.", UNDO),
    Entry("gc", "house:gc", "Free what no living or restorable version needs.", HOUSE),
    Entry("repack", "repack:repack", "Store what there is in fewer bytes and packs.", HOUSE),
    Entry("verify", "house:verify", "Check that everything is what was saved.", HOUSE),
    Entry("stats", "stats:stats", "Show what the repository takes.", HOUSE),
    Entry("backup", "copies:backup", "Copy the whole repository, while others write.", HOUSE),
    Entry("restore-backup", "copies:restore_backup", "Make a repository from a backup.", HOUSE),
    Entry("export", "copies:export", "Write one version into a single file.", HOUSE),
    Entry("import", "importing:import_", "Take in a bundle, or what another tool kept.", HOUSE),
    Entry("clone", "exchange:clone", "Make a place of your own of a repository.", TEAM),
    Entry("pull", "pulling:pull", "Take over what a remote has.", TEAM),
    Entry("push", "exchange:push", "Bring what a remote lacks there.", TEAM),
    Entry("remote", "remote:GROUP", "List, add and remove remotes: other places of this repository.", TEAM),
    Entry("login", "login:login", "Log in to a server.", TEAM),
    Entry("logout", "login:logout", "Log out of a server.", TEAM),
    Entry("server", "server:GROUP", "Run a server for the team.", TEAM),
    Entry("user", "user:GROUP", "List, add and keep out users of a server.", TEAM),
    Entry("token", "token:GROUP", "List, make and revoke your own tokens on a server.", TEAM),
    Entry("job", "job:GROUP", "List, show, begin and cancel longer work that a server does by itself.", TEAM),
    Entry("keys", "keys:GROUP", "List, add, remove, rotate and recover keys.", HOUSE),
)
