"""Miniature downloads of public datasets: their folders, names, headers and odd values, with generated images."""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.support.dicoms import dicom
from trainer.data.adapters.chexpert import COLUMNS
from trainer.data.sample.dataset import generate


@cache
def _pictures() -> Iterator[npt.NDArray[np.uint8]]:
    """Each of them goes to one file, so that no picture is in two downloads."""
    return (radiograph.pixels for radiograph in generate(1000, 64, 2, 9))


class Tree:
    """A folder that gets images of its own, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def image(self, *paths: str) -> None:
        """Write the next generated image at each path, in the format that its suffix says."""
        for path in paths:
            pixels, file = next(_pictures()), self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix in (".dcm", ".dicom"):
                file.write_bytes(dicom(pixels))
            else:
                Image.fromarray(pixels).save(file)

    def text(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())

    def table(self, path: str, header: Sequence[str], *rows: Sequence[str]) -> None:
        stream = io.StringIO()
        csv.writer(stream).writerows([header, *rows])
        self.text(path, stream.getvalue())


def shenzhen(folder: Path) -> Path:
    tree = Tree(folder / "ChinaSet_AllFiles")
    tree.image("CXR_png/CHNCXR_0001_0.png", "CXR_png/CHNCXR_0327_1.png")
    tree.text("CXR_png/Thumbs.db", "")
    tree.text("ClinicalReadings/CHNCXR_0001_0.txt", "male 45yrs\nnormal\n")
    return folder


def montgomery(folder: Path) -> Path:
    tree = Tree(folder / "MontgomerySet")
    tree.image("CXR_png/MCUCXR_0001_0.png", "CXR_png/MCUCXR_0104_1.png", "ManualMask/leftMask/MCUCXR_0001_0.png")
    tree.text("ClinicalReadings/MCUCXR_0001_0.txt", "Patient's Sex: F\n")
    return folder


def tbx11k(folder: Path) -> Path:
    tree = Tree(folder / "TBX11K")
    tree.image("imgs/health/h0001.png", "imgs/health/h0002.png", "imgs/tb/tb0003.png", "imgs/sick/s0001.png")
    tree.image("imgs/test/test_0000001.png", "imgs/extra/shenzhen/CHNCXR_0001_0.png")
    tree.text("lists/TBX11K_train.txt", "health/h0001.png\ntb/tb0003.png\nsick/s0001.png\n")
    tree.text("lists/TBX11K_val.txt", "health/h0002.png\n")
    return folder


def kermany(folder: Path) -> Path:
    tree = Tree(folder / "chest_xray")
    tree.image("train/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/NORMAL2-IM-1427-0001.jpeg")
    tree.image("train/PNEUMONIA/person12_bacteria_47.jpeg", "train/PNEUMONIA/person12_virus_48.jpeg")
    tree.image("val/NORMAL/NORMAL2-IM-1430-0001.jpeg", "test/PNEUMONIA/BACTERIA-1008087-0001.jpeg")
    tree.text("train/.DS_Store", "")
    tree.image("chest_xray/train/NORMAL/IM-0115-0001.jpeg", "__MACOSX/chest_xray/train/NORMAL/._IM-0115-0001.jpeg")
    return folder


RSNA = (
    "0004cfab-14fd-4e49-80ba-63a80b6bddd6",
    "00436515-870c-4b36-a041-de91049b9ab4",
    "003d8fa0-6bf1-40ed-b54c-ac657f8495c5",
    "000924cf-0f8d-42bd-9158-1af53881a557",
)


def rsna(folder: Path) -> Path:
    tree = Tree(folder)
    tree.image(*(f"stage_2_train_images/{name}.dcm" for name in RSNA[:3]), "stage_2_test_images/0000a175.dcm")
    tree.table(
        "stage_2_train_labels.csv",
        ("patientId", "x", "y", "width", "height", "Target"),
        (RSNA[0], "", "", "", "", "0"),
        (RSNA[1], "264.0", "152.0", "213.0", "379.0", "1"),
        (RSNA[1], "562.0", "152.0", "256.0", "453.0", "1"),
    )
    tree.table(
        "stage_2_detailed_class_info.csv",
        ("patientId", "class"),
        (RSNA[0], "No Lung Opacity / Not Normal"),
        (RSNA[1], "Lung Opacity"),
        (RSNA[1], "Lung Opacity"),
        (RSNA[2], "Normal"),
        (RSNA[3], "Normal"),
    )
    mapping = [{"subset_img_id": RSNA[1], "img_id": "00000061_015.png", "SOPInstanceUID": "1.2.276"}]
    tree.text("pneumonia-challenge-dataset-mappings_2018.json", json.dumps(mapping))
    return folder


def nih(folder: Path) -> Path:
    tree = Tree(folder)
    names = ["00000002_000", "00000061_015", "00000218_000", "00000001_000", "00000013_010", "00000099_000"]
    tree.image(f"images_001/images/{names[0]}.png", *(f"images_002/images/{name}.png" for name in names[1:5]))
    rows = [
        (f"{names[0]}.png", "No Finding", "0", "2", "80", "M", "PA", "2500", "2048", "0.171", "0.171"),
        (f"{names[1]}.png", "Pneumonia", "15", "61", "77", "M", "AP", "3056", "2544", "0.139", "0.139"),
        (f"{names[2]}.png", "Infiltration|Pneumonia", "0", "218", "33", "M", "PA", "2500", "2048", "0.171", "0.171"),
        (f"{names[3]}.png", "Cardiomegaly", "0", "1", "57", "M", "PA", "2682", "2749", "0.143", "0.143"),
        (f"{names[4]}.png", "Effusion|Pneumonia", "9", "13", "60", "M", "AP", "3056", "2544", "0.139", "0.139"),
        (f"{names[5]}.png", "No Finding", "0", "99", "60", "M", "AP", "3056", "2544", "0.139", "0.139"),
    ]
    # As it is published: the commas inside brackets are not quoted, so that names and cells are eleven each.
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    head += ",OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    tree.table("Data_Entry_2017_v2020.csv", head.split(","), *rows)
    tree.text("train_val_list.txt", f"{names[0]}.png\n{names[1]}.png\n")
    tree.text("test_list.txt", f"{names[2]}.png\n")
    return folder


def _findings(**values: str) -> list[str]:
    return [values.get(name.replace(" ", "_"), "") for name in COLUMNS]


def chexpert(folder: Path) -> Path:
    tree, top = Tree(folder / "CheXpert-v1.0-small"), "CheXpert-v1.0-small"
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *COLUMNS)
    rows = [
        ("train/patient00001/study1/view1_frontal.jpg", "AP", _findings(No_Finding="1.0", Support_Devices="1.0")),
        ("train/patient00004/study1/view1_frontal.jpg", "PA", _findings(No_Finding="1.0", Cardiomegaly="0.0")),
        ("train/patient00004/study1/view2_lateral.jpg", "", _findings(No_Finding="1.0")),
        ("train/patient00021/study3/view1_frontal.jpg", "AP", _findings(Pneumonia="1.0", Lung_Opacity="1.0")),
        ("train/patient00085/study1/view1_frontal.jpg", "AP", _findings(Pneumonia="1.0", Atelectasis="-1.0")),
        ("train/patient00015/study1/view1_frontal.jpg", "AP", _findings(Pneumonia="-1.0", Lung_Opacity="1.0")),
        ("train/patient00099/study1/view1_frontal.jpg", "AP", _findings(Pneumonia="1.0", Edema="1.0")),
        ("train/patient00100/study1/view1_frontal.jpg", "LL", _findings(No_Finding="1.0")),
        ("train/patient00101/study1/view1_frontal.jpg", "AP", _findings(Edema="1.0")),
        ("train/patient00102/study1/view1_frontal.jpg", "AP", _findings(Fracture="0.0")),
        ("valid/patient64541/study1/view1_frontal.jpg", "AP", _findings(No_Finding="1.0")),
    ]
    for part in ("train", "valid"):
        own = [row for row in rows if row[0].startswith(part)]
        lines = [
            (f"{top}/{path}", "Female", "68", "Lateral" if "lateral" in path else "Frontal", view, *values)
            for path, view, values in own
        ]
        tree.table(f"{part}.csv", header, *lines)
        tree.image(*(path for path, _, _ in own))
    return folder


def mimic(folder: Path) -> Path:
    tree = Tree(folder)
    columns = sorted(COLUMNS)
    studies = {"50414267": {"No Finding": "1.0"}, "53189527": {"Pneumonia": "1.0", "Consolidation": "1.0"}}
    studies["53911762"] = {"Pneumonia": "-1.0"}
    subjects = {"50414267": "10000032", "53189527": "10000032", "53911762": "10000764"}
    tree.table(
        "mimic-cxr-2.0.0-chexpert.csv.gz",
        ("subject_id", "study_id", *columns),
        *((subjects[study], study, *(values.get(name, "") for name in columns)) for study, values in studies.items()),
    )
    images = [
        ("02aa804e", "50414267", "PA", "train"),
        ("174413ec", "50414267", "LATERAL", "train"),
        ("2a2277a9", "53189527", "AP", "test"),
        ("e084de3b", "53911762", "AP", "validate"),
        ("68b5c4b1", "53189527", "", "test"),
        ("ffff0001", "50000000", "AP", "train"),
    ]
    subjects["50000000"] = "10000764"
    tree.table(
        "mimic-cxr-2.0.0-metadata.csv.gz",
        ("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows"),
        *((name, subjects[study], study, "CHEST (PA AND LAT)", view, "3056") for name, study, view, _ in images),
    )
    tree.table(
        "mimic-cxr-2.0.0-split.csv.gz",
        ("dicom_id", "study_id", "subject_id", "split"),
        *((name, study, subjects[study], split) for name, study, _, split in images),
    )
    tree.image(*(f"files/p10/p{subjects[study]}/s{study}/{name}.jpg" for name, study, _, _ in images))
    return folder


def padchest(folder: Path) -> Path:
    tree = Tree(folder)
    rows = [
        ("0", "a_k6ga29.png", "839860488694292331637988235681460987", "PA", "['normal', '']"),
        ("0", "b_fzis7d.png", "313572750430997347502932654319389875966", "L", "['normal']"),
        ("1", "c.png", "p3", "AP_horizontal", "['infiltrates', ' pneumonia', 'unchanged']"),
        ("1", "d.png", "p4", "AP", "['cavitation', ' tuberculosis']"),
        ("1", "e.png", "p5", "PA", "[' tuberculosis sequelae', 'fibrotic band']"),
        ("1", "f.png", "p6", "PA", "['pneumonia', 'heart insufficiency']"),
        ("1", "g.png", "p7", "PA", "nan"),
        ("1", "h.png", "p8", "COSTAL", "['rib fracture']"),
        ("1", "i.png", "p9", "PA", "['tuberculosis', 'pneumonia']"),
    ]
    tree.table(
        "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz",
        ("", "ImageID", "ImageDir", "PatientID", "PatientBirth", "Projection", "Pediatric", "Report", "Labels"),
        *(
            (str(number), name, place, patient, "1930.0", view, "No", "sin hallazg , patolog .", labels)
            for number, (place, name, patient, view, labels) in enumerate(rows)
        ),
    )
    tree.image(*(f"{place}/{name}" for place, name, *_ in rows))
    return folder


VINDR = ("Aortic enlargement", "Lung Opacity", "Nodule/Mass", "COPD", "Pneumonia", "Tuberculosis")


def vindr(folder: Path) -> Path:
    tree = Tree(folder)
    read: dict[str, list[str]] = {
        "50a418190bc3fb1ef1633bf9678929b3": ["No finding"] * 3,
        "21a10246a5ec7af151081d0cd6d65dc9": ["Tuberculosis|Nodule/Mass"] * 2 + ["Nodule/Mass"],
        "9a5094b2563a1ef3ff50dc5c7ff71345": ["Pneumonia|Lung Opacity"] + ["Lung Opacity"] * 2,
        "051132a778e61a86eb147c7c6f564dfe": ["Pneumonia|COPD"] * 3,
        "063319de25ce7edb9b1c6b8881290140": ["Aortic enlargement"] * 3,
        "1c32170b4af4ce1a3030eb8167753b06": ["Pneumonia"] * 2 + ["Tuberculosis"],
    }
    for split, other in (("train", "Other diseases"), ("test", "Other disease")):
        names = list(read) if split == "train" else ["0aee9c2f1f8a4d3d8ba5c0f8f1a0f2b1"]
        columns = [*VINDR, other, "No finding"]
        reader = ("rad_id",) if split == "train" else ()
        rows = [
            (name, *(f"R{place}",) * len(reader), *("1" if column in found.split("|") else "0" for column in columns))
            for name in names
            for place, found in enumerate(read.get(name, ["Pneumonia"]))
        ]
        tree.table(f"annotations/image_labels_{split}.csv", ("image_id", *reader, *columns), *rows)
        tree.image(*(f"{split}/{name}.dicom" for name in names))
    return folder


def covid_radiography(folder: Path) -> Path:
    tree = Tree(folder / "COVID-19_Radiography_Dataset")
    for path in ("Normal/{}/Normal-1.png", "Normal/{}/Normal-2.png", "Viral Pneumonia/{}/Viral Pneumonia-1.png"):
        tree.image(path.format("images"), path.format("masks"))
    tree.image("Lung_Opacity/images/Lung_Opacity-1.png", "COVID/images/COVID-1.png")
    rsna, kermany = "c/rsna-pneumonia-detection-challenge/data", "paultimothymooney/chest-xray-pneumonia"
    for label, urls in {
        "Normal": [f"https://www.kaggle.com/{rsna}", f"https://www.kaggle.com/{kermany}"],
        "Viral Pneumonia": [f"https://www.kaggle.com/{kermany}"],
        "COVID": ["https://sirm.org/category/senza-categoria/covid-19/"],
    }.items():
        rows = [["FILE NAME", "FORMAT", "SIZE", "URL"]]
        rows += [[f"{label.upper()}-{number + 1}", "PNG", "256*256", url] for number, url in enumerate(urls)]
        _workbook(tree.folder / f"{label}.metadata.xlsx", rows)
    return folder


def _workbook(path: Path, rows: list[list[str]]) -> None:
    texts = [text for row in rows for text in row]
    strings = "".join(f"<si><t>{text}</t></si>" for text in texts)
    cells = iter(range(len(texts)))
    lines = "".join(
        f'<row r="{number}">' + "".join(f'<c r="A{number}" t="s"><v>{next(cells)}</v></c>' for _ in row) + "</row>"
        for number, row in enumerate(rows, 1)
    )
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/sharedStrings.xml", f"<sst>{strings}</sst>")
        book.writestr("xl/worksheets/sheet1.xml", f"<worksheet><sheetData>{lines}</sheetData></worksheet>")


def kaggle_set(folder: Path) -> Path:
    tree = Tree(folder)
    for part in ("train", "val", "test"):
        for label in ("normal", "pneumonia", "tuberculosis"):
            tree.image(f"{part}/{label}/{label}-1310.jpg")
    return folder
