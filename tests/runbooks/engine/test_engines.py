"""One behaviour for both engines: what cells show, and how a run ends, in a Jupyter kernel and in the shell of a warm run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Cell, record, saved, write_notebook
from lcnb.runbooks.batch.launcher import run_row
from lcnb.runbooks.engine import warm_server, warm_socket
from lcnb.runbooks.run import run_runbook

pytestmark = [
    pytest.mark.skipif(not warm_socket.is_supported(), reason="warm runs need Linux"),
    pytest.mark.timeout(900),  # many cells in one run, on a machine that may be busy
]

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs cells as a row of a batch does, all by one server."""
    place = tmp_path_factory.mktemp("engines")
    home = {"HOME": str(place), "LCNB_CONFIG_DIR": str(place), "LCNB_STATE_DIR": str(place / "state")}
    books = iter(range(10_000))

    def run_cells(*cells: Cell, engine: str) -> dict[str, Any]:
        path = write_notebook(place / f"b{next(books)}.ipynb", *cells)
        task = {
            "row": 1, "runbook": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "parameters": {},
            "account": None, "runs_dir": str(place / "runs"), "confirm": False, "previous": None, "engine": engine,
        }  # fmt: skip
        return run_row(task, home)

    yield run_cells
    warm_server.close_shared_server()


