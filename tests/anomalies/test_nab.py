"""What detectors find of the Numenta Anomaly Benchmark: a few series each time, all of them with --slow."""

import pytest

from benchmarks import anomalies
from benchmarks.anomalies import BASELINE, DEFAULT, DETECTORS, judged
from crm_spark.kernels import alarms

pytestmark = pytest.mark.skipif(not anomalies.DATA.is_dir(), reason="the published data are not beside the checkout")
# Of each group the first two by name: none was chosen by what is found in it.
FEW = [
    "artificialWithAnomaly/art_daily_flatmiddle.csv",
    "artificialWithAnomaly/art_daily_jumpsdown.csv",
    "realAWSCloudwatch/ec2_cpu_utilization_24ae8d.csv",
    "realAWSCloudwatch/ec2_cpu_utilization_53ea38.csv",
    "realTraffic/TravelTime_387.csv",
    "realTraffic/TravelTime_451.csv",
]


def found(names: list[str], budget: float) -> tuple[float, float]:
    series = anomalies.read(names)
    default, baseline = (alarms.recall(judged(DETECTORS[name], series), budget) for name in (DEFAULT, BASELINE))
    return default, baseline


def test_the_default_finds_more_than_the_windowed_gaussian_in_the_first_series_of_each_group() -> None:
    default, baseline = found(FEW, 1)
    assert default > baseline


@pytest.mark.slow
def test_the_default_finds_more_of_all_windows_at_one_and_at_two_false_alarms() -> None:
    series = anomalies.read()
    assert (len(series), sum(len(one.windows) for one in series)) == (42, 69)
    default, baseline = (judged(DETECTORS[name], series) for name in (DEFAULT, BASELINE))
    for budget in (1, 2):
        assert alarms.compare(default, baseline, budget).low > 0
        assert alarms.recall(default, budget) > alarms.recall(baseline, budget)
