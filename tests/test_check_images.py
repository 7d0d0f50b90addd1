"""Folders of images as `make check` takes them."""

import os
import shutil

import pytest
from check_examples import folder
from PIL import Image

from squeezeproof.errors import InputError
from squeezeproof.from_files.images import SET_ASIDE, as_given, read_images


def test_class_folders_become_a_test_split_and_a_few_images_beside_it(tmp_path):
    source = folder(tmp_path / "images", 100)
    found = read_images(source, tmp_path / "links")
    assert (found.classes, found.side, found.channels) == (10, 8, 1)
    files = {split: sorted((found.root / split).glob("*/*.png")) for split in ("train", "test")}
    assert len(files["train"]) == SET_ASIDE * 10 and len(files["test"]) == found.count == 100 - SET_ASIDE * 10
    assert not {path.resolve() for path in files["train"]} & {path.resolve() for path in files["test"]}
    next(source.glob("3/*")).unlink()
    assert read_images(source, tmp_path / "links").count == 99 - SET_ASIDE * 10


def test_a_folder_with_splits_is_taken_as_it_is(tmp_path):
    folder(tmp_path / "images/test", 30)
    folder(tmp_path / "images/train", 40)
    found = read_images(tmp_path / "images", tmp_path / "links")
    assert found.root.parent == tmp_path / "links" and found.count == 30 and found.note.startswith("30 of ")
    assert len(list(found.root.glob("test/*/*"))) == 30 and len(list(found.root.glob("train/*/*"))) == 40


def test_a_study_of_other_images_is_another_study(tmp_path):
    """Prepared data are known by the settings alone: other images of the same names were taken for those before."""
    first, second = (folder(tmp_path / name / "images", 60) for name in ("one", "two"))
    roots = [read_images(source, tmp_path / "links").root for source in (first, first, second)]
    assert roots[0] == roots[1] != roots[2] and not roots[0].exists()
    image = next(second.glob("3/*"))
    Image.new("L", (8, 8), 200).save(image)
    os.utime(image, (1, 1))
    assert read_images(second, tmp_path / "links").root != roots[2]


def test_classes_of_an_earlier_call_do_not_stay(tmp_path):
    source = folder(tmp_path / "images", 60)
    (source / "0").rename(source / "zero")
    assert (read_images(source, tmp_path / "links").root / "test/zero").is_dir()
    (source / "zero").rename(source / "0")
    found = read_images(source, tmp_path / "links")
    assert sorted(path.name for path in (found.root / "test").iterdir()) == list("0123456789")
    assert list((tmp_path / "links").iterdir()) == [found.root]


def test_images_that_do_not_say_their_size_are_refused(tmp_path):
    source = folder(tmp_path / "images", 60)
    Image.new("L", (9, 7)).save(source / "0/odd.png")
    with pytest.raises(InputError, match=r"several sizes or not square .*; write SIZE="):
        read_images(source, tmp_path / "links")
    assert read_images(source, tmp_path / "links", side=8).side == 8
    (source / "0/odd.png").write_text("no image")
    with pytest.raises(InputError, match=r"odd\.png: not a readable image"):
        read_images(source, tmp_path / "links", side=8)


def test_a_class_without_an_image_is_told(tmp_path):
    source = folder(tmp_path / "images", 40)
    (source / "10").mkdir()
    with pytest.raises(InputError, match="10 holds no image; the class folders are the classes"):
        read_images(source, tmp_path / "links")


@pytest.mark.parametrize("made", ["", "one"])
def test_a_folder_of_no_classes_is_refused(tmp_path, made):
    with pytest.raises(InputError, match="there is no such folder"):
        read_images(tmp_path / "none", tmp_path / "links")
    (tmp_path / "images" / made).mkdir(parents=True)
    with pytest.raises(InputError, match="0 class folders with images, two at least"):
        read_images(tmp_path / "images", tmp_path / "links")


def with_splits(place, splits):
    """A folder of images, or one of the same train and test images; the class folders that are attacked."""
    source = folder(place / "test" if splits else place, 60)
    if splits:
        shutil.copytree(source, place / "train")
    return source


@pytest.mark.parametrize("splits", [False, True])
def test_files_whose_names_are_no_text_are_images_too(tmp_path, splits):
    source = with_splits(tmp_path / "images", splits)
    image = next(source.glob("3/*.png"))
    os.rename(bytes(image), bytes(image.parent) + b"/\xff.png")
    found = read_images(tmp_path / "images", tmp_path / "links")
    assert found.count == 60 if splits else 60 - SET_ASIDE * 10


def test_what_stands_where_images_do_and_is_no_file_is_named(tmp_path):
    source = folder(tmp_path / "images", 60)
    (source / "3/gone.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"3/gone\.png: a link to a file that is not there, .* move it out"):
        read_images(source, tmp_path / "links")
    (source / "3/gone.png").unlink()
    os.mkfifo(source / "3/pipe.png")
    with pytest.raises(InputError, match=r"3/pipe\.png: not a file, though it stands"):
        read_images(source, tmp_path / "links")


def test_a_class_of_which_no_image_would_be_attacked_is_named(tmp_path):
    source = folder(tmp_path / "images", 60)
    for path in sorted((source / "3").iterdir())[SET_ASIDE:]:
        path.unlink()
    with pytest.raises(InputError, match=r"images: 3 holds 2 images, of which none would be attacked: .* 3 at least"):
        read_images(source, tmp_path / "links")


def test_class_folders_that_lie_deeper_are_named(tmp_path):
    folder(tmp_path / "images/val", 60)
    shutil.copytree(tmp_path / "images/val", tmp_path / "images/train")
    with pytest.raises(
        InputError, match=r"0 class folders .*; (.*)/images/val holds such folders, is IMAGES=\1/images/val"
    ):
        read_images(tmp_path / "images", tmp_path / "links")


@pytest.mark.parametrize("splits", [False, True])
def test_messages_name_a_person_s_images_and_not_the_links_to_them(tmp_path, splits):
    with_splits(tmp_path / "images", splits)
    links = tmp_path / "check-files/images"
    found = read_images(tmp_path / "images", links)
    [link] = sorted(found.root.glob("test/3/*"))[:1]
    told = as_given(f"{link}: not a readable image\n{found.root}/train: no", tmp_path / "images", links)
    first, second = told.splitlines()
    assert first == f"{link.resolve()}: not a readable image"
    assert second == f"{tmp_path}/images{'/train' if splits else ''}: no"
