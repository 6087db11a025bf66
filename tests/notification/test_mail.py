"""What the mails say, to whom, and what nobody can make them say."""

import asyncio
import re
import ssl
import subprocess
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from meshmart.notification.v1.notification_pb2 import Notification

from services.notification.tokens import Unsubscribing
from tests.notification.catcher import Caught, MailCatcher
from tests.notification.conftest import ORDER_ID, SECRET, Desk, smtp


async def caught(post: Desk, catcher: MailCatcher, *happenings) -> list[Caught]:
    """Return the mails that came of some happenings."""
    await post.hear(*happenings)
    await post.settled()
    return catcher.caught


@pytest.mark.parametrize(
    ("happening", "subject", "said"),
    [
        pytest.param("registered", "Welcome to meshmart", ["Your account is ready."], id="welcome"),
        pytest.param(
            "confirmed", "Your order is confirmed", ["It is confirmed", str(ORDER_ID), "1,234.50 EUR"], id="confirmed"
        ),
        pytest.param(
            "rejected",
            "Your order could not be completed",
            ["because the card was declined", "Nothing was charged.", str(ORDER_ID)],
            id="rejected",
        ),
        pytest.param(
            "cancelled",
            "Your order was cancelled",
            ["because you asked for it", "you get it back", str(ORDER_ID)],
            id="cancelled",
        ),
        pytest.param(
            "refunded",
            "Your money is on its way back",
            ["given you your money back", str(ORDER_ID), "1,234.50 EUR"],
            id="refunded",
        ),
    ],
)
async def test_a_mail_says_what_happened_in_both_of_its_parts(post: Desk, catcher, happening, subject, said):
    [one] = await caught(post, catcher, getattr(post, happening)())

    assert (one.sender, one.recipients) == ("shop@meshmart.example", ["ann@example.com"])
    assert (one.mail["From"], one.mail["To"]) == ("meshmart <shop@meshmart.example>", "Ann <ann@example.com>")
    assert one.mail["Subject"] == subject
    assert one.mail.get_content_type() == "multipart/alternative"
    for kind, greeting in (("plain", "Hello Ann,\n"), ("html", "<p>Hello Ann,</p>")):
        text = one.part(kind)
        assert greeting in text
        assert [words for words in said if words not in text] == []


@pytest.mark.parametrize("happening", ["rejected", "cancelled"])
async def test_a_reason_that_means_nothing_to_customers_is_left_out(post: Desk, catcher, happening):
    [one] = await caught(post, catcher, getattr(post, happening)(reason="SOMETHING_NEW"))
    assert ", because" not in one.part("plain") + one.part("html")


async def test_a_mail_names_its_notification_and_says_that_a_machine_wrote_it(post: Desk, catcher):
    [one] = await caught(post, catcher, post.registered())
    [known] = await post.notifications()
    assert one.mail["Message-ID"] == f"<{known.id}@meshmart.example>"
    assert parsedate_to_datetime(one.mail["Date"]).timestamp() == known.create_time.seconds
    assert one.mail["Auto-Submitted"] == "auto-generated"


async def test_a_mail_can_be_unsubscribed_from_by_one_click(post: Desk, catcher):
    [one] = await caught(post, catcher, post.registered())

    [line] = re.findall(rb"^List-Unsubscribe: <(\S+)>\r$", one.data, re.MULTILINE)
    address = urlsplit(line.decode())
    [token] = parse_qs(address.query)["token"]
    assert (address.scheme, address.netloc, address.path) == (
        "https",
        "shop.example",
        "/v1/notifications:unsubscribe",
    )
    assert Unsubscribing(SECRET).customer(token) == post.customer_id
    assert one.mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


@pytest.mark.parametrize(
    ("name", "greeted"),
    [
        pytest.param("Ann\r\nBcc: eve@example.com", "Ann Bcc: eve@example.com", id="a header"),
        pytest.param("Ann\n\nYou won!", "Ann You won!", id="a paragraph"),
        pytest.param("Ann\u2028Lee\u202e\x00", "Ann Lee", id="letters that nobody sees"),
        pytest.param('Ann" <eve@example.com>', 'Ann" <eve@example.com>', id="an address"),
        pytest.param("Zoë Ünal", "Zoë Ünal", id="letters beyond ASCII"),
        pytest.param("{{ order_id }}", "{{ order_id }}", id="a template"),
    ],
)
async def test_a_name_is_never_more_than_a_name(post: Desk, catcher, name, greeted):
    post.directory.contacts[str(post.customer_id)] = ("ann@example.com", name)

    [one] = await caught(post, catcher, post.registered())

    [recipient] = one.mail["To"].addresses
    assert (recipient.display_name, recipient.addr_spec) == (greeted, "ann@example.com")
    assert one.recipients == ["ann@example.com"]
    assert one.mail["Bcc"] is None
    assert one.part("plain").startswith(f"Hello {greeted},\n\nwelcome")


async def test_a_name_is_no_markup(post: Desk, catcher):
    post.directory.contacts[str(post.customer_id)] = ("ann@example.com", "<img src=x onerror=alert(1)>")
    [one] = await caught(post, catcher, post.registered())
    assert "Hello &lt;img src=x onerror=alert(1)&gt;," in one.part("html")


async def test_no_address_and_no_name_is_stored_or_logged(post: Desk, catcher, caplog, capsys):
    post.directory.contacts[str(post.customer_id)] = ("ann@example.com", "Annabel")
    catcher.refusals["RCPT"].append("450 ann@example.com Annabel is busy")
    await post.hear(post.registered())
    await post.put_off()
    await post.hear(post.confirmed())
    await post.settled()

    stored = await post.database.all(
        "SELECT row_to_json(notification)::text FROM notification UNION ALL SELECT row_to_json(outbox)::text FROM outbox"
    )
    written = f"{stored} {caplog.text} {[vars(record) for record in caplog.records]} {''.join(capsys.readouterr())}"
    assert len(catcher.caught) == 2
    assert re.findall("ann@example|annabel", written, re.IGNORECASE) == []


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> tuple[ssl.SSLContext, str]:
    """Return what a server shows, and the file that has clients trust it."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=catcher"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    return context, f"{folder}/cert.pem"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # of the test's server
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_mail_server_may_want_encryption_and_a_password(open_desk, certificate, security):
    context, trusted = certificate
    async with MailCatcher(security=security, context=context, user="shop") as catcher:
        post = await open_desk(**smtp(catcher, smtp_ca_file=trusted, smtp_user="shop", smtp_password="secret"))
        [one] = await caught(post, catcher, post.registered())
    assert (one.user, one.encrypted) == ("shop", True)


async def test_a_mail_server_that_cannot_prove_who_it_is_gets_no_mail(open_desk, certificate):
    context, _ = certificate
    async with MailCatcher(security="tls", context=context) as catcher:
        post = await open_desk(**smtp(catcher))
        await post.hear(post.registered())
        while (await post.database.one("SELECT attempt FROM notification")) == (0,):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    assert catcher.caught == []
    assert [known.state for known in await post.notifications()] == [Notification.STATE_PENDING]
