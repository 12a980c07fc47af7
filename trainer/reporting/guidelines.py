"""Which items of the reporting guidelines the report and the model card meet, and where.

TRIPOD+AI (Collins et al., BMJ 2024) and CLAIM (Mongan et al., Radiology: AI 2020). Items that only the people who
gathered the images or ran a study can tell are listed as such, not left out.
"""

from typing import NamedTuple


class ReportingItem(NamedTuple):
    """One item of a guideline."""

    guideline: str
    item: str
    asks: str
    where: str
    """Section that meets it, or who has to."""


OWNERS = "not met here: the owners of the images know"
USERS = "not met here: for whoever runs a study with it"

REPORTING_ITEMS = [
    ReportingItem("TRIPOD+AI", "1", "title names model, target population, outcome", "card: title, intended use"),
    ReportingItem("TRIPOD+AI", "3b", "intended purpose, users, place in care", "card: intended use"),
    ReportingItem("TRIPOD+AI", "3c", "known health inequalities", OWNERS),
    ReportingItem("TRIPOD+AI", "4", "development or evaluation", "card: training procedure, test metrics"),
    ReportingItem("TRIPOD+AI", "5a", "sites of data", "card: data"),
    ReportingItem("TRIPOD+AI", "5b, 6a–c", "dates, setting, eligibility, treatments", OWNERS),
    ReportingItem("TRIPOD+AI", "7", "data preparation", "card: data (intake, unreadable files)"),
    ReportingItem("TRIPOD+AI", "8a–c", "outcome, assessors, blinding", OWNERS),
    ReportingItem("TRIPOD+AI", "10", "sample size", "report: data audit"),
    ReportingItem("TRIPOD+AI", "11", "missing data", "report: data audit (unreadable files, unknown sites)"),
    ReportingItem("TRIPOD+AI", "12a", "partition of the data", "card: data (split by patient)"),
    ReportingItem("TRIPOD+AI", "12c", "model type, building, hyper-parameters", "card: training procedure"),
    ReportingItem("TRIPOD+AI", "12d", "heterogeneity across clusters", "report: sites"),
    ReportingItem("TRIPOD+AI", "12e", "measures of performance", "report: discrimination, calibration"),
    ReportingItem("TRIPOD+AI", "13", "class imbalance", "card: training procedure (class weighting)"),
    ReportingItem("TRIPOD+AI", "14", "fairness between groups", "report: sites (by hospital only; no age or sex)"),
    ReportingItem("TRIPOD+AI", "15", "output: probabilities and thresholds", "card: operating points"),
    ReportingItem("TRIPOD+AI", "16", "training against evaluation data", "report: data audit"),
    ReportingItem("TRIPOD+AI", "17–18d", "ethics, funding, protocol, registration", USERS),
    ReportingItem("TRIPOD+AI", "18e–f", "data and code", "card: data (fingerprint), versions and hashes"),
    ReportingItem("TRIPOD+AI", "20a–c", "flow and characteristics of participants", "report: data audit (counts only)"),
    ReportingItem("TRIPOD+AI", "21", "participants and events in each analysis", "report: every table's support"),
    ReportingItem("TRIPOD+AI", "22", "full model, so that others can use it", "card: versions and hashes"),
    ReportingItem("TRIPOD+AI", "23a–b", "performance with intervals, heterogeneity", "report: discrimination, sites"),
    ReportingItem("TRIPOD+AI", "26", "limitations", "card: limits"),
    ReportingItem("TRIPOD+AI", "27a", "poor or unavailable input", "card: novelty, limits; the service's 4xx"),
    ReportingItem("CLAIM", "1", "names the use of AI and its category", "card: title"),
    ReportingItem("CLAIM", "5–6", "prospective or retrospective, study goal", "card: data, intended use"),
    ReportingItem("CLAIM", "7", "data sites", "card: data"),
    ReportingItem("CLAIM", "8, 11–12", "eligibility, data elements, de-identification", OWNERS),
    ReportingItem("CLAIM", "9", "preprocessing", "card: data (intake)"),
    ReportingItem("CLAIM", "13", "missing data", "report: data audit"),
    ReportingItem("CLAIM", "14–18", "reference standard, annotators, variability", OWNERS),
    ReportingItem("CLAIM", "19–20", "sample size, partitions", "report: data audit"),
    ReportingItem("CLAIM", "21", "level at which partitions are disjoint", "card: data (split), report: data audit"),
    ReportingItem("CLAIM", "22", "the model in detail", "card: training procedure"),
    ReportingItem("CLAIM", "23", "software and versions", "card: versions and hashes"),
    ReportingItem("CLAIM", "24–26", "initial weights, training, choice of the final model", "card: training procedure"),
    ReportingItem("CLAIM", "28–29", "metrics, statistical uncertainty", "report: discrimination"),
    ReportingItem("CLAIM", "30", "robustness", "report: shortcut controls"),
    ReportingItem("CLAIM", "31", "explainability", "report: failures (class activation maps)"),
    ReportingItem("CLAIM", "32", "test on external data", "not met here: evaluate --model TAG --dataset PATH"),
    ReportingItem("CLAIM", "33", "flow of participants", "report: data audit"),
    ReportingItem("CLAIM", "34", "demographics of each partition", OWNERS),
    ReportingItem("CLAIM", "35–36", "performance with its uncertainty", "report: discrimination, operating points"),
    ReportingItem("CLAIM", "37", "failure analysis", "report: failures"),
    ReportingItem("CLAIM", "38", "limitations", "card: limits"),
    ReportingItem("CLAIM", "40–42", "registration, protocol, funding", USERS),
]
