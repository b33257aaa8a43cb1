"""Ask Google's analyzer whether BigQuery would accept a statement over given tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlglot import exp
from zetasql.core.exceptions import ServerError
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service
from zetasql.wasi._pb2.zetasql.proto import options_pb2, simple_catalog_pb2
from zetasql.wasi._pb2.zetasql.public import options_pb2 as public
from zetasql.wasi._pb2.zetasql.public import type_pb2
from zetasql.wasi._pb2.zetasql.resolved_ast import resolved_node_kind_pb2 as kinds

from cbi_assets_tests.googlesql.engine import start_engine

Schema = Mapping[str, str]
"""GoogleSQL types by column."""

FEATURES = (
    "ANALYTIC_FUNCTIONS",
    "CIVIL_TIME",
    "CREATE_TABLE_CLUSTER_BY",
    "CREATE_TABLE_FIELD_ANNOTATIONS",
    "CREATE_TABLE_NOT_NULL",
    "CREATE_TABLE_PARTITION_BY",
    "CREATE_VIEWS_WITH_COLUMN_OPTIONS",
    "CREATE_VIEW_WITH_COLUMN_LIST",
    "DATE_ARITHMETICS",
    "DATE_TIME_CONSTRUCTORS",
    "DML_UPDATE_WITH_JOIN",
    "EXTENDED_DATE_TIME_SIGNATURES",
    "GROUP_BY_STRUCT",
    "HAVING_IN_AGGREGATE",
    "LIMIT_IN_AGGREGATE",
    "NULL_HANDLING_MODIFIER_IN_AGGREGATE",
    "NULL_HANDLING_MODIFIER_IN_ANALYTIC",
    "NUMERIC_TYPE",
    "OMIT_INSERT_COLUMN_LIST",
    "ORDER_BY_IN_AGGREGATE",
    "QUALIFY",
    "SAFE_FUNCTION_CALL",
    "SELECT_STAR_EXCEPT_REPLACE",
    "V_1_4_BY_NAME",
    "V_1_4_CORRESPONDING_FULL",
    "WITH_ON_SUBQUERY",
)
"""What the project's SQL uses of the optional parts of GoogleSQL; BigQuery has each."""

_SIMPLE = {
    "STRING": type_pb2.TYPE_STRING,
    "INT64": type_pb2.TYPE_INT64,
    "FLOAT64": type_pb2.TYPE_DOUBLE,
    "BOOL": type_pb2.TYPE_BOOL,
    "DATE": type_pb2.TYPE_DATE,
    "DATETIME": type_pb2.TYPE_DATETIME,
    "TIMESTAMP": type_pb2.TYPE_TIMESTAMP,
    "NUMERIC": type_pb2.TYPE_NUMERIC,
    "BYTES": type_pb2.TYPE_BYTES,
}
_NAMES = {kind: name for name, kind in _SIMPLE.items()}


class RefusedError(Exception):
    """The analyzer refuses a statement: `problem` says why."""

    def __init__(self, problem: str, statement: str) -> None:
        super().__init__(f"{problem}\n{statement}")
        self.problem = problem


@dataclass(frozen=True)
class Analysis:
    """A statement that was accepted: its kind, the columns it returns or creates, and the tree."""

    kind: str
    columns: dict[str, str]
    tree: Any

    @property
    def creates(self) -> tuple[str, dict[str, str]] | None:
        """The table it creates, if it creates one, and the table's columns."""
        if self.kind not in ("CreateTableStmt", "CreateTableAsSelectStmt"):
            return None
        return ".".join(self.tree.parent.parent.name_path), self.columns


@cache
def to_type(text: str) -> type_pb2.TypeProto:
    """Return a GoogleSQL type as the analyzer's message."""
    return _to_type(exp.DataType.build(text, dialect="bigquery"))


