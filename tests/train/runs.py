"""What tests ask about the folder of a run, and how they act in the middle of one."""

from dragface_lib.files import sha256_of
from dragface_lib.train import read_journal
from dragface_lib.train.step import Trainer

MOODY = ("seconds_per_step", "memory_mb", "seconds_to_save")  # depend on the machine's mood


def generator_of(run):
    return sha256_of(run / "generator.safetensors")


def journal_of(run):
    """The journal without what no two runs have in common."""
    rows = read_journal(run / "journal.jsonl")
    return [{name: value for name, value in row.items() if name not in MOODY} for row in rows]


def notes_of(run):
    return [row["note"] for row in journal_of(run) if "note" in row]


def checkpoints_of(run):
    return sorted((run / "checkpoints").glob("step_*.pt"))


def files_of(run):
    """The hash of every file of a run by its name."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(run)): sha256_of(path) for path in files}


def pictures_and_generators_of(run):
    """The hashes of all that a run leaves behind for people."""
    kinds = ("samples/", "milestones/", "generator.safetensors", "progression.jpg")
    return {name: digest for name, digest in files_of(run).items() if name.startswith(kinds)}


def act_at(monkeypatch, actions):
    """Do something when update number n (from 0) is to be computed, for each {n: action}."""
    original = Trainer.step

    def step(self, number, *batches):
        if number in actions:
            actions[number]()
        return original(self, number, *batches)

    monkeypatch.setattr(Trainer, "step", step)


def damage(path, way):
    content = path.read_bytes()
    middle = len(content) // 2
    if way == "cut":
        path.write_bytes(content[:middle])
    elif way == "empty":
        path.write_bytes(b"")
    elif way == "one bit":
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
