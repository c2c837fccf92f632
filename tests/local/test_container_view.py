"""A command that sees its job's folder as /opt/ml, where the system allows that and where it doesn't."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dogbreed_sdk.local import launcher
from dogbreed_sdk.local.container_view import NAMESPACE_VARIABLE, OPT_ML, ContainerView


def namespaces_are_allowed() -> bool:
    """Whether util-linux gets a mount namespace here, with or without a user namespace."""
    command = shutil.which("unshare")
    return command is not None and subprocess.run([command, "-Urm", "true"], check=False).returncode == 0


in_namespace = pytest.mark.skipif(not namespaces_are_allowed(), reason="this system allows no mount namespaces")


@pytest.fixture
def container(tmp_path: Path) -> Path:
    folder = tmp_path / "ml"
    (folder / "model").mkdir(parents=True)
    return folder


def run(command: Sequence[str], *, before: Sequence[str] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *command],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def shell(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


@in_namespace
def test_a_command_sees_its_folder_as_opt_ml(container: Path) -> None:
    before = Path(OPT_ML).exists()
    end = run(
        ContainerView(container).command(shell("cd /opt/ml/model && echo weights > /opt/ml/model/model.pth; pwd"))
    )
    assert (end.returncode, end.stdout, end.stderr) == (0, "/opt/ml/model\n", "")
    assert (container / "model/model.pth").read_text() == "weights\n"
    assert Path(OPT_ML).exists() == before


@in_namespace
def test_two_commands_have_two_folders(tmp_path: Path) -> None:
    running = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        command = ContainerView(tmp_path / name).command(
            shell(f"echo {name} > /opt/ml/name; read -r _; cat /opt/ml/name")
        )
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    assert [process.communicate("\n")[0] for process in running] == ["one\n", "two\n"]


@in_namespace
def test_a_command_without_rights_gets_them_for_the_binding_only(container: Path) -> None:
    setpriv = shutil.which("setpriv")
    is_root = os.geteuid() == 0  # an ordinary user has no rights to take away
    if is_root and setpriv is None:
        pytest.skip("setpriv (util-linux) is not installed")
    before = [str(setpriv), "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"] if is_root else []
    end = run(ContainerView(container).command(shell("id -u; id -g; echo x > /opt/ml/mine")), before=before)
    assert (end.returncode, end.stdout, end.stderr) == (0, f"{os.getuid()}\n{os.getgid()}\n", "")
    assert (container / "mine").stat().st_uid == os.getuid()


@in_namespace
def test_files_and_the_host_name_can_be_another(container: Path, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n127.0.0.2 algo-2\n")
    view = ContainerView(container, files={"/etc/hosts": tmp_path / "hosts"}, host_name="algo-2")
    look = "import socket; print(socket.gethostname(), socket.gethostbyname(socket.gethostname()))"
    end = run(view.command([sys.executable, "-c", look]))
    assert (end.stdout, end.stderr) == ("algo-2 127.0.0.2\n", "")


@in_namespace
def test_a_new_folder_hides_nothing_beside_it(container: Path, tmp_path: Path) -> None:
    opt = tmp_path / "opt"
    (opt / "conda/bin").mkdir(parents=True)
    (opt / "notes.txt").write_text("kept")
    (opt / "python").symlink_to("conda/bin", target_is_directory=True)
    binds = [[str(container), str(opt / "ml")], [__file__, str(opt / "names")]]
    view = {"namespace": True, "binds": binds, "host_name": None}
    look = f"cd {opt}; ls; ls ml conda; test -f names; cat notes.txt; readlink python; echo new > conda/new"
    end = run([sys.executable, launcher.__file__, json.dumps(view), *shell(look)])
    seen = ["conda", "ml", "names", "notes.txt", "python", "conda:", "bin", "", "ml:", "model", "keptconda/bin"]
    assert (end.stdout.splitlines(), end.stderr) == (seen, "")
    assert sorted(path.name for path in opt.iterdir()) == ["conda", "notes.txt", "python"]
    assert (opt / "conda/new").exists()


@in_namespace
def test_a_root_below_opt_ml_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    view = ContainerView(Path("/opt/ml/root/jobs/one/ml"))
    assert json.loads(view.command(["true"])[4])["namespace"] is False


@pytest.mark.parametrize("setting", ["", "off"])
def test_a_command_keeps_its_process(container: Path, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv(NAMESPACE_VARIABLE, setting)
    command = ContainerView(container).command(shell("echo $$"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.communicate()[0] == f"{process.pid}\n"


class TestWithoutNamespace:
    @pytest.fixture(autouse=True)
    def _off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(NAMESPACE_VARIABLE, "off")

    def test_paths_in_arguments_and_environment_are_replaced(self, container: Path) -> None:
        words = ["/opt/ml/model", "--data=/opt/ml/input:/opt/ml", "/opt/mlflow /data/opt/ml /opt/ml-2"]
        look = "import os, sys; print(os.environ['CHECKPOINTS'], *sys.argv[1:], sep='\\n')"
        end = run(
            ContainerView(container).command([sys.executable, "-c", look, *words]), CHECKPOINTS="/opt/ml/checkpoints"
        )
        assert end.stdout.splitlines() == [
            f"{container}/checkpoints",
            f"{container}/model",
            f"--data={container}/input:{container}",
            words[2],
        ]

    def test_paths_in_an_sdks_scripts_are_replaced_in_the_jobs_copy(self, container: Path, tmp_path: Path) -> None:
        data, users = container / "input/data", tmp_path / "users"
        for folder in (data / "sm_drivers", users):
            folder.mkdir(parents=True)
            (folder / "run.sh").write_text("cat /opt/ml/model/seen\n")
        (container / "model/seen").write_text("weights")
        run_driver = ["/bin/sh", "/opt/ml/input/data/sm_drivers/run.sh"]
        assert run(ContainerView(container).command(run_driver)).stdout == "weights"
        shutil.rmtree(data / "sm_drivers")
        (data / "sm_drivers").symlink_to(users)
        assert run(ContainerView(container).command(run_driver)).returncode != 0
        assert (users / "run.sh").read_text() == "cat /opt/ml/model/seen\n"

    def test_hosts_in_an_sdks_scripts_are_replaced_in_the_jobs_copy(self, container: Path) -> None:
        drivers = container / "input/data/sm_drivers"
        drivers.mkdir(parents=True)
        (drivers / "environment.py").write_text('SM_MASTER_ADDR = "algo-1"; print(SM_MASTER_ADDR, "algo-10")')
        view = ContainerView(container, addresses={"algo-1": "127.0.0.5", "algo-2": "127.0.0.6"})
        end = run(view.command([sys.executable, "/opt/ml/input/data/sm_drivers/environment.py"]))
        assert end.stdout == "127.0.0.5 algo-10\n"

    @pytest.mark.parametrize("place", ["command", "environment", "code", "input/data/code"])
    def test_the_output_of_a_job_that_spells_it_out_says_so(self, container: Path, place: str) -> None:
        if "/" in place or place == "code":
            (container / place).mkdir(parents=True)
            (container / place / "train.py").write_text("open('/opt/ml/model/model.pth', 'wb')")
        path = "/opt/ml/model" if place == "command" else "elsewhere"
        environment = {"SAVED": "/opt/ml/checkpoints"} if place == "environment" else {}
        end = run(ContainerView(container).command(shell(f"echo started; test ! -e {path}/x")), **environment)
        assert end.stdout == "started\n"
        (line,) = end.stderr.splitlines()
        assert "it is switched off" in line
        assert f"replaced with {container}" in line

    def test_a_folder_with_a_blank_needs_no_quotes(self, tmp_path: Path) -> None:
        container = tmp_path / "my projects" / "ml"
        (container / "model").mkdir(parents=True)
        for text in ("cd /opt/ml/model && echo weights > /opt/ml/model/x", "cat /opt/ml/model/x"):
            end = run(ContainerView(container).command(shell(text)), TMPDIR=str(tmp_path))
            assert end.returncode == 0, end.stderr
        assert end.stdout == "weights\n"
        assert (container / "model/x").read_text() == "weights\n"

    def test_other_jobs_say_nothing(self, container: Path) -> None:
        (container / "code").mkdir()
        (container / "code/train.py").write_text("import os; os.environ['SM_MODEL_DIR']")
        assert run(ContainerView(container).command(shell("echo started"))).stderr == ""


def test_a_command_that_is_missing_is_named(container: Path) -> None:
    end = run(ContainerView(container).command(["trainer-of-nobody", "--fast"]))
    assert end.returncode == 127
    assert end.stderr.splitlines()[-1] == "trainer-of-nobody can't be started: No such file or directory"