def _to_type(kind: exp.DataType) -> type_pb2.TypeProto:
    if kind.is_type("struct"):
        proto = type_pb2.TypeProto(type_kind=type_pb2.TYPE_STRUCT)
        for field in kind.expressions:
            proto.struct_type.field.add(
                field_name=field.name, field_type=_to_type(field.args["kind"])
            )
        return proto
    if kind.is_type("array"):
        proto = type_pb2.TypeProto(type_kind=type_pb2.TYPE_ARRAY)
        proto.array_type.element_type.CopyFrom(_to_type(kind.expressions[0]))
        return proto
    return type_pb2.TypeProto(type_kind=_SIMPLE[kind.sql("bigquery")])


def type_name(proto: type_pb2.TypeProto) -> str:
    """Return the analyzer's type as GoogleSQL writes it."""
    if proto.type_kind == type_pb2.TYPE_STRUCT:
        fields = proto.struct_type.field
        return f"STRUCT<{', '.join(f'{f.field_name} {type_name(f.field_type)}' for f in fields)}>"
    if proto.type_kind == type_pb2.TYPE_ARRAY:
        return f"ARRAY<{type_name(proto.array_type.element_type)}>"
    return _NAMES[proto.type_kind]


@cache
def language() -> options_pb2.LanguageOptionsProto:
    """Return BigQuery's language: its product mode, its statements, and `FEATURES`."""
    return options_pb2.LanguageOptionsProto(
        product_mode=public.PRODUCT_EXTERNAL,
        name_resolution_mode=public.NAME_RESOLUTION_DEFAULT,
        supported_statement_kinds=[
            number for name, number in kinds.ResolvedNodeKind.items() if name.endswith("_STMT")
        ],
        enabled_language_features=[
            public.LanguageFeature.Value(f"FEATURE_{name}") for name in FEATURES
        ],
    )


def catalog_of(
    tables: Mapping[str, Schema], variables: Schema | None = None
) -> simple_catalog_pb2.SimpleCatalogProto:
    """Return a catalog of tables, by `dataset.name`, and of a script's variables."""
    catalog = simple_catalog_pb2.SimpleCatalogProto(name="warehouse")
    catalog.builtin_function_options.language_options.CopyFrom(language())
    for name, schema in tables.items():
        table = catalog.table.add(name=name)  # `dataset.name` in backticks is one identifier
        for column, kind in schema.items():
            table.column.add(name=column, type=to_type(kind), is_writable_column=True)
    for name, kind in (variables or {}).items():
        constant = catalog.constant.add(name_path=[name], type=to_type(kind))
        constant.value.SetInParent()  # NULL
    return catalog


