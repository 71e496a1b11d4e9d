"""Sources on the web, against a server that answers in the form of each API, field by field as it is documented."""

from __future__ import annotations

import json
import logging
import time

import pytest
from photo_server import Answer

from dragface_lib import network
from dragface_lib.addresses import NetworkError
from dragface_lib.errors import DragFaceError
from dragface_lib.manifest import Row
from dragface_lib.scrape import open_source
from dragface_lib.scrape.gallery_dl import GalleryDL
from dragface_lib.scrape.web import Commons, Google, Openverse

KEYS = ("OPENVERSE_CLIENT_ID", "OPENVERSE_CLIENT_SECRET", "GOOGLE_API_KEY", "GOOGLE_SEARCH_ENGINE")
TOKEN = f"{Openverse.API}auth_tokens/token/"


@pytest.fixture(autouse=True)
def _no_keys_and_no_patience(monkeypatch):
    monkeypatch.setattr(network, "BACKOFF", 0.001)
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def rows_of(source, query: str = "x", limit: int | None = None) -> list[Row]:
    return [row for row, _ in source.search(query, limit)]


def as_json(content: dict, status: int = 200, **headers: str) -> Answer:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"} | headers)


def commons_page(number: int, mime: str = "image/jpeg", width: int = 800, **told: str) -> dict:
    """A page of action=query&prop=imageinfo&formatversion=2."""
    told = {"LicenseShortName": "CC BY-SA 4.0", "LicenseUrl": "https://creativecommons.org/licenses/by-sa/4.0"} | told
    name = f"Drag_queen_{number}.jpg"
    return {
        "pageid": number,
        "ns": 6,
        "title": f"File:Drag queen {number}.jpg",
        "imagerepository": "local",
        "imageinfo": [
            {
                "size": 123456,
                "width": width,
                "height": width * 2,
                "thumburl": f"https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/{name}/1920px-{name}",
                "thumbwidth": min(1920, width),
                "thumbheight": min(1920, width) * 2,
                "url": f"https://upload.wikimedia.org/wikipedia/commons/a/ab/{name}",
                "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{name}",
                "descriptionshorturl": f"https://commons.wikimedia.org/w/index.php?curid={number}",
                "sha1": f"{number:040x}",
                "mime": mime,
                "extmetadata": {n: {"value": v, "source": "commons-desc-page", "hidden": ""} for n, v in told.items()},
            }
        ],
    }


def test_commons_is_searched_to_the_last_page_one_question_at_a_time(mirror):
    asked = []

    def answer(query, headers):
        asked.append(query)
        start = int(query.get("gsroffset", 0))
        content = {"query": {"pages": [commons_page(start + n) for n in (1, 2)]}}
        if start < 4:
            content["continue"] = {"gsroffset": start + 2, "continue": "gsroffset||"}
        else:
            content["batchcomplete"] = True
        return as_json(content)

    mirror.reply(Commons.API, answer)
    rows = rows_of(Commons("drag"), "drag queen")
    assert [row.id for row in rows] == [f"commons_{n}" for n in range(1, 7)]
    assert [query.get("continue") for query in asked] == [None, "gsroffset||", "gsroffset||"]
    about = {"action": "query", "generator": "search", "gsrsearch": "drag queen", "gsrnamespace": "6"}
    assert all(about.items() <= query.items() for query in asked)
    assert "DragFace" in mirror.requests[0][1]["User-Agent"]
    assert len(Commons("drag").search("drag queen", limit=3)) == 3
    assert len(asked) == 5  # a limit asks for no page too many


def test_a_row_of_commons_says_whose_the_photo_is_without_markup(mirror):
    artist = '<a href="//commons.wikimedia.org/wiki/User:A" title="User:A"><b>Anna &amp; Jo</b></a><br>Berlin'
    hidden = 'Unknown author<span style="display: none;">Unknown author</span><script>x</script>'
    pages = [
        commons_page(1, Artist=artist),
        commons_page(2, width=4000, Artist=hidden, Attribution="Photo: <i>Jo</i>"),
        commons_page(3, mime="video/webm"),
        commons_page(4, LicenseShortName="", Artist="<b>broken <markup"),
        {"pageid": 5, "ns": 6, "title": "File:Without information.jpg"},
    ]
    mirror.reply(Commons.API, lambda *_: as_json({"batchcomplete": True, "query": {"pages": pages}}))
    first, second, fourth = rows_of(Commons("drag"))
    assert (first.author, first.licence, first.title) == ("Anna & Jo Berlin", "CC BY-SA 4.0", "Drag queen 1")
    assert first.licence_url == "https://creativecommons.org/licenses/by-sa/4.0"
    assert first.page_url == "https://commons.wikimedia.org/wiki/File:Drag_queen_1.jpg"
    assert first.image_url.endswith("/a/ab/Drag_queen_1.jpg")
    assert (first.domain, first.attribution) == ("drag", "")
    assert second.author == "Unknown author"
    assert second.attribution == "Photo: Jo"
    assert "/1920px-" in second.image_url
    assert fourth.licence == ""
    assert fourth.author.startswith("broken")


