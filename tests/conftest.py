"""What tests share: a local SageMaker a test, tiny pictures, and the photographs where they are at hand."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw

from dogbreed_sdk import BreedDataset, BreedTrainer, Session, TrainingJob, TuningJob, defaults
from dogbreed_sdk._util.progress import JobProgress
from tests.browser import Page, installed

if TYPE_CHECKING:
    from tests.aws.account import RecordedSageMaker
    from tests.aws.server import AwsServer

TEST_DATA_VARIABLE = "DOGBREED_TEST_DATA"
TEST_DATA_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


# What takes seconds, under tests/: training, endpoints, browsers, and processes that are started and killed.
# `nox -s quick` leaves it out; what stays shows most of what can break in each part. A test may be named, too.
SLOW = (
    "aws/test_flow.py",
    "aws/test_transfers.py",
    "cli/test_jobs.py",
    "cli/test_models.py",
    "cli/test_program.py::test_quickstart_goes_from_a_plain_folder_of_classes_to_answers_and_commands_that_work",
    "cli/test_report_command.py",
    "cli/test_search.py",
    "cli/test_terminal.py",
    "client/images/test_same_answers.py",
    "client/test_batch_faults.py",
    "client/test_classifier_cost.py",
    "client/test_every_picture.py",
    "client/test_explanation.py::TestDeletion",
    "client/transports/test_bundle.py",
    "conformance",
    "datasets/test_photographs.py",
    "datasets/test_sample.py",
    "debugging/test_feature_pass.py",
    "debugging/test_html.py",
    "debugging/test_insights_honest.py",
    "debugging/test_managed_rules.py",
    "debugging/test_plots.py",
    "debugging/test_report_of_recorder.py",
    "docs/test_docs.py",
    "docs/test_examples.py",
    "docs/test_notebooks.py",
    "docs/test_readme.py",
    "docs/test_snippets.py::test_snippets_run",
    "endpoints/test_interruptions.py",
    "jobs/test_faults.py",
    "jobs/test_interrupted_searches.py",
    "jobs/test_several_instances.py",
    "local/api/test_models.py",
    "local/api/test_sagemaker_core.py",
    "local/api/test_training_jobs.py",
    "local/api/test_tuning_jobs.py",
    "local/api/test_variants.py",
    "local/api/test_warm_start.py",
    "local/hosting",
    "local/jobs/test_debugger.py",
    "local/jobs/test_hosts.py",
    "local/jobs/test_metric_search.py",
    "local/jobs/test_spot.py",
    "local/jobs/test_supervisor.py",
    "local/test_clock.py",
    "local/test_moved_root.py",
    "local/test_server.py",
    "local/tuning/test_tuner.py",
    "model_server/test_backends.py",
    "model_server/test_container.py",
    "model_server/test_fuzz.py",
    "model_server/test_hosting_contract.py",
    "model_server/test_process.py",
    "model_server/test_workers.py",
    "planning/test_measure.py",
    "service/page",
    "service/test_bundle_server.py",
    "service/test_fuzz.py",
    "service/test_limits.py",
    "service/test_serve_command.py",
    "test_browser.py",
    "test_dependencies.py",
    "test_imports.py",
    "test_lifecycle.py",
    "test_pickling.py",
    "test_secrets.py",
    "training_scripts/data/test_check_agrees.py",
    "training_scripts/data/test_inputs.py",
    "training_scripts/data/test_safe_fetch.py",
    "training_scripts/features",
    "training_scripts/models",
    "training_scripts/recording/profiler",
    "training_scripts/recording/recorder",
    "training_scripts/rules/test_battery.py",
    "training_scripts/rules/test_declarations.py",
    "training_scripts/test_extract_features.py",
    "training_scripts/test_inference.py",
    "training_scripts/test_train_model.py",
    "training_scripts/training/test_callbacks.py",
    "training_scripts/training/test_checkpoints.py",
    "training_scripts/training/test_evaluation.py",
    "training_scripts/training/test_processes.py",
    "training_scripts/training/test_resume.py",
    "training_scripts/training/test_runtime.py",
    "training_scripts/training/test_trainer.py",
)

# What takes long and would show nothing new at the lowest versions: the life of processes and the clock, pip and
# Python's own start, torch, which is the same there, our own stores and searches, the text of the project, and a page
# before a server that is not ours. `nox -s lowest` leaves it out.
ANY_VERSION = (
    "datasets/test_sample.py::test_all_breeds_are_drawn_within_seconds",
    "datasets/test_sample.py::test_several_processes_draw_what_one_draws",
    "local/api/test_logs.py",
    "local/api/test_warm_start.py",
    "local/forking",
    "local/hosting/test_async.py::test_a_killed",
    "local/hosting/test_async.py::test_a_model_that_takes_too_long_is_a_failure",
    "local/hosting/test_async.py::test_an_outcome_is_delivered_once_if_its_process_was_killed_before",
    "local/hosting/test_async.py::test_requests_that_waited_too_long_or_lost_their_endpoint_fail",
    "local/hosting/test_async.py::test_the_queue_goes_on_without_and_after_its_server",
    "local/hosting/test_authors_models.py",
    "local/jobs/test_debugger.py",
    "local/jobs/test_hosts.py::TestEnds",
    "local/jobs/test_hosts.py::TestKilled",
    "local/jobs/test_hosts.py::test_distributed_training_follows_the_curve_of_one_process",
    "local/jobs/test_profiler_updates.py",
    "local/jobs/test_program.py::TestRequirements",
    "local/jobs/test_program.py::TestScriptsPython",
    "local/jobs/test_spot.py",
    "local/jobs/test_supervisor.py",
    "local/start_up",
    "local/test_clock.py",
    "local/test_container_view.py",
    "local/test_moved_root.py",
    "local/test_running.py",
    "local/transform/test_transform_jobs.py::TestKilledProcesses",
    "local/tuning/test_tuner.py::TestEnds",
    "service/page/test_page_accessibility.py",
    "service/page/test_page_failures.py",
    "service/page/test_page_looks.py",
    "service/page/test_page_more.py",
    "service/page/test_page_pictures.py",
    "service/test_explain.py",
    "test_architecture.py",
    "test_browser.py",
    "test_secrets.py",
)

# What takes long and rests on packages, whose versions are the same on every Python, or on the text of the project:
# pixels, the calls of AWS, rules of our code. `nox -s client` leaves it out, which is there for what Pythons do
# differently.
ANY_PYTHON = (
    "aws/test_buckets.py",
    "aws/test_roles.py",
    "client/images/test_jpeg.py",
    "client/images/test_same_answers.py",
    "client/test_classifier_cost.py",
    "datasets/test_near_copies.py",
    "datasets/test_sample.py",
    "test_architecture.py",
    "test_secrets.py",
)

# The files that take longest come first: with whole files to share, a long one that begins last leaves the other
# process idle.
LONGEST = (
    "docs/test_readme.py",
    "docs/test_examples.py",
    "docs/test_notebooks.py",
    "docs/test_snippets.py",
    "docs/test_doctests.py",
    "jobs/test_faults.py",
    "jobs/test_interruptions.py",
    "jobs/test_interrupted_searches.py",
    "training_scripts/features",
    "conformance/test_programs.py",
    "conformance/test_smdebug_scripts.py",
    "training_scripts/training/test_processes.py",
    "training_scripts/test_train_model.py",
    "training_scripts/test_extract_features.py",
    "local/hosting/test_authors_models.py",
    "local/jobs",
    "cli/test_program.py",
    "recording/test_programs.py",
    "datasets/test_photographs.py",
    "debugging/test_live.py",
    "aws/test_flow.py",
    "client/test_every_picture.py",
    "local/api",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The quick session does not even import what is slow as a whole."""
    path = collection_path.relative_to(Path(__file__).parent).as_posix()
    return True if config.option.markexpr == "not slow" and path in SLOW else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks and sorts tests by the lists above; what needs a trained model needs extras too, and is slow."""
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        if name.startswith(ANY_VERSION):
            item.add_marker(pytest.mark.any_version)
        if name.startswith(ANY_PYTHON):
            item.add_marker(pytest.mark.any_python)
        if "workshop" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.extras)
            item.add_marker(pytest.mark.slow)
        elif name.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if "aws_server" in getattr(item, "fixturenames", ()):  # its SageMaker is a local one
            item.add_marker(pytest.mark.extras)
    items.sort(key=_place)  # stable: the tests of a file stay together, in their order


def _place(item: pytest.Item) -> int:
    """Where among the longest files a test's file stands; behind them if it is none of them."""
    name = item.nodeid.removeprefix("tests/")
    return next((place for place, long in enumerate(LONGEST) if name.startswith(long)), len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _descriptions_of_aws_are_read_once() -> Iterator[None]:
    """botocore parses megabytes of JSON anew for each session, which took half of the time of tests that make one."""
    from botocore.loaders import JSONFileLoader  # noqa: PLC0415 - as late as what uses it

    load_file = JSONFileLoader.load_file
    loaded = functools.cache(functools.partial(load_file, JSONFileLoader()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: loaded(path))
        yield


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and settings of whoever runs the tests must not decide what they do."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "DOGBREED_")) and name != TEST_DATA_VARIABLE:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", os.devnull)
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", os.devnull)


@pytest.fixture(scope="session", autouse=True)
def _roots() -> Iterator[set[Path]]:
    """The folders of the local SageMakers in use; at the end, nothing is left on those that tests share."""
    from tests.leftovers import check_nothing_is_left, noted_roots  # noqa: PLC0415 - as late as what uses it

    with noted_roots() as roots:
        yield roots
    check_nothing_is_left(roots)


@pytest.fixture(autouse=True)
def _nothing_is_left(_roots: set[Path], request: pytest.FixtureRequest) -> Iterator[None]:
    """A test deletes what it creates: nothing is left on the local SageMakers in its own folder."""
    from tests.leftovers import DATABASE, check_nothing_is_left  # noqa: PLC0415 - as above

    yield
    folder: Path | None = request.node.funcargs.get("tmp_path")
    if folder is not None:
        own = {root for root in _roots if root.is_relative_to(folder)}
        _roots -= own
        # Those of other processes, such as the snippets of the README, are beside.
        check_nothing_is_left(own | {path.parent for path in folder.glob(f"*/{DATABASE}")})


@pytest.fixture(autouse=True)
def _nothing_is_mentioned_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints of accounts that end with their test are not left behind by the test run."""
    from dogbreed_sdk.endpoints import left_behind  # noqa: PLC0415 - as late as what uses it

    monkeypatch.setattr(left_behind, "_left", {})


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A local SageMaker of the test's own."""
    with Session.local(tmp_path / "root") as local:
        yield local


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Session, RecordedSageMaker]]:
    """A session on AWS, as far as it goes without an account, and what it sends to SageMaker."""
    from moto import mock_aws  # noqa: PLC0415 - most tests need none of it

    from tests.aws.account import open_session  # noqa: PLC0415

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield open_session()


