"""Passwords of the services' roles: only verifiers are stored, and an unknown role is told."""

from deploy.container.prepare_database import set_passwords


def test_a_role_gets_a_verifier_that_its_password_opens(database_url, administrator):
    administrator.execute("CREATE ROLE onebook_password_probe LOGIN")
    try:
        missing = set_passwords(
            database_url, {"onebook_password_probe": "canary-pass", "onebook_nobody": "x"}
        )
        stored = administrator.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'onebook_password_probe'"
        ).fetchone()
    finally:
        administrator.execute("DROP ROLE onebook_password_probe")
    assert missing == ["onebook_nobody"]
    assert stored[0].startswith("SCRAM-SHA-256$")
    assert "canary-pass" not in stored[0]