#: Each shows something that a front end, a library or a kernel does in its own way. The last one fails.
CELLS: list[Cell] = [
    # widgets
    "import ipywidgets as widgets\nwith widgets.Output(): print(1)",
    "out = widgets.Output()\ndisplay(out)\nwith out:\n    print('kept in it')\n    display(2)",
    "len(out.outputs), out.outputs[0]['text']",
    "inner, outer = widgets.Output(), widgets.Output()\nwith outer:\n    print('outer')\n    with inner:\n        print('inner')\n    print('outer again')",
    "[each.outputs[0]['text'] for each in (inner, outer)]",
    "first, second = widgets.Output(), widgets.Output()\nfirst.__enter__(); second.__enter__()\nprint('to the second')\nfirst.__exit__(None, None, None)\nsecond.__exit__(None, None, None)\nprint('to the cell')",
    "with out:\n    raise ValueError('shown in the widget')",
    "with out:\n    out.clear_output(wait=True)\n    print('instead')\nout.clear_output()",
    "@out.capture(clear_output=True)\ndef told(): print('captured')\ntold()",
    "from ipywidgets import interact\ninteract(lambda x: print(x), x=(1, 3))",
    "widgets.interactive_output(lambda x: print(x * 2), {'x': widgets.IntSlider(4)})",
    "one, two = widgets.IntSlider(1), widgets.IntText(2)\nwidgets.jslink((one, 'value'), (two, 'value'))\nwidgets.link((one, 'value'), (two, 'value'))\none.value = 7\ntwo.value",
    "bar = widgets.IntProgress(max=3)\ndisplay(bar)\nfor bar.value in range(1, 4): pass",
    "widgets.Image(value=b'\\x89PNG', format='png')",
    "secret = widgets.Password(value='hunter-2-hunter')\nsecret",
    "import anywidget, traitlets\nclass Count(anywidget.AnyWidget):\n    _esm = 'export default {render(){}}'\n    n = traitlets.Int(3).tag(sync=True)\nCount().n",
    "import comm\nc = comm.create_comm(target_name='own', data={'a': 1})\nc.send([1, 2])\nc.send({'state': 3})\nc.close()",
    "comm.create_comm(target_name='jupyter.widget', data={'x': 1}) is None",
    # rich
    "import rich\nfrom rich.table import Table\nrich.print('[bold]bold[/bold]', {'a': [1, 2]})",
    "t = Table(title='T'); t.add_column('a'); t.add_row('x' * 200)\nrich.print(t); t",
    "from rich.console import Console\nconsole = Console()\nprint(console.is_jupyter, console.is_terminal, console.width, console.color_system)\nconsole.rule('r')",
    "from rich.progress import track, Progress\nfor each in track(range(3), 'working'): pass",
    "with Progress() as progress:\n    task = progress.add_task('p', total=2)\n    progress.update(task, advance=2)",
    "from rich.pretty import pprint\npprint({str(n): list(range(9)) for n in range(9)})",
    "import rich.logging, logging\nlogger = logging.getLogger('rich-one'); logger.addHandler(rich.logging.RichHandler(show_time=False, show_path=False)); logger.warning('logged')",
    # tqdm
    "from tqdm import tqdm\nsteady = dict(bar_format='{l_bar}{n}/{total}', mininterval=999, maxinterval=9999)\nfor each in tqdm(range(3), **steady): pass",
    "import tqdm.auto\nprint(tqdm.auto.tqdm.__module__)\nfor each in tqdm.auto.tqdm(range(3), **steady): pass",
    "from tqdm.notebook import tqdm as in_notebook\nfor each in in_notebook(range(3), **steady): pass",
    "import concurrent.futures as futures\nwith futures.ThreadPoolExecutor(1) as pool:\n    list(tqdm.auto.tqdm(pool.map(str, range(3)), total=3, **steady))",
    # click
    "import click\nclick.echo('plain'); click.echo('to stderr', err=True); click.secho('red', fg='red'); click.echo(click.style('s', bold=True))",
    "with click.progressbar(range(3), label='l') as steps:\n    for each in steps: pass",
    ("click.confirm('sure?')", "raises-exception"),
    ("click.prompt('name')", "raises-exception"),
    "click.get_text_stream('stdout').write('by the stream\\n')",
    "@click.command()\n@click.option('--n', default=1)\ndef cli(n): click.echo(n)\ntry:\n    cli(['--n', 'x'])\nexcept SystemExit as end:\n    print('ended', end.code)",
    # pandas
    "import pandas as pd\nwide = pd.DataFrame({f'column_{n}': range(3) for n in range(40)})\nprint(wide)",
    "wide",
    "print(pd.get_option('display.width'), pd.get_option('display.max_columns'), pd.get_option('display.max_rows'))\npd.DataFrame({'n': range(200)})",
    "with pd.option_context('display.max_columns', None, 'display.width', 100): print(wide)",
    "wide.head(1).T.style",
    # programs
    "!echo from a shell; echo wrong >&2",
    "lines = !echo one; echo two\nprint(lines, type(lines).__name__)",
    "!!echo listed",
    "print(get_ipython().getoutput('echo got'))\n!false\n_exit_code",
    "name = 'x y'\n!echo {name} $name $HOME | wc -w",
    "!for n in 1 2 3 4 5 6 7 8 9; do echo $n; done",
    "%%bash\necho from bash; echo wrong >&2",
    ("%%bash\nexit 3", "raises-exception"),
    "%%sh\necho $0 | wc -l",
    "%%script cat\nas it is",
    "import subprocess, os, sys\nprint(subprocess.run(['echo', 'captured'], capture_output=True, text=True).stdout)",
    "subprocess.run(['echo', 'not captured'])",
    "subprocess.run('echo one; echo two >&2', shell=True, check=True).returncode",
    "os.system('echo by os.system')",
    "os.write(1, b'by the handle\\n'); os.write(2, b'by the other\\n')",
    "os.popen('echo by popen').read()",
    "%pip --version | cut -c 1-3",
    "!cat /dev/null\n!python -c 'import sys; print(sys.stdin.read(), sys.stdout.isatty())' < /dev/null",
    # magics
    "%time sum(range(10))",
    "%%time\nprint('timed')",
    "%%capture got\nprint('not shown'); display(5)",
    "got.stdout, len(got.outputs)\ngot.show()",
    "%who_ls str",
    "%env LCNB_TABLE=1\n%env LCNB_TABLE",
    "print(sorted(set(os.environ) & {'TERM', 'CLICOLOR', 'FORCE_COLOR', 'CLICOLOR_FORCE', 'PAGER', 'GIT_PAGER', 'MPLBACKEND', 'JPY_PARENT_PID', 'COLUMNS', 'LINES', 'JPY_SESSION_NAME', 'PYDEVD_USE_FRAME_EVAL'}), os.environ['TERM'])",
    "open('told.py', 'w').write('print(__name__, 7)\\nvalue = 8\\n')\n%run told.py\nvalue",
    "len?",
    "len??",
    "%pinfo len",
    "%lsmagic\nNone",
    ("%nosuchmagic", "raises-exception"),
    "%precision 3\n3.14159",
    "%history -l 2",
    "%config InlineBackend.figure_format = 'svg'\n%matplotlib inline",
    ("%matplotlib notebook", "raises-exception"),
    ("%matplotlib widget", "raises-exception"),
    ("%matplotlib tk", "raises-exception"),
    "%matplotlib --list",
    "%matplotlib inline\nimport matplotlib, matplotlib.pyplot as plt\nmatplotlib.rcParams['svg.hashsalt'] = 'same'\nprint(matplotlib.get_backend())\nplt.figure(figsize=(1, 1)); plt.plot([1, 2]); plt.show()",
    "fig, ax = plt.subplots(figsize=(1, 1)); ax.plot([2, 1]); fig.canvas.draw(); plt.gcf() is fig",
    "plt.close('all'); plt.figure(figsize=(1, 1)).canvas.manager is None",
    # the console
    "print(sys.stdout.isatty(), sys.stderr.isatty(), sys.stdin.isatty(), sys.stdout.encoding, sys.stdout.errors)",
    "print(type(sys.stdout), sys.__stdout__, sys.stdin, sys.stdin.read() == '')",
    "print('by the first stream', file=sys.__stdout__, flush=True); import time; time.sleep(0.5)",
    "import shutil\nprint(shutil.get_terminal_size(), os.environ.get('COLUMNS'))\nos.get_terminal_size.__name__",
    ("os.get_terminal_size()", "raises-exception"),
    ("input('name?')", "raises-exception"),
    ("import getpass; getpass.getpass()", "raises-exception"),
    ("breakpoint()", "raises-exception"),
    "print('no end', end=''); sys.stdout.write('written\\n'); sys.stderr.write('and told\\n'); print('x' * 100_000)",
    ("sys.stdout.buffer", "raises-exception"),
    "subprocess.run(['echo', 'to the stream'], stdout=sys.stdout).returncode",
    "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as text: print('away')\ntext.getvalue()",
    "print('\\x1b[31mred\\x1b[0m', 'back\\rspace', 'a\\bb')",
    "for n in range(100): print(n, end=' ', flush=True)",
    "print(len(sys.argv), os.path.basename(sys.argv[0]), sys.argv[1], __name__)",
    "import argparse\nparser = argparse.ArgumentParser(prog='p'); parser.add_argument('--n')\nparser.parse_known_args()[0]",
    # the shell
    "ip = get_ipython()\nprint(type(ip), type(ip.kernel).__mro__[-7:], ip.kernel.implementation, ip.kernel.language_info['name'], ip.has_trait('kernel'))",
    "ip.kernel.get_parent()['header']['msg_type'], ip.get_parent()['content']['code']",
    "[len(ip.history_manager.input_hist_raw), ip.execution_count]",
    "_\n", "Out[2] if 2 in Out else None\nprint(len(In) > 5, _i[:5], __)",
    "'in %d' % 5; 6;",
    "7;",
    "x = 8\nx",
    "ip.set_next_input('never seen')\nip.run_cell('print(\"inner\")').success",
    "ip.events.register('post_run_cell', lambda result: print('after each cell')); print('registered')",
    "ip.events.unregister('post_run_cell', ip.events.callbacks['post_run_cell'][-1])",
    ("ip.set_custom_exc((KeyError,), lambda self, etype, value, tb, tb_offset=None: print('handled', etype.__name__))\n{}['nothing']", "raises-exception"),
    "ip.set_custom_exc((), None)\nip.ast_node_interactivity = 'all'\n",
    "1\n2", "ip.ast_node_interactivity = 'last_expr'",
    # displays
    "from IPython.display import *\ndisplay(HTML('<b>h</b>'), Markdown('*m*'), Latex('$x$'), JSON({'a': 1}), SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'), Javascript('1'), Code('x = 1'), Math('y'), Pretty('p'), IFrame('about:blank', 1, 1), FileLink('told.py'))",
    "display({'text/plain': 'raw', 'application/x-own': {'a': 1}}, raw=True, metadata={'m': 1})",
    "handle = display('first', display_id='the one')\nhandle.update('second')",
    "update_display('from a later cell', display_id='the one')",
    "update_display('of nothing', display_id='nobody')",
    "print('gone'); clear_output(); print('stays')",
    "print('replaced'); clear_output(wait=True); print('by this')",
    "print('stays at the end'); clear_output(wait=True)",
    "bar = ProgressBar(3)\nfor each in bar: pass",
    ("class Odd:\n    def _repr_html_(self): raise ValueError('no look')\n    def __repr__(self): return 'odd'\nOdd()", "raises-exception"),
    ("class Worse:\n    def __repr__(self): raise ValueError('no repr')\nWorse()", "raises-exception"),
    "publish_display_data({'text/plain': 'published'})",
    # asyncio, threads
    "import asyncio, time, threading\nawait asyncio.sleep(0.001)\n'awaited'",
    "async def later():\n    await asyncio.sleep(0.05)\n    print('from the task'); display('shown by it')\n    return 9\ntask = asyncio.create_task(later())\nprint('started')",
    "print('meanwhile'); print(await task)",
    "async def failing(): raise ValueError('never looked at')\nlost = asyncio.create_task(failing())\nawait asyncio.sleep(0.01)",
    "import gc\ndel lost; gc.collect(); await asyncio.sleep(0.01)",
    ("asyncio.run(later())", "raises-exception"),
    ("await asyncio.wait_for(asyncio.sleep(9), 0.01)", "raises-exception"),
    ("task = asyncio.create_task(asyncio.sleep(9)); task.cancel(); await task", "raises-exception"),
    "async with asyncio.timeout(60) as limit: print('within')",
    "thread = threading.Thread(target=lambda: print('in a thread')); thread.start(); thread.join()",
    "import threading\ngo = threading.Event()\ndef after():\n    go.wait(); print('after its cell'); display('shown after')\nthread = threading.Thread(target=after); thread.start()",
    "go.set(); thread.join(); print('joined')",
    "def dies(): raise RuntimeError('in a thread')\nthread = threading.Thread(target=dies, name='T'); thread.start(); thread.join()",
    "import contextvars\nvar = contextvars.ContextVar('var', default=0)\nvar.set(5); 0", "var.get()",
    "import multiprocessing\nprocess = multiprocessing.get_context('fork').Process(target=print, args=('in a fork',)); process.start(); process.join(); time.sleep(0.3)",
    "with multiprocessing.get_context('fork').Pool(1) as pool: print(pool.map(abs, [-1]))",
    # warnings, logs
    "import warnings\nwarnings.warn('mind this'); warnings.warn('old', DeprecationWarning)",
    "logging.warning('with %s', 'words'); logging.getLogger('own').error('own'); logging.getLogger('own').info('not shown')",
    "print(logging.getLogger().handlers, logging.getLogger().level)",
    "logging.basicConfig(level='INFO', force=True, format='%(message)s', stream=sys.stdout); logging.info('configured')\nlogging.basicConfig(force=True, level='WARNING')",
    # signals
    "import signal\nprint(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGPIPE))",
    "def alarm(*a): print('rang')\nsignal.signal(signal.SIGALRM, alarm); signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.05)",
    ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", "raises-exception"),
    ("os.kill(os.getpid(), signal.SIGINT); await asyncio.sleep(5)", "raises-exception"),
    ("raise KeyboardInterrupt", "raises-exception"),
    ("raise KeyboardInterrupt('with words')", "raises-exception"),
    # errors
    ("error = ValueError('noted'); error.add_note('a note'); raise error", "raises-exception"),
    ("raise ExceptionGroup('several', [ValueError(1), TypeError(2)])", "raises-exception"),
    ("this is no python", "raises-exception"), ("def f(:\n  pass", "raises-exception"), ("  x = 1\n y = 2", "raises-exception"),
    ("assert 1 == 2, 'not so'", "raises-exception"), ("1 / 0", "raises-exception"), ("open('nowhere')", "raises-exception"),
    ("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('k') from error", "raises-exception"),
    ("def deep(n): return deep(n - 1) if n else 1 / 0\ndeep(40)", "raises-exception"),
    ("raise StopIteration", "raises-exception"), ("raise GeneratorExit", "raises-exception"), ("sys.exit(4)", "raises-exception"), ("raise SystemExit", "raises-exception"),
    ("class Own(BaseException): pass\nraise Own('of mine')", "raises-exception"),
    "import traceback\ntry: 1 / 0\nexcept ZeroDivisionError: traceback.print_exc()",
    ("return 5", "raises-exception"), ("await nothing", "raises-exception"),
    "def gen():\n    try:\n        yield 1\n    finally:\n        print('closed')\ng = gen(); next(g)", "del g", "kept = gen(); next(kept)",
    "import atexit; atexit.register(print, 'at the end'); None",
    "print([each for each in ('papermill', 'nbclient') if each in dir()], [f.filename for f in __import__('inspect').stack()][0][:5])",
    "print(sys.getrecursionlimit(), threading.current_thread().name, gc.isenabled(), sys.excepthook.__name__, sys.displayhook.__class__.__name__)",
    "import builtins; print(builtins.input.__module__, builtins.display.__module__, sorted(set(dir(builtins)) - set(dir(__builtins__))))",
    "print(ip.user_global_ns is globals(), ip.banner[:6])",
    # lcnb, and what code finds out about itself
    "import lcnb\nlcnb.run().log('a line')\nlcnb.run().save('t', wide, ['csv'])[0].name",
    "os.getcwd() == os.environ['LCNB_RUN_DIR']",
    "import inspect\ndef check(x: int) -> int:\n    return x\nprint(inspect.getsource(check))",
    "import pickle\nclass Point:\n    x = 1\npickle.loads(pickle.dumps(Point())).x, Point.__module__",
    "raise RuntimeError('the end')",
]  # fmt: skip


