"""Where recorded rows are kept: files, queries, packages; and events made of such rows."""

from ml_assets.ingest.sources.csv_file import CsvFile
from ml_assets.ingest.sources.event_rows import EventRows
from ml_assets.ingest.sources.packages import NpmPackage, WheelPackage
from ml_assets.ingest.sources.parquet_files import ParquetFiles
from ml_assets.ingest.sources.places import PackagedFile
from ml_assets.ingest.sources.renamed import Renamed
from ml_assets.ingest.sources.slates import Slates
from ml_assets.ingest.sources.sql_query import SqlQuery

__all__ = ["CsvFile", "EventRows", "NpmPackage", "PackagedFile", "ParquetFiles", "Renamed",
           "Slates", "SqlQuery", "WheelPackage"]
