#!/usr/bin/env bash
# XlsxWriter 3.3.1: `autofit()` gives a column of dates with times the width of a date. A spreadsheet then shows "####"
# instead of the values, because a number format that does not fit is never cut. A column of the same texts gets its width.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xlsxwriter==3.3.1 openpyxl==3.1.5

cat > "$folder/width.py" <<'PYTHON'
import sys
from datetime import datetime

import openpyxl
import xlsxwriter

moment = datetime(2026, 11, 30, 12, 34, 56)
shown = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
path = sys.argv[1]
book = xlsxwriter.Workbook(path)
sheet = book.add_worksheet()
sheet.write_datetime(0, 0, moment, book.add_format({"num_format": 'yyyy-mm-dd hh:mm:ss "UTC"'}))
sheet.write_string(0, 1, shown)
sheet.autofit()
book.close()
widths = openpyxl.load_workbook(path).active.column_dimensions
print(f"XlsxWriter {xlsxwriter.__version__}: the cell shows {len(shown)} characters")
print(f"width of the column in characters: {widths['A'].width:.0f} as a time, {widths['B'].width:.0f} as a text")
PYTHON

found=$("$folder/venv/bin/python" "$folder/width.py" "$folder/book.xlsx")
echo "$found"
diff <(echo "$found") - <<'EXPECTED'
XlsxWriter 3.3.1: the cell shows 23 characters
width of the column in characters: 11 as a time, 22 as a text
EXPECTED