@pytest.fixture(scope="session")
def _moto_url() -> Iterator[str]:
    from tests.aws.server import running_moto  # noqa: PLC0415 - most tests need none of it

    with running_moto() as url:
        yield url


@pytest.fixture
def moto_server(_moto_url: str, monkeypatch: pytest.MonkeyPatch) -> AwsServer:
    """An empty AWS account behind real HTTP, without SageMaker."""
    from tests.aws.server import opened  # noqa: PLC0415 - as above

    return opened(_moto_url, monkeypatch)


@pytest.fixture
def aws_server(_moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsServer]:
    """An empty AWS account behind real HTTP: SageMaker is a local SageMaker, everything else is moto's."""
    from dogbreed_sdk.local import LocalSageMaker  # noqa: PLC0415 - as above
    from tests.aws.server import opened  # noqa: PLC0415 - as above

    with LocalSageMaker(tmp_path / "sagemaker") as sagemaker:
        yield opened(_moto_url, monkeypatch, sagemaker)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser to look at pages with; opening a page forgets what the last test did."""
    if installed() is None:
        pytest.skip("no Chromium on this machine: pages are only parsed, not looked at")
    with Page(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small only lose by sharing work, and repeat themselves exactly on one thread."""
    import torch  # noqa: PLC0415 - only tests that train have it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real photographs; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get(TEST_DATA_VARIABLE, TEST_DATA_DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"no photographs at {folder}; set {TEST_DATA_VARIABLE}")
    return folder


