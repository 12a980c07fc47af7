"""Settings and the command line: what is wrong is said in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from bento.pacs.cli import main
from bento.pacs.settings import Destination, PacsSettings, Peer, check_pacs_environment, read_secret, read_tokens
from bento.settings import check_environment
from tests.support.server import ROOT


def test_a_destination_is_a_node_or_a_dicomweb_server() -> None:
    node = Destination.parse("dicom://ORTHANC@archive.example:4242")
    assert (node.ae_title, node.host, node.port) == ("ORTHANC", "archive.example", 4242)
    assert Destination.parse("https://archive.example/dicom-web/").url == "https://archive.example/dicom-web"


@pytest.mark.parametrize(
    "text", ["ORTHANC", "dicom://archive:4242", "dicom://AET@archive", "ftp://archive/x", "https://me:secret@archive/"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValidationError) as raised:
        PacsSettings(to=text)
    assert "secret" not in raised.value.errors()[0]["msg"]


def test_a_peer_is_a_title_at_an_address_or_in_a_network() -> None:
    peer = Peer.parse("ORTHANC@10.0.0.0/8")
    assert peer.is_at("10.1.2.3")
    assert peer.is_at("::ffff:10.1.2.3")
    assert not peer.is_at("11.1.2.3")
    assert not Peer.parse("A@127.0.0.1").is_at("::1")


@pytest.mark.parametrize("text", ["ORTHANC", "@127.0.0.1", "ATITLETHATISTOOLONG@127.0.0.1", "A@nowhere"])
def test_a_peer_without_title_or_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        PacsSettings(peers=text)


def test_certificates_are_given_together() -> None:
    with pytest.raises(ValidationError, match="go together"):
        PacsSettings(cert_file=Path("a"))
    with pytest.raises(ValidationError, match="ca_file"):
        PacsSettings(cert_file=Path("a"), cert_key_file=Path("b"))


def test_a_mistyped_variable_is_named_and_the_service_leaves_the_gateway_s_alone() -> None:
    with pytest.raises(ValueError, match="did you mean CHEST_XRAY_PACS_PEERS"):
        check_pacs_environment({"CHEST_XRAY_PACS_PEER": "x"})
    check_pacs_environment({"CHEST_XRAY_PACS_PEERS": "x", "CHEST_XRAY_MODEL": "y"})
    check_environment({"CHEST_XRAY_PACS_PEERS": "x"})


def test_a_token_file_has_a_url_and_a_value_on_each_line(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# archive\nhttps://archive/dicom-web/ Bearer abc def\n")
    assert read_tokens(file) == {"https://archive/dicom-web": "Bearer abc def"}
    file.write_text("Bearer secret")
    with pytest.raises(ValueError, match="line 1") as raised:
        read_tokens(file)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("content", ["", "  \n", "one\ntwo"])
def test_a_key_file_holds_one_key(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(ValueError, match="no key, or more than one line"):
        read_secret(file)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "--to: name where results are sent"),
        (["run", "--to", "http://a/b"], "--peers or --watch"),
        (["run", "--to", "http://a/b", "--peers", "A@127.0.0.1", "--dicom-port", "x"], "--dicom-port"),
        (["run", "--to", "nowhere"], "dicom://AETITLE@host:port"),
        (["run", "--to", "http://a/b", "--watch", "http://c", "--token-file", "/nowhere"], "/nowhere: can't be read"),
        (["run", "--to", "http://a/b", "--watch", "http://c", "--model", "chest_xray:none"], "model: "),
        (["status", "--spool", "/nowhere"], "has no ledger"),
    ],
)
def test_a_wrong_argument_ends_it_with_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr().err
    assert told in output
    assert output.count("\n") == 1


def test_help_and_settings_need_none_of_the_extra_packages() -> None:
    script = (
        "import sys\nfor name in ('pynetdicom', 'highdicom', 'dicomweb_client', 'torch'): sys.modules[name] = None\n"
        "from bento.pacs.cli import main\nsys.exit(main(['run', '--to', 'nowhere']))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
