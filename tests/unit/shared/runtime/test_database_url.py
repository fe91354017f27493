import pytest

from shared.runtime.database_url import MalformedDatabaseUrl, parse_database_url

GOOD = "postgresql://book:p%40ss@db.example:5432/onebook?sslmode=require"


def test_a_good_address_is_taken_apart():
    url = parse_database_url(GOOD)
    assert (url.host, url.port, url.database, url.user, url.password, url.sslmode) == (
        "db.example",
        5432,
        "onebook",
        "book",
        "p@ss",
        "require",
    )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_the_scheme_becomes_one(scheme):
    assert parse_database_url(f"{scheme}://u@h:1/d").text == "postgresql://u@h:1/d"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must begin with postgresql://"),
        ("mysql://u:canary@h:1/d", "must begin with postgresql://"),
        ("h:5432/d", "must begin with postgresql://"),
        ("postgresql://u:canary@:5432/d", "names no host"),
        ("postgresql://u:canary@h/d", "names no port"),
        ("postgresql://u:canary@h:port/d", "cannot be parsed"),
        ("postgresql://u:canary@h:70000/d", "cannot be parsed"),
        ("postgresql://u:can/ary@h:5432/d", "cannot be parsed"),
        ("postgresql://u:canary@[h:5432/d", "cannot be parsed"),
        ("postgresql://u:canary@h:5432", "names no database"),
        ("postgresql://u:canary@h:5432/", "names no database"),
        ("postgresql://u:canary@h:5432/a/b", "names no database"),
        ("postgresql://:canary@h:5432/d", "names no user"),
        ("postgresql://h:5432/d", "names no user"),
        ("postgresql://u:canary@h:5432/d?sslmode=on", "sslmode is unknown"),
        ("postgresql://u:canary@h:5432/d?sslmode", "cannot be parsed"),
    ],
)
def test_a_malformed_address_is_refused_by_its_fault_and_never_shown(text, said):
    with pytest.raises(MalformedDatabaseUrl, match=said) as caught:
        parse_database_url(text)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_repr_hides_the_password():
    assert "p%40ss" not in repr(parse_database_url(GOOD))
    assert "p@ss" not in repr(parse_database_url(GOOD))


@pytest.mark.parametrize(
    ("place", "local"),
    [
        ("localhost:5432/d", True),
        ("127.0.0.1:5432/d", True),
        ("127.9.9.9:5432/d", True),
        ("[::1]:5432/d", True),
        ("/d?host=/run/postgresql", True),
        ("10.0.0.1:5432/d", False),
        ("localhost.example:5432/d", False),
        ("postgres:5432/d", False),
    ],
)
def test_local_means_that_the_connection_never_leaves_the_machine(place, local):
    assert parse_database_url(f"postgresql://u@{place}").is_local is local


@pytest.mark.parametrize(
    ("sslmode", "encrypted"),
    [
        ("disable", False),
        ("allow", False),
        ("prefer", False),
        ("require", True),
        ("verify-ca", True),
        ("verify-full", True),
    ],
)
def test_only_modes_that_refuse_plain_text_count_as_encrypted(sslmode, encrypted):
    assert parse_database_url(f"postgresql://u@h:1/d?sslmode={sslmode}").is_encrypted is encrypted
