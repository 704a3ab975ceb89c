#!/bin/sh
# nbclient 0.11.0 with ipywidgets 8.1.9: with store_widget_state=False, a cell that prints within an Output widget
# ends the whole execution by a KeyError of nbclient's own.
# Expected: the option says whether the states of widgets are stored in the notebook, so the cell runs either way.
# Observed: KeyError with the id of the widget. nbclient's stand-in for the widget writes each output into the store of
# states, which has no entry for any widget when the option is off. The same notebook runs when it is on.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    nbclient==0.11.0 nbformat==5.10.4 jupyter_client==8.10.0 ipykernel==7.4.0 ipywidgets==8.1.9
cd "$folder"
cat > notebook.py <<'PYTHON'
import nbclient
import nbformat

SOURCE = "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    print('within the widget')"

def end(stored: bool) -> str:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SOURCE)])
    try:
        nbclient.NotebookClient(book, kernel_name="python3", store_widget_state=stored).execute()
    except Exception as error:
        return type(error).__name__
    return "done"

ends = {stored: end(stored) for stored in (True, False)}
print("nbclient", nbclient.__version__, "store_widget_state → end:", ends)
print("expected done in both cases; observed KeyError when the states are not stored")
raise SystemExit(ends != {True: "done", False: "KeyError"})
PYTHON
"$folder/venv/bin/python" notebook.py
