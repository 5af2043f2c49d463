"""The files beside a record, read before anything is made from it."""

from denselora.results.change import read_change
from denselora.results.metrics import read_losses
from denselora.results.predictions import check_predictions
from denselora.results.record import Record


def check_files(record: Record) -> None:
    """Raise `UserError` unless the predictions are those that the record counts, and its metrics
    and summary of change can be read.
    """
    check_predictions(record)
    training = record.training
    if training and (metrics := record.beside(training.metrics_file)):
        read_losses(metrics)
    if training and (change := record.beside(training.change_file)):
        read_change(change)