#: What differs from run to run: addresses, times, folders, numbers of widgets and processes.
CHANCE = re.compile(
    r"0x[0-9a-f]+|\b\d{4}-\d\d-\d\d[T ][\d:.]+Z?|ipykernel_\d+/\d+\.py|<string>-\S+?\"|IPY_MODEL_\w+|\b[0-9a-f]{32}\b|\bT_[0-9a-f]{5}"
    r"|[\d.]+(?:e\+\d+)? (?:[nm]|\\u00b5|\\u03bc)?s\b|\d:\d\d:\d\d|-\d{10,}|Task-\d+|/tmp/\S*k\w*\.json|\b\d{8}T\d{6}Z-[\w-]+|/tmp/\S+?(?=[/\\\"])"
)


def steady(thing: object) -> Any:
    return json.loads(CHANCE.sub("·", json.dumps(thing, sort_keys=True)))


def shown(result: dict[str, Any]) -> list[Any]:
    """The outputs of each cell, its number, which times are told of it, and how it ended."""
    cells = []
    for cell in saved(Path(result["folder"])).cells:
        streams: dict[str, str] = {}
        others = []
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                assert output.text, "an empty output"
                streams[output.name] = streams.get(output.name, "") + output.text
            else:
                others.append(output)
        about = cell.metadata
        cells.append(
            steady(
                [
                    streams,
                    others,
                    cell.get("execution_count"),
                    sorted(about.execution),
                    about.papermill.status,
                ]
            )
        )
    return cells