@pytest.fixture(scope="session")
def fixtures_folder(test_data: Path) -> Path:
    """The folder of recordings that smdebug and SageMaker's own profiler made, beside the photographs."""
    return test_data.parent / "fixtures"


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> BreedDataset:
    """Three classes that any pretrained backbone tells apart: discs, squares and stripes; 3 x (12, 4, 4)."""
    from dogbreed_sdk.datasets import near_copies  # noqa: PLC0415 - most tests need none of it

    root = tmp_path_factory.mktemp("shapes")
    generator = random.Random(7)
    drawn: dict[Path, bytes] = {}
    for split, count in {"train": 12, "valid": 4, "test": 4}.items():
        for name in ("001.Red_disc", "002.Blue_square", "010.Green_stripes"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                path = folder / f"{number:02}.jpg"
                while True:  # two shapes in nearly the same place would be near-copies
                    draw_shape(name, generator).save(path, quality=90)
                    with Image.open(path) as image:
                        drawn[path] = near_copies.thumbnail(image)
                    if not near_copies.group(drawn):
                        break
    return BreedDataset.from_folder(root)


def draw_shape(name: str, generator: random.Random) -> Image.Image:
    """One picture of 64 x 64 pixels of a class of `shapes`."""
    background = tuple(generator.randrange(180, 256) for _ in range(3))
    image = Image.new("RGB", (64, 64), background)
    draw = ImageDraw.Draw(image)
    left, top = generator.randrange(4, 20), generator.randrange(4, 20)
    box = (left, top, left + generator.randrange(24, 40), top + generator.randrange(24, 40))
    if name.endswith("disc"):
        draw.ellipse(box, fill=(200, generator.randrange(60), 40))
    elif name.endswith("square"):
        draw.rectangle(box, fill=(30, generator.randrange(60), 200))
    else:
        for offset in range(0, 64, generator.randrange(7, 11)):
            draw.line((0, offset, 64, offset), fill=(20, 150, 40), width=3)
    return image


@dataclass(frozen=True)
class Workshop:
    """A local SageMaker in which a search and a training run have ended."""

    root: Path
    session: Session
    dataset: BreedDataset
    trainer: BreedTrainer
    tuning: TuningJob
    job: TrainingJob
    steps: list[JobProgress]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, shapes: BreedDataset) -> Iterator[Workshop]:
    """One search of three trials and one training run on `shapes`, made once for all tests that look at results."""
    root = tmp_path_factory.mktemp("workshop") / "root"
    steps: list[JobProgress] = []
    with Session.local(root) as session:
        trainer = BreedTrainer(session, model=defaults.QUICK_BACKBONE, base_name="shapes")
        tuning = trainer.tune(
            shapes, hyperparameters={"epochs": 6}, max_jobs=3, max_parallel_jobs=2, progress=steps.append
        ).wait(progress=steps.append)
        job = trainer.train(shapes, tuning.best.hyperparameters, progress=steps.append).wait(progress=steps.append)
        yield Workshop(root, session, shapes, trainer, tuning, job, steps)