def test_a_category_of_commons_has_its_subcategories_to_the_depth_asked_for_and_no_photo_twice(mirror):
    below = {"Category:Queens": ["Category:Brazil", "Category:Japan"], "Category:Brazil": ["Category:Rio"]}
    below |= {"Category:Rio": ["Category:Queens"], "Category:Japan": []}  # Commons has circles
    files = {"Category:Queens": [1], "Category:Brazil": [1, 2], "Category:Japan": [3], "Category:Rio": [4]}

    def answer(query, headers):
        if query.get("list") == "categorymembers":
            assert query["cmtype"] == "subcat"
            members = [{"pageid": 9, "ns": 14, "title": title} for title in below[query["cmtitle"]]]
            return as_json({"batchcomplete": True, "query": {"categorymembers": members}})
        assert (query["generator"], query["gcmtype"]) == ("categorymembers", "file")
        pages = [commons_page(number) for number in files[query["gcmtitle"]]]
        return as_json({"batchcomplete": True, "query": {"pages": pages}} if pages else {"batchcomplete": True})

    mirror.reply(Commons.API, answer)
    for depth, numbers in ((0, [1]), (1, [1, 2, 3]), (9, [1, 2, 3, 4])):
        rows = rows_of(Commons("drag", depth=depth), "Category:Queens")
        assert [row.id for row in rows] == [f"commons_{number}" for number in numbers]


def test_a_refusal_of_commons_is_one_sentence(mirror):
    wrong = {"error": {"code": "invalidcategory", "info": "The category name you entered is not valid."}}
    mirror.reply(Commons.API, lambda *_: as_json(wrong))
    with pytest.raises(NetworkError, match=r"refuses the search \(The category name you entered is not valid\)"):
        Commons().search("Category:")


def openverse_photo(number: int, **changes) -> dict:
    """An entry of `results` of GET /v1/images/."""
    return {
        "id": f"0aff3595-8168-440b-83ff-7a80b65dea{number:02d}",
        "title": f"Queen <b>{number}</b>",
        "indexed_on": "2020-05-01T00:00:00Z",
        "foreign_landing_url": f"https://photos.example.org/page/{number}",
        "url": f"https://photos.example.org/{number}.png",
        "creator": "Jo O'Neil",
        "creator_url": "https://photos.example.org/jo",
        "license": "by-sa",
        "license_version": "2.0",
        "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
        "provider": "flickr",
        "source": "flickr",
        "category": "photograph",
        "filesize": None,
        "filetype": "png",
        "tags": [{"name": "drag", "accuracy": None}],
        "attribution": f'"Queen {number}" by Jo O\'Neil is licensed under CC BY-SA 2.0.',
        "mature": False,
        "height": 900,
        "width": None,
        "thumbnail": "https://api.openverse.org/v1/images/0aff/thumb/",
    } | changes


def openverse_answer(pages: int, total: int = 0):
    def answer(query, headers):
        page = int(query["page"])
        found = [openverse_photo(2 * page + n) for n in (0, 1)] if page <= pages else []
        return as_json({"result_count": total, "page_count": pages, "page_size": 20, "page": page, "results": found})

    return answer


def test_openverse_is_searched_to_its_last_page_for_photos_that_may_be_altered(mirror):
    mirror.reply(f"{Openverse.API}images/", openverse_answer(3))
    rows = rows_of(Openverse("drag"), "drag queen")
    assert len({row.id for row in rows}) == len(rows) == 6
    assert len(mirror.requests) == 3
    assert "license_type=modification" in mirror.requests[0][0]
    assert "page_size=20" in mirror.requests[0][0]
    row = rows[0]
    assert (row.licence, row.author, row.title) == ("CC BY-SA 2.0", "Jo O'Neil", "Queen 2")
    assert row.file.endswith(".png")


