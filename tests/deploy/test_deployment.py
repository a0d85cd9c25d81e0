"""The deployment files: by the checkers of those who read them, and by what the server really takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from lepton_ai.server.settings import ServerSettings, read
from tests.deploy.files import DEPLOY, FILES, OVERLAYS, ROOT, need, rendered, variables, walk

compose_spec = pytest.importorskip("compose_spec")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

SECRETS = {"lepton-server", "lepton-server-key", "lepton-server-tls"}
"""What docs/deployment.md tells people to make."""
VERSION = "1.31"
KNOWN = {field.name for field in msgspec.structs.fields(ServerSettings)}


# Everything


@pytest.mark.parametrize(
    "path", [*FILES, ROOT / "docs" / "deployment.md"], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_only_settings_that_there_are(path: Path) -> None:
    assert variables(path.read_text()) <= KNOWN


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_no_secret_is_in_a_file(path: Path) -> None:
    """What looks like one is a reference, or empty."""
    secret = r"(?m)^[^#\n]*?(?<![{\w])(\w*(?:PASSWORD|SECRET|SECRET_KEY|TOKEN))\s*[=:] *(.*)$"
    for name, value in re.findall(secret, path.read_text()):
        assert value.strip() == "" or value.strip().startswith("${"), f"{name} in {path}"


@pytest.mark.parametrize("command", ["init", "start", "migrate"])
def test_the_commands_that_they_call(command: str) -> None:
    code = "from lepton_ai.cli import main; main()"
    whole = [sys.executable, "-c", code, "server", command, "--help"]
    done = subprocess.run(
        whole, capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert "DIR" in done.stdout


# Kubernetes


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_keep_the_schema(overlay: str) -> None:
    for document in rendered(overlay):
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_the_checker_of_manifests_finds_mistakes() -> None:
    deployment = next(d for d in rendered("base") if d["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSION, strict=True)


def pods(overlay: str) -> list[dict[str, Any]]:
    return [d["spec"]["template"]["spec"] for d in rendered(overlay) if d["kind"] in ("Deployment", "Job")]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_may_do_little(overlay: str) -> None:
    (pod,) = pods(overlay)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} <= set(container["resources"])
    assert all(
        isinstance(value, str | int) for value in walk(container["resources"]) if not isinstance(value, dict)
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whatever_is_referred_to_is_there(overlay: str) -> None:
    """A config map of the same folder, or a secret that the documentation names."""
    documents = rendered(overlay)
    made = {d["metadata"]["name"] for d in documents if d["kind"] == "ConfigMap"}
    claims = {d["metadata"]["name"] for d in documents if d["kind"] == "PersistentVolumeClaim"}
    for value in walk(documents):
        if not isinstance(value, dict):
            continue
        for reference in ("configMapRef", "configMap"):
            if reference in value:
                assert value[reference]["name"] in made
        for reference in ("secretRef", "secretKeyRef"):
            if reference in value:
                assert value[reference]["name"] in SECRETS
        if "secretName" in value:
            assert value["secretName"] in SECRETS
        if "persistentVolumeClaim" in value:
            assert value["persistentVolumeClaim"]["claimName"] in claims
    text = (ROOT / "docs" / "deployment.md").read_text()
    assert [name for name in SECRETS if name not in text] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_mount_has_its_volume(overlay: str) -> None:
    (pod,) = pods(overlay)
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes


def test_selectors_meet() -> None:
    """Service, budget, policy and spreading all mean the pods of the deployment, and only those."""
    documents = {d["kind"]: d for d in rendered("overlays/production")}
    labels = documents["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        documents["Deployment"]["spec"]["selector"]["matchLabels"],
        documents["Service"]["spec"]["selector"],
        documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        documents["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"][
            "matchLabels"
        ],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert selector
    (job,) = (d for d in rendered("migrate") if d["kind"] == "Job")
    assert not selectors[1].items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_the_pod_starts_by_settings_that_are_understood(tmp_path: Path) -> None:
    """As the server reads them: the config map's values, and the empty server.json."""
    documents = rendered("overlays/production")
    (told,) = (
        d["data"] for d in documents if d["kind"] == "ConfigMap" and "settings" in d["metadata"]["name"]
    )
    (files,) = (d["data"] for d in documents if d["kind"] == "ConfigMap" and "server.json" in d["data"])
    (tmp_path / "server.json").write_text(files["server.json"])
    settings = read(tmp_path, told | {"LEPTON_AI_SERVER_HOST": "0.0.0.0"})
    assert (settings.insecure, settings.workers, settings.metrics) == (True, 2, "login")
    assert settings.hosts == ("models.example.org",)
    (pod,) = pods("overlays/production")
    mounts = [Path(mount["mountPath"]) for mount in pod["containers"][0]["volumeMounts"]]
    assert settings.key_file.parent in mounts
    assert settings.cache_folder in mounts
    size = next(volume for volume in pod["volumes"] if volume["name"] == "cache")["emptyDir"]["sizeLimit"]
    assert settings.cache_bytes < int(size.removesuffix("Gi")) << 30
    assert pod["containers"][0]["ports"][0]["containerPort"] == settings.port
    assert pod["terminationGracePeriodSeconds"] > settings.stop_seconds + 5