class Analyzer:
    """The analyzer over a set of tables, and over the variables of a script."""

    def __init__(self, tables: Mapping[str, Schema], variables: Schema | None = None) -> None:
        self._engine = start_engine()
        self._tables = tables
        self._variables = variables or {}
        request = service.RegisterCatalogRequest(simple_catalog=catalog_of(tables, variables))
        answer = self._engine.call("RegisterCatalog", request, service.RegisterResponse)
        self._catalog = answer.registered_id
        self._scopes: dict[str, Analyzer] = {}

    def analyze(self, sql: str, params: Schema) -> Analysis:
        """Analyze one statement. Raises RefusedError."""
        request = service.AnalyzeRequest(
            options=options_of(params), registered_catalog_id=self._catalog, sql_statement=sql
        )
        try:
            answer = self._engine.call("Analyze", request, service.AnalyzeResponse)
        except ServerError as error:
            raise RefusedError(error.message, sql) from None
        statement = innermost(answer.resolved_statement)
        columns = {
            column.name: type_name(column.column.type)
            for column in getattr(statement, "output_column_list", ())
        }
        kind = statement.DESCRIPTOR.name.removeprefix("Resolved").removesuffix("Proto")
        if kind == "CreateTableStmt":
            columns = {
                column.name: type_name(column.type)
                for column in statement.parent.column_definition_list
            }
        return Analysis(kind, columns, statement)

    def created_by(self, sql: str, params: Schema) -> dict[str, dict[str, str]]:
        """Analyze a statement or script, and return the tables it creates. Raises RefusedError."""
        found = self.analyze_script(sql, params) if ";" in sql else [self.analyze(sql, params)]
        return dict(analysis.creates for analysis in found if analysis.creates)

    def analyze_script(self, script: str, params: Schema) -> list[Analysis]:
        """Parse a script whole, and analyze each statement in its place. Raises RefusedError."""
        request = service.ParseRequest(sql_statement=script, options=language(), allow_script=True)
        try:
            parsed = self._engine.call("Parse", request, service.ParseResponse).parsed_script
        except ServerError as error:
            raise RefusedError(error.message, script) from None
        source = script.encode()
        nodes = [innermost(node) for node in parsed.statement_list_node.statement_list]
        variables = dict(self._variables)
        for node in nodes:
            if _name(node) == "VariableDeclaration":
                kind = _text(innermost(node.type), source)
                names = [name.id_string for name in node.variable_list.identifier_list]
                variables |= dict.fromkeys(names, kind)
                if node.HasField("default_value"):
                    default = _text(innermost(node.default_value), source)
                    self.analyze(f"SELECT COALESCE(CAST(NULL AS {kind}), {default})", params)
        scope, found = self._with({}, variables), []
        for node in nodes:
            for analysis in scope._analyze_node(node, source, params):
                found.append(analysis)
                if analysis.creates and analysis.creates[0] not in scope._tables:
                    scope = scope._with(dict([analysis.creates]), variables)
        return found

    def _with(self, tables: dict[str, Schema], variables: dict[str, str]) -> Analyzer:
        key = str((tables, variables))
        if key not in self._scopes:
            self._scopes[key] = Analyzer({**self._tables, **tables}, variables)
        return self._scopes[key]

    def _analyze_node(self, node: Any, source: bytes, params: Schema) -> Iterator[Analysis]:
        match _name(node):
            case "VariableDeclaration" | "BeginStatement" | "CommitStatement":
                pass
            case "SingleAssignment":
                expected = self._variables[node.variable.id_string]
                yield self._expression(node.expression, source, params, expected)
            case "IfStatement":
                yield self._expression(node.condition, source, params, "BOOL")
                for inner in node.then_list.statement_list:
                    yield from self._analyze_node(innermost(inner), source, params)
            case "RaiseStatement":
                yield self._expression(node.message, source, params, "STRING")
            case _:
                yield self.analyze(_text(node, source), params)

    def _expression(self, node: Any, source: bytes, params: Schema, expected: str) -> Analysis:
        text = _text(innermost(node), source)
        found = self.analyze(f"SELECT {text} AS value", params)
        if found.columns["value"] != expected:
            raise RefusedError(f"{found.columns['value']} instead of {expected}", text)
        return found


def options_of(params: Schema) -> options_pb2.AnalyzerOptionsProto:
    """Return the analyzer's options for a statement with these parameters."""
    options = options_pb2.AnalyzerOptionsProto(
        language_options=language(), default_timezone="UTC", prune_unused_columns=True
    )
    for name, kind in params.items():
        options.query_parameters.add(name=name, type=to_type(kind))
    return options


def innermost(node: Any) -> Any:
    """Return what a message of alternatives contains."""
    while node.DESCRIPTOR.oneofs and (chosen := node.WhichOneof("node")):
        node = getattr(node, chosen)
    return node


def _name(node: Any) -> str:
    return str(node.DESCRIPTOR.name).removeprefix("AST").removesuffix("Proto")


def _text(node: Any, source: bytes) -> str:
    while "parse_location_range" not in node.DESCRIPTOR.fields_by_name:
        node = node.parent
    place = node.parse_location_range
    return source[place.start : place.end].decode()
