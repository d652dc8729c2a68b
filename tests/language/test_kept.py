"""Sentences kept on disk: found again, by several processes, and done without where the file is no use."""

import os
import threading

import pytest

from napari_neurrator.language.kept import KeptSentences


def test_what_was_kept_is_found_again(tmp_path):
    file = tmp_path / "new" / "said.sqlite"
    assert KeptSentences(file).find(["a"]) == {}
    assert not file.exists()
    many = {f"key{n}": f"sentence {n} – „ü“" for n in range(1200)}
    KeptSentences(file).keep(many)
    assert KeptSentences(file).find([*many, "other"]) == many
    KeptSentences(file).keep({"key1": "another"})
    assert KeptSentences(file).find(["key1"]) == {"key1": "another"}


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be taken for one" * 40])
def test_a_damaged_file_is_begun_anew(tmp_path, content):
    file = tmp_path / "said.sqlite"
    file.write_bytes(content)
    kept = KeptSentences(file)
    assert kept.find(["a"]) == {}
    kept.keep({"a": "b"})
    assert kept.find(["a"]) == {"a": "b"}


def test_a_half_written_file_is_no_fault(tmp_path):
    file = tmp_path / "said.sqlite"
    KeptSentences(file).keep({f"k{n}": "x" * 500 for n in range(200)})
    file.write_bytes(file.read_bytes()[:9000])
    kept = KeptSentences(file)
    kept.find([f"k{n}" for n in range(200)])
    kept.keep({"a": "b"})


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path):
    (tmp_path / "file").write_text("")
    kept = KeptSentences(tmp_path / "file" / "said.sqlite")
    kept.keep({"a": "b"})
    assert kept.find(["a"]) == {}
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        KeptSentences(tmp_path / "closed" / "said.sqlite").keep({"a": "b"})


def test_several_write_at_once(tmp_path):
    file = tmp_path / "said.sqlite"
    threads = [
        threading.Thread(target=lambda n=n: [KeptSentences(file).keep({f"{n}-{i}": "x"}) for i in range(20)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeptSentences(file).find([f"{n}-{i}" for n in range(4) for i in range(20)])) == 80