def take_program_texts(cells: list[Any]) -> dict[str, str]:
    """Remove what programs printed from the cells, and return it for each stream, in its order."""
    taken: dict[str, str] = {}
    for source, (streams, *_) in zip(CELLS, cells, strict=True):
        if re.match(r"subprocess\.run\((?!.*stdout=)|os\.(system|write|popen)", str(source)):
            for name in list(streams):
                taken[name] = taken.get(name, "") + streams.pop(name)
    return taken


def states(result: dict[str, Any]) -> list[Any]:
    """The states of all widgets, as a notebook keeps them."""
    kept = saved(Path(result["folder"])).metadata.widgets["application/vnd.jupyter.widget-state+json"]
    return sorted((steady(each) for each in kept["state"].values()), key=str)


@pytest.fixture(scope="module")
def both(run: Run) -> dict[str, dict[str, Any]]:
    """The cells, in each engine."""
    return {engine: run(*CELLS, engine=engine) for engine in ("kernel", "auto")}


@pytest.mark.fresh_python
def test_c2_same_in_both(both: dict[str, dict[str, Any]]) -> None:
    """Outputs, tracebacks, counts, states of widgets, files and the end are the same in a shell and in a kernel."""
    assert [record(Path(each["folder"]))["engine"] for each in both.values()] == ["kernel", "shell"]
    assert [(each["status"], each["exit_code"]) for each in both.values()] == [("failed", 3)] * 2
    kernel, shell = (shown(each) for each in both.values())
    # A kernel reads what a program prints in a thread of its own, so the text may come with the next cell.
    assert take_program_texts(kernel) == take_program_texts(shell)
    differ = [(cell, *pair) for cell, *pair in zip(CELLS, kernel, shell, strict=True) if pair[0] != pair[1]]
    assert not differ, str(differ)[-3000:]
    kernel, shell = (states(each) for each in both.values())
    assert shell == kernel
    notebooks = [saved(Path(each["folder"])).metadata for each in both.values()]
    assert notebooks[0].language_info == notebooks[1].language_info
    kernel, shell = (
        sorted(path.name for path in Path(each["folder"]).iterdir() if path.suffix != ".ipynb")
        for each in both.values()
    )
    assert shell == kernel


