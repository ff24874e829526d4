"""Find the packages; everything else about the distribution stands in pyproject.toml.

jobs/ and conf/ lie at the top of the checkout, for people, and inside crm_spark once installed:
no top-level name is claimed.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["crm_spark", "crm_spark.*"]), "crm_spark.jobs", "crm_spark.conf"],
    package_dir={"crm_spark.jobs": "jobs", "crm_spark.conf": "conf"},
)
