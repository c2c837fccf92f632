"""The texts that an expression in the code gives, as far as they are known before the program runs.

Followed are constants, local variables, functions of the project, and errors that are caught and put into other words.
"""

from __future__ import annotations

import ast
import builtins
import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dogbreed_sdk
import training_scripts

BLANK = "…"
# Stands for the words of an error that is raised, and listed, elsewhere.
PASSED_ON = "\ue000"
# A text with fewer letters, such as "…: …", says nothing that could be searched for.
LEAST_LETTERS = 8

_ROOT = Path(dogbreed_sdk.__file__).parents[1]
PACKAGES = tuple(Path(package.__file__).parent for package in (dogbreed_sdk, training_scripts))
# Methods of strings that leave the words as they are.
_SAME_WORDS = {"strip", "rstrip", "replace", "capitalize"}
_DEEPEST = 8
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_Texts = set[str]


class Module:
    """A file of the project, parsed where that is needed.

    Attributes:
        path: The file.
        source: Its text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = path.read_text(encoding="utf-8")

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        """The nodes of its syntax tree, from the outside in."""
        return list(ast.walk(ast.parse(self.source)))

    @functools.cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Node -> the node that it is part of."""
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    @functools.cached_property
    def imports(self) -> dict[str, str]:
        """Name -> what it is imported from, with dots."""
        found = [node for node in self.nodes if isinstance(node, ast.ImportFrom)]
        return {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in found for alias in node.names}

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes that a node is part of, from the inside out."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def function_around(self, node: ast.AST) -> ast.AST | None:
        """The function whose body a node is in; None for the module's own statements."""
        return next((one for one in self.around(node) if isinstance(one, _FUNCTIONS)), None)


@functools.cache
def module(path: Path) -> Module:
    """A file of the project, read once."""
    return Module(path)