def printed(result: dict[str, Any], beginning: str) -> str:
    """What the first cell that begins like this has printed."""
    cells = saved(Path(result["folder"])).cells
    cell = next(each for each in cells if each.source.startswith(beginning))
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


@pytest.mark.parametrize("engine", ["kernel", "auto"])
def test_c1_output_widgets(both: dict[str, dict[str, Any]], engine: str) -> None:
    """What a cell prints within an Output widget is in that widget, whose state is in the notebook; a password is not."""
    result = both[engine]
    text = str(states(result))
    for words in ("outer again", "to the second", "captured", "working"):
        assert words in text, words
    assert "hunter-2-hunter" not in text
    assert "PasswordModel" in text
    assert printed(result, "first, second") == "to the cell\n"


@pytest.mark.parametrize("engine", ["kernel", "auto"])
def test_c2_output_after_its_cell(both: dict[str, dict[str, Any]], engine: str) -> None:
    """What a task prints after its cell is in that cell, as a front end shows it."""
    assert printed(both[engine], "async def later") == "started\nfrom the task\n"
    assert printed(both[engine], "print('meanwhile')") == "meanwhile\n9\n"


#: How a notebook can end: the cells, status, exit code.
ENDS: list[tuple[tuple[Cell, ...], str, int]] = [
    (("print(1)\nquit()", "print('not run')"), "done", 0),
    (("exit", "print('not run')"), "done", 0),
    (("get_ipython().ask_exit()", "print('not run')"), "done", 0),
    (("print(1)\nimport sys; sys.exit(0)", "print('not run')"), "done", 0),
    (("exit(3)", "print('not run')"), "done", 0),
    (("import sys; sys.exit(3)",), "failed", 3),
    (("import sys; sys.exit('in words')",), "failed", 1),
    (("raise SystemExit",), "done", 0),
    (("exit()\nraise ValueError('after it')",), "failed", 3),
    (("raise KeyboardInterrupt",), "failed", 3),
    (("import os; os._exit(7)",), "died", 5),
    (("import os, signal; os.kill(os.getpid(), signal.SIGKILL)",), "died", 5),
    (("import os; print('at the very end', flush=True); _ = os.system('echo by a program')",), "done", 0),
    (("import threading, time\nthreading.Thread(target=time.sleep, args=(0.2,)).start()",), "done", 0),
    (("import atexit; atexit.register(open, 'ended', 'w')",), "done", 0),
    (("import argparse; argparse.ArgumentParser().parse_args()",), "failed", 2),
    (("import asyncio\ntask = asyncio.create_task(asyncio.sleep(3600))",), "done", 0),
    (
        ("def forever():\n    try: yield\n    finally: print('closed')\nkept = forever(); next(kept)",),
        "done",
        0,
    ),
    (("import signal; signal.signal(signal.SIGTERM, lambda *a: None)",), "done", 0),
    (("def f(:",), "failed", 3),
    (("assert False, 'no'",), "failed", 3),
]