@pytest.mark.parametrize(
    ("code", "version", "licence"),
    [("cc0", "1.0", "CC0 1.0"), ("pdm", "1.0", "Public Domain Mark 1.0"), ("by", "4.0", "CC BY 4.0"), ("", "", "")],
)
def test_openverse_writes_licences_as_the_manifest_does(code, version, licence, mirror):
    found = openverse_photo(1, license=code, license_version=version, creator=None, title=None)
    mirror.reply(f"{Openverse.API}images/", lambda *_: as_json({"page_count": 1, "results": [found]}))
    assert rows_of(Openverse())[0].licence == licence


def test_a_registered_openverse_user_gets_a_token_and_neither_it_nor_the_secret_shows_up(mirror, monkeypatch):
    monkeypatch.setenv("OPENVERSE_CLIENT_ID", "my-name")
    monkeypatch.setenv("OPENVERSE_CLIENT_SECRET", "my-secret")
    asked = []

    def token(form, headers):
        asked.append(form)
        return as_json({"access_token": "the-token", "expires_in": 36000, "token_type": "Bearer", "scope": "read"})

    mirror.reply(TOKEN, token)
    mirror.reply(f"{Openverse.API}images/", openverse_answer(1))
    assert len(Openverse().search("x")) == 2
    assert asked == [{"grant_type": "client_credentials", "client_id": "my-name", "client_secret": "my-secret"}]
    assert mirror.requests[-1][1]["Authorization"] == "Bearer the-token"
    assert "page_size=100" in mirror.requests[-1][0]
    mirror.reply(TOKEN, lambda *_: as_json({"error": "invalid_client"}, 401))
    with pytest.raises(NetworkError, match="openverse refuses the key.*check OPENVERSE_CLIENT_ID"):
        Openverse().search("x")


def google_answer(pages: int):
    def answer(query, headers):
        start = int(query["start"])
        name = query["rights"]
        items = [
            {
                "kind": "customsearch#result",
                "title": f"Queen {start + n}",
                "htmlTitle": f"<b>Queen</b> {start + n}",
                "link": f"https://site.example.org/{name}/{start + n}.jpg",
                "displayLink": "site.example.org",
                "snippet": "...",
                "mime": "image/jpeg",
                "fileFormat": "image/jpeg",
                "image": {
                    "contextLink": f"https://site.example.org/{name}/page",
                    "height": 600,
                    "width": 400,
                    "byteSize": 12345,
                    "thumbnailLink": "https://encrypted-tbn0.gstatic.com/images?q=x",
                },
            }
            for n in range(10)
        ]
        queries = {"request": [{"count": 10, "startIndex": start}]}
        if start + 10 <= pages * 10:
            queries["nextPage"] = [{"count": 10, "startIndex": start + 10}]
        return as_json({"kind": "customsearch#search", "queries": queries, "items": items})

    return answer


