"""The command `fleet init`: makes the tables."""

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.fleet.place import DatabaseUrl, do, open_fleet
from langchain_nebula_video.cli.output import Output

__all__ = ["init"]


def init(*, database: DatabaseUrl = None, as_json: opt.AsJson = False) -> None:
    """Make the fleet's tables in the database. Repeating it does no harm.

    They stand beside the journal's, which are made too.
    """
    output = Output(as_json=as_json)
    with output.report_errors():
        fleet = open_fleet(output, database)
        made = do(fleet.init())
        name = do(fleet.status()).fleet
        output.print_message(f"The fleet {name} has its tables{'' if made else ' already'}.")
        output.print_result({"fleet": name, "made": made})