@pytest.mark.parametrize(("cells", "status", "code"), ENDS, ids=[cells[0][:30] for cells, *_ in ENDS])
def test_c2_same_end(run: Run, cells: tuple[Cell, ...], status: str, code: int) -> None:
    """A run ends the same way in both engines, with the same outputs, reason and files."""
    results = [run(*cells, engine=engine) for engine in ("kernel", "auto")]
    folders = [Path(each["folder"]) for each in results]
    assert [record(folder)["engine"] for folder in folders] == ["kernel", "shell"]
    assert [(each["status"], each["exit_code"]) for each in results] == [(status, code)] * 2
    cells_of = [
        [[cell.metadata.papermill.status, steady(cell.outputs)] for cell in saved(folder).cells]
        for folder in folders
    ]
    assert cells_of[0] == cells_of[1]
    if status != "died":
        reasons = [record(folder)["reason"] for folder in folders]
        assert reasons[0] == reasons[1]
    files = [{path.name for path in folder.iterdir()} - {f"{folder.name}.ipynb"} for folder in folders]
    assert ["ended" in each for each in files] == ["atexit" in str(cells)] * 2


def test_c1_widget_states_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Widgets whose states are larger than what a cell may print are left out of the notebook; the run is done."""
    monkeypatch.setattr("lcnb.runbooks.engine.outputs.MAX_CELL_BYTES", 50_000)
    code = "import ipywidgets\nipywidgets.HTML('x' * 60_000)"
    run = run_runbook(str(write_notebook(tmp_path / "large.ipynb", code)))
    assert run.check().status == "done"
    assert (
        not saved(run.folder)
        .metadata.get("widgets", {})
        .get("application/vnd.jupyter.widget-state+json", {})
        .get("state")
    )