@pytest.fixture
def google_keys(monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-top-secret")
    monkeypatch.setenv("GOOGLE_SEARCH_ENGINE", "engine:1")


@pytest.mark.usefixtures("google_keys")
def test_google_is_asked_for_free_licences_one_after_the_other_and_the_key_stays_in_a_header(mirror):
    mirror.reply(Google.API, google_answer(2))
    source = Google("drag")
    rows = rows_of(source, "drag queen")
    assert len(rows) == 60
    assert [row.licence for row in rows[::20]] == [f"{name} by Google's filter" for name in Google.RIGHTS.values()]
    row = rows[0]
    assert row.page_url == "https://site.example.org/cc_publicdomain/page"
    for path, headers in mirror.requests:
        assert "top-secret" not in path
        assert headers["X-Goog-Api-Key"] == "AIza-top-secret"
    mirror.reply(Google.API, google_answer(99))
    assert len(Google().search("x")) == 300  # a hundred a licence is all that Google gives


@pytest.mark.usefixtures("google_keys")
@pytest.mark.parametrize("status", [400, 403])
def test_a_wrong_or_exhausted_google_key_is_one_sentence_without_the_key(status, mirror, caplog):
    caplog.set_level(logging.DEBUG)
    fault = {"error": {"code": status, "message": "API key not valid. Please pass a valid API key.", "status": "X"}}
    mirror.reply(Google.API, lambda *_: as_json(fault, status))
    with pytest.raises(NetworkError, match="google refuses the key .*check GOOGLE_API_KEY") as caught:
        Google().search("x")
    assert "secret" not in str(caught.value) + repr(caught.value.__context__) + caplog.text


@pytest.mark.usefixtures("google_keys")
def test_a_redirect_takes_no_key_along(mirror):
    mirror.misbehave("https://elsewhere.example.org/", as_json({"items": []}))
    mirror.reply(Google.API, lambda *_: Answer(302, headers={"Location": "https://elsewhere.example.org/"}))
    assert Google().search("x") == []
    assert all(("X-Goog-Api-Key" in headers) == ("googleapis" in path) for path, headers in mirror.requests)


@pytest.mark.usefixtures("google_keys")
@pytest.mark.parametrize(
    "engine", [{}, {"GOOGLE_SEARCH_ENGINE": {"value": "x", "access": False}}], ids=["not there", "no access"]
)
def test_keys_come_from_colabs_secrets_first_and_a_refusal_there_is_no_error(colab, mirror, engine):
    colab(secrets={"GOOGLE_API_KEY": {"value": "from-colab", "access": True}} | engine)
    mirror.reply(Google.API, google_answer(1))
    Google().search("x", limit=1)
    assert mirror.requests[0][1]["X-Goog-Api-Key"] == "from-colab"
    assert "cx=engine%3A1" in mirror.requests[0][0]


@pytest.mark.usefixtures("google_keys")
def test_where_no_browser_answers_colab_the_environment_has_the_keys(colab, mirror):
    colab(browser=False)
    mirror.reply(Google.API, google_answer(1))
    Google().search("x", limit=1)
    assert "cx=engine%3A1" in mirror.requests[0][0]


def test_a_key_that_cannot_be_one_is_named_by_its_secret_alone(monkeypatch, mirror):
    monkeypatch.setenv("GOOGLE_API_KEY", "two\nlines")
    with pytest.raises(DragFaceError, match="GOOGLE_API_KEY holds characters") as caught:
        Google().search("x")
    assert "lines" not in str(caught.value)


WEB = {"commons": Commons.API, "openverse": f"{Openverse.API}images/", "google": Google.API}


@pytest.mark.usefixtures("google_keys")
@pytest.mark.parametrize("name", WEB)
class TestEverySource:
    """What must hold of each: it is asked again where that may help, and otherwise ends with one sentence."""

    @staticmethod
    def search(name: str) -> list:
        return open_source(name, "drag").search("drag queen")

    def test_an_empty_answer_gives_no_rows(self, name, mirror):
        mirror.reply(WEB[name], lambda *_: as_json({}))
        assert self.search(name) == []

    def test_a_busy_server_is_asked_again_when_it_says_and_five_hundreds_are_given_up(self, name, mirror):
        answers = [as_json({}, 429, Retry_After="1"), as_json({}, 500), *[as_json({})] * 3]
        mirror.reply(WEB[name], lambda *_: answers.pop(0))
        start = time.monotonic()
        assert self.search(name) == []
        assert time.monotonic() - start >= 1
        mirror.reply(WEB[name], lambda *_: as_json({}, 503))
        with pytest.raises(NetworkError, match="answered 503"):
            self.search(name)
        mirror.reply(WEB[name], lambda *_: as_json({}, 429, Retry_After="3600"))
        with pytest.raises(NetworkError, match="answered 429"):
            self.search(name)

    @pytest.mark.parametrize("body", [b"<html>Sorry</html>", b'{"results": [', b"[]", b"null", b"\xff\xfe"])
    def test_what_is_no_json_object_is_one_sentence(self, name, body, mirror):
        mirror.reply(WEB[name], lambda *_: Answer(200, body))
        with pytest.raises(NetworkError, match="did not answer with a JSON object"):
            self.search(name)

    def test_a_silent_server_is_given_up(self, name, mirror, monkeypatch):
        monkeypatch.setattr(network, "TIMEOUT", (1.0, 0.05))
        mirror.reply(WEB[name], lambda *_: Answer(headers={"Content-Length": "100"}))
        with pytest.raises(NetworkError, match="could not be fetched"):
            self.search(name)

    def test_without_words_it_says_what_it_needs(self, name):
        with pytest.raises(DragFaceError, match=f"{name} needs a query"):
            open_source(name, "drag").search(" ")


@pytest.mark.parametrize(("source", "name"), [(Google, "GOOGLE_SEARCH_ENGINE"), (Openverse, "OPENVERSE_CLIENT_SECRET")])
def test_a_secret_that_colab_keeps_from_the_notebook_is_named_with_what_to_click(colab, source, name):
    granted = {"value": "x", "access": True}
    colab(secrets={"GOOGLE_API_KEY": granted, "OPENVERSE_CLIENT_ID": granted, name: {"value": "y", "access": False}})
    with pytest.raises(DragFaceError, match=f"has the secret {name}, .* click the key .* 'Notebook access' beside"):
        source().search("x")


def test_google_says_which_secrets_it_needs():
    with pytest.raises(DragFaceError, match="needs the secrets GOOGLE_API_KEY and GOOGLE_SEARCH_ENGINE"):
        Google().search("x")


@pytest.fixture
def gallery(mirror, monkeypatch, tmp_path):
    """A site that gallery-dl itself reads: its settings send danbooru.example.org to the server of this test."""
    site = {"root": f"{mirror.url}/danbooru.example.org", "pattern": r"danbooru\.example\.org"}
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gallery-dl").mkdir()
    settings = {"extractor": {"Danbooru": {"mine": site}, "sleep-request": 0, "retries": 0}}
    (tmp_path / "config" / "gallery-dl" / "config.json").write_text(json.dumps(settings))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsessionid\tmy-cookie\n")
    return cookies


def booru_post(number: int, extension: str = "jpg") -> dict:
    post = {"id": number, "created_at": "2026-01-01T00:00:00.000-05:00", "file_ext": extension, "md5": "0" * 32}
    post |= {f"tag_string{kind}": "" for kind in ("", "_artist", "_character", "_copyright", "_general", "_meta")}
    address = f"https://cdn.example.org/{number}.{extension}"
    return post | {"file_url": address, "image_width": 400, "image_height": 500, "uploader": "jo", "source": ""}


def test_gallery_dl_lists_what_the_users_account_may_see(gallery, mirror):
    posts = [booru_post(1), booru_post(2, "mp4"), booru_post(3, "png")]
    url = "https://danbooru.example.org/posts"
    mirror.reply("https://danbooru.example.org/posts.json", lambda *_: Answer(200, json.dumps(posts).encode()))
    rows = rows_of(GalleryDL("drag", cookies=gallery), f"{url}?tags=drag")
    assert [row.image_url for row in rows] == ["https://cdn.example.org/1.jpg", "https://cdn.example.org/3.png"]
    assert {row.licence for row in rows} == {"permission claimed by user"}
    assert {row.query for row in rows} == {f"{url}?tags=drag"}
    assert len({row.id for row in rows}) == 2
    assert len(GalleryDL("drag", cookies=gallery, limit=1).search(f"{url}?tags=drag")) == 1
    assert any("my-cookie" in headers.get("Cookie", "") for _, headers in mirror.requests)
    mirror.reply("https://danbooru.example.org/posts.json", lambda *_: Answer(403, b"{}"))
    with pytest.raises(DragFaceError, match="gallery-dl found nothing at") as caught:
        GalleryDL("drag", cookies=gallery).search(f"{url}?tags=drag")
    assert "my-cookie" not in str(caught.value)


def test_gallery_dl_stays_off_without_cookies_and_goes_to_no_private_address(gallery, mirror, tmp_path):
    for cookies in ("", tmp_path / "nowhere.txt"):
        with pytest.raises(DragFaceError, match="is off until you name the file of cookies"):
            GalleryDL("drag", cookies=cookies).search("#drag")
    for url in ("http://127.0.0.1/a", "file:///etc/passwd", "--help"):
        with pytest.raises(NetworkError):
            GalleryDL("drag", cookies=gallery).search(url)
    assert not mirror.requests


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (Commons, {"query": []}),
        (Commons, {"query": {"pages": [{"imageinfo": [{"mime": "image/jpeg", "url": "https://a.org/b"}]}]}}),
        (Openverse, {"results": [3]}),
        (Openverse, {"results": [{"id": "a", "url": 5}]}),
        (Google, {"items": [{"link": "https://a.org/b", "image": None}]}),
    ],
)
def test_an_answer_of_other_kinds_than_documented_is_one_sentence(source, answer, monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    monkeypatch.setenv("GOOGLE_SEARCH_ENGINE", "engine")
    monkeypatch.setattr(network.Client, "get_json", lambda self, url, **sent: answer)
    with pytest.raises(NetworkError, match="in a form that is not known"):
        source().search("drag")


def test_a_photo_that_no_manifest_may_hold_is_named_and_the_others_go_on(mirror):
    pages = [commons_page(1), commons_page(2), commons_page(3)]
    pages[1]["imageinfo"][0]["url"] = "https://a.org/" + "x" * 200_000
    mirror.reply(Commons.API, lambda *_: as_json({"batchcomplete": True, "query": {"pages": pages}}))
    source = Commons()
    assert [row.id for row in rows_of(source)] == ["commons_1", "commons_3"]
    assert "image_url is" in source.notes[0]
