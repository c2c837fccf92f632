"""Data sets whose pictures are not files of their own: WebDataset's tar shards, and parquet files."""
