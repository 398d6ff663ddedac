"""Logs a loss as a training run does: ``scalar.py FOLDER STEP VALUE``."""

import sys

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

folder, step, value = sys.argv[1:]
writer = EventFileWriter(folder)
loss = Summary.Value(tag="loss", simple_value=float(value))
writer.add_event(Event(step=int(step), summary=Summary(value=[loss])))
writer.close()
