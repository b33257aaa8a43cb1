"""The dataset of each publisher id, as Databento's client lists them.

A test compares this list with the client's: importing the client takes half a second of CPU, and
every load needs the list.
"""

from __future__ import annotations

from typing import Final

_IDS: Final = {
    "GLBX.MDP3": "1",
    "XNAS.ITCH": "2",
    "XBOS.ITCH": "3",
    "XPSX.ITCH": "4",
    "BATS.PITCH": "5",
    "BATY.PITCH": "6",
    "EDGA.PITCH": "7",
    "EDGX.PITCH": "8",
    "XNYS.PILLAR": "9",
    "XCIS.PILLAR": "10",
    "XASE.PILLAR": "11",
    "XCHI.PILLAR": "12",
    "XCIS.BBO": "13",
    "XCIS.TRADES": "14",
    "MEMX.MEMOIR": "15",
    "EPRL.DOM": "16",
    "XNAS.NLS": "17-18 47 86-87",
    "XNYS.TRADES": "19 45 96",
    "OPRA.PILLAR": "20-37 61 108-109",
    "IEXG.TOPS": "38",
    "DBEQ.BASIC": "39-42 59",
    "ARCX.PILLAR": "43",
    "XNYS.BBO": "44",
    "XNAS.QBBO": "46",
    "EQUS.PLUS": "48-56 60",
    "IFEU.IMPACT": "57 84",
    "NDEX.IMPACT": "58 85",
    "EQUS.ALL": "62-80 94",
    "XNAS.BASIC": "81-83 88-89 93",
    "EQUS.SUMMARY": "90",
    "XCIS.TRADESBBO": "91",
    "XNYS.TRADESBBO": "92",
    "EQUS.MINI": "95",
    "IFUS.IMPACT": "97-98",
    "IFLL.IMPACT": "99-100",
    "XEUR.EOBI": "101 103",
    "XEEE.EOBI": "102 104",
    "XCBF.PITCH": "105-106",
    "OCEA.MEMOIR": "107",
    "MAIN.CGIF": "110 142",
    "EQUS.SIP": "111-135",
    "MSCI.CGIF": "136",
    "FTSE.CGIF": "137",
    "INAV.CGIF": "138",
    "MSTAR.CGIF": "139",
    "CCCY.CGIF": "140",
    "CGI.CGIF": "141",
    "XTKS.FLEX": "143",
    "XTKT.ITCH": "144",
    "XOSE.ITCH": "145",
    "DBIX.CORE": "146-153",
}


def _numbers(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


DATASETS: Final = {
    number: dataset
    for dataset, ids in _IDS.items()
    for part in ids.split()
    for number in _numbers(part)
}
"""Dataset by publisher id."""