# Compose


def composed() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return document


def test_compose_keeps_the_specification() -> None:
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", msgspec.json.encode(composed()).decode())
    text = re.sub(r"\$\{\w+:\?[^}]*\}", "given", text)
    assert "server" in compose_spec.PyCompose.from_json(text).service_names()
    with pytest.raises(ValueError, match="no-such"):
        compose_spec.PyCompose.from_json(text.replace('"read_only"', '"no-such"'))


def test_compose_is_of_one_piece() -> None:
    """Networks and volumes are declared, what a service waits for is there, only the proxy is seen from outside."""
    document = composed()
    services = document["services"]
    for name, service in services.items():
        assert set(service.get("networks", [])) <= set(document["networks"]), name
        assert set(service.get("depends_on", {})) <= set(services), name
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert {volume for volume in named if not volume.startswith(".")} <= set(document["volumes"]), name
        assert all((DEPLOY / volume).is_file() for volume in named if volume.startswith(".")), name
        for other, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in services[other] or other == "server", other  # that is in the image
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert document["networks"]["inside"]["internal"]
    settings = services["server"]["environment"]["LEPTON_AI_SERVER_PROXIES"]
    assert document["networks"]["proxied"]["ipam"]["config"] == [{"subnet": settings}]


def test_compose_asks_for_what_the_example_lists() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))
    listed = {
        line.rstrip("=") for line in (DEPLOY / "env.example").read_text().splitlines() if line[:1].isupper()
    }
    assert asked == listed


# systemd


def test_the_unit_is_right_and_hardened(tmp_path: Path) -> None:
    program = need("systemd-analyze", "systemd")
    unit = tmp_path / "lepton-server.service"
    text = (DEPLOY / "systemd" / "lepton-server.service").read_text()
    unit.write_text(text.replace("/opt/lepton/bin/lepton", sys.executable))  # it has to be there
    found = subprocess.run(
        [program, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
    exposed = subprocess.run(
        [program, "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert exposed.returncode == 0, exposed.stdout[-2000:]


def test_a_wrong_unit_is_found_out(tmp_path: Path) -> None:
    program = need("systemd-analyze", "systemd")
    unit = tmp_path / "lepton-server.service"
    text = (DEPLOY / "systemd" / "lepton-server.service").read_text()
    unit.write_text(
        text.replace("/opt/lepton/bin/lepton", sys.executable).replace("ProtectProc=", "ProtectProcs=")
    )
    found = subprocess.run(
        [program, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ProtectProcs" in found.stderr


# Proxies: the real programs read them


@pytest.mark.slow
def test_nginx_reads_it(tmp_path: Path) -> None:
    program = need("nginx", "nginx")
    tls = tmp_path / "tls"
    tls.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=models.example.org", "-keyout", str(tls / "privkey.pem"), "-out", str(tls / "fullchain.pem")],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    site = (DEPLOY / "proxy" / "nginx.conf").read_text().replace("/etc/nginx/tls", str(tls))
    whole = f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ access_log off; {site} }}"
    (tmp_path / "nginx.conf").write_text(whole)
    command = [program, "-t", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


@pytest.mark.slow
def test_caddy_reads_it() -> None:
    program = need("caddy", "caddy")
    command = [program, "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "proxy" / "Caddyfile")]
    environment = os.environ | {"LEPTON_HOST": "models.example.org", "LEPTON_UPSTREAM": "server:8750"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert '"level":"warn"' not in done.stderr