def called(function: ast.expr) -> str:
    """The last part of the name of what is called."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def searchable(text: str) -> bool:
    """Whether somebody could search for this text."""
    return sum(letter.isalpha() for letter in text) >= LEAST_LETTERS


@dataclass(frozen=True)
class Reader:
    """Finds the texts of an expression.

    Attributes:
        module: The file it is in.
        listed: The classes of errors whose messages are listed; code that re-raises them adds no text.
        arguments: Name of an argument of the function that the expression is in -> the texts that it is called with.
        depth: How many calls have been followed.
    """

    module: Module
    listed: frozenset[str]
    arguments: Mapping[str, _Texts] = field(default_factory=dict)
    depth: int = 0

    def texts(self, node: ast.expr) -> _Texts:
        """The texts of an expression; what is filled in at run time is an ellipsis."""
        if self.depth > _DEEPEST:
            return {BLANK}
        match node:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.JoinedStr() | ast.BinOp(op=ast.Add()):
                return self._joined(node)
            case ast.FormattedValue(value=inner) | ast.Subscript(value=inner):
                return self.texts(inner)
            case ast.IfExp():
                return self._any([node.body, node.orelse])
            case ast.BoolOp() | ast.Dict():
                return self._any(node.values)
            case ast.Name():
                return self._of_name(node)
            case ast.Call():
                return self._of_call(node)
        return {BLANK}

    def _any(self, nodes: Iterable[ast.expr]) -> _Texts:
        return set().union(*map(self.texts, nodes))

    def _joined(self, node: ast.JoinedStr | ast.BinOp) -> _Texts:
        """The text of a literal with blanks; where that says too little, its blanks are filled."""
        literal = self._literal(node)
        if searchable(literal):
            return {literal}
        parts = node.values if isinstance(node, ast.JoinedStr) else [node.left, node.right]
        return _product(map(self.texts, parts))

    def _literal(self, node: ast.AST) -> str:
        """What of a text stands in the expression itself, and in the constants that it names."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.JoinedStr):
            return "".join(map(self._literal, node.values))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._literal(node.left) + self._literal(node.right)
        if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name) and node.value.id.isupper():
            texts = self._constant(node.value.id)
            return texts.pop() if len(texts) == 1 else BLANK
        return BLANK

    def _of_name(self, node: ast.Name) -> _Texts:
        for handler in self.module.around(node):
            if isinstance(handler, ast.ExceptHandler) and handler.name == node.id:
                return self._caught(handler)
        function = self.module.function_around(node)
        values = list(self._assigned(node, function)) if function else []
        if values:
            return self._any(values)
        if node.id in self.arguments:
            return self.arguments[node.id]
        if isinstance(function, ast.Lambda):
            return {PASSED_ON}  # given to a function that makes errors with it
        return self._argument(node.id, function) or self._constant(node.id)

    def _caught(self, handler: ast.ExceptHandler) -> _Texts:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        return set().union(*(self._words_of(called(kind)) for kind in kinds if kind is not None)) or {BLANK}

    def _words_of(self, kind: str) -> _Texts:
        """The messages of a class of errors."""
        if kind in self.listed:
            return {PASSED_ON}
        if hasattr(builtins, kind):
            return {BLANK}
        return {
            text
            for package in PACKAGES
            for call, reader in constructions(package, {kind}, self.listed)
            for text in reader.texts(call.args[0])
        } or {BLANK}

    def _assigned(self, name: ast.Name, function: ast.AST) -> Iterator[ast.expr]:
        """The values that a local variable may have at a place; later ones hide earlier ones around them."""
        blocks = {name, *self.module.around(name)}
        before = [
            node
            for node in ast.walk(function)
            if isinstance(node, (ast.Assign, ast.NamedExpr)) and node.lineno < name.lineno and _assigns(node, name.id)
        ]
        for node in sorted(before, key=lambda found: -found.lineno):
            yield node.value
            if self.module.parents[node] in blocks:
                return

    def _argument(self, name: str, function: ast.AST | None) -> _Texts:
        """Of an argument, only its annotation is known: it may be what is listed."""
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return set()
        every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        for one in every:
            if one.arg == name:
                words = re.findall(r"\w+", ast.unparse(one.annotation)) if one.annotation else []
                return {PASSED_ON} if self.listed.intersection(words) else {BLANK}
        return set()

    def _constant(self, name: str) -> _Texts:
        for node in self.module.nodes[0].body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None and _assigns(node, name):
                return self.texts(node.value)
        home, _, name = self.module.imports.get(name, "").rpartition(".")
        path = _path(home)
        return {BLANK} if path is None else self._in(path)._constant(name)

    def _of_call(self, node: ast.Call) -> _Texts:
        name = called(node.func)
        if name in ("str", "sentence") and node.args:
            return self.texts(node.args[0])
        if name == "Fault":
            _, message, _, remedy = node.args
            return _product([self.texts(message), {" "}, self.texts(remedy)])
        if name == "join" and node.args:
            parts = [one for one in ast.walk(node.args[0]) if isinstance(one, ast.Name)]
            return {PASSED_ON} if any(PASSED_ON in self.texts(part) for part in parts) else {BLANK}
        if isinstance(node.func, ast.Attribute) and name == "format":
            return {re.sub(r"\{[^}]*\}", BLANK, text) for text in self.texts(node.func.value)}
        if isinstance(node.func, ast.Attribute) and name in _SAME_WORDS:
            return self.texts(node.func.value)
        return self._returned(node)

    def _returned(self, call: ast.Call) -> _Texts:
        """What a function of the project returns."""
        found = self._function(call.func)
        if found is None:
            return {BLANK}
        home, function = found
        names = [argument.arg for argument in function.args.args if argument.arg not in ("self", "cls")]
        given = dict(zip(names, call.args, strict=False)) | {one.arg: one.value for one in call.keywords if one.arg}
        arguments = {name: self.texts(value) for name, value in given.items()}
        inside = Reader(home, self.listed, arguments, self.depth + 1)
        returns = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None]
        return inside._any(returns) or {BLANK}

    def _function(self, function: ast.expr) -> tuple[Module, ast.FunctionDef] | None:
        """A function of this file, or of one that it imports."""
        name = called(function)
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id != "self":
            path = _path(self.module.imports.get(function.value.id, ""))
        elif name in self.module.imports:
            path = _path(self.module.imports[name].rpartition(".")[0])
        else:
            path = self.module.path
        if path is None:
            return None
        home = module(path)
        found = (node for node in home.nodes if isinstance(node, ast.FunctionDef) and node.name == name)
        return next(((home, node) for node in found), None)

    def _in(self, path: Path) -> Reader:
        return Reader(module(path), self.listed, depth=self.depth + 1)


def constructions(package: Path, names: Iterable[str], listed: frozenset[str]) -> Iterator[tuple[ast.Call, Reader]]:
    """Every call in a package of a name in `names`, which makes an error, and the reader of its texts."""
    for path in sorted(package.rglob("*.py")):
        if any(f"{name}(" in module(path).source for name in names):
            for node in module(path).nodes:
                if isinstance(node, ast.Call) and node.args and called(node.func) in names:
                    yield node, Reader(module(path), listed)


def _assigns(node: ast.Assign | ast.AnnAssign | ast.NamedExpr, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _product(parts: Iterable[_Texts]) -> _Texts:
    found = {"".join(chosen) for chosen in itertools.product(*parts)}
    return {text if text.strip(BLANK) else BLANK for text in found}


def _path(name: str) -> Path | None:
    """The file of a module of the project."""
    path = _ROOT.joinpath(*name.split("."))
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if name and one.is_file()), None)
