"""The one module that imports papermill and nbclient, without the grammar that their import would build."""

from __future__ import annotations

from lcnb.runbooks.notebook.deferred_imports import defer_iri_grammar

with defer_iri_grammar():
    import nbformat
    import zmq
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_core.utils import ensure_async, ensure_event_loop, run_sync
    from nbclient.exceptions import (
        CellExecutionComplete,
        CellExecutionError,
        CellTimeoutError,
        DeadKernelError,
    )
    from nbclient.output_widget import OutputWidget
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
    from papermill.exceptions import PapermillException, PapermillExecutionError
    from papermill.execute import execute_notebook, remove_error_markers
    from papermill.iorw import papermill_io
    from papermill.translators import (
        BashTranslator,
        CSharpTranslator,
        FSharpTranslator,
        JuliaTranslator,
        PowershellTranslator,
        PythonTranslator,
        RTranslator,
        ScalaTranslator,
        papermill_translators,
    )

__all__ = [
    "AsyncKernelManager",
    "BashTranslator",
    "CSharpTranslator",
    "CellExecutionComplete",
    "CellExecutionError",
    "CellTimeoutError",
    "DeadKernelError",
    "Engine",
    "FSharpTranslator",
    "JuliaTranslator",
    "NotebookExecutionManager",
    "OutputWidget",
    "PapermillException",
    "PapermillExecutionError",
    "PapermillNotebookClient",
    "PowershellTranslator",
    "PythonTranslator",
    "RTranslator",
    "ScalaTranslator",
    "ensure_async",
    "ensure_event_loop",
    "execute_notebook",
    "nbformat",
    "papermill_engines",
    "papermill_io",
    "papermill_translators",
    "remove_error_markers",
    "run_sync",
    "zmq",
]
